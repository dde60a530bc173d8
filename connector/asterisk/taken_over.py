"""Agents to whom a phone handed a call on hold while nobody looked: the agent comes in to the caller.

Asterisk lets whom a phone joins with a call that waits in our dialplan wait there in the phone's place, with
the music of the phone's hold in the ear. With the connector there the two would have been brought together,
so they are when it is back.
"""

from collections.abc import Awaitable, Callable

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiError, AmiLink
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.pbx import PbxProblem
from connector.telephony.states import ConversationState

log = structlog.get_logger(__name__)


class TakenOver:
    """Looks for such agents after a gap. `retrieve` (interaction, conversation) takes a caller off hold."""

    def __init__(
        self, exchange: Exchange, link: AmiLink, retrieve: Callable[[str, str], Awaitable[None]]
    ) -> None:
        self._exchange = exchange
        self._link = link
        self._retrieve = retrieve
        self._chores = Chores()
        self._has_looked = False
        self._known: set[str] | None = None
        """The legs that were there when the link was lost; None while it is up."""

    def close(self) -> None:
        """Let go of chores that are under way."""
        self._chores.cancel()

    def look_away(self) -> None:
        """Note that the link is lost: what was known until then is not new when it is back."""
        if self._has_looked and self._known is None:
            self._known = set(self._exchange.model.legs.legs)

    def look(self) -> None:
        """Bring in agents whose legs are new since the link was lost, and wait.

        What this process finds at its start is not looked at: an earlier one put those on hold.
        """
        known, self._known, self._has_looked = self._known, None, True
        if known is None:
            return
        model = self._exchange.model
        for leg in model.agent_legs():
            if not leg.waits or leg.phone_hold or leg.id in known:
                continue
            interaction = model.interaction_on(leg.id)
            talks = interaction.on_leg(leg.id) if interaction is not None else ()
            if interaction is not None and [one.state for one in talks] == [ConversationState.HELD]:
                self._chores.start(self._bring_in(interaction, talks[0]))

    async def _bring_in(self, interaction: Interaction, conversation: Conversation) -> None:
        try:
            for party in conversation.parties:
                noted = await self._link.send("Getvar", {"Channel": party, "Variable": "HARMONY_AGENT"})
                if noted.get("Value") == conversation.leg:
                    # Another connector that works with this PBX has put it on hold.
                    return
            log.info("a phone handed on a call on hold while nobody looked", leg=conversation.leg)
            await self._retrieve(interaction.id, conversation.id)
        except (PbxProblem, AmiError) as problem:
            log.warning("the call stays on hold", interaction=interaction.id, reason=str(problem))
