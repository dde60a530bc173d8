"""What the doctor says: findings, as a table for people and as JSON for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from textwrap import wrap

import msgspec

_WIDTH = 110
_INDENT = " " * 9


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """Works, but not as it should; or will not for long."""
    FAULT = "fault"
    UNSEEN = "unseen"
    """Can't be looked at from here; the mend says what would make it visible."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check. `check` is its fixed name; `mend` is empty if there is nothing to do."""

    check: str
    verdict: Verdict
    found: str
    mend: str = ""


def ok(check: str, found: str) -> Finding:
    """Return a check that found all in order."""
    return Finding(check, Verdict.OK, found)


def warning(check: str, found: str, mend: str) -> Finding:
    """Return a check whose outcome is worth a look; it leaves the exit status alone."""
    return Finding(check, Verdict.WARNING, found, mend)


def fault(check: str, found: str, mend: str) -> Finding:
    """Return a check that found what keeps calls from working or the PBX from being safe."""
    return Finding(check, Verdict.FAULT, found, mend)


def unseen(check: str, found: str, mend: str) -> Finding:
    """Return a check that could not be made."""
    return Finding(check, Verdict.UNSEEN, found, mend)


def healthy(findings: Sequence[Finding]) -> bool:
    """Return whether nothing is wrong: no fault."""
    return not any(one.verdict is Verdict.FAULT for one in findings)


def table(findings: Sequence[Finding]) -> str:
    """Return the findings as a table; below each one that is not in order stands its mend."""
    widest = max((len(one.check) for one in findings), default=0)
    lines: list[str] = []
    for one in findings:
        indent = " " * (len(_INDENT) + widest + 2)
        found = wrap(one.found, max(_WIDTH - len(indent), 40)) or [""]
        lines.append(f"{one.verdict.upper():<{len(_INDENT)}}{one.check:<{widest}}  {found[0]}")
        lines += [indent + more for more in found[1:]]
        lines += [
            f"{indent}{'mend: ' if first else '      '}{text}"
            for first, text in _numbered(wrap(one.mend, max(_WIDTH - len(indent) - 6, 40)))
        ]
    counts = {verdict: sum(one.verdict is verdict for one in findings) for verdict in Verdict}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return "\n".join([*lines, "", said]) + "\n"


def _numbered(lines: list[str]) -> list[tuple[bool, str]]:
    return [(place == 0, line) for place, line in enumerate(lines)]


def as_json(findings: Sequence[Finding]) -> str:
    """Return `{"healthy": bool, "findings": [{check, verdict, found, mend}]}`."""
    document = {"healthy": healthy(findings), "findings": [asdict(one) for one in findings]}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
