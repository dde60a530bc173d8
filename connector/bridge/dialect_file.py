"""Reads a dialect from YAML, and checks it against the catalogue: what is wrong is one line with its place.

`docs/dialects.md` describes the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import fields

from connector.bridge.catalogue.notices import NOTICES
from connector.bridge.dialect import IDENTITY, Dialect, MappedDialect, MessageWords, Word, Words
from connector.bridge.messages import CATALOGUE, Body, MessageSpec
from connector.bridge.schema import keys_of
from connector.settings_yaml import ConfigError, Kind, Mapping, Node, Scalar, parse, read_file
from connector.wording import closest, listed

NAMES = (*CATALOGUE, *(one.name for one in NOTICES))
"""Every name that a dialect may change: messages, warnings and errors."""

LONGEST_WORD = 200
"""Characters that a bridge's name or key may have."""

_SECTIONS = ("names", "keys", "messages")
_PARTS = ("body", "reply")


def load_dialect(path: Path) -> Dialect:
    """Read the dialect in a YAML file.

    Raises:
        ConfigError: one line: file and line, the key's path in it, what was expected, what was found.

    """
    return _built(read_file(path))


def parse_dialect(text: str, name: str = "dialect") -> Dialect:
    """Read a dialect from a YAML text; `name` stands for the file in errors. Raises ConfigError."""
    node = parse(text, name)
    if isinstance(node, Scalar) and node.kind is Kind.NOTHING:
        node = Mapping({}, name)
    return _built(_section(node, ""))


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line of the file: the bridge's word, and where it stands."""

    word: str
    place: str
    path: str

    def wrong(self, problem: str) -> ConfigError:
        return ConfigError(self.place, self.path, problem)


@dataclass(slots=True)
class _Source:
    """Everything that the file says, checked entry by entry."""

    names: dict[str, _Entry] = field(default_factory=dict)
    keys: dict[str, _Entry] = field(default_factory=dict)
    parts: dict[tuple[str, str], dict[str, _Entry]] = field(default_factory=dict)


def _built(root: Mapping) -> Dialect:
    source = _read(root)
    names = _words_of_names(source.names)
    words = {}
    for name, spec in CATALOGUE.items():
        body = _words_of(spec.body, source, (name, "body"))
        reply = _words_of(spec.reply, source, (name, "reply")) if spec.reply is not None else None
        words[name] = MessageWords(names[name], body, reply)
    words |= {name: MessageWords(word) for name, word in names.items() if name not in words}
    if all(each == MessageWords(name) for name, each in words.items()):
        return IDENTITY
    return MappedDialect(words, _secrets(words))


def _secrets(words: dict[str, MessageWords]) -> dict[str, str]:
    """Return the bridge's words for passwords; one that means something else elsewhere is not among them."""
    found: dict[str, str] = {}
    for name, spec in CATALOGUE.items():
        body = words[name].body
        for each in fields(spec.body):
            if body is not None and each.name in spec.body.secrets:
                found[body.out[each.encode_name].name] = each.encode_name
    return {word: key for word, key in found.items() if word not in _all_keys()}


# -- reading: every entry by itself ------------------------------------------------------------------------


def _read(root: Mapping) -> _Source:
    source = _Source()
    for section, node in root.nodes.items():
        if section not in _SECTIONS:
            raise ConfigError(root.where(section), section, _unknown("section", section, _SECTIONS))
        entries = _section(node, section)
        if section == "names":
            source.names = dict(_entries(entries, section))
            for name, entry in source.names.items():
                if name not in NAMES:
                    raise entry.wrong(_unknown("message of the catalogue", name, list(NAMES)))
                if any(each.isspace() for each in entry.word):
                    raise entry.wrong(f'expected a name without blanks, found "{entry.word}"')
        elif section == "keys":
            source.keys = dict(_entries(entries, section))
            for key, entry in source.keys.items():
                if key not in _all_keys():
                    raise entry.wrong(_unknown("key of the catalogue", key, sorted(_all_keys())))
        else:
            _read_messages(entries, source)
    return source


def _read_messages(messages: Mapping, source: _Source) -> None:
    for name, node in messages.nodes.items():
        path = f"messages.{name}"
        where = _Entry("", messages.where(name), path)
        spec = _must_be_known(name, where)
        parts = _section(node, path)
        for part, inner in parts.nodes.items():
            here = f"{path}.{part}"
            if part not in _PARTS:
                raise ConfigError(parts.where(part), here, _unknown("key", part, _PARTS))
            shape = spec.body if part == "body" else spec.reply
            if shape is None:
                raise ConfigError(parts.where(part), here, "expected `body` only: nobody answers an event")
            entries = dict(_entries(_section(inner, here), here))
            for key, entry in entries.items():
                _must_lead_somewhere(key, entry, shape)
            source.parts[name, part] = entries


