"""The PBX's truth from its own lists, and in what the bridge's view and the phones' ears differ from it."""

import asyncio
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from agents import Agent
from repertoire import STEP
from world import World

from connector.asterisk.link import AmiRefused
from connector.asterisk.variable_names import VARIABLE_PREFIX
from connector.asterisk.wire import AmiMessage
from connector.bridge.catalogue.channel import AgentState, ChannelState
from connector.bridge.catalogue.conversation import ConversationState
from connector.lab.phones.base import CallState, Phone
from connector.lab.phones.hearing import HearingError, expect_hears
from connector.processor.handles import Interaction
from connector.telephony.presence import WRAP_UP

_PHONE = re.compile(r"PJSIP/(\d+)-([0-9a-f]+)")
_PATIENCE = 12.0
"""Seconds in which everything must have settled: a number that lets it ring is given up after 4."""
_LISTEN = 6.0
"""Seconds in which phones must hear what they should."""


class Truth:
    """One reading of the PBX's lists; and which calls the phones hold themselves, which no list tells."""

    def __init__(
        self, rows: Iterable[AmiMessage], members: Iterable[AmiMessage], phones: Iterable[Phone] = ()
    ) -> None:
        self.rows = {row["Uniqueid"]: row for row in rows}
        self.members = [row for row in members if row.name == "QueueMember"]
        self._tree: dict[str, str] = {}
        for leg, row in self.rows.items():
            if bridge := row.get("BridgeID"):
                self._join(leg, f"bridge {bridge}")
            name = row["Channel"]
            if name.startswith("Local/"):
                self._join(leg, f"local {name.rpartition(';')[0]}")
        self.holding: set[str] = set()
        """Legs whose phone holds the others by itself."""
        self.unlike: list[str] = []
        """Phones that have not as many calls as the PBX has legs of them."""
        for phone in phones:
            legs, calls = self.legs(phone.extension), phone.calls
            if len(legs) != len(calls):
                self.unlike.append(f"{phone.extension} has {list(calls)}, and the legs {legs}")
                continue
            pairs = zip(legs, calls, strict=True)
            self.holding |= {leg for leg, call in pairs if call.state is CallState.HELD}

    def legs(self, number: str) -> list[str]:
        """Return the legs of a phone, oldest first."""
        found = [
            (int(name[2], 16), leg)
            for leg, row in self.rows.items()
            if (name := _PHONE.match(row["Channel"])) is not None and name[1] == number
        ]
        return [leg for _, leg in sorted(found)]

    def calls(self, number: str) -> dict[str, list[str]]:
        """Return the legs of a phone by the interaction that each belongs to."""
        found: dict[str, list[str]] = {}
        for leg in self.legs(number):
            found.setdefault(self.variables(leg).get("CONSULT") or leg, []).append(leg)
        return found

    def variables(self, leg: str) -> dict[str, str]:
        """Return what the dialplan or the connector wrote on a leg: `HARMONY_` variables, without that."""
        row = self.rows.get(leg)
        found = [one.lstrip("_").partition("=") for one in row.all("Variable")] if row is not None else []
        return {
            name.removeprefix(VARIABLE_PREFIX): value
            for name, _, value in found
            if name.startswith(VARIABLE_PREFIX)
        }

    @staticmethod
    def number(row: AmiMessage) -> str | None:
        """Return whose phone a row is of; None for what is no phone's."""
        found = _PHONE.match(row["Channel"])
        return found[1] if found else None

    def joined(self, leg: str) -> set[str]:
        """Return the numbers of the phones that a leg hears: joined to it, and not holding it."""
        if leg in self.holding:
            return set()
        numbers = {self.number(self.rows[other]) for other in self._beside(leg) - self.holding}
        return {number for number in numbers if number is not None}

    def together(self, leg: str) -> set[str]:
        """Return the numbers of the phones that are joined to a leg, whoever holds."""
        numbers = {self.number(self.rows[other]) for other in self._beside(leg)}
        return {number for number in numbers if number is not None}

    def waits(self, leg: str) -> bool:
        """Tell whether a leg that hears nobody hears music: in a queue, alone in a room, held by a phone."""
        beside = self._beside(leg)
        # Whom somebody called into a room is there by a joint.
        alone = any(
            row["Application"] == "ConfBridge" and "harmony_roomparty" in row["Data"]
            for row in (self.rows[one] for one in (leg, *beside))
        )
        return alone or self.rows[leg]["Application"] == "Queue" or bool(beside & self.holding)

    def music_is_brought(self, leg: str) -> bool:
        """Tell whether a guest's phone holds a conference: who was called into it is there by a joint."""
        return any(
            self.rows[other]["Application"] != "ConfBridge" for other in self._beside(leg) & self.holding
        )

    def invites(self, number: str) -> bool:
        """Tell whether somebody is being called into a conference of a phone, and has not answered."""
        legs = set(self.legs(number))
        return any(
            row["ChannelStateDesc"] != "Up" and self.variables(leg).get("AGENT") in legs
            for leg, row in self.rows.items()
        )

    def joints(self) -> dict[str, set[str]]:
        """Return for each leg whom it is joined to."""
        return {leg: self.joined(leg) for leg in self.rows}

    def _beside(self, leg: str) -> set[str]:
        root = self._root(leg)
        return {other for other in self.rows if other != leg and self._root(other) == root}

    def _root(self, one: str) -> str:
        while (above := self._tree.get(one, one)) != one:
            one = above
        return one

    def _join(self, one: str, other: str) -> None:
        self._tree[self._root(one)] = self._root(other)


