"""`connector dialect`: check a dialect, show what it changes, and write one to begin with."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from connector.bridge.dialect import Dialect, MappedDialect, Words
from connector.bridge.dialect_file import NAMES
from connector.bridge.messages import CATALOGUE, Body
from connector.bridge.schema import keys_of
from connector.processor.options import read_dialect

app = typer.Typer(help="The bridge's own names and keys (docs/dialects.md).", no_args_is_help=True)

_USAGE = 2

FileArgument = Annotated[Path, typer.Argument(help="The dialect's YAML file.")]


@app.command()
def check(file: FileArgument) -> None:
    """Check a dialect against the catalogue. Exit status 2 and one line if it is wrong."""
    dialect = _read(file)
    lines = list(_changes(dialect))
    typer.echo(f"{file}: right; {len(lines)} words differ from the catalogue's.")


@app.command()
def show(file: FileArgument) -> None:
    """Print everything that differs: the catalogue's word, and the bridge's."""
    for line in _changes(_read(file)):
        typer.echo(line)


@app.command()
def template() -> None:
    """Print a dialect that changes nothing, with every name and every key of the catalogue to choose from."""
    typer.echo(render_template(), nl=False)


def render_template() -> str:
    """Return that dialect: all entries are comments."""
    return "\n".join(_template()) + "\n"


def _template() -> Iterator[str]:
    yield "# A dialect (docs/dialects.md). Where the bridge has another word, take the # off and put it last."
    yield "names:"
    for name in NAMES:
        yield f"#  {name}: {name}"
    yield "# Keys wherever they are:"
    yield "keys:"
    keys = {path.rpartition(".")[2] for _, _, shape in _bodies() for path in _paths(shape)}
    for key in sorted(keys, key=str.lower):
        yield f"#  {key}: {key}"
    yield "# Keys in one message only; this wins over `keys`:"
    yield "messages:"
    for name, spec in CATALOGUE.items():
        parts = [(part, list(_paths(shape))) for each, part, shape in _bodies() if each == name]
        if any(paths for _, paths in parts):
            yield f"#  {spec.name}:"
        for part, paths in parts:
            if paths:
                yield f"#    {part}:"
                yield from (f"#      {path}: {path.rpartition('.')[2]}" for path in paths)


def _bodies() -> Iterator[tuple[str, str, type[Body]]]:
    for name, spec in CATALOGUE.items():
        yield name, "body", spec.body
        if spec.reply is not None:
            yield name, "reply", spec.reply


def _paths(shape: type[Body], prefix: str = "") -> Iterator[str]:
    for key, inner in keys_of(shape).items():
        yield prefix + key
        if inner is not None:
            yield from _paths(inner, f"{prefix}{key}.")


def _read(file: Path) -> Dialect:
    try:
        return read_dialect(file)
    except ValueError as problem:
        typer.echo(f"connector dialect: {problem}", err=True)
        raise typer.Exit(_USAGE) from None


def _changes(dialect: Dialect) -> Iterator[str]:
    if not isinstance(dialect, MappedDialect):
        return
    for name, words in dialect.words.items():
        if words.name != name:
            yield f"{name} -> {words.name}"
        for part, inner in (("body", words.body), ("reply", words.reply)):
            if inner is not None:
                yield from (f"{name} {part}: {line}" for line in _word_changes(inner, ""))


def _word_changes(words: Words, prefix: str) -> Iterator[str]:
    for key, word in words.out.items():
        if word.name != key:
            yield f"{prefix}{key} -> {word.name}"
        if word.inner is not None:
            yield from _word_changes(word.inner, f"{prefix}{key}.")
