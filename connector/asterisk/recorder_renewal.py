"""A recorder goes on with both voices when the far end of its leg changes.

When a leg in a plain bridge gets another far end, Asterisk (22.10) gives the recorders on the leg nothing of
what the new party says, in about every second case, for as long as anything sits on the leg; the leg's phone
hears it well. (It looks as if the new party's packets were taken for old ones by their numbers. Rooms are not
concerned.) So our recorder is ended and another one begun, which appends to the same file: a tenth of a
second is lost.
"""

import asyncio

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiError
from connector.asterisk.recording import RECORDER, RECORDING_FILE
from connector.asterisk.system_user import SystemUser
from connector.asterisk.turns import Turns
from connector.telephony import facts
from connector.telephony.pbx import PbxProblem
from connector.telephony.states import Recording

log = structlog.get_logger(__name__)

_CLEARED = 0.1
"""Seconds in which some packets pass, with which Asterisk clears away what was left of the old one."""
_TOLD = 2.0
"""Seconds within which the PBX tells of the end of a recorder and the beginning of another."""


class RecorderRenewal:
    """Renews our own recorders. `turns` are those of recorded legs."""

    def __init__(self, exchange: Exchange, user: SystemUser, turns: Turns) -> None:
        self._exchange = exchange
        self._user = user
        self._turns = turns
        self._chores = Chores()
        self._due: set[str] = set()
        exchange.follow(self._on_fact, facts.LegJoined)

    def close(self) -> None:
        """Let go of chores that are under way."""
        self._chores.cancel()

    def _on_fact(self, fact: facts.Fact) -> None:
        if not isinstance(fact, facts.LegJoined):
            return
        legs = self._exchange.model.legs
        here = legs.get(fact.leg)
        for leg in (here, *legs.beside(fact.leg)):
            # One that is still to look will see this, too.
            if leg is not None and leg.recording is not Recording.OFF and leg.id not in self._due:
                self._due.add(leg.id)
                self._chores.start(self._renew_in_bridge(leg.id))

    async def _renew_in_bridge(self, leg: str) -> None:
        legs = self._exchange.model.legs
        try:
            room = await self._exchange.named_room(leg)
            self._due.discard(leg)
            if room is None and legs.get(leg) is not None:
                async with self._turns.of(leg):
                    await self._renew(leg)
        except (AmiError, PbxProblem) as problem:
            if legs.get(leg) is not None:
                log.warning("a recording may lack a voice", leg=leg, problem=str(problem))
        finally:
            self._due.discard(leg)

    async def _renew(self, leg: str) -> None:
        recorder, file = await self._user.read(leg, RECORDER), await self._user.read(leg, RECORDING_FILE)
        live = self._exchange.model.legs.get(leg)
        if not (recorder and file) or live is None or live.recording is Recording.OFF:
            return
        system, paused = self._user.require("Recording"), live.recording is Recording.PAUSED
        self._exchange.apply(facts.RecorderRenewed(leg, under_way=True))
        goes_on = False
        try:
            await self._user.send("StopMixMonitor", {"Channel": leg, "MixMonitorID": recorder}, system)
            await asyncio.sleep(_CLEARED)
            options = f"ai({RECORDER})"
            await self._user.send("MixMonitor", {"Channel": leg, "File": file, "Options": options}, system)
            goes_on = True
            if paused:
                await self._user.pause_recording(leg, system, paused=True)
            # Told late they would pass for somebody's wish.
            told = [Recording.OFF, Recording.ON, *([Recording.PAUSED] if paused else [])]
            await self._exchange.until(
                lambda: live.renewal == told or self._exchange.model.legs.get(leg) is None, "recorder", _TOLD
            )
        finally:
            self._exchange.apply(facts.RecorderRenewed(leg, under_way=False))
            if not goes_on:
                self._exchange.apply(facts.LegRecorded(leg, Recording.OFF))