def _section(node: Node, path: str) -> Mapping:
    if isinstance(node, Scalar) and node.kind is Kind.NOTHING:
        return Mapping({}, node.origin)
    if not isinstance(node, Mapping):
        raise ConfigError(
            node.origin, path, "expected a mapping of the catalogue's words to the bridge's, found no mapping"
        )
    return node


def _entries(section: Mapping, path: str) -> Iterator[tuple[str, _Entry]]:
    for key, node in section.nodes.items():
        entry = _Entry(node.text if isinstance(node, Scalar) else "", section.where(key), f"{path}.{key}")
        if not isinstance(node, Scalar):
            raise entry.wrong("expected the bridge's word, found a list or a mapping")
        if not node.text or node.kind is Kind.NOTHING:
            raise entry.wrong("expected the bridge's word, found nothing")
        if len(node.text) > LONGEST_WORD:
            raise entry.wrong(f"expected at most {LONGEST_WORD} characters, found {len(node.text)}")
        if not node.text.isprintable():
            raise entry.wrong("expected a word on one line, found control characters")
        yield key, entry


def _must_be_known(name: str, entry: _Entry) -> MessageSpec:
    spec = CATALOGUE.get(name)
    if spec is None:
        raise entry.wrong(_unknown("message of the catalogue", name, list(CATALOGUE)))
    return spec


def _must_lead_somewhere(path: str, entry: _Entry, shape: type[Body]) -> None:
    at: type[Body] | None = shape
    seen: list[str] = []
    for key in path.split("."):
        if at is None:
            where = ".".join(seen)
            raise entry.wrong(f"expected nothing below `{where}`: what is in it passes as it is")
        known = keys_of(at)
        if key not in known:
            what = f"key of `{'.'.join(seen)}`" if seen else "key of this body"
            raise entry.wrong(_unknown(what, key, list(known)))
        seen.append(key)
        at = known[key]


def _unknown(what: str, found: str, known: tuple[str, ...] | list[str]) -> str:
    near = closest(found, known)
    few = 12
    hint = (
        f"did you mean `{near}`?"
        if near
        else f"it has {listed(known)}"
        if 0 < len(known) <= few
        else "there is none"
        if not known
        else "see docs/protocol.md"
    )
    return f'expected a {what}, found "{found[:LONGEST_WORD]}"; {hint}'


def _all_keys() -> frozenset[str]:
    found: set[str] = set()

    def visit(shape: type[Body]) -> None:
        for key, inner in keys_of(shape).items():
            found.add(key)
            if inner is not None:
                visit(inner)

    for spec in CATALOGUE.values():
        visit(spec.body)
        if spec.reply is not None:
            visit(spec.reply)
    return frozenset(found)


# -- joining: no two things by the same word ---------------------------------------------------------------


def _words_of_names(entries: dict[str, _Entry]) -> dict[str, str]:
    names = {name: entries[name].word if name in entries else name for name in NAMES}
    taken: dict[str, str] = {}
    # What keeps the catalogue's name comes first: the entry that takes it away is the one to blame.
    for name in sorted(names, key=lambda each: each in entries):
        other = taken.setdefault(names[name], name)
        if other != name:
            whose = f"`{other}`, which keeps its name" if other not in entries else f"`{other}` already"
            raise entries[name].wrong(
                f'expected a word of its own, found "{names[name]}", the word for {whose}'
            )
    return names


def _words_of(shape: type[Body], source: _Source, part: tuple[str, str], prefix: str = "") -> Words | None:
    special = source.parts.get(part, {})
    out: dict[str, Word] = {}
    blame: dict[str, _Entry] = {}
    for key, inner in keys_of(shape).items():
        entry = special.get(prefix + key) or source.keys.get(key)
        if entry is not None:
            blame[key] = entry
        deeper = _words_of(inner, source, part, f"{prefix}{key}.") if inner is not None else None
        out[key] = Word(entry.word if entry is not None else key, deeper)
    _must_differ(out, blame, part, prefix)
    if all(word == Word(key) for key, word in out.items()):
        return None
    return Words(out, {word.name: Word(key, word.inner) for key, word in out.items()})


def _must_differ(
    words: dict[str, Word], blame: dict[str, _Entry], part: tuple[str, str], prefix: str
) -> None:
    taken: dict[str, str] = {}
    for key in sorted(words, key=lambda each: each in blame):
        word = words[key].name
        other = taken.setdefault(word, key)
        if other != key:
            name, which = part
            keeps = "" if other in blame else ", which keeps its name"
            raise blame[key].wrong(
                f'expected a word of its own, found "{word}", the word for `{prefix}{other}`{keeps}, '
                f"in the {which} of {name}"
            )
