"""Harmony's part on one link: logs agents in, and gives every interaction that the client names its chain."""

import itertools
import uuid
from collections.abc import Iterable
from typing import Protocol

from connector.bridge.messages import Body, Message
from connector.bridge.messages import channel as channel_wire
from connector.bridge.messages import channelgroup as group_wire
from connector.bridge.messages import control as control_wire
from connector.bridge.messages import conversation as conversation_wire
from connector.bridge.messages import interaction as interaction_wire
from connector.bridge.messages import session as session_wire
from connector.bridge.targets import child
from connector.processor.handles import Channel, Conversation, Interaction
from connector.processor.link import Link
from connector.processor.nodes import ChannelNode, ConversationNode, GroupNode, InteractionNode, SessionNode
from connector.processor.problems import BridgeRequestFailed, Reply


class Session:
    """An agent's session with its one group and the group's channels."""

    def __init__(self, link: Link, node: SessionNode, agent_id: str, session_id: str) -> None:
        self.link = link
        self.node = node
        self.agent_id = agent_id
        self.session_id = session_id
        self.group: GroupNode | None = None
        self.channels: list[Channel] = []

    @property
    def target(self) -> str:
        """Its address."""
        return self.node.target

    @property
    def channel(self) -> Channel:
        """The telephony channel. Raises LookupError if the group has none."""
        for each in self.channels:
            if each.type is session_wire.ChannelType.TELEPHONY:
                return each
        raise LookupError(f"{self.target} has no telephony channel.")

    @property
    def closed(self) -> bool:
        """Whether `session.closed` came."""
        return self.node.closed

    @property
    def team(self) -> dict[str, session_wire.TeamMember]:
        """The team as last told, by login id."""
        return dict(self.node.team)

    async def logout_reasons(self, *, timeout: float | None = None) -> tuple[session_wire.LogoutReason, ...]:
        """Ask for the logout reasons and wait for the event that tells them."""
        await self._do(session_wire.ExternalLogoutReasons(), timeout)
        return self.node.logout_reasons

    async def not_ready_reasons(
        self, *, timeout: float | None = None
    ) -> tuple[session_wire.NotReadyReason, ...]:
        """Ask for the not-ready reasons and wait for the event that tells them."""
        await self._do(session_wire.ExternalNotReadyReasons(), timeout)
        return self.node.not_ready_reasons

    async def team_status(
        self, *, realtime: bool = False, timeout: float | None = None
    ) -> dict[str, session_wire.TeamMember]:
        """Ask for the team's states; `realtime` has `team` kept up to date from now on."""
        await self._do(session_wire.GetTeamStatus(realtime=realtime), timeout)
        return self.team

    async def stop_team_status(self, *, timeout: float | None = None) -> None:
        """End the subscription to the team's states."""
        await self._do(session_wire.StopTeamStatus(), timeout)

    async def close(self, *, timeout: float | None = None) -> None:
        """Log the agent out, and wait for `session.closed`."""
        await self._do(session_wire.Close(), timeout)

    async def dispose(self, *, timeout: float | None = None) -> None:
        """Give up channels, group and session, from the leaves on; the agent's state stays."""
        for each in self.channels:
            await each.dispose(timeout=timeout)
        if self.group is not None and not self.group.gone:
            await self.link.perform(self.group.target, group_wire.Dispose(), timeout=timeout)
        if not self.node.gone:
            await self._do(session_wire.Dispose(), timeout)

    async def _do(self, body: Body, timeout: float | None) -> Reply:
        return await self.link.perform(self.target, body, timeout=timeout)


class Watcher(Protocol):
    """Who is told of everything on the floors, after the bridge has taken note of it."""

    def told(self, target: str, body: Body) -> None:
        """Take note of an event."""
        ...

    def noticed(self, message: Message) -> None:
        """Take note of a warning or an error."""
        ...

    def adopted(self, channel: Channel, interaction: Interaction) -> None:
        """Take note of an interaction that is initialised with its conversations."""
        ...

    def conversed(self, interaction: Interaction, conversation: Conversation) -> None:
        """Take note of a conversation that is initialised."""
        ...

    def lost(self, link: Link) -> None:
        """Take note of a connection that is gone."""
        ...


