"""The unsupported channel: a medium that the agent is configured for and Asterisk has not."""

from connector.bridge.messages import channel as wire
from connector.destinations.base import Destination, handles

_DISPOSE = "channel.request.dispose"


class UnsupportedChannel(Destination):
    """Answers init and dispose, and nothing else."""

    kind = "channel of an unsupported type"

    @handles(wire.ChannelInit)
    async def init(self, _body: wire.ChannelInit) -> wire.ChannelInitReply:
        """Tell that it is inactive; it has no list of interactions."""
        self.open = True
        return wire.ChannelInitReply(
            channel_state=wire.ChannelState.INACTIVE, agent_state=wire.AgentState.NOT_READY, reason=None
        )

    @handles(wire.Dispose)
    async def dispose_request(self, _body: wire.Dispose) -> None:
        """Answer; the destination is released after it."""

    def answered(self, name: str) -> None:
        """Leave the tree after dispose."""
        if name == _DISPOSE:
            self.dispose()
