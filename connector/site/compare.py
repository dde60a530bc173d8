"""What a PBX has otherwise than the site's settings would write it."""

import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

_SECRET: Final = re.compile(r"^(\s*(?:secret|password)\s*=>?\s*)\S.*$", re.MULTILINE)
_HEADER_LINES: Final = 3


def differences(files: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Give the lines of a unified difference from `folder` (what is there) to `files` (what should be).

    Headers don't count, and passwords are hidden on both sides, so they don't count either. Files that belong
    to sites of other kinds (`*harmony*.conf`) are told too.

    Raises:
        OSError: a file there can't be read.

    """
    for name, text in files.items():
        there = folder / name
        if not there.is_file():
            yield f"only in the site: {name}"
            continue
        yield from difflib.unified_diff(
            _lines(there.read_text("utf-8", "replace")),
            _lines(text),
            f"there/{name}",
            f"site/{name}",
            lineterm="",
        )
    for other in sorted(folder.glob("*harmony*.conf")):
        if other.name not in files:
            yield f"only there: {other.name}"


def _lines(text: str) -> list[str]:
    lines = _SECRET.sub(r"\1***", text).splitlines()
    return lines[_HEADER_LINES:] if lines and "`connector site render`" in lines[0] else lines
