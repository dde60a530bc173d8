"""The conversation destination: one call leg of an interaction, with its members."""

from collections.abc import Mapping
from typing import Any

from connector.bridge.messages import conversation as wire
from connector.destinations.base import Destination, handles
from connector.destinations.tree import Tree, interaction_topic
from connector.telephony import changes
from connector.telephony.changes import Change
from connector.telephony.interactions import Conversation as Model
from connector.telephony.pbx import Seat
from connector.telephony.states import ConversationState

_DISPOSE = "conversation.request.dispose"
_INIT = "conversation.query.init"


class Conversation(Destination):
    """What the bridge knows a conversation of the model by."""

    kind = "conversation"

    def __init__(
        self, tree: Tree, target: str, parent: Destination, seat: Seat, nativeids: tuple[str, str]
    ) -> None:
        """`nativeids` are those of the interaction and of the conversation."""
        super().__init__(tree, target, parent)
        self.seat = seat
        self.interaction, self.nativeid = nativeids
        tree.listen(interaction_topic(self.interaction), self)

    def lane_for(self, _name: str, _body: Mapping[str, Any]) -> str:
        """Return the interaction's lane: commands of one interaction run one after the other."""
        return self.parent.target if self.parent is not None else self.target

    @handles(wire.ConversationInit)
    async def init(self, _body: wire.ConversationInit) -> wire.ConversationInitReply:
        """Tell state and members."""
        self.open = True
        model = self._find()
        if model is None:
            return wire.ConversationInitReply(conversation_state=wire.ConversationState.RELEASED, members=())
        return wire.ConversationInitReply(
            conversation_state=wire.ConversationState(model.state),
            members=() if model.released else tuple(_wire_member(one) for one in model.members),
        )

    @handles(wire.Answer)
    async def answer(self, _body: wire.Answer) -> None:
        """Have the phone pick up."""
        await self.tree.pbx.answer(self.interaction, self.seat)

    @handles(wire.Release)
    async def release(self, _body: wire.Release) -> None:
        """End the conversation."""
        await self.tree.pbx.release(self.interaction, self.nativeid)

    @handles(wire.Dispose)
    async def dispose_request(self, _body: wire.Dispose) -> None:
        """wire.Answer; the destination is released after it."""

    def answered(self, name: str) -> None:
        """Follow up an init that came after the end; leave the tree after dispose."""
        if name == _DISPOSE:
            self.dispose()
        elif name == _INIT:
            model = self._find()
            if model is None or model.released:
                self.emit(wire.Disposed())

    def on_change(self, change: Change) -> None:
        """Report what happens to this conversation."""
        match change:
            case changes.ConversationChanged(conversation=self.nativeid, state=state, cause=cause):
                self.emit(
                    wire.StateChanged(
                        conversation_state=wire.ConversationState(state),
                        cause=wire.Cause(cause) if cause else None,
                    )
                )
                if state is ConversationState.RELEASED:
                    self.emit(wire.Disposed())
            case changes.MemberJoined(conversation=self.nativeid, member=member):
                self.emit(wire.MemberAdded(**_fields(member)))
            case changes.MemberLeft(conversation=self.nativeid, member=member):
                self.emit(wire.MemberRemoved(**_fields(member)))
            case _:
                pass

    def _find(self) -> Model | None:
        interaction = self.tree.pbx.model.interaction(self.interaction)
        return interaction.conversation(self.nativeid) if interaction is not None else None


def _fields(member: changes.Member) -> dict[str, Any]:
    return {
        "id": member.id,
        "address": member.address,
        "name": member.name,
        "type": wire.MemberType(member.type),
    }


def _wire_member(member: changes.Member) -> wire.Member:
    return wire.Member(**_fields(member))
