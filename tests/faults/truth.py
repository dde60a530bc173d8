"""The PBX's truth from its own lists, and in what the bridge's view and the phones' ears differ from it."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping

from people import Agent
from world import World

from connector.asterisk.link import AmiRefused
from connector.asterisk.wire import AmiMessage
from connector.bridge.catalogue.channel import AgentState, ChannelState
from connector.bridge.catalogue.conversation import ConversationState
from connector.lab.phones.base import Phone
from connector.lab.phones.hearing import HearingError, expect_hears
from connector.telephony.presence import WRAP_UP

_PHONE = re.compile(r"PJSIP/(\d+)-")
_PATIENCE = 12.0
"""Seconds in which everything must have settled: a number that lets it ring is given up after 4."""


class Truth:
    """One reading of the PBX's lists."""

    def __init__(self, rows: Iterable[AmiMessage], members: Iterable[AmiMessage]) -> None:
        self.rows = {row["Uniqueid"]: row for row in rows}
        self.members = [row for row in members if row.name == "QueueMember"]
        self._tree: dict[str, str] = {}
        for leg, row in self.rows.items():
            if bridge := row.get("BridgeID"):
                self._join(leg, f"bridge {bridge}")
            name = row["Channel"]
            if name.startswith("Local/"):
                self._join(leg, f"local {name.rpartition(';')[0]}")

    def legs(self, number: str) -> list[str]:
        """Return the legs of a phone."""
        return [leg for leg, row in self.rows.items() if self.number(row) == number]

    @staticmethod
    def number(row: AmiMessage) -> str | None:
        """Return whose phone a row is of; None for what is no phone's."""
        found = _PHONE.match(row["Channel"])
        return found.group(1) if found else None

    def joined(self, leg: str) -> set[str]:
        """Return the numbers of the phones that are joined to a leg, its own left out."""
        root = self._root(leg)
        there = {
            self.number(row) for other, row in self.rows.items() if other != leg and self._root(other) == root
        }
        return {number for number in there if number is not None}

    def joints(self) -> dict[str, set[str]]:
        """Return for each leg whom it is joined to."""
        return {leg: self.joined(leg) for leg in self.rows}

    def _root(self, one: str) -> str:
        while (above := self._tree.get(one, one)) != one:
            one = above
        return one

    def _join(self, one: str, other: str) -> None:
        self._tree[self._root(one)] = self._root(other)


async def read(world: World) -> Truth:
    """Read channels and queue members."""
    return Truth(await world.rows(), await world.observer.send_list("QueueStatus"))


def differences(truth: Truth, agents: Mapping[str, Agent]) -> Iterator[str]:
    """Yield in what the bridge's view is not the PBX's truth."""
    for number, agent in agents.items():
        if agent.session is None:
            yield f"{number} has no session"
            continue
        there, known = set(truth.legs(number)), {one.nativeid for one in agent.interactions}
        if there != known:
            yield f"{number} has the legs {sorted(there)}, the bridge has the interactions {sorted(known)}"
            continue
        yield from _states(truth, agent)
        yield from _presence(truth, agent)


def _states(truth: Truth, agent: Agent) -> Iterator[str]:
    for one in agent.interactions:
        talks = set[str]()
        for conversation in one.conversations.values():
            addresses = {member.address for member in conversation.members}
            if conversation.state is ConversationState.TALKING:
                talks |= addresses
            elif conversation.state is ConversationState.HELD:
                gone = sorted(address for address in addresses if not truth.legs(address))
                if gone:
                    yield f"{one.nativeid} holds {gone}, who have no leg"
            elif conversation.state is not ConversationState.RELEASED:
                yield f"{conversation.nativeid} of {agent.number} is {conversation.state}"
        joined = truth.joined(one.nativeid)
        if talks != joined:
            yield f"{one.nativeid} of {agent.number} talks to {sorted(talks)}, joined are {sorted(joined)}"


def _presence(truth: Truth, agent: Agent) -> Iterator[str]:
    session = agent.session
    assert session is not None
    channel = session.channel
    mine = [row for row in truth.members if row["Location"] == f"PJSIP/{agent.number}"]
    active, ready = bool(mine), any(row["Paused"] == "0" or row["PausedReason"] == WRAP_UP for row in mine)
    if (channel.state is ChannelState.ACTIVE) is not active:
        yield f"{agent.number} is {channel.state}, memberships: {len(mine)}"
    if (channel.agent_state is AgentState.READY) is not ready:
        yield f"{agent.number} is {channel.agent_state}, ready in the queues: {ready}"


async def agree(world: World, agents: Mapping[str, Agent]) -> Truth:
    """Wait until the bridge's view is the PBX's truth, and return that. Lists are read again and again."""
    found: list[str] = []
    try:
        async with asyncio.timeout(_PATIENCE):
            while True:
                truth = await read(world)
                found = list(differences(truth, agents))
                if not found:
                    return truth
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"bridge and PBX differ: {'; '.join(found)}") from None


async def all_hear(world: World, agents: Mapping[str, Agent]) -> int:
    """Wait until view and truth agree and each phone hears that; return how many were listened to.

    What changes by itself meanwhile (a queue hands somebody to an agent) is listened to anew.
    """
    truth = await agree(world, agents)
    while True:
        expected = _expected(world, truth, agents)
        try:
            if expected:
                await expect_hears(expected, 6.0)
        except HearingError as problem:
            before, truth = truth, await agree(world, agents)
            if truth.joints() == before.joints():
                raise AssertionError(f"the phones do not hear what the PBX's lists say: {problem}") from None
        else:
            return len(expected)


def _expected(world: World, truth: Truth, agents: Mapping[str, Agent]) -> dict[Phone, set[str]]:
    """Return who hears whom: those to whom the PBX has joined each phone, or music."""
    expected = {}
    for phone in world.phones.phones:
        legs = truth.legs(phone.extension)
        if not legs or any(truth.rows[leg]["ChannelStateDesc"] != "Up" for leg in legs):
            continue
        heard = set[str]()
        for leg in legs:
            heard |= truth.joined(leg) or ({"MOH"} if phone.extension not in agents else set())
            if "MOH" in heard and truth.rows[leg]["Application"] not in {"ConfBridge", "Queue"}:
                break  # who is on the way somewhere may hear ringing
        else:
            expected[phone] = heard
    return expected


async def rooms(world: World) -> set[str]:
    """Return the names of the conference rooms that there are."""
    try:
        return {row["Conference"] for row in await world.observer.send_list("ConfbridgeListRooms")}
    except AmiRefused:
        return set()  # it says so of none
