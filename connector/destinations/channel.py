"""The telephony channel destination: the agent's phone, its state in the queues, and new interactions."""

from connector.bridge.messages import channel as wire
from connector.bridge.messages import session as session_wire
from connector.destinations.base import Destination, Refusal, handles
from connector.destinations.interaction import Interaction
from connector.destinations.tree import Tree, endpoint_topic
from connector.telephony import changes
from connector.telephony.changes import Change, Presence
from connector.telephony.facts import EndpointState
from connector.telephony.pbx import Seat

_DISPOSE = "channel.request.dispose"


class Channel(Destination):
    """The phone at which the session's agent sits."""

    kind = "telephony channel"

    def __init__(self, tree: Tree, target: str, parent: Destination, seat: Seat) -> None:
        super().__init__(tree, target, parent)
        tree.listen(endpoint_topic(seat.endpoint), self)
        self.seat = seat

    @handles(wire.ChannelInit)
    async def init(self, _body: wire.ChannelInit) -> wire.ChannelInitReply:
        """Tell the phone's true state: somebody may work there already, and calls may be up."""
        model = self.tree.pbx.model
        presence = model.presence(self.seat.endpoint)
        self.open = True
        ready = presence.agent == self.seat.agent and presence.ready
        return wire.ChannelInitReply(
            channel_state=self._state(presence),
            agent_state=wire.AgentState.READY if ready else wire.AgentState.NOT_READY,
            reason=None if ready else presence.reason or None,
            interactions=tuple(
                wire.ListedInteraction(id=one.id, type=session_wire.ChannelType.TELEPHONY)
                for one in model.interactions(self.seat.endpoint)
            ),
        )

    @handles(wire.Activate)
    async def activate(self, _body: wire.Activate) -> None:
        """Log the agent into all queues, not ready."""
        if self._mine():
            raise Refusal("The channel is active already.")
        await self.tree.pbx.log_in(self.seat)

    @handles(wire.Deactivate)
    async def deactivate(self, _body: wire.Deactivate) -> None:
        """Log the agent out of all queues."""
        self._require_active()
        await self.tree.pbx.log_out(self.seat)

    @handles(wire.Ready)
    async def ready(self, _body: wire.Ready) -> None:
        """Let the queues offer calls."""
        self._require_active()
        if self.tree.pbx.model.presence(self.seat.endpoint).ready:
            self.emit(wire.BecameReady())
            return
        await self.tree.pbx.set_ready(self.seat)

    @handles(wire.NotReady)
    async def not_ready(self, body: wire.NotReady) -> None:
        """Have the queues offer no more calls."""
        self._require_active()
        reason = body.reason_code_id or ""
        presence = self.tree.pbx.model.presence(self.seat.endpoint)
        if not presence.ready and presence.reason == reason:
            self.emit(wire.BecameNotReady(reason=reason or None))
            return
        await self.tree.pbx.set_not_ready(self.seat, reason)

    @handles(wire.Dial)
    async def dial(self, body: wire.Dial) -> None:
        """Call a number; the interaction is announced after the response."""
        await self.tree.pbx.dial(self.seat, body.destination)

    @handles(wire.CreateInteraction)
    async def create_interaction(self, body: wire.CreateInteraction) -> None:
        """Prepare the destination of an interaction that was announced here."""
        interaction = self.tree.pbx.model.interaction(body.nativeid)
        if interaction is None or interaction.endpoint != self.seat.endpoint:
            raise Refusal(f"There is no interaction {body.nativeid} at phone {self.seat.endpoint}.")
        Interaction(self.tree, self.target_of_child(body.id), self, self.seat, body.nativeid)

    @handles(wire.Dispose)
    async def dispose_request(self, _body: wire.Dispose) -> None:
        """Answer; the branch is released after it, the agent's state stays."""

    def answered(self, name: str) -> None:
        """Leave the tree after dispose."""
        if name == _DISPOSE:
            self.dispose()

    def on_change(self, change: Change) -> None:
        """Report presence and new interactions of the phone."""
        if isinstance(change, changes.InteractionAdded):
            self.emit(
                wire.InteractionAdded(nativeid=change.interaction, type=session_wire.ChannelType.TELEPHONY)
            )
        elif isinstance(change, changes.PresenceChanged):
            self._presence_changed(change)
        elif isinstance(change, changes.QueueMissing):
            text = f"Queue {change.queue} does not exist on the telephone system: no calls come from it."
            self.tree.warn(self, "queue.missing", "QUEUE_MISSING", text)
        elif isinstance(change, changes.PhoneChanged):
            self._phone_changed(change)

    def _mine(self) -> bool:
        return self.tree.pbx.model.presence(self.seat.endpoint).agent == self.seat.agent

    def _require_active(self) -> None:
        if not self._mine():
            raise Refusal("The channel is not active: activate it first.")

    def _state(self, presence: Presence) -> wire.ChannelState:
        if presence.agent is None:
            return wire.ChannelState.INACTIVE
        return (
            wire.ChannelState.ACTIVE if presence.agent == self.seat.agent else wire.ChannelState.UNAVAILABLE
        )

    def _presence_changed(self, change: changes.PresenceChanged) -> None:
        before, now = self._state(change.before), self._state(change.now)
        if before is not now:
            if before is wire.ChannelState.ACTIVE:
                self.emit(wire.Deactivated())
            elif before is wire.ChannelState.UNAVAILABLE:
                self.emit(wire.Available())
            if now is wire.ChannelState.UNAVAILABLE:
                self.emit(wire.Unavailable())
        if now is wire.ChannelState.ACTIVE:
            if before is not now:
                self.emit(wire.Activated())
            self._announce_readiness(change.now)

    def _phone_changed(self, change: changes.PhoneChanged) -> None:
        presence = self.tree.pbx.model.presence(self.seat.endpoint)
        gone = change.now is EndpointState.UNAVAILABLE
        if gone and presence.agent == self.seat.agent and presence.ready:
            text = f"Phone {self.seat.endpoint} is not registered any more: no calls reach you."
            self.tree.warn(self, "phone.unregistered", "PHONE_UNREGISTERED", text)

    def _announce_readiness(self, presence: Presence) -> None:
        if presence.ready:
            self.emit(wire.BecameReady())
        else:
            self.emit(wire.BecameNotReady(reason=presence.reason or None))
