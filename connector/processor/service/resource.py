"""The session resource: an agent's session as one desktop sees and works it (S1)."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from connector.bridge.messages import Body, Message, Scope, request_message, spec_of
from connector.bridge.messages import channel as channel_wire
from connector.bridge.messages import conversation as conversation_wire
from connector.bridge.messages import interaction as interaction_wire
from connector.bridge.messages import session as session_wire
from connector.processor.floor import Session
from connector.processor.handles import Channel, Conversation, Interaction
from connector.processor.link import Link
from connector.processor.problems import BridgeGone, BridgeTimeout, Reply
from connector.processor.service import picture
from connector.processor.service.picture import Told
from connector.processor.service.verbs import Verb
from connector.processor.service.wire import Code, Failed, object_event

_CHANNEL_STATES = (
    channel_wire.Activated,
    channel_wire.Deactivated,
    channel_wire.Available,
    channel_wire.Unavailable,
    channel_wire.BecameReady,
    channel_wire.BecameNotReady,
)
_INTERACTION_STATES = (interaction_wire.Started, interaction_wire.Ended)


class Desktop(Protocol):
    """The client that is bound to a resource."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; one that is gone takes it, too."""
        ...


class Resource:
    """One session. At most one desktop is bound; while none is, nothing is told, for a snapshot tells all.

    `release` gets interactions that are over, to be disposed of.
    """

    def __init__(self, session: Session, model: str, release: Callable[[Interaction], None]) -> None:
        self.session = session
        self.model = model
        self.desktop: Desktop | None = None
        self._release = release
        self._prefix = session.target.removesuffix(session.session_id)
        self._interactions: dict[str, Interaction] = {}
        self._conversations: dict[str, Conversation] = {}
        for channel in session.channels:
            for interaction in channel.interactions:
                self._show(interaction)

    @property
    def id(self) -> str:
        """Its identifier: the session's id, with which all its targets begin."""
        return self.session.session_id

    @property
    def agent(self) -> str:
        """The agent's id."""
        return self.session.agent_id

    @property
    def link(self) -> Link:
        """The connection to the connector that the session lives on."""
        return self.session.link

    def snapshot(self) -> dict[str, Any]:
        """Return everything that there is to know."""
        return picture.snapshot(self.session, self.model, self._interactions)

    def tell(self, target: str, name: str, data: Mapping[str, Any] | None = None) -> None:
        """Send an object event to the desktop, if there is one; `target` is the bridge's."""
        if self.desktop is not None:
            self.desktop.send(object_event(target.removeprefix(self._prefix), name, data))

    # -- what the connector tells ----------------------------------------------------------------------

    def told(self, target: str, body: Body) -> None:
        """Pass an event on, in the desktop's words."""
        for where, name, data in self._words(target, body):
            self.tell(where, name, data)
        if isinstance(body, interaction_wire.Completed):
            self._completed(target)
        elif isinstance(body, conversation_wire.Disposed):
            self._conversations.pop(target, None)

    def noticed(self, message: Message) -> None:
        """Pass a warning or an error on."""
        data = {"name": message.name, "code": message.code or "", "message": message.text or ""}
        self.tell(message.target, message.kind.value, data)

    def adopted(self, channel: Channel, interaction: Interaction) -> None:
        """Tell of a new interaction."""
        self._show(interaction)
        for told in picture.interaction_told(channel, interaction):
            self.tell(*told)
        if interaction.state is interaction_wire.InteractionState.COMPLETED:
            self._completed(interaction.target)

    def conversed(self, interaction: Interaction, conversation: Conversation) -> None:
        """Tell of a new conversation; in an interaction that is new itself it is part of that story."""
        if interaction.target not in self._interactions or conversation.node.closed:
            return
        self._conversations[conversation.target] = conversation
        for told in picture.conversation_told(interaction, conversation):
            self.tell(*told)

    def _show(self, interaction: Interaction) -> None:
        self._interactions[interaction.target] = interaction
        for one in picture.conversations_of(interaction):
            self._conversations[one.target] = one

    def _words(self, target: str, body: Body) -> list[Told]:
        name, told = spec_of(type(body)).name, picture.plain(body)
        if (conversation := self._conversations.get(target)) is not None:
            if isinstance(body, conversation_wire.StateChanged):
                return [(target, "state.updated", picture.call_state(conversation))]
            return [(target, name, told)]
        if (interaction := self._interactions.get(target)) is not None:
            if isinstance(body, (*_INTERACTION_STATES, interaction_wire.Completed)):
                return [(target, "state.updated", picture.call_state(interaction))]
            return [(target, name, told)]
        if (channel := self._channel(target)) is not None:
            if isinstance(body, _CHANNEL_STATES):
                return [(target, "state.updated", picture.channel_state(channel))]
            # The story of the interaction follows when it is initialised.
            return [] if isinstance(body, channel_wire.InteractionAdded) else [(target, name, told)]
        known = {self.session.target, self.session.group.target if self.session.group is not None else ""}
        # The end of the session is told when it is over for the service, too.
        return [(target, name, told)] if target in known and not isinstance(body, session_wire.Closed) else []

    def _completed(self, target: str) -> None:
        """Give a completed interaction up: nothing more can be done with it."""
        interaction = self._interactions.pop(target, None)
        if interaction is None:
            return
        for one in interaction.conversations.values():
            self._conversations.pop(one.target, None)
        self.tell(target, "interaction.disposed")
        for channel in self.session.channels:
            if interaction in channel.interactions:
                channel.interactions.remove(interaction)
                self.tell(channel.target, "channel.infochanged", picture.channel_info(channel))
        self._release(interaction)

    # -- what the desktop wants ------------------------------------------------------------------------

    async def perform(
        self,
        verb: Verb,
        target: str,
        data: Mapping[str, Any],
        answered: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """Have the connector carry a command out; `answered` gets the response's data before any later event.

        Raises:
            Failed: it was not carried out.

        """
        targets = self._targets(verb, target)
        body = verb.body(data)
        for number, each in enumerate(targets, 1):
            await self._ask(each, body, answered if number == len(targets) else None)

    async def _ask(
        self, target: str, body: Body, answered: Callable[[Mapping[str, Any]], None] | None
    ) -> None:
        waiting = True

        def at_once(reply: Reply) -> None:
            if waiting and reply.ok and answered is not None:
                answered(reply.response.body)

        message = request_message(target, body, str(uuid.uuid4()))
        context = f"{message.name} for {target}, requestId {message.request_id}"
        try:
            reply = await self.link.ask(message, at_once=at_once)
        except BridgeTimeout:
            raise Failed(Code.TIMEOUT, "The telephone system did not answer in time.", context) from None
        except BridgeGone:
            raise Failed(Code.UNAVAILABLE, "The telephone system cannot be reached.", context) from None
        finally:
            waiting = False
        if not reply.ok:
            raise Failed(Code.REFUSED, reply.error_message or "The request was refused.", context)

    def _targets(self, verb: Verb, target: str) -> list[str]:
        """Return where the bridge sends a command's requests. Raises Failed."""
        scope = self._scope(self._prefix + target)
        if scope is not verb.scope:
            raise Failed(
                Code.WRONG_TARGET, f"{verb.command} is for a {verb.scope}, and this target is a {scope}."
            )
        if not verb.of_group:
            return [self._prefix + target]
        telephony = session_wire.ChannelType.TELEPHONY
        live = [one for one in self.session.channels if not (one.node.gone or one.node.closed)]
        if not (phones := [one.target for one in live if one.type is telephony]):
            raise Failed(Code.UNKNOWN_TARGET, "The group has no telephony channel.")
        return phones

    def _scope(self, target: str) -> Scope:
        group = self.session.group
        if target == self.session.target:
            return Scope.SESSION
        if group is not None and target == group.target:
            return Scope.CHANNEL_GROUP
        if self._channel(target) is not None:
            return Scope.CHANNEL
        if target in self._interactions:
            return Scope.INTERACTION
        if target in self._conversations:
            return Scope.CONVERSATION
        raise Failed(Code.UNKNOWN_TARGET, "There is no object with this target in the session.")

    def _channel(self, target: str) -> Channel | None:
        return next((one for one in self.session.channels if one.target == target), None)

    # -- the end ---------------------------------------------------------------------------------------

    async def close_or_dispose(self) -> None:
        """Log the agent out if that is possible (no call is up), and give the session up in any case.

        Raises what `Link.perform` raises, if the connector does not let go of it.
        """
        reply = await self.link.request(self.session.target, session_wire.Close())
        if reply.ok:
            node = self.session.node
            await self.link.until(lambda: node.closed, None, lambda: f"session.closed of {node.target}")
        await self.dispose()

    async def dispose(self) -> None:
        """Give the session up with all below it; the agent's state and the calls stay as they are."""
        if not self.session.node.gone:
            await self.link.perform(self.session.target, session_wire.Dispose())
