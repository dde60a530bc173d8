"""Parties whom the PBX's own attended transfer leaves on hold: without a dialplan of ours nobody takes them.

While Asterisk holds one call for a consult, the phone's transfer key hands on the one that the agent talks
in, and the agent's leg ends with it. Asterisk does not look after the other party then: it would hear music
until it hangs up. There is nobody to whom it could go; so it is let go.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiError
from connector.telephony.changes import Change, InteractionEnded
from connector.telephony.pbx import PbxProblem
from connector.telephony.states import Cause

log = structlog.get_logger(__name__)

_ASTERISK = 1.0
"""Seconds within which Asterisk ends whom it does not keep."""


class HeldByNobody:
    """Lets go of whom an agent left on hold when the phone handed the other party on."""

    def __init__(self, exchange: Exchange, hang_up: Callable[[str], Awaitable[None]]) -> None:
        self._exchange = exchange
        self._hang_up = hang_up
        self._chores = Chores()
        exchange.subscribe(self._on_change, InteractionEnded)

    def close(self) -> None:
        """Let go of chores that are under way."""
        self._chores.cancel()

    def _on_change(self, change: Change) -> None:
        if not isinstance(change, InteractionEnded):
            return
        interaction = self._exchange.model.interaction(change.interaction)
        conversations = list(interaction.conversations()) if interaction is not None else []
        handed_on = [one for one in conversations if one.cause is Cause.TRANSFERRED]
        if not handed_on or len(conversations) == 1:
            return
        # If the end of the agent's leg is told before what it handed on, that may be either.
        unsure = len(handed_on) == len(conversations)
        for one in conversations:
            for party in one.parties if unsure or one not in handed_on else ():
                leg = self._exchange.model.legs.get(party)
                bridge = leg.bridge if leg is not None else None
                self._chores.start(self._look_after(party, bridge, unsure=unsure))

    async def _look_after(self, party: str, bridge: str | None, *, unsure: bool) -> None:
        """Let a party go that is alone, and if we are `unsure` still in that bridge, with music.

        Who was handed on has gone elsewhere, or waits for an answer without music.
        """
        legs = self._exchange.model.legs
        with suppress(PbxProblem):
            await self._exchange.until(lambda: legs.get(party) is None, "end of a party on hold", _ASTERISK)
        leg = legs.get(party)
        if leg is None or not self._waits(party):
            return
        if unsure and (leg.bridge != bridge or not legs.hears_music(leg)):
            return
        log.warning("a party was left on hold by a transfer; letting it go", leg=party)
        try:
            await self._hang_up(party)
        except (AmiError, PbxProblem) as problem:
            log.info("a party that was left on hold was gone already", leg=party, reason=str(problem))

    def _waits(self, party: str) -> bool:
        """Whether a leg is in a bridge with nobody, and no agent's party."""
        model = self._exchange.model
        leg = model.legs.get(party)
        if leg is None or leg.bridge is None or model.is_party(party):
            return False
        heard = model.legs.hearing(party)
        return not heard.parties and not heard.program
