"""The worked sites' own files in the tree, written anew: `python -m connector.site.tree`."""

from pathlib import Path

from connector.config import load_settings
from connector.site.render import VERBATIM, render, source_folder


def main() -> None:
    """Render every `config/sites/*.yaml` into `asterisk-conf/sites/`, but for what all sites have alike."""
    source = source_folder()
    config = source.parent / "config" / "connector.yaml"
    for file in sorted((config.parent / "sites").glob("*.yaml")):
        settings = load_settings(config, site=file.stem, environ={}, secrets=False)
        _write(source / "sites" / file.stem, render(settings, f"{config.name} and sites/{file.name}", source))


def _write(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.conf"):
        old.unlink()
    for name, text in files.items():
        if name not in VERBATIM:
            (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
