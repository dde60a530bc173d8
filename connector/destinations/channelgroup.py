"""The channel group destination: the agent's place of work, with the telephony channel in it."""

from dataclasses import replace

from connector.bridge.messages import channel as channel_wire
from connector.bridge.messages import channelgroup as wire
from connector.bridge.messages import session as session_wire
from connector.destinations.base import Destination, Refusal, handles
from connector.destinations.channel import Channel
from connector.destinations.tree import Tree, agent_topic
from connector.destinations.unsupported import UnsupportedChannel
from connector.telephony.changes import Change, PresenceChanged
from connector.telephony.pbx import Seat
from connector.telephony.states import InteractionState

_DISPOSE = "channelgroup.request.dispose"


class ChannelGroup(Destination):
    """Holds the one telephony channel of a seat."""

    kind = "channel group"

    def __init__(
        self, tree: Tree, target: str, parent: Destination, seat: Seat, media: tuple[str, ...] = ()
    ) -> None:
        """`media` names the media that the agent is configured for and that Asterisk has not."""
        super().__init__(tree, target, parent)
        self.seat = seat
        self.elsewhere: set[str] = set()
        """Other phones at which the agent is logged in."""
        tree.listen(agent_topic(seat.agent), self)
        self.unsupported = tuple(f"{seat.endpoint}-{medium}" for medium in media)
        tree.pbx.watch(seat.endpoint)

    @property
    def busy(self) -> bool:
        """Whether a call is up on the seat's phone."""
        return any(not one.over for one in self.tree.pbx.model.interactions(self.seat.endpoint))

    @handles(wire.ChannelGroupInit)
    async def init(self, _body: wire.ChannelGroupInit) -> wire.ChannelGroupInitReply:
        """List the channels: the telephony channel at the seat's phone, then the unsupported ones."""
        self.open = True
        return wire.ChannelGroupInitReply(
            channels=(
                wire.ListedChannel(endpoint=self.seat.endpoint, type=session_wire.ChannelType.TELEPHONY),
                *(
                    wire.ListedChannel(endpoint=one, type=session_wire.ChannelType.UNSUPPORTED)
                    for one in self.unsupported
                ),
            )
        )

    @handles(wire.CreateChannel)
    async def create_channel(self, body: wire.CreateChannel) -> None:
        """Prepare the channel destination of a listed end point."""
        if body.endpoint in self.unsupported:
            UnsupportedChannel(self.tree, self.target_of_child(body.id), self)
            return
        if body.endpoint in self.elsewhere:
            Channel(
                self.tree, self.target_of_child(body.id), self, replace(self.seat, endpoint=body.endpoint)
            )
            return
        if body.endpoint != self.seat.endpoint:
            raise Refusal(f"The channel group has no channel at {body.endpoint}.")
        Channel(self.tree, self.target_of_child(body.id), self, self.seat)

    @handles(wire.Dispose)
    async def dispose_request(self, _body: wire.Dispose) -> None:
        """Answer; the branch is released after it."""

    def answered(self, name: str) -> None:
        """Leave the tree after dispose."""
        if name == _DISPOSE:
            self.dispose()

    async def close(self) -> None:
        """Complete ended interactions, go not ready, log out, drop the channel from the group."""
        pbx = self.tree.pbx
        for interaction in pbx.model.interactions(self.seat.endpoint):
            if interaction.state is InteractionState.ENDED:
                pbx.complete(interaction.id)
        presence = pbx.model.presence(self.seat.endpoint)
        if presence.agent == self.seat.agent:
            if presence.ready:
                await pbx.set_not_ready(self.seat, "")
            await pbx.log_out(self.seat)
        for channel in self.children.values():
            channel.emit(channel_wire.Disposed())
        self.emit(wire.ChannelRemoved(endpoint=self.seat.endpoint, type=session_wire.ChannelType.TELEPHONY))
        self.emit(wire.Disposed())

    def on_change(self, change: Change) -> None:
        """Tell when the agent logs in at another phone too, or leaves it: another tool did that."""
        if not isinstance(change, PresenceChanged) or change.endpoint == self.seat.endpoint:
            return
        telephony = session_wire.ChannelType.TELEPHONY
        if change.now.agent == self.seat.agent and change.endpoint not in self.elsewhere:
            self.elsewhere.add(change.endpoint)
            self.emit(wire.ChannelAdded(endpoint=change.endpoint, type=telephony))
            if self.parent is not None:
                self.parent.emit(session_wire.ChannelAdded(endpoint=change.endpoint, type=telephony))
        elif change.now.agent != self.seat.agent and change.endpoint in self.elsewhere:
            self.elsewhere.remove(change.endpoint)
            self.emit(wire.ChannelRemoved(endpoint=change.endpoint, type=telephony))
