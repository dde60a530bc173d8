"""The truth about audio: who hears whom, awaited with a deadline and driven by the audio that arrives."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from connector.lab.phones.base import Phone, PhoneCall

# Recognising costs about 2 ms a phone, so it is done every fifth tick of the media clock.
_STEP = 0.1
_LOOK_BACK = (0.8, 0.6, 0.4, 0.2, 0.0)


class HearingError(AssertionError):
    """Phones did not hear what they should; the message says who heard what over the last second."""


def hears(phone: Phone) -> frozenset[str]:
    """Whose tones arrived at `phone` in the last 300 ms, over all its live calls.

    Names are extensions, `MOH`, `RINGBACK` and `NOISE` (anything else that is loud); the empty set is
    silence, also when no RTP arrives or there is no call.
    """
    return frozenset[str]().union(*(call.ear.heard() for call in phone.calls))


async def expect_hears(
    expected: Mapping[Phone, Collection[str]], timeout: float = 3.0, *, stable: float = 0.2
) -> None:
    """Wait until all phones at once hear exactly the names given for each, for `stable` seconds.

    It looks again while audio arrives; after `timeout` seconds `HearingError` says who heard what instead.
    """
    wanted = {phone: frozenset(names) for phone, names in expected.items()}
    if not wanted:
        raise ValueError("expect_hears needs at least one phone")
    loop = asyncio.get_running_loop()
    pulse = next(iter(wanted)).pulse
    since: float | None = None
    try:
        async with asyncio.timeout(timeout):
            while True:
                now = loop.time()
                if all(hears(phone) == names for phone, names in wanted.items()):
                    since = now if since is None else since
                    if now - since >= stable:
                        return
                else:
                    since = None
                while loop.time() < now + _STEP:
                    await pulse.wait()
    except TimeoutError:
        raise HearingError(_report(wanted, timeout)) from None


def describe(phone: Phone) -> str:
    """Tell what `phone` heard over the last second, oldest first, call by call, in words for a person."""
    if not phone.calls:
        return "has no call"
    return "; ".join(f"{_story(call)} (call with {call.remote_number}, {call.state})" for call in phone.calls)


def _report(wanted: Mapping[Phone, frozenset[str]], timeout: float) -> str:
    lines = [f"after {timeout:g} s not everybody hears what they should; over the last second:"]
    for phone, names in wanted.items():
        mark = "as expected" if hears(phone) == names else "WRONG"
        lines.append(f"  {phone.extension} should hear {_words(names)}, {mark}: {describe(phone)}")
    return "\n".join(lines)


def _story(call: PhoneCall) -> str:
    steps = (_words(call.ear.heard(ago)) if call.ear.receiving(ago) else "no RTP" for ago in _LOOK_BACK)
    return " -> ".join(step for step, _ in groupby(steps))


def _words(names: Collection[str]) -> str:
    return " + ".join(sorted(names)) or "silence"
