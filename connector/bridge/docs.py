"""Writes `docs/protocol.md` from the catalogue: `python -m connector.bridge.docs`."""

import json
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import EnumMeta
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from connector.bridge.catalogue import (
    channel,
    channelgroup,
    control,
    conversation,
    extensions,
    interaction,
    session,
)
from connector.bridge.catalogue.notices import NOTICES
from connector.bridge.codec import MAX_FRAME, MAX_HEADER
from connector.bridge.envelope import MAX_TEXT
from connector.bridge.messages import CATALOGUE, Body, Kind, MessageSpec, Scope

PLACE = Path("docs/protocol.md")

NEVER_SENT: dict[str, str] = {}
"""Messages of the catalogue that this connector has no occasion for, and why."""

SEEN = Path(__file__).parents[2] / "tests/e2e/seen.json"
"""Which end-to-end tests exercised which message; written by `make coverage`."""

_SHOWN_TESTS = 3

_HEAD = f"""\
# The Processor Bridge protocol, as this connector speaks it

This file is generated from the typed catalogue in `connector/bridge/catalogue/`; don't edit it. To write
it anew: `python -m connector.bridge.docs`.

The bridge sends **queries** and **requests**, each with a `requestId`; the connector sends exactly one
**response** to each, and **events**, warnings and errors on its own. Over TCP the bridge listens; a frame is
a 4-byte big-endian length and that many bytes of JSON, `{{"header": {{…}}, "body": {{…}}}}`, at most
{MAX_FRAME} bytes unless configured otherwise. Put `header` first: then a frame that is cut, broken or too
long can still be answered by its `requestId`.

Headers: `type`, `name`, `target`; `requestId` except on events; `result` (`SUCCESS`, `FAILURE`) and on
FAILURE `errorMessage` on responses; `code` and `message` on warnings and errors.
Texts are cut at {MAX_TEXT} characters. A `requestId` belongs to one request: the same one again gets the same
response, another one FAILURE. Other headers have at most {MAX_HEADER} characters: without a `requestId` that
is a text of that length nobody can be answered, and what came is logged only.

Origin: **S** with a number: the vendor's source text of that number; **W**: published by the vendor
elsewhere; **C**: our completion, the part that a site may have to rename; **X**: our own extension
([supervision.md](supervision.md)), on the wire only where `extensions.enabled` is set. A key with *optional*
may be left out.
"""

_TITLES = {
    Scope.CONTROL: "Control destination",
    Scope.SESSION: "Session destination",
    Scope.CHANNEL_GROUP: "Channel group destination",
    Scope.CHANNEL: "Channel destination",
    Scope.INTERACTION: "Interaction destination",
    Scope.CONVERSATION: "Conversation destination",
}
_MODULES = (control, session, channelgroup, channel, interaction, conversation, extensions)
_KINDS = {Kind.QUERY: "query", Kind.REQUEST: "request", Kind.EVENT: "event"}
_PLAIN = {str: "string", int: "number", float: "number", bool: "true/false", type(None): "null", Any: "any"}


def render() -> str:
    """Return the whole document."""
    parts = [_HEAD, *_destinations(), *_notices(), *_objects(), *_values(), *_coverage(read_seen())]
    return "\n".join(parts).rstrip() + "\n"


def read_seen(place: Path = SEEN) -> dict[str, list[str]]:
    """Return the tests (pytest node ids) by message; empty where the tests are not at hand."""
    seen: dict[str, list[str]] = json.loads(place.read_text("utf-8")) if place.exists() else {}
    return seen


def _coverage(seen: Mapping[str, Sequence[str]]) -> Iterator[str]:
    yield "## Which test exercises which message\n"
    yield "On a real Asterisk, between connector and reference bridge: a query or request was answered"
    yield "with SUCCESS; an event, warning or error came. Written by `make coverage` from runs of the"
    yield "end-to-end suite.\n"
    yield "| message | tests in `tests/e2e/` |"
    yield "|---|---|"
    for name in (*(spec.name for spec in _ours_last()), *(one.name for one in NOTICES)):
        tests = seen.get(name, ())
        shown = [f"`{each.removeprefix('tests/e2e/')}`" for each in tests[:_SHOWN_TESTS]]
        if len(tests) > _SHOWN_TESTS:
            shown.append(f"and {len(tests) - _SHOWN_TESTS} more")
        yield f"| `{name}` | {'<br>'.join(shown) or NEVER_SENT.get(name, '-')} |"
    yield ""