async def read(world: World) -> Truth:
    """Read channels and queue members."""
    rows, members = await world.rows(), await world.observer.send_list("QueueStatus")
    return Truth(rows, members, world.phones.phones)


def differences(truth: Truth, agents: Mapping[str, Agent]) -> Iterator[str]:
    """Yield in what the bridge's view is not the PBX's truth."""
    yield from truth.unlike
    for number, agent in agents.items():
        if agent.session is None:
            yield f"{number} has no session"
            continue
        there, known = truth.calls(number), {one.nativeid for one in agent.interactions}
        if there.keys() != known:
            yield f"{number} has the legs {there}, the bridge has the interactions {sorted(known)}"
            continue
        for one in agent.interactions:
            yield from _states(truth, agents, agent, one, there[one.nativeid])
            yield from _notes(truth, one)
        yield from _presence(truth, agent)


def _states(
    truth: Truth, agents: Mapping[str, Agent], agent: Agent, one: Interaction, legs: list[str]
) -> Iterator[str]:
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
    joined = set[str]().union(*map(truth.joined, legs))
    # Nobody is told that a colleague holds: to the other one the two go on talking.
    away = {number for number in talks - joined if number in agents and _holds(agents[number], agent.number)}
    if talks - away != joined:
        yield f"{one.nativeid} of {agent.number} talks to {sorted(talks)}, joined are {sorted(joined)}"


def _holds(colleague: Agent, number: str) -> bool:
    """Tell whether a colleague has somebody on hold."""
    return any(
        conversation.state is ConversationState.HELD
        and number in {member.address for member in conversation.members}
        for one in colleague.interactions
        for conversation in one.conversations.values()
    )


def _notes(truth: Truth, one: Interaction) -> Iterator[str]:
    """Yield in what data and recording are not what stands on the legs."""
    written = truth.variables(one.nativeid)
    if STEP in written and (one.data.get(STEP) or "") != written[STEP]:
        yield f"{one.nativeid} has {STEP} {one.data.get(STEP)}, on its leg it is {written[STEP]}"
    # Who has left the call may be in another one.
    there = () if one.primary.state is ConversationState.RELEASED else one.primary.members
    parties = [truth.legs(member.address) for member in there]
    if any(len(legs) > 1 for legs in parties):
        return  # which of them is in this call the bridge is not told
    recorded = {
        state for legs in parties for leg in legs if (state := truth.variables(leg).get("X_RECORDING"))
    }
    shown = one.data.get("X_RECORDING")
    if shown != next((state for state in ("ON", "PAUSED") if state in recorded), None):
        yield f"the recording of {one.nativeid} is {shown}, on the legs of its parties {recorded}"


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


async def all_hear(world: World, agents: Mapping[str, Agent]) -> set[str]:
    """Wait until view and truth agree and each phone hears that; return whose were listened to.

    What changes by itself meanwhile (a queue hands somebody to an agent) is listened to anew.
    """
    truth = await agree(world, agents)
    while True:
        expected = _expected(world, truth, agents)
        try:
            if expected:
                await expect_hears(expected, _LISTEN)
        except HearingError as problem:
            before, truth = truth, await agree(world, agents)
            if truth.joints() == before.joints():
                raise AssertionError(f"the phones do not hear what the PBX's lists say: {problem}") from None
        else:
            return {phone.extension for phone in expected}


async def these_hear(
    world: World, agents: Mapping[str, Agent], numbers: Collection[str]
) -> dict[Phone, frozenset[str]]:
    """Wait until these phones hear what the PBX says, while others work; return what that is.

    That is nothing if not all of them are in a call.
    """
    before: dict[Phone, frozenset[str]] = {}
    while True:
        heard = _expected(world, await read(world), agents)
        expected = {phone: frozenset(heard[phone]) for phone in heard if phone.extension in numbers}
        if len(expected) < len(numbers):
            return {}
        try:
            await expect_hears(expected, _LISTEN)
        except HearingError as problem:
            if expected == before:
                raise AssertionError(f"the phones do not hear what the PBX's lists say: {problem}") from None
            before = expected
        else:
            return expected


def _expected(world: World, truth: Truth, agents: Mapping[str, Agent]) -> dict[Phone, set[str]]:
    """Return who hears whom: those to whom the PBX has joined each phone, or music."""
    expected = {}
    for phone in world.phones.phones:
        legs = truth.legs(phone.extension)
        if not legs or any(truth.rows[leg]["ChannelStateDesc"] != "Up" for leg in legs):
            continue
        heard = set[str]()
        for leg in legs:
            if joined := truth.joined(leg):
                heard |= joined | ({"MOH"} if truth.music_is_brought(leg) else set())
            elif leg in truth.holding:
                continue
            elif truth.waits(leg):
                heard.add("MOH")
            elif phone.extension not in agents:
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
