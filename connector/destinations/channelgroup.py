"""The channel group destination: the agent's place of work, with the telephony channel in it."""

from dataclasses import replace

from connector.bridge.messages import channel as channel_wire
from connector.bridge.messages import channelgroup as wire
from connector.bridge.messages import session as session_wire
from connector.destinations.base import Destination, Refusal, handles
from connector.destinations.channel import Channel
from connector.destinations.desks import is_busy, leave, phones_of
from connector.destinations.tree import Tree, agent_topic
from connector.destinations.unsupported import UnsupportedChannel
from connector.telephony.changes import Change, PresenceChanged
from connector.telephony.pbx import Seat

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
        self._closing = False
        tree.listen(agent_topic(seat.agent), self)
        self.media = media
        self.unsupported = tuple(f"{seat.endpoint}-{medium}" for medium in media)
        tree.pbx.watch(seat.endpoint)

    @property
    def busy(self) -> bool:
        """Whether a call is up on one of the agent's phones, or on one that the agent has left."""
        channels = [one for one in self.children.values() if isinstance(one, Channel)]
        if any(one.has_live_call for one in channels):
            # It is the bridge's, even if another agent has the phone by now.
            return True
        return any(is_busy(self.tree.pbx, seat) for seat in (*self._seats(), *(one.seat for one in channels)))

    @handles(wire.ChannelGroupInit)
    async def init(self, _body: wire.ChannelGroupInit) -> wire.ChannelGroupInitReply:
        """List the channels: the seat's phone, others where the agent works already, unsupported ones."""
        self.open = True
        self.elsewhere = set(phones_of(self.tree.pbx, self.seat.agent)) - {self.seat.endpoint}
        return wire.ChannelGroupInitReply(
            channels=tuple(wire.ListedChannel(endpoint=one, type=kind) for one, kind in self._channels())
        )

    @handles(wire.CreateChannel)
    async def create_channel(self, body: wire.CreateChannel) -> None:
        """Prepare the channel destination of a listed end point."""
        self.require_no_child_for(body.endpoint)
        if body.endpoint in self.unsupported:
            UnsupportedChannel(self.tree, self.target_of_child(body.id), self).cti_id = body.endpoint
            return
        if body.endpoint in self.elsewhere:
            self.tree.pbx.watch(body.endpoint)
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
        """At every phone complete ended interactions, log out and supervise no more; drop the channels."""
        channels = self._channels()
        self._closing = True
        try:
            for seat in self._seats():
                await leave(self.tree.pbx, seat)
        finally:
            self._closing = False
        for channel in self.children.values():
            channel.emit(channel_wire.Disposed())
        for endpoint, kind in channels:
            self.emit(wire.ChannelRemoved(endpoint=endpoint, type=kind))
        self.emit(wire.Disposed())

    def _seats(self) -> list[Seat]:
        """Return the seat, then the other phones at which the agent is logged in."""
        return [self.seat, *(replace(self.seat, endpoint=one) for one in sorted(self.elsewhere))]

    def _channels(self) -> list[tuple[str, session_wire.ChannelType]]:
        types = session_wire.ChannelType
        return [
            *((seat.endpoint, types.TELEPHONY) for seat in self._seats()),
            *((one, types.UNSUPPORTED) for one in self.unsupported),
        ]

    def on_change(self, change: Change) -> None:
        """Tell when the agent logs in at another phone too, or leaves it: another tool did that."""
        if not isinstance(change, PresenceChanged) or change.endpoint == self.seat.endpoint:
            return
        if self._closing:
            # `close` tells it, after the channel's own last event.
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
