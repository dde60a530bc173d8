"""What differs between a recorded message and today's: ids are others in every run, the rest is not."""

from collections.abc import Iterator, Mapping
from typing import Any

from connector.bridge.messages import Message

_ID_KEYS = frozenset({"id", "nativeid"})
"""Keys under which the client names what it made."""

VOLATILE = frozenset({"statechangetime", "WAIT_TIME"})
"""Keys whose values are times: they differ from run to run."""

_SHOWN = 200


class Ids:
    """Which of today's ids stands for which recorded one. Each has exactly one counterpart."""

    def __init__(self) -> None:
        self._today: dict[str, str] = {}
        self._recorded: dict[str, str] = {}

    def same(self, recorded: str, today: str) -> bool:
        """Return whether two ids mean the same; ids that were not seen yet do from now on."""
        if recorded not in self._today and today not in self._recorded:
            self._today[recorded] = today
            self._recorded[today] = recorded
        return self._today.get(recorded) == today

    def today(self, recorded: str) -> str | None:
        """Return today's id; None if the client has not named it yet."""
        return self._today.get(recorded)

    def in_text(self, text: str) -> str:
        """Return a recorded text with today's ids."""
        # The longest first: a conversation's id begins with its interaction's.
        for recorded in sorted(self._today, key=len, reverse=True):
            text = text.replace(recorded, self._today[recorded])
        return text


def differences(
    recorded: Message, today: Message, ids: Ids, ignore: frozenset[str] = VOLATILE
) -> Iterator[str]:
    """Yield what differs between two messages of one kind and name, each as one short text."""
    if recorded.result is not today.result:
        yield _differs("result", recorded.result, today.result)
    for what, then, now in (
        ("errorMessage", recorded.error_message, today.error_message),
        ("code", recorded.code, today.code),
        ("message", recorded.text, today.text),
    ):
        if (ids.in_text(then) if then is not None else None) != now:
            yield _differs(what, then, now)
    yield from _compare(recorded.body, today.body, "", ids, ignore)


def _compare(then: Any, now: Any, path: str, ids: Ids, ignore: frozenset[str]) -> Iterator[str]:
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        yield from _compare_objects(then, now, path, ids, ignore)
    elif isinstance(then, list | tuple) and isinstance(now, list | tuple):
        if len(then) != len(now):
            yield f"{path} has {len(now)} entries, recorded {len(then)}"
        for number, (one, other) in enumerate(zip(then, now, strict=False)):
            yield from _compare(one, other, f"{path}[{number}]", ids, ignore)
    elif path.rpartition(".")[2] in _ID_KEYS and isinstance(then, str) and isinstance(now, str):
        if not ids.same(then, now):
            yield f"{path} is another one: {_shown(now)}, recorded {_shown(then)}"
    elif then != now and not (isinstance(then, str) and ids.today(then) == now):
        yield _differs(path, then, now)


def _compare_objects(
    then: Mapping[str, Any], now: Mapping[str, Any], path: str, ids: Ids, ignore: frozenset[str]
) -> Iterator[str]:
    for key in dict.fromkeys([*then, *now]):
        here = f"{path}.{key}" if path else key
        if key in ignore:
            continue
        if key not in now:
            yield f"{here} is missing, recorded {_shown(then[key])}"
        elif key not in then:
            yield f"{here} is {_shown(now[key])}, recorded nothing"
        else:
            yield from _compare(then[key], now[key], here, ids, ignore)


def _differs(what: str, then: object, now: object) -> str:
    return f"{what} is {_shown(now)}, recorded {_shown(then)}"


def _shown(value: object) -> str:
    text = "nothing" if value is None else str(value) if value != "" else "''"
    text = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
