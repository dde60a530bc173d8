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
from connector.telephony.states import Cause, ConversationState

_DISPOSE = "conversation.request.dispose"
_INIT = "conversation.query.init"
SEND_DTMF = "conversation.request.senddtmf"
"""It keeps no events back."""

_TOLD = {state: wire.ConversationState(state) for state in ConversationState}
"""The states in the protocol's words; the enumeration itself would be asked by two calls each time."""


class Conversation(Destination):
    """What the bridge knows a conversation of the model by."""

    kind = "conversation"
    log_key = "conversation"

    def asks_of_pbx(self, name: str) -> bool:
        """Return whether it is anything but its end as a destination."""
        return name != "conversation.request.dispose"

    def __init__(
        self, tree: Tree, target: str, parent: Destination, seat: Seat, nativeids: tuple[str, str]
    ) -> None:
        """`nativeids` are those of the interaction and of the conversation."""
        super().__init__(tree, target, parent)
        self.seat = seat
        self.interaction, self.nativeid = nativeids
        self.cti_id = self.nativeid
        tree.listen(interaction_topic(self.interaction), self)

    def lane_for(self, name: str, _body: Mapping[str, Any]) -> str:
        """Return the interaction's lane: commands of one interaction run one after the other.

        But tones take seconds, and keep nothing back: what is asked or happens meanwhile may end them.
        """
        return f"{self.target}.tones" if name == SEND_DTMF else self._lane

    def comes_after(self, name: str) -> str | None:
        """Return the interaction's lane for tones: what was asked before them comes before them."""
        return self._lane if name == SEND_DTMF else None

    @property
    def _lane(self) -> str:
        return self.parent.target if self.parent is not None else self.target

    @handles(wire.ConversationInit)
    async def init(self, _body: wire.ConversationInit) -> wire.ConversationInitReply:
        """Tell state and members; the release of one that is over follows as events, with its cause.

        Of one that was over before the connector saw it nothing else is known: it is disposed of at once.
        """
        self.open = True
        model = self._find()
        if model is None:
            return wire.ConversationInitReply(conversation_state=wire.ConversationState.RELEASED, members=())
        if model.released and model.before is not None:
            return wire.ConversationInitReply(
                conversation_state=_TOLD[model.before],
                members=tuple(_wire_member(one) for one in model.members),
            )
        return wire.ConversationInitReply(
            conversation_state=_TOLD[model.state],
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

    @handles(wire.Hold)
    async def hold(self, _body: wire.Hold) -> None:
        """Put the parties on hold."""
        await self.tree.pbx.hold(self.interaction, self.nativeid)

    @handles(wire.Retrieve)
    async def retrieve(self, _body: wire.Retrieve) -> None:
        """Take the parties off hold."""
        await self.tree.pbx.retrieve(self.interaction, self.nativeid)

    @handles(wire.BlindTransfer)
    async def blind_transfer(self, body: wire.BlindTransfer) -> None:
        """Send the party to a number; the agent leaves."""
        await self.tree.pbx.blind_transfer(self.interaction, self.nativeid, body.destination)

    @handles(wire.BlindConference)
    async def blind_conference(self, body: wire.BlindConference) -> None:
        """Call a number into the conversation; it joins when it answers."""
        await self.tree.pbx.blind_conference(self.interaction, self.nativeid, body.destination)

    @handles(wire.DropMember)
    async def drop_member(self, body: wire.DropMember) -> None:
        """End one member's part in a conference."""
        await self.tree.pbx.drop_member(self.interaction, self.nativeid, body.id)

    @handles(wire.PrivateWord)
    async def private_word(self, body: wire.PrivateWord) -> None:
        """Take one member of a conference aside; the others wait."""
        await self.tree.pbx.private_word(self.interaction, self.nativeid, body.id)

    @handles(wire.SendDtmf)
    async def send_dtmf(self, body: wire.SendDtmf) -> None:
        """Send tones to the parties."""
        await self.tree.pbx.send_dtmf(self.interaction, self.nativeid, body.tones)

    @handles(wire.Dispose)
    async def dispose_request(self, _body: wire.Dispose) -> None:
        """wire.Answer; the destination is released after it."""

    def answered(self, name: str) -> None:
        """Follow up an init that came after the end; leave the tree after dispose."""
        if name == _DISPOSE:
            self.dispose()
        elif name == _INIT:
            self.tell_if_over()

    def tell_if_over(self) -> None:
        """Tell the end of one that was over when its init was answered; nothing, if that was told."""
        model = self._find()
        if model is None or (model.released and model.before is None):
            self.emit(wire.Disposed())
        elif model.released:
            self.tell_release(model.cause)

    def on_change(self, change: Change) -> None:
        """Report what happens to this conversation."""
        match change:
            case changes.ConversationChanged(
                conversation=self.nativeid, state=ConversationState.RELEASED, cause=cause
            ):
                self.tell_release(cause)
            case changes.ConversationChanged(conversation=self.nativeid, state=state):
                self.emit(wire.StateChanged(conversation_state=_TOLD[state]))
            case changes.HoldLasts(conversation=self.nativeid, lasted=lasted, left=left):
                self._warn_of_hold(lasted, left)
            case changes.MemberJoined(conversation=self.nativeid, member=member):
                self.emit(wire.MemberAdded(**fields_of(member)))
            case changes.MemberLeft(conversation=self.nativeid, member=member):
                self.emit(wire.MemberRemoved(**fields_of(member)))
            case _:
                pass

    def _warn_of_hold(self, lasted: float, left: float) -> None:
        if left:
            text = f"On hold for {lasted:g} s: in {left:g} s the caller is taken from you."
            self.tree.warn(self, "hold.long", "HOLD_LONG", text)
        else:
            text = f"On hold for {lasted:g} s: the caller is taken from you now."
            self.tree.warn(self, "hold.limit", "HOLD_LIMIT", text)

    def tell_release(self, cause: Cause | None) -> None:
        """Tell that the conversation is over, and say nothing more of it."""
        self.emit(
            wire.StateChanged(
                conversation_state=wire.ConversationState.RELEASED, cause=wire.Cause(cause) if cause else None
            )
        )
        self.emit(wire.Disposed())

    def _find(self) -> Model | None:
        interaction = self.tree.pbx.model.interaction(self.interaction)
        return interaction.conversation(self.nativeid) if interaction is not None else None


def fields_of(member: changes.Member) -> dict[str, Any]:
    """Return a member as the fields of its body."""
    return {
        "id": member.id,
        "address": member.address,
        "name": member.name,
        "type": wire.MemberType(member.type),
    }


def _wire_member(member: changes.Member) -> wire.Member:
    return wire.Member(**fields_of(member))