class Floor:
    """The sessions of one link and everything below them."""

    def __init__(self, link: Link, processor: str, watchers: Iterable[Watcher] = ()) -> None:
        self.link = link
        self._watchers = watchers
        self.sessions: list[Session] = []
        self._processor = processor
        self._numbers = itertools.count(1)
        self._channels: dict[str, Channel] = {}
        self._interactions: dict[str, Interaction] = {}
        self._conversations: dict[str, Conversation] = {}
        link.on_reply = self._on_reply
        link.on_event = self._on_event
        link.on_connected = self.clear
        link.on_notice = self._on_notice
        link.on_lost = self._on_lost

    def clear(self) -> None:
        """Forget everything: the client begins anew."""
        self.sessions.clear()
        self._channels.clear()
        self._interactions.clear()
        self._conversations.clear()

    async def login(
        self,
        agent_id: str,
        password: str,
        *,
        extension: str,
        session: session_wire.SessionInit,
        properties: session_wire.MediaProperties,
        extensions: session_wire.GroupExtensions,
    ) -> Session:
        """Run the chain from createsession to the initialised channels.

        Raises:
            BridgeRequestFailed: the client refused one of the steps; and what `Link.request` raises.

        """
        link = self.link
        session_id = str(uuid.uuid4())
        target = f"{self._processor}.SESSION.{session_id}"
        await link.perform(
            link.rules.control.target,
            control_wire.CreateSession(
                agent_id=agent_id, agent_password=password, session_id=session_id, destination=target
            ),
        )
        node = link.rules.nodes[target]
        if not isinstance(node, SessionNode):
            raise TypeError(target)
        made = Session(link, node, agent_id, session_id)
        self.sessions.append(made)
        await link.perform(target, session)
        await self._open_group(made, extension, properties, extensions)
        return made

    async def _open_group(
        self,
        session: Session,
        extension: str,
        properties: session_wire.MediaProperties,
        extensions: session_wire.GroupExtensions,
    ) -> None:
        link, bridge_id = self.link, self._next("g")
        await link.perform(
            session.target,
            session_wire.CreateChannelGroup(
                name=session.node.group or "",
                id=bridge_id,
                extension=extension,
                properties=properties,
                extensions=extensions,
            ),
        )
        group = link.rules.nodes[child(session.target, bridge_id)]
        if not isinstance(group, GroupNode):
            raise TypeError(group.target)
        session.group = group
        await link.perform(group.target, group_wire.ChannelGroupInit())
        for endpoint, kind in tuple(group.channels.items()):
            session.channels.append(await self._open_channel(group, endpoint, kind))

    async def _open_channel(self, group: GroupNode, endpoint: str, kind: session_wire.ChannelType) -> Channel:
        bridge_id = self._next("c")
        create = group_wire.CreateChannel(id=bridge_id, endpoint=endpoint, type=kind)
        await self.link.perform(group.target, create)
        node = self.link.rules.nodes[child(group.target, bridge_id)]
        if not isinstance(node, ChannelNode):
            raise TypeError(node.target)
        channel = self._channels[node.target] = Channel(self.link, node)
        await self.link.perform(node.target, channel_wire.ChannelInit())
        return channel

    # -- what the client names gets its chain ----------------------------------------------------------

    def _on_reply(self, reply: Reply) -> None:
        target = reply.request.target
        self._note(target)
        channel, interaction = self._channels.get(target), self._interactions.get(target)
        if channel is not None and isinstance(reply.body, channel_wire.ChannelInitReply):
            for each in reply.body.interactions or ():
                self._adopt_soon(channel, each.id)
        elif interaction is not None and isinstance(reply.body, interaction_wire.ConsultReply):
            self._converse_soon(interaction, reply.body.nativeid)

    def _on_event(self, target: str, body: Body) -> None:
        self._note(target)
        channel, interaction = self._channels.get(target), self._interactions.get(target)
        if channel is not None and isinstance(body, channel_wire.InteractionAdded):
            self._adopt_soon(channel, body.nativeid)
        elif interaction is not None and isinstance(body, interaction_wire.ConsultStarted):
            self._converse_soon(interaction, body.nativeid)
        for each in self._watchers:
            each.told(target, body)

    def _on_notice(self, message: Message) -> None:
        for each in self._watchers:
            each.noticed(message)

    def _on_lost(self) -> None:
        for each in self._watchers:
            each.lost(self.link)

    def forget(self, what: Session | Interaction) -> None:
        """Let go of a session or an interaction that was disposed of, with all below it."""
        if isinstance(what, Interaction):
            self._interactions.pop(what.target, None)
            for conversation in what.conversations.values():
                self._conversations.pop(conversation.target, None)
        elif what in self.sessions:
            self.sessions.remove(what)
            for channel in what.channels:
                self._channels.pop(channel.target, None)
                for interaction in channel.interactions:
                    self.forget(interaction)

    def _note(self, target: str) -> None:
        if (interaction := self._interactions.get(target)) is not None:
            interaction.note()
        elif (conversation := self._conversations.get(target)) is not None:
            conversation.note()

    def _adopt_soon(self, channel: Channel, nativeid: str) -> None:
        self.link.spawn(self._adopt(channel, nativeid), f"initialisation of interaction {nativeid}")

    def _converse_soon(self, interaction: Interaction, nativeid: str) -> None:
        self.link.spawn(self._converse(interaction, nativeid), f"initialisation of conversation {nativeid}")

    async def _adopt(self, channel: Channel, nativeid: str) -> None:
        try:
            bridge_id = self._next("i")
            create = channel_wire.CreateInteraction(id=bridge_id, nativeid=nativeid)
            await self.link.perform(channel.target, create)
            node = self.link.rules.nodes.get(child(channel.target, bridge_id))
            if not isinstance(node, InteractionNode):
                return
            interaction = self._interactions[node.target] = Interaction(self.link, node)
            await self.link.perform(node.target, interaction_wire.InteractionInit())
            for each in (node.primary, node.consult):
                if each is not None:
                    await self._converse(interaction, each)
        except BridgeRequestFailed:
            # Disposed by the tool meanwhile: then the refusal is right.
            if not channel.node.gone:
                raise
        else:
            channel.interactions.append(interaction)
            for watcher in self._watchers:
                watcher.adopted(channel, interaction)

    async def _converse(self, interaction: Interaction, nativeid: str) -> None:
        if interaction.node.conversation(nativeid) is not None:
            return
        try:
            bridge_id = self._next("v")
            create = interaction_wire.CreateConversation(id=bridge_id, nativeid=nativeid)
            await self.link.perform(interaction.target, create)
            node = self.link.rules.nodes.get(child(interaction.target, bridge_id))
            if not isinstance(node, ConversationNode):
                return
            made = self._conversations[node.target] = Conversation(self.link, node)
            await self.link.perform(node.target, conversation_wire.ConversationInit())
            interaction.conversations[nativeid] = made
        except BridgeRequestFailed:
            if not interaction.node.gone:
                raise
        else:
            for watcher in self._watchers:
                watcher.conversed(interaction, made)

    def _next(self, letter: str) -> str:
        return f"{letter}{next(self._numbers)}"
