"""The telephony interaction destination: one customer contact on an agent's phone."""

from connector.bridge.messages import Body
from connector.bridge.messages import conversation as conversation_wire
from connector.bridge.messages import interaction as wire
from connector.destinations.base import Destination, Refusal, handles
from connector.destinations.conversation import Conversation
from connector.destinations.datavalues import SetValues
from connector.destinations.desks import is_taken
from connector.destinations.recording import RecordedInteraction
from connector.destinations.tree import Tree, interaction_topic
from connector.telephony import changes
from connector.telephony.changes import Change
from connector.telephony.interactions import Interaction as Model
from connector.telephony.pbx import PbxProblem, Seat
from connector.telephony.states import InteractionState, Role

_DISPOSE = "interaction.request.dispose"


class Interaction(RecordedInteraction):
    """What the bridge knows an interaction of the model by."""

    kind = "telephony interaction"
    log_key = "interaction"

    def asks_of_pbx(self, name: str) -> bool:
        """Return whether it is anything but its end as a destination."""
        return name != "interaction.request.dispose"

    def __init__(self, tree: Tree, target: str, parent: Destination, seat: Seat, nativeid: str) -> None:
        super().__init__(tree, target, parent)
        tree.listen(interaction_topic(nativeid), self)
        self.seat = seat
        self.nativeid = self.cti_id = nativeid
        self._consulting = False
        self._consults: set[str] = set()
        """All that there ever were: the bridge may be told of one when the next one has begun."""
        self._values = SetValues()

    @handles(wire.InteractionInit)
    async def init(self, _body: wire.InteractionInit) -> wire.InteractionInitReply:
        """Tell state, data and the live conversations; an ended interaction has none."""
        self.open = True
        model = self._find()
        if model is None:
            return wire.InteractionInitReply(
                interaction_state=wire.InteractionState.COMPLETED,
                interaction_data={},
                conversations=wire.Conversations(),
            )
        live = {one.role: wire.ConversationRef(id=one.id) for one in model.live_conversations}
        # A far end may be gone before the agent's leg is: the bridge is still told which was the primary.
        live.setdefault(Role.PRIMARY, wire.ConversationRef(id=model.primary.id))
        if model.over:
            live = {}
        return wire.InteractionInitReply(
            interaction_state=wire.InteractionState(model.state),
            interaction_data=self._data_of(model),
            conversations=wire.Conversations(primary=live.get(Role.PRIMARY), consult=live.get(Role.CONSULT)),
        )

    @handles(wire.CreateConversation)
    async def create_conversation(self, body: wire.CreateConversation) -> None:
        """Prepare the destination of a conversation that init or a consult named."""
        model = self._find()
        known = model is not None and model.conversation(body.nativeid) is not None
        # One that was named may have ended, and be forgotten, before the bridge asked for it.
        named = self._consults.union(self.told.get("conversations", ()))
        if not known and body.nativeid not in named:
            raise Refusal(f"The interaction has no conversation {body.nativeid}.")
        self.require_no_child_for(body.nativeid)
        Conversation(
            self.tree, self.target_of_child(body.id), self, self.seat, (self.nativeid, body.nativeid)
        )

    @handles(wire.Accept)
    async def accept(self, _body: wire.Accept) -> None:
        """Have the phone pick up."""
        await self.tree.pbx.answer(self.nativeid, self.seat)

    @handles(wire.Reject)
    async def reject(self, _body: wire.Reject) -> None:
        """Decline the offered call."""
        await self.tree.pbx.reject(self.nativeid, self.seat)

    @handles(wire.Complete)
    async def complete(self, _body: wire.Complete) -> None:
        """End the wrap-up."""
        model = self._find()
        state = model.state if model is not None else InteractionState.COMPLETED
        if model is None and self.told.get("state") == wire.InteractionState.ENDED:
            # It ended before, or while, the connector was started anew: only the bridge still knows it.
            self.emit(wire.Completed())
            return
        # The bridge may ask before it was told of the end: for it the call is what it was told last.
        seen = self.told.get("state", state) if state is InteractionState.ENDED else state
        if seen != InteractionState.ENDED:
            raise Refusal(f"Only an ended interaction can be completed: this one is {seen}.")
        self.tree.pbx.complete(self.nativeid)

    @handles(wire.GetData)
    async def get_data(self, _body: wire.GetData) -> wire.DataReply:
        """Return the interaction data as it is now."""
        model = self._find()
        return wire.DataReply(interaction_data=self._data_of(model) if model is not None else {})

    @handles(wire.SetData)
    async def set_data(self, body: wire.SetData) -> None:
        """Set interaction data on the call itself; objects travel as JSON."""
        model = self._find()
        with self._values.setting(body.interaction_data, model.data if model is not None else {}) as texts:
            await self.tree.pbx.set_data(self.nativeid, texts)

    @handles(wire.DeleteData)
    async def delete_data(self, body: wire.DeleteData) -> None:
        """Remove keys of the interaction data from the call."""
        await self.tree.pbx.set_data(self.nativeid, dict.fromkeys(body.keys, ""))

    @handles(wire.Consult)
    async def consult(self, body: wire.Consult) -> wire.ConsultReply:
        """Hold the primary and place a consult call."""
        self._consulting, before = True, self._consults.copy()
        try:
            return wire.ConsultReply(nativeid=await self.tree.pbx.consult(self.nativeid, body.destination))
        except PbxProblem:
            # It may have begun all the same.
            for begun in sorted(self._consults - before):
                self.emit(wire.ConsultStarted(nativeid=begun))
            raise
        finally:
            self._consulting = False

    @handles(wire.ConsultTransfer)
    async def consult_transfer(self, _body: wire.ConsultTransfer) -> None:
        """Connect the primary's parties with the consult's."""
        await self.tree.pbx.consult_transfer(self.nativeid)

    @handles(wire.ConsultConference)
    async def consult_conference(self, _body: wire.ConsultConference) -> None:
        """Bring everybody together."""
        await self.tree.pbx.consult_conference(self.nativeid)

    @handles(wire.Alternate)
    async def alternate(self, _body: wire.Alternate) -> None:
        """Swap the active and the inactive conversation."""
        await self.tree.pbx.alternate(self.nativeid)

    @handles(wire.Dispose)
    async def dispose_request(self, _body: wire.Dispose) -> None:
        """Answer; the branch is released after it."""

    def answered(self, name: str) -> None:
        """Leave the tree after dispose; an ended interaction needs no wrap-up any more then."""
        if name == _DISPOSE:
            self.dispose()
            model = self._find()
            if model is not None and model.over and not is_taken(self.tree.pbx, self.seat):
                self.tree.pbx.complete(self.nativeid)

    def on_change(self, change: Change) -> None:
        """Report what happens to the interaction itself."""
        match change:
            case changes.InteractionStarted():
                self.emit(wire.Started())
            case changes.InteractionEnded(cause=cause):
                self.emit(wire.Ended(cause=conversation_wire.Cause(cause)))
            case changes.InteractionCompleted():
                self.emit(wire.Completed())
            case changes.DataChanged(values=values):
                data = {key: self._values.value_of(key, text) for key, text in values}
                self.emit(wire.DataChanged(interaction_data=data))
            case changes.ConversationAdded(conversation=conversation):
                self._consults.add(conversation)
                # One that the bridge asked for is named in the response to its request.
                if not self._consulting:
                    self.emit(wire.ConsultStarted(nativeid=conversation))
            case changes.RecordingChanged() | changes.MuteChanged():
                self.tell_marks(change)
            case _:
                pass

    def before_telling(self, body: Body) -> None:
        """Before its own end tell that of conversations that were opened while this was kept back."""
        if isinstance(body, wire.Ended):
            for one in tuple(self.children.values()):
                if isinstance(one, Conversation):
                    one.tell_if_over()

    @property
    def is_live(self) -> bool:
        """Whether the call is not over."""
        model = self._find()
        return model is not None and not model.over

    def _find(self) -> Model | None:
        return self.tree.pbx.model.interaction(self.nativeid)

    def _data_of(self, model: Model) -> dict[str, wire.DataValue]:
        """Return the data, with the cause of the end for those who come too late for `interaction.ended`."""
        data = {key: self._values.value_of(key, text) for key, text in model.data.items()}
        if model.cause is not None:
            data["CAUSE"] = str(model.cause)
        return data | self.marks(model)