def _destinations() -> Iterator[str]:
    for scope, title in _TITLES.items():
        yield f"## {title}\n"
        yield "| name | kind | body | answer | origin | what it is |"
        yield "|---|---|---|---|---|---|"
        for spec in _ours_last():
            if spec.scope is scope:
                yield _row(spec)
        yield ""


def _ours_last() -> list[MessageSpec]:
    return sorted(CATALOGUE.values(), key=lambda spec: spec.origin == extensions.ORIGIN)


def _notices() -> Iterator[str]:
    yield "## Warnings and errors\n"
    yield "Sent unasked, without a body; their names and codes are ours (the protocol leaves them free).\n"
    yield "| type | name | `code` | destination | when |"
    yield "|---|---|---|---|---|"
    for one in NOTICES:
        yield f"| `{one.kind}` | `{one.name}` | `{one.code}` | {one.scope} | {one.summary} |"
    yield ""


def _row(spec: MessageSpec) -> str:
    answer = _keys(spec.reply) if spec.reply is not None else ""
    cells = (f"`{spec.name}`", _KINDS[spec.kind], _keys(spec.body), answer, spec.origin, spec.summary)
    return f"| {' | '.join(cells)} |"


def _keys(body: type[Body]) -> str:
    keys = [_key(each) for each in msgspec.structs.fields(body)]
    return "<br>".join(keys) or "-"


def _key(field: msgspec.structs.FieldInfo) -> str:
    optional = "" if field.required else ", *optional*"
    return f"`{field.encode_name}`: {_type(field.type)}{optional}"


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if origin is Annotated:
        said = next((each.description for each in inner[1:] if isinstance(each, msgspec.Meta)), None)
        return said or _type(inner[0])
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return "object"
    if origin in {Union, types.UnionType}:
        return " or ".join(dict.fromkeys(_type(each) for each in inner))
    return f"[{annotation.__name__}](#{annotation.__name__.lower()})"


def _objects() -> Iterator[str]:
    yield "## Objects inside bodies\n"
    for shape in _inner_shapes(spec for spec in CATALOGUE.values()):
        yield f"### {shape.__name__}\n\n{_summary(shape)}\n"
        for each in msgspec.structs.fields(shape):
            yield f"- {_key(each)}"
        yield ""


def _inner_shapes(specs: Iterable[MessageSpec]) -> list[type[Body]]:
    found: dict[type[Body], None] = {}

    def visit(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, Body):
            if annotation not in found:
                found[annotation] = None
                visit_fields(annotation)
            return
        for each in get_args(annotation):
            visit(each)

    def visit_fields(body: type[Body]) -> None:
        for each in msgspec.structs.fields(body):
            visit(each.type)

    for spec in specs:
        visit_fields(spec.body)
        if spec.reply is not None:
            visit_fields(spec.reply)
    return list(found)


def _values() -> Iterator[str]:
    yield "## Values\n"
    shown: set[str] = set()
    for module in _MODULES:
        for name, thing in vars(module).items():
            if isinstance(thing, EnumMeta) and thing.__module__ == module.__name__ and name not in shown:
                shown.add(name)
                words = ", ".join(f"`{each.value}`" for each in thing)  # type: ignore[var-annotated]
                yield f"### {name}\n\n{_summary(thing)}\n\n{words}\n"


def _summary(thing: type) -> str:
    return (thing.__doc__ or "").strip().partition("\n")[0]


def main() -> int:
    """Write the file into the folder `docs` of the current directory; 1 if there is none."""
    if not PLACE.parent.is_dir():
        sys.stderr.write(
            "connector.bridge.docs: run me in the project's own folder: there is no docs/ here.\n"
        )
        return 1
    PLACE.write_text(render(), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
