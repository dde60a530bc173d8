"""Muting an agent (MuteAudio): nobody hears the agent's phone, on whichever leg of it the call runs.

The mark on each leg is the model's only knowledge of it. A phone that consults has a second leg, which is
muted as soon as it is there.
"""

from functools import partial

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.exchange import Exchange
from connector.asterisk.handling import started
from connector.asterisk.link import AmiDown, AmiError, AmiLink
from connector.asterisk.system_user import SystemUser
from connector.asterisk.turns import Turns
from connector.telephony.changes import Change, ConversationAdded, ConversationChanged, MuteChanged
from connector.telephony.interactions import Interaction
from connector.telephony.pbx import PbxProblem, Refused

log = structlog.get_logger(__name__)

_MUTED = "HARMONY_X_MUTED"

_WATCHED = (ConversationAdded, ConversationChanged, MuteChanged)
"""With these a muted agent may have another leg, or turn out to have had one."""


class Muting:
    """Mute and unmute, and see that the whole of a muted phone stays so."""

    def __init__(self, exchange: Exchange, user: SystemUser) -> None:
        self._exchange = exchange
        self._user = user
        self._turns = Turns()
        self._chores = Chores()
        self._followed: set[str] = set()
        exchange.attend(self._on_change, *_WATCHED)
        exchange.when_back.append(self._look_at_all)

    async def mute(self, interaction_id: str, *, muted: bool) -> None:
        """Drop what comes from the agent's phone, or let it through. The variable's event is the proof."""
        async with self._turns.of(interaction_id):
            system = self._user.require("Muting")
            interaction = started(self._exchange, interaction_id)
            if interaction.muted is muted:
                raise Refused(f"The agent is {'muted' if muted else 'not muted'} already.")
            await self._set(system, interaction, muted=muted)

    def close(self) -> None:
        """Let go of what is under way."""
        self._chores.cancel()

    def _on_change(self, change: Change) -> None:
        if not isinstance(change, _WATCHED):
            return
        interaction = self._exchange.model.interaction(change.interaction)
        if interaction is not None:
            self._look_at(interaction)

    def _look_at_all(self) -> None:
        """See what phones did in the gap."""
        for interaction in self._exchange.model.interactions_everywhere():
            self._look_at(interaction)

    def _look_at(self, interaction: Interaction) -> None:
        if not interaction.muted or interaction.id in self._followed or not self._exchange.available:
            return
        if self._unlike(interaction, muted=True):
            self._followed.add(interaction.id)
            self._chores.start(self._follow(interaction))

    async def _follow(self, interaction: Interaction) -> None:
        system = self._user.require("Muting")
        try:
            while interaction.muted and not interaction.over and self._exchange.available:
                try:
                    async with self._turns.of(interaction.id):
                        if interaction.muted and not interaction.over:
                            await self._set(system, interaction, muted=True)
                except AmiDown as problem:
                    log.warning(
                        "a muted agent may be heard", interaction=interaction.id, problem=str(problem)
                    )
                    # The links come back one by one; the first user's has brought us here.
                    await system.wait_up()
                else:
                    return
        except (AmiError, PbxProblem) as problem:
            log.warning("a muted agent may be heard", interaction=interaction.id, problem=str(problem))
        finally:
            self._followed.discard(interaction.id)

    def _unlike(self, interaction: Interaction, *, muted: bool) -> list[str]:
        """Return the agent's legs that are not what they should be."""
        legs = (self._exchange.model.legs.get(leg) for leg in interaction.legs)
        return [leg.id for leg in legs if leg is not None and leg.muted is not muted]

    async def _set(self, system: AmiLink, interaction: Interaction, *, muted: bool) -> None:
        done: set[str] = set()
        await self._user.ready_for_listeners(interaction.id)
        # The phone may begin a consult meanwhile.
        while todo := set(self._unlike(interaction, muted=muted)) - done:
            for leg in sorted(todo):
                await self._set_leg(system, leg, muted=muted)
            done |= todo
            await self._exchange.until(
                partial(self._agree, interaction, frozenset(done), muted=muted),
                f"mute {'on' if muted else 'off'}",
            )

    def _agree(self, interaction: Interaction, legs: frozenset[str], *, muted: bool) -> bool:
        return interaction.over or legs.isdisjoint(self._unlike(interaction, muted=muted))

    async def _set_leg(self, system: AmiLink, leg: str, *, muted: bool) -> None:
        state = "on" if muted else "off"
        try:
            await self._user.send("MuteAudio", {"Channel": leg, "Direction": "in", "State": state}, system)
            await self._user.mark(leg, _MUTED, "1" if muted else "")
        except Refused:
            # One that has ended meanwhile is heard by nobody.
            if self._exchange.model.legs.get(leg) is not None:
                raise
