"""Which calls must come through a fault: all that are up before it, but those that somebody ends."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agents import Agent
from calls import HELD, TALKING
from people import People
from repertoire import members
from truth import Truth, read
from world import World

from connector.bridge.catalogue.interaction import InteractionState
from connector.lab.phones.base import CallState, PhoneCall
from connector.processor.handles import Interaction

_EFFECT = 1.0
"""Seconds in which what somebody did before has ended what it ends."""
_UP = {CallState.TALKING, CallState.HELD}


class Groups:
    """Who is in a call together, and with whom those are, as the PBX and the bridge have it."""

    def __init__(self, truth: Truth, people: People) -> None:
        self._of: dict[str, set[str]] = {}
        for leg, row in truth.rows.items():
            if (number := truth.number(row)) is not None:
                self._together({number, *truth.together(leg)})
        for agent in people.agents.values():
            for one in agent.interactions:
                self._together({agent.number, *members(one)})

    def of(self, number: str) -> frozenset[str]:
        """Return who is in a call with a number, itself included."""
        return frozenset(self._of.get(number, {number}))

    def _together(self, numbers: set[str]) -> None:
        group = numbers.union(*(self._of.get(number, ()) for number in numbers))
        for number in group:
            self._of[number] = group


@dataclass(frozen=True)
class _Call:
    """One that is up: somebody's at a phone, or an agent's interaction."""

    number: str
    what: str
    lives: Callable[[], bool]
    group: frozenset[str]


@dataclass
class Standing:
    """The calls that are up at one moment."""

    people: People
    calls: list[_Call] = field(default_factory=list)
    since: float = field(default_factory=lambda: time.monotonic() - _EFFECT)

    def outcome(self) -> tuple[set[str], int, list[str]]:
        """Return whose calls survived, how many somebody ended, and which were lost."""
        survived, ended, lost = set[str](), 0, list[str]()
        recent = self.people.recent(self.since)
        for call in self.calls:
            if call.lives():
                survived.add(call.number)
            elif recent & call.group:
                ended += 1
            else:
                lost.append(f"{call.what} (together {sorted(call.group)})")
        return survived, ended, lost


async def standing(world: World, people: People) -> Standing:
    """Note which calls are up: what talks, is on hold, or waits in a queue."""
    found = Standing(people)
    truth = await read(world)
    groups = Groups(truth, people)
    kept = {people.cast.control}
    for agent in people.agents.values():
        for one in agent.interactions:
            up = _up(one)
            if up:
                kept |= {agent.number, *up}
                found.calls.append(_interaction(agent, one, groups.of(agent.number)))
    for phone in world.phones.phones:
        number, legs = phone.extension, truth.legs(phone.extension)
        if number in people.agents or len(legs) != len(phone.calls):
            continue
        for leg, call in zip(legs, phone.calls, strict=True):
            waits = truth.rows[leg]["Application"] == "Queue"
            if call.state in _UP and (waits or number in kept):
                found.calls.append(_phone_call(number, call, groups.of(number)))
    return found


def _up(one: Interaction) -> set[str]:
    """Return the members of an interaction's conversations that talk or are on hold; none if it rings."""
    if one.state is not InteractionState.STARTED:
        return set()
    up = [each for each in one.conversations.values() if each.state in {TALKING, HELD}]
    return {member.address for each in up for member in each.members}


def _interaction(agent: Agent, one: Interaction, group: Iterable[str]) -> _Call:
    def lives() -> bool:
        return one.nativeid in {each.nativeid for each in agent.interactions}

    return _Call(agent.number, f"{one.nativeid} of {agent.number}", lives, frozenset(group))


def _phone_call(number: str, call: PhoneCall, group: Iterable[str]) -> _Call:
    return _Call(number, f"a call of {number}", lambda: call.state in _UP, frozenset(group))
