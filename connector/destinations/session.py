"""The session destination: one agent's login, holding exactly one channel group."""

import re

from connector.bridge.messages import session as wire
from connector.destinations.base import Destination, Refusal, handles
from connector.destinations.channelgroup import ChannelGroup
from connector.destinations.directory import Agent
from connector.destinations.tree import Tree
from connector.telephony.pbx import Seat

_EXTENSION = re.compile(r"[A-Za-z0-9_.+-]{1,40}")
_CLOSE = "session.request.close"
_DISPOSE = "session.request.dispose"


class Session(Destination):
    """An agent's session. It never changes the agent's state on the PBX by coming or going: close does."""

    kind = "session"

    def __init__(self, tree: Tree, target: str, parent: Destination, agent: Agent, session_id: str) -> None:
        super().__init__(tree, target, parent)
        self.agent = agent
        self.session_id = session_id

    @property
    def group_name(self) -> str:
        """The CTI id of the agent's channel group."""
        return f"group-{self.agent.agent_id}"

    @handles(wire.SessionInit)
    async def init(self, _body: wire.SessionInit) -> wire.SessionInitReply:
        """Name the one group; media that Asterisk has not are ignored."""
        self.open = True
        return wire.SessionInitReply(channel_group=self.group_name)

    @handles(wire.CreateChannelGroup)
    async def create_channel_group(self, body: wire.CreateChannelGroup) -> None:
        """Prepare the group: the agent sits at `extension`, or at the directory's phone."""
        if body.name != self.group_name:
            raise Refusal(f"There is no channel group {body.name}: this session's is {self.group_name}.")
        extension = body.extension or self.agent.extension
        if _EXTENSION.fullmatch(extension) is None:
            raise Refusal("The extension may hold 1 to 40 letters, digits, and _ . + - only.")
        seat = Seat(
            agent=self.agent.agent_id,
            endpoint=extension,
            queues=tuple(self.agent.queues),
            penalty=self.agent.penalty,
            phone_model=self.agent.phone,
        )
        ChannelGroup(self.tree, self.target_of_child(body.id), self, seat)

    @handles(wire.Close)
    async def close(self, _body: wire.Close) -> None:
        """Complete what has ended, log the agent out everywhere; refused while a call is up."""
        groups = self._groups()
        busy = [group for group in groups if group.busy]
        if busy:
            raise Refusal("The session cannot be closed: the agent is on a call.")
        for group in groups:
            await group.close()

    @handles(wire.Dispose)
    async def dispose_request(self, _body: wire.Dispose) -> None:
        """Answer; the branch is released after it, the agent's state stays."""

    def answered(self, name: str) -> None:
        """Send `session.closed` after close, leave the tree after dispose."""
        if name == _CLOSE:
            self.emit(wire.Closed())
        elif name == _DISPOSE:
            self.dispose()

    def _groups(self) -> list[ChannelGroup]:
        return [one for one in self.children.values() if isinstance(one, ChannelGroup)]
