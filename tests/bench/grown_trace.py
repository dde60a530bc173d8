"""A call of a recorded trace, grown to any number of calls: the real events with other names in them."""

from dataclasses import dataclass
from pathlib import Path

from connector.asterisk.trace import TraceReader

_TRACE = Path(__file__).parents[1] / "replay/traces/02_inbound_queue.txt.gz"
_FIRST, _LAST = 53.45, 1583.0
"""Milliseconds between which the trace has its first call: queue, ring, talk, end."""
_NOT_READ = {"VarSet", "Newexten", "TestEvent", "RTCPSent", "RTCPReceived"}
"""Events of classes that the connector's manager user does not read."""
_PAUSE = 5.0
"""Milliseconds of silence that part one burst of events from the next."""
_NAMES = {
    "1795234751.35": "%(caller)s",
    "1795234751.36": "%(leg)s",
    "PJSIP/2001-00000023": "PJSIP/%(customer)s-%(number)08x",
    "PJSIP/1001-00000024": "PJSIP/%(agent)s-%(number)08x",
    "PJSIP/2001": "PJSIP/%(customer)s",
    "PJSIP/1001": "PJSIP/%(agent)s",
    "94509406-59db-4ceb-869b-b7deee9b04cf": "bridge-%(number)d",
    "agent1": "%(agent)s",
    "User 1001": "User %(agent)s",
    "User 2001": "User %(customer)s",
    "1001": "%(agent)s",
    "2001": "%(customer)s",
}


@dataclass(frozen=True)
class Burst:
    """Events that come at once: seconds after the call's beginning, how many, and their text."""

    at: float
    events: int
    text: str


def bursts() -> list[Burst]:
    """Return the call's bursts; a `%` in one is formatting, for `fill`."""
    found: list[list[tuple[float, str]]] = []
    last = 0.0
    for direction, at, message in TraceReader(_TRACE):
        if direction != "<<<" or not _FIRST < at < _LAST or message.name in _NOT_READ:
            continue
        lines = [f"{name}: {_NAMES.get(value, value.replace('%', '%%'))}\r\n" for name, value in message]
        if not found or at - last > _PAUSE:
            found.append([])
        found[-1].append((at, "".join(lines) + "\r\n"))
        last = at
    begin = found[0][0][0]
    return [Burst((one[0][0] - begin) / 1000, len(one), "".join(text for _, text in one)) for one in found]


def fill(burst: Burst, number: int, agent: str) -> bytes:
    """Return a burst of the call of that number to an agent's phone."""
    names = {
        "caller": caller(number),
        "leg": leg(number),
        "customer": f"2{number % 100000:05d}",
        "agent": agent,
        "number": number,
    }
    return (burst.text % names).encode()


def leg(number: int) -> str:
    """Return the id of the agent's leg of a call, which is the interaction's."""
    return f"pbx-{number}.2"


def caller(number: int) -> str:
    """Return the id of the caller's leg of a call."""
    return f"pbx-{number}.1"
