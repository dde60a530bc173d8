"""The telephony channel destination: the agent's phone, its state in the queues, and new interactions."""

from connector.bridge.messages import channel as wire
from connector.bridge.messages import extensions as extension_wire
from connector.bridge.messages import session as session_wire
from connector.destinations.base import Destination, Refusal, handles
from connector.destinations.desks import is_taken
from connector.destinations.interaction import Interaction
from connector.destinations.recording import require_extensions
from connector.destinations.supervision import SupervisingChannel
from connector.destinations.tree import Tree, endpoint_topic
from connector.telephony import changes
from connector.telephony.changes import Change, Presence
from connector.telephony.facts import EndpointState
from connector.telephony.pbx import Seat

_REQUESTS = {
    "hold": "conversation.request.hold",
    "blind_conference": "conversation.request.blindconference",
    "private_word": "conversation.request.x-privateword",
}
"""The requests of the procedures that a PBX may be unable to carry out at all."""

_DISPOSE = "channel.request.dispose"
_INIT = "channel.query.init"


class Channel(SupervisingChannel):
    """The phone at which the session's agent sits."""

    kind = "telephony channel"
    log_key = "phone"

    def __init__(self, tree: Tree, target: str, parent: Destination, seat: Seat) -> None:
        super().__init__(tree, target, parent)
        tree.listen(endpoint_topic(seat.endpoint), self)
        self.seat = seat
        self.cti_id = seat.endpoint
        self._dialling = False
        self._told_unreachable = False

    @property
    def has_live_call(self) -> bool:
        """Whether the bridge has a call here that is not over."""
        return any(isinstance(one, Interaction) and one.is_live for one in self.children.values())

    def asks_of_pbx(self, name: str) -> bool:
        """Return whether it is about the phone: who works there, its calls, what it supervises."""
        return name not in {_DISPOSE, "channel.query.x-capabilities"}

    @handles(wire.ChannelInit)
    async def init(self, _body: wire.ChannelInit) -> wire.ChannelInitReply:
        """Tell the phone's true state: somebody may work there already, and calls may be up."""
        model = self.tree.pbx.model
        presence = model.presence(self.seat.endpoint)
        self.open = True
        ready = presence.agent == self.seat.agent and presence.ready
        return wire.ChannelInitReply(
            channel_state=self.state_of(presence),
            agent_state=wire.AgentState.READY if ready else wire.AgentState.NOT_READY,
            reason=None if ready else presence.reason or None,
            interactions=tuple(
                wire.ListedInteraction(id=one.id, type=session_wire.ChannelType.TELEPHONY)
                for one in ([] if self._taken() else model.interactions(self.seat.endpoint))
            ),
        )

    @handles(extension_wire.AskCapabilities)
    async def capabilities(self, _body: extension_wire.AskCapabilities) -> extension_wire.CapabilitiesReply:
        """Tell what the site's way of handling calls cannot do here."""
        require_extensions(self)
        limits = self.tree.pbx.limits(self.seat.endpoint)
        return extension_wire.CapabilitiesReply(
            unsupported=tuple(sorted(_REQUESTS[one] for one in limits.refused)), limits=limits.notes
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
        reason = self._code_of(body.reason_code_id or "")
        presence = self.tree.pbx.model.presence(self.seat.endpoint)
        if not presence.ready and presence.reason == reason:
            self.emit(wire.BecameNotReady(reason=reason or None))
            return
        await self.tree.pbx.set_not_ready(self.seat, reason)

    @handles(wire.Dial)
    async def dial(self, body: wire.Dial) -> None:
        """Call a number; the interaction is announced after the response."""
        self._require_not_taken()
        self._dialling = True
        try:
            await self.tree.pbx.dial(self.seat, body.destination)
        finally:
            self._dialling = False

    @handles(wire.CreateInteraction)
    async def create_interaction(self, body: wire.CreateInteraction) -> None:
        """Prepare the destination of an interaction that was announced here."""
        self._require_not_taken()
        interaction = self.tree.pbx.model.interaction(body.nativeid)
        announced = body.nativeid in self.told.get("interactions", ())
        # One that ended while the connector was started anew: its init tells so.
        if not (interaction is None and announced) and (
            interaction is None or interaction.endpoint != self.seat.endpoint
        ):
            raise Refusal(f"There is no interaction {body.nativeid} at phone {self.seat.endpoint}.")
        self.require_no_child_for(body.nativeid)
        Interaction(self.tree, self.target_of_child(body.id), self, self.seat, body.nativeid)

    @handles(wire.Dispose)
    async def dispose_request(self, _body: wire.Dispose) -> None:
        """Answer; the branch is released after it, the agent's state stays."""

    def answered(self, name: str) -> None:
        """Leave the tree after dispose; warn a ready agent who is found without a phone."""
        if name == _DISPOSE:
            self.dispose()
        elif name == _INIT:
            self._warn_if_unreachable()

    def on_change(self, change: Change) -> None:
        """Report presence and new interactions of the phone; a colleague's calls are not told."""
        if isinstance(change, changes.InteractionAdded):
            # What a successful dial promised is told, even if a colleague logged in meanwhile.
            if self._dialling or not self._taken():
                kind = session_wire.ChannelType.TELEPHONY
                self.emit(wire.InteractionAdded(nativeid=change.interaction, type=kind))
        elif isinstance(change, changes.PresenceChanged):
            self._presence_changed(change)
        elif isinstance(change, changes.QueueMissing):
            text = f"Queue {change.queue} does not exist on the telephone system: no calls come from it."
            self.tree.warn(self, "queue.missing", "QUEUE_MISSING", text)
        elif isinstance(change, changes.PhoneChanged):
            self._warn_if_unreachable()
            self._tell_if_reachable_again(change.now)
        else:
            self.tell_supervision(change)

    def _code_of(self, reason_id: str) -> str:
        """Return the code under which a reason goes to the queues; the bridge may have reasons of its own.

        Raises:
            Refusal: the site keeps agents from choosing it.

        """
        reason = next((one for one in self.tree.site.not_ready if one.id == reason_id), None)
        if reason is None:
            return reason_id
        if not reason.selectable:
            raise Refusal(f"The reason {reason_id} cannot be chosen by an agent.")
        return reason.code

    def _mine(self) -> bool:
        return self.tree.pbx.model.presence(self.seat.endpoint).agent == self.seat.agent

    @property
    def wraps_up(self) -> bool:
        """Whether the session's agent completes the calls of this phone: not those of a colleague."""
        return not self._taken()

    def _taken(self) -> bool:
        return is_taken(self.tree.pbx, self.seat)

    def _require_not_taken(self) -> None:
        if self._taken():
            raise Refusal("The channel is unavailable: another agent works at this phone.")

    def _require_active(self) -> None:
        if not self._mine():
            raise Refusal("The channel is not active: activate it first.")

    def state_of(self, presence: Presence) -> wire.ChannelState:
        """Return the channel's state while that agent works at its phone."""
        if presence.agent is None:
            return wire.ChannelState.INACTIVE
        return (
            wire.ChannelState.ACTIVE if presence.agent == self.seat.agent else wire.ChannelState.UNAVAILABLE
        )

    def _presence_changed(self, change: changes.PresenceChanged) -> None:
        before, now = self.state_of(change.before), self.state_of(change.now)
        self.tell_state(before, now)
        if now is wire.ChannelState.ACTIVE:
            self.announce_readiness(change.now)
            if not change.before.ready or before is not now:
                self._warn_if_unreachable()

    def tell_state(self, before: wire.ChannelState, now: wire.ChannelState) -> None:
        """Tell how the channel came from one state to another."""
        if before is now:
            return
        if before is wire.ChannelState.ACTIVE:
            self.emit(wire.Deactivated())
        elif before is wire.ChannelState.UNAVAILABLE:
            self.emit(wire.Available())
        if now is wire.ChannelState.UNAVAILABLE:
            self.emit(wire.Unavailable())
        elif now is wire.ChannelState.ACTIVE:
            self.emit(wire.Activated())

    def _warn_if_unreachable(self) -> None:
        """Warn an agent who is ready at a phone that the PBX cannot reach."""
        model = self.tree.pbx.model
        gone = model.phone(self.seat.endpoint) is EndpointState.UNAVAILABLE
        if gone and self._mine() and model.presence(self.seat.endpoint).ready:
            text = f"Phone {self.seat.endpoint} is not registered: no calls reach you."
            self.tree.warn(self, "phone.unregistered", "PHONE_UNREGISTERED", text)
            self._told_unreachable = True

    def _tell_if_reachable_again(self, state: EndpointState) -> None:
        """Take the warning back, whether or not the agent is still ready: the desktop shows it still."""
        if not self._told_unreachable or state in {EndpointState.UNAVAILABLE, EndpointState.UNKNOWN}:
            return
        self._told_unreachable = False
        if self._mine():
            ready = self.tree.pbx.model.presence(self.seat.endpoint).ready
            text = f"Phone {self.seat.endpoint} is registered again{': calls reach you' if ready else ''}."
            self.tree.warn(self, "phone.registered", "PHONE_REGISTERED", text)

    def announce_readiness(self, presence: Presence) -> None:
        """Tell whether the agent takes calls."""
        if presence.ready:
            self.emit(wire.BecameReady())
        else:
            self.emit(wire.BecameNotReady(reason=presence.reason or None))
