"""Interaction destination (telephony): one contact of a customer with the agent."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec

from connector.bridge.catalogue.conversation import Cause
from connector.bridge.schema import Body, Scope, event, query, request

DataValue = str | int | float | bool | None | dict[str, Any]
"""What a key of the interaction data may hold: a plain value or an object."""

InteractionData = Annotated[
    dict[str, DataValue], msgspec.Meta(description="object of texts, numbers, true/false, null and objects")
]


class InteractionState(StrEnum):
    """Steps in the life of an interaction."""

    ALERTING = "ALERTING"
    DIALING = "DIALING"
    STARTED = "STARTED"
    ENDED = "ENDED"
    COMPLETED = "COMPLETED"


class ConversationRef(Body, frozen=True, kw_only=True):
    """A conversation by its CTI id."""

    id: str


class Conversations(Body, frozen=True, kw_only=True):
    """The conversations that exist: none of them in ENDED and COMPLETED, `consult` only in STARTED."""

    primary: ConversationRef | None = None
    consult: ConversationRef | None = None


class InteractionInitReply(Body, frozen=True, kw_only=True, rename="kebab"):
    """The interaction's true state; `conversations` is always present."""

    interaction_state: InteractionState
    interaction_data: InteractionData
    conversations: Conversations


@query("interaction.query.init", scope=Scope.INTERACTION, origin="S0", reply=InteractionInitReply)
class InteractionInit(Body, frozen=True, kw_only=True):
    """Opens the interaction."""


@request("interaction.request.createconversation", scope=Scope.INTERACTION, origin="S0")
class CreateConversation(Body, frozen=True, kw_only=True):
    """Prepares the destination of a conversation that the client named."""

    id: str
    nativeid: str


@request("interaction.request.accept", scope=Scope.INTERACTION, origin="W name")
class Accept(Body, frozen=True, kw_only=True):
    """Answers the agent's phone."""


@request("interaction.request.reject", scope=Scope.INTERACTION, origin="W name")
class Reject(Body, frozen=True, kw_only=True):
    """Declines the offered call."""


@request("interaction.request.complete", scope=Scope.INTERACTION, origin="C")
class Complete(Body, frozen=True, kw_only=True):
    """Ends the wrap-up: ENDED becomes COMPLETED, then `interaction.completed`."""


class DataReply(Body, frozen=True, kw_only=True, rename="kebab"):
    """All interaction data."""

    interaction_data: InteractionData


@request("interaction.request.getdata", scope=Scope.INTERACTION, origin="C", reply=DataReply)
class GetData(Body, frozen=True, kw_only=True):
    """Asks for all interaction data."""


@request("interaction.request.setdata", scope=Scope.INTERACTION, origin="C")
class SetData(Body, frozen=True, kw_only=True, rename="kebab"):
    """Sets some keys of the interaction data."""

    interaction_data: InteractionData


@request("interaction.request.deletedata", scope=Scope.INTERACTION, origin="C")
class DeleteData(Body, frozen=True, kw_only=True):
    """Removes some keys of the interaction data."""

    keys: tuple[str, ...]


class ConsultReply(Body, frozen=True, kw_only=True):
    """The consult conversation's CTI id."""

    nativeid: str


@request("interaction.request.consult", scope=Scope.INTERACTION, origin="S0", reply=ConsultReply)
class Consult(Body, frozen=True, kw_only=True):
    """Holds the primary conversation and places a consult call; only in STARTED."""

    destination: str


@request("interaction.request.consulttransfer", scope=Scope.INTERACTION, origin="S0")
class ConsultTransfer(Body, frozen=True, kw_only=True):
    """Connects the primary's parties with the consult's party; the agent leaves."""


@request("interaction.request.consultconference", scope=Scope.INTERACTION, origin="S0")
class ConsultConference(Body, frozen=True, kw_only=True):
    """Brings all parties of the consult into the primary conversation."""


@request("interaction.request.alternate", scope=Scope.INTERACTION, origin="S0")
class Alternate(Body, frozen=True, kw_only=True):
    """Swaps the active and the inactive conversation."""


@request("interaction.request.dispose", scope=Scope.INTERACTION, origin="C")
class Dispose(Body, frozen=True, kw_only=True):
    """Drops the interaction's resources; the call stays as it is."""


@event("interaction.started", scope=Scope.INTERACTION, origin="C")
class Started(Body, frozen=True, kw_only=True):
    """Agent and first party talk."""


@event("interaction.ended", scope=Scope.INTERACTION, origin="C")
class Ended(Body, frozen=True, kw_only=True):
    """The agent has no part in the contact any more; wrap-up begins."""

    cause: Cause | None = None


@event("interaction.completed", scope=Scope.INTERACTION, origin="C")
class Completed(Body, frozen=True, kw_only=True):
    """Wrap-up is over."""


@event("interaction.datachanged", scope=Scope.INTERACTION, origin="C")
class DataChanged(Body, frozen=True, kw_only=True, rename="kebab"):
    """Interaction data has new values."""

    interaction_data: InteractionData


@event("interaction.consult", scope=Scope.INTERACTION, origin="S0")
class ConsultStarted(Body, frozen=True, kw_only=True):
    """A consult call was started outside Harmony; the bridge creates its conversation next."""

    nativeid: str
