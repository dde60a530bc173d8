"""Agents to whom a phone handed a call on hold while nobody looked: the agent comes in to the caller.

Asterisk lets whom a phone joins with a call that waits in our dialplan wait there in the phone's place, with
the music of the phone's hold in the ear. With the connector there the two would have been brought together,
so they are when it is back.
"""

from collections.abc import Awaitable, Callable, Collection

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.exchange import Exchange
from connector.telephony.pbx import PbxProblem
from connector.telephony.states import ConversationState

log = structlog.get_logger(__name__)


class TakenOver:
    """Looks for such agents after a gap. `retrieve` (interaction, conversation) takes a caller off hold."""

    def __init__(self, exchange: Exchange, retrieve: Callable[[str, str], Awaitable[None]]) -> None:
        self._exchange = exchange
        self._retrieve = retrieve
        self._chores = Chores()
        self._has_looked = False

    def close(self) -> None:
        """Let go of chores that are under way."""
        self._chores.cancel()

    def look_for(self, known: Collection[str]) -> None:
        """Bring in agents whose legs were not `known` before the gap, and already wait.

        What this process finds at its start is not looked at: an earlier one put those on hold.
        """
        before, self._has_looked = self._has_looked, True
        if not before:
            return
        model = self._exchange.model
        for leg in model.agent_legs():
            interaction = model.interaction_on(leg.id) if leg.waits and leg.id not in known else None
            talks = interaction.on_leg(leg.id) if interaction is not None else ()
            # No agent puts anybody on hold in our dialplan while the connector is away.
            if interaction is not None and [one.state for one in talks] == [ConversationState.HELD]:
                self._chores.start(self._bring_in(interaction.id, talks[0].id))

    async def _bring_in(self, interaction: str, conversation: str) -> None:
        log.info("a phone handed on a call on hold while nobody looked; taking it off hold", leg=interaction)
        try:
            await self._retrieve(interaction, conversation)
        except PbxProblem as problem:
            log.warning("the call stays on hold", interaction=interaction, reason=str(problem))
