"""Parties whom an agent's leg leaves in a room, and whom nobody looks after: music for ever, but for this.

The dialplan sees to a party whom an agent's leg leaves (`harmony-safety`). But a leg that ends before it has
reached the dialplan runs nothing of that; and where a member of a conference hangs up at the moment in which
the agent goes, it takes the last party for one whom the agent has on hold. So whomever an agent of ours
leaves is looked at a moment later: nobody is alone in a room whom no agent has.
"""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiError
from connector.asterisk.meeting import ON_ITS_WAY
from connector.asterisk.variables import ReadVariable
from connector.telephony.changes import Change, InteractionEnded
from connector.telephony.pbx import PbxProblem
from connector.telephony.states import Cause

log = structlog.get_logger(__name__)

CALLERS_MARK = "HARMONY_ORPHANS"
"""A variable that every caller's leg has before it is put on hold, and nobody who was called in."""

_DIALPLAN = 1.0
"""Seconds within which the dialplan has seen to a party that an agent's leg leaves."""
_LATE = 8.0
"""Seconds that a party may be late, beyond those within which it should have arrived."""


class LeftBehind:
    """Makes such a caller an orphan, and lets go of such a party that was called in."""

    def __init__(
        self,
        exchange: Exchange,
        read: ReadVariable,
        make_orphan: Callable[[str], Awaitable[None]],
        hang_up: Callable[[str], Awaitable[None]],
    ) -> None:
        self._exchange = exchange
        self._read = read
        self._make_orphan = make_orphan
        self._hang_up = hang_up
        self._chores = Chores()
        exchange.subscribe(self._on_change, InteractionEnded)

    def close(self) -> None:
        """Let go of chores that are under way."""
        self._chores.cancel()

    def look_after(self, parties: Iterable[str]) -> None:
        """See to those of these legs, whom an agent leaves, who are then alone and nobody's."""
        for party in parties:
            self._chores.start(self._look_after(party))

    def _on_change(self, change: Change) -> None:
        if not isinstance(change, InteractionEnded):
            return
        interaction = self._exchange.model.interaction(change.interaction)
        # A transfer takes the party to somebody else.
        if interaction is not None and interaction.departure is not Cause.TRANSFERRED:
            self.look_after([leg for one in interaction.conversations() for leg in one.parties])

    async def _look_after(self, party: str) -> None:
        legs = self._exchange.model.legs
        await self._shown(lambda: legs.get(party) is None or self._is_abandoned(party), ON_ITS_WAY)
        await self._shown(lambda: not self._is_on_its_way(party), _LATE)
        if not self._is_abandoned(party):
            return
        # The dialplan comes first: it takes the party out of the room, if it knows of the agent's end.
        await self._shown(lambda: not self._is_abandoned(party), _DIALPLAN)
        try:
            is_caller = self._is_abandoned(party) and await self._read(party, CALLERS_MARK)
            if not self._is_abandoned(party):
                return
            log.warning("a party was left alone in a room; seeing to it", leg=party, caller=bool(is_caller))
            await (self._make_orphan(party) if is_caller else self._hang_up(party))
        except (AmiError, PbxProblem) as problem:
            log.info("a party that was left alone was gone already", leg=party, reason=str(problem))

    def _is_on_its_way(self, party: str) -> bool:
        """Whether a leg lives that is in no room and hears nobody: on a busy PBX it may be long in coming."""
        legs = self._exchange.model.legs
        nowhere = legs.room_of(party) is None and not legs.hearing(party).parties
        return legs.get(party) is not None and nowhere and not self._exchange.model.is_party(party)

    def _is_abandoned(self, party: str) -> bool:
        """Whether a leg is alone in a room, itself or by a joint, and neither an agent's nor its party."""
        model = self._exchange.model
        room = model.legs.room_of(party)
        if room is None or model.legs.in_room(room) != {model.legs.seat_of(party)}:
            return False
        return not model.is_party(party) and model.interaction_on(party) is None

    async def _shown(self, proven: Callable[[], bool], timeout: float) -> None:
        with suppress(PbxProblem):
            await self._exchange.until(proven, "who looks after a party", timeout)
