"""`connector site render|diff`: the files of a site's PBX."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from connector.options import DEFAULT_CONFIG, ConfigOption

app = typer.Typer(help="The files of a site's PBX, made of its settings.", no_args_is_help=True)

_USAGE = 2

SiteName = Annotated[str, typer.Argument(help="Site: NAME of config/sites/NAME.yaml.")]


@app.command()
def render(
    site: SiteName,
    config: ConfigOption = DEFAULT_CONFIG,
    *,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to; without it everything is printed, passwords never."),
    ] = None,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="With --out: put the passwords in, files for their owner only.")
    ] = False,
) -> None:
    """Write the site's Asterisk files: dialplan, queues, manager user, conference profiles, trunks."""
    with _one_line_errors():
        files = _rendered(config, site, secrets=secrets and out is not None)
        if out is None:
            for name, text in files.items():
                typer.echo(f";;; {name}\n{text}")
            return
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            _write(out / name, text)
            typer.echo(str(out / name))


@app.command()
def diff(
    site: SiteName,
    against: Annotated[
        Path, typer.Option(help="Folder with a PBX's files, such as a copy of its /etc/asterisk.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Show what a PBX has otherwise than the site. Exit status 0 if nothing, 1 if something, 2 on errors."""
    from connector.site.compare import differences

    with _one_line_errors():
        if not against.is_dir():
            typer.echo(f"{against}: expected a folder with the PBX's files, found none", err=True)
            raise typer.Exit(_USAGE)
        found = list(differences(_rendered(config, site, secrets=False), against))
    for line in found:
        typer.echo(line)
    raise typer.Exit(1 if found else 0)


def _rendered(config: Path, site: str, *, secrets: bool) -> dict[str, str]:
    from connector.config import load_settings
    from connector.site.render import render as rendered
    from connector.site.render import source_folder

    # Without passwords the files alone count, so that the same files give the same bytes everywhere.
    settings = load_settings(config, site=site, environ=os.environ if secrets else {}, secrets=secrets)
    return rendered(settings, f"{config.name} and sites/{site}.yaml", source_folder(), secrets=secrets)


def _write(path: Path, text: str) -> None:
    """Write for the owner only, and in one step: a reload sees the old file or the new one."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(
        os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w", encoding="utf-8"
    ) as file:
        file.write(text)
    fresh.replace(path)


@contextmanager
def _one_line_errors() -> Iterator[None]:
    from connector.config import ConfigError
    from connector.site.render import SiteError

    try:
        yield
    except (ConfigError, SiteError) as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(_USAGE) from None
    except OSError as problem:
        typer.echo(f"{problem.filename}: {problem.strerror}", err=True)
        raise typer.Exit(_USAGE) from None
