"""What a test or a tool holds of a conversation, an interaction, a channel: state to read, verbs to call."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from connector.bridge.messages import Body
from connector.bridge.messages import channel as channel_wire
from connector.bridge.messages import conversation as conversation_wire
from connector.bridge.messages import extensions as extension_wire
from connector.bridge.messages import interaction as interaction_wire
from connector.bridge.messages import session as session_wire
from connector.processor.handle import CallHandle
from connector.processor.link import Link
from connector.processor.nodes import ChannelNode, ConversationNode, InteractionNode
from connector.processor.problems import Reply

ConversationState = conversation_wire.ConversationState
InteractionState = interaction_wire.InteractionState


class Conversation(CallHandle[ConversationNode, ConversationState]):
    """One call leg of an interaction."""

    final = frozenset({ConversationState.RELEASED})

    def __repr__(self) -> str:
        return f"<conversation {self.node.nativeid} {self.state} {self.node.cause or ''}>"

    @property
    def state(self) -> ConversationState | None:
        """The state last told."""
        return self.node.state

    @property
    def members(self) -> list[conversation_wire.Member]:
        """The parties as last told."""
        return list(self.node.members.values())

    async def answer(self, *, timeout: float | None = None) -> None:
        """Have the phone pick up."""
        await self._do(conversation_wire.Answer(), timeout)

    async def release(self, *, timeout: float | None = None) -> None:
        """End the conversation, and wait for the event that tells so."""
        await self._do_until(conversation_wire.Release(), ConversationState.RELEASED, timeout)

    async def hold(self, *, timeout: float | None = None) -> None:
        """Put the others on hold, and wait for the event that tells so."""
        await self._do_until(conversation_wire.Hold(), ConversationState.HELD, timeout)

    async def retrieve(self, *, timeout: float | None = None) -> None:
        """Take the others off hold, and wait for the event that tells so."""
        await self._do_until(conversation_wire.Retrieve(), ConversationState.TALKING, timeout)

    async def blind_transfer(self, destination: str, *, timeout: float | None = None) -> None:
        """Send the other party to a number."""
        await self._do(conversation_wire.BlindTransfer(destination=destination), timeout)

    async def blind_conference(self, destination: str, *, timeout: float | None = None) -> None:
        """Call a number into the conversation."""
        await self._do(conversation_wire.BlindConference(destination=destination), timeout)

    async def drop_member(self, member: conversation_wire.Member, *, timeout: float | None = None) -> None:
        """End one member's part in a conference, and wait for the event that tells so, or of its end."""
        await self._do(conversation_wire.DropMember(id=member.id), timeout)
        await self.wait_members(
            lambda now: self.state in self.final or member.id not in {one.id for one in now}, timeout=timeout
        )

    async def send_dtmf(self, tones: str, *, timeout: float | None = None) -> None:
        """Send tones."""
        await self._do(conversation_wire.SendDtmf(tones=tones), timeout)

    async def dispose(self, *, timeout: float | None = None) -> None:
        """Give the destination up; the call stays."""
        await self._do(conversation_wire.Dispose(), timeout)

    async def wait_members(
        self, ready: Callable[[list[conversation_wire.Member]], bool], *, timeout: float | None = None
    ) -> list[conversation_wire.Member]:
        """Wait until the members are as `ready` wants them, and return them."""
        await self.link.until(
            lambda: ready(self.members), timeout, lambda: f"the members wanted; they are {self.members}"
        )
        return self.members

    async def wait_disposed(self, *, timeout: float | None = None) -> None:
        """Wait for `conversation.disposed`."""
        await self.link.until(
            lambda: self.node.closed, timeout, lambda: f"conversation.disposed of {self.target}"
        )

    async def _do_until(self, body: Body, wanted: ConversationState, timeout: float | None) -> None:
        """Carry out, and wait until that state or the end of the conversation was told."""
        told = len(self.states)
        await self._do(body, timeout)
        await self.link.until(
            lambda: wanted in self.states[told:] or self.node.state is ConversationState.RELEASED,
            timeout,
            lambda: f"{self.target} in {wanted} (it is {self.node.state})",
        )


class Interaction(CallHandle[InteractionNode, InteractionState]):
    """One contact on an agent's channel, with its conversations."""

    final = frozenset({InteractionState.ENDED, InteractionState.COMPLETED})

    def __init__(self, link: Link, node: InteractionNode) -> None:
        super().__init__(link, node)
        self.conversations: dict[str, Conversation] = {}

    def __repr__(self) -> str:
        return f"<interaction {self.node.nativeid} {self.state} {list(self.conversations.values())}>"

    @property
    def state(self) -> InteractionState | None:
        """The state last told."""
        return self.node.state

    @property
    def data(self) -> dict[str, Any]:
        """The interaction data as last told."""
        return self.node.data

    @property
    def primary(self) -> Conversation:
        """The primary conversation. Raises LookupError where there never was one (an ended interaction)."""
        found = self.conversations.get(self.node.primary or "")
        if found is None:
            raise LookupError(f"{self.target} ({self.state}) has no primary conversation.")
        return found

    @property
    def consult_conversation(self) -> Conversation | None:
        """The latest consult conversation, if its destination is initialised."""
        return self.conversations.get(self.node.consult or "")

    async def accept(self, *, timeout: float | None = None) -> None:
        """Have the phone pick up."""
        await self._do(interaction_wire.Accept(), timeout)

    async def reject(self, *, timeout: float | None = None) -> None:
        """Decline the offered call."""
        await self._do(interaction_wire.Reject(), timeout)

    async def complete(self, *, timeout: float | None = None) -> None:
        """End the wrap-up, and wait for `interaction.completed`."""
        await self._do(interaction_wire.Complete(), timeout)

    async def consult(self, destination: str, *, timeout: float | None = None) -> Conversation:
        """Place a consult call; returns its conversation, initialised."""
        reply = await self._do(interaction_wire.Consult(destination=destination), timeout)
        nativeid = reply.body.nativeid if isinstance(reply.body, interaction_wire.ConsultReply) else ""
        return await self._conversation(nativeid, timeout)

    async def private_word(
        self, member: conversation_wire.Member, *, timeout: float | None = None
    ) -> Conversation:
        """Take a member of the conference aside; returns the consult conversation, initialised."""
        before = self.node.consult
        reply = await self.link.perform(
            self.primary.target, conversation_wire.PrivateWord(id=member.id), timeout=timeout
        )
        del reply
        await self.link.until(
            lambda: self.node.consult != before, timeout, lambda: f"interaction.consult of {self.target}"
        )
        return await self.wait_consult(timeout=timeout)

    async def consult_transfer(self, *, timeout: float | None = None) -> None:
        """Connect the primary's parties with the consult's."""
        await self._do(interaction_wire.ConsultTransfer(), timeout)

    async def consult_conference(self, *, timeout: float | None = None) -> None:
        """Bring everybody together, and wait for the events that tell so."""
        consult = self.consult_conversation
        await self._do(interaction_wire.ConsultConference(), timeout)
        released, talks = ConversationState.RELEASED, {ConversationState.TALKING, ConversationState.RELEASED}
        await self.link.until(
            lambda: (consult is None or consult.state is released) and self.primary.state in talks,
            timeout,
            lambda: f"one conference in {self}",
        )

    async def alternate(self, *, timeout: float | None = None) -> None:
        """Swap the active and the inactive conversation, and wait for the events that tell so."""
        both = [one for one in (self.primary, self.consult_conversation) if one is not None]
        told = [len(one.states) for one in both]
        # Where both are held, only the one that is taken back changes.
        enough = all if any(one.state is ConversationState.TALKING for one in both) else any
        await self._do(interaction_wire.Alternate(), timeout)
        await self.link.until(
            lambda: enough(
                len(one.states) > before or one.state is ConversationState.RELEASED
                for one, before in zip(both, told, strict=True)
            ),
            timeout,
            lambda: f"the conversations swapped in {self}",
        )

    async def get_data(self, *, timeout: float | None = None) -> dict[str, Any]:
        """Ask for all interaction data."""
        await self._do(interaction_wire.GetData(), timeout)
        return dict(self.node.data)

    async def set_data(self, data: Mapping[str, Any], *, timeout: float | None = None) -> None:
        """Set some keys of the interaction data."""
        await self._do(interaction_wire.SetData(interaction_data=dict(data)), timeout)

    async def delete_data(self, keys: Iterable[str], *, timeout: float | None = None) -> None:
        """Remove some keys of the interaction data."""
        await self._do(interaction_wire.DeleteData(keys=tuple(keys)), timeout)

    @property
    def recording(self) -> extension_wire.RecordingState:
        """Whether the call is recorded, as last told."""
        return self.node.recording

    @property
    def muted(self) -> bool:
        """Whether the agent is muted, as last told."""
        return self.node.muted

    async def start_recording(self, *, timeout: float | None = None) -> str:
        """Record the customer's leg; returns the file's name on the telephone system."""
        reply = await self._do(extension_wire.StartRecording(), timeout)
        return reply.body.file if isinstance(reply.body, extension_wire.RecordingStarted) else ""

    async def stop_recording(self, *, timeout: float | None = None) -> None:
        """End the recording."""
        await self._do(extension_wire.StopRecording(), timeout)

    async def pause_recording(self, *, timeout: float | None = None) -> None:
        """Record silence."""
        await self._do(extension_wire.PauseRecording(), timeout)

    async def resume_recording(self, *, timeout: float | None = None) -> None:
        """End the pause."""
        await self._do(extension_wire.ResumeRecording(), timeout)

    async def mute(self, *, timeout: float | None = None) -> None:
        """Let nobody hear the agent."""
        await self._do(extension_wire.Mute(), timeout)

    async def unmute(self, *, timeout: float | None = None) -> None:
        """Let everybody hear the agent."""
        await self._do(extension_wire.Unmute(), timeout)

    async def dispose(self, *, timeout: float | None = None) -> None:
        """Give up its conversations, then itself; the call stays."""
        for each in tuple(self.conversations.values()):
            if not each.node.gone:
                await each.dispose(timeout=timeout)
        if not self.node.gone:
            await self._do(interaction_wire.Dispose(), timeout)

    async def wait_data(
        self, ready: Callable[[dict[str, Any]], bool], *, timeout: float | None = None
    ) -> dict[str, Any]:
        """Wait until the interaction data is as `ready` wants it, and return it."""
        await self.link.until(
            lambda: ready(self.data), timeout, lambda: f"the data wanted in {self.target}; it is {self.data}"
        )
        return self.data

    async def wait_consult(self, *, timeout: float | None = None) -> Conversation:
        """Wait for a consult call that was started outside Harmony; returns its conversation, initialised."""
        nativeid = await self.link.until(
            lambda: self.node.consult, timeout, lambda: f"interaction.consult of {self.target}"
        )
        return await self._conversation(nativeid, timeout)

    async def _conversation(self, nativeid: str, timeout: float | None) -> Conversation:
        return await self.link.until(
            lambda: self.conversations.get(nativeid),
            timeout,
            lambda: f"initialisation of conversation {nativeid} in {self.target}",
        )


class Channel:
    """A channel of the agent. `interactions` are those that are initialised with their conversations."""

    def __init__(self, link: Link, node: ChannelNode) -> None:
        self.link = link
        self.node = node
        self.interactions: list[Interaction] = []
        self._claimed: set[str] = set()

    @property
    def target(self) -> str:
        """Its address."""
        return self.node.target

    @property
    def endpoint(self) -> str:
        """Its CTI id."""
        return self.node.endpoint

    @property
    def type(self) -> session_wire.ChannelType:
        """Its medium."""
        return self.node.type

    @property
    def state(self) -> channel_wire.ChannelState | None:
        """The channel's state as last told."""
        return self.node.state

    @property
    def agent_state(self) -> channel_wire.AgentState | None:
        """The agent's state as last told."""
        return self.node.agent_state

    @property
    def reason(self) -> str | None:
        """The not-ready reason as last told."""
        return self.node.reason

    async def activate(self, *, timeout: float | None = None) -> None:
        """Log the agent in, and wait for the events that tell so."""
        await self._do(channel_wire.Activate(), timeout)

    async def deactivate(self, *, timeout: float | None = None) -> None:
        """Log the agent out, and wait for the event that tells so."""
        await self._do(channel_wire.Deactivate(), timeout)

    async def ready(self, *, timeout: float | None = None) -> None:
        """Take calls, and wait for the event that tells so."""
        await self._do(channel_wire.Ready(), timeout)

    async def not_ready(self, reason: str | None = None, *, timeout: float | None = None) -> None:
        """Take no calls, and wait for the event that tells so."""
        await self._do(channel_wire.NotReady(reason_code_id=reason), timeout)

    async def dial(self, destination: str, *, timeout: float | None = None) -> Interaction:
        """Place a call; returns its interaction, initialised. An offered call is not mistaken for it."""
        before = set(self.node.named)
        await self._do(channel_wire.Dial(destination=destination), timeout)
        return await self._claim(
            lambda each: each.nativeid not in before and each.states[:1] != [InteractionState.ALERTING],
            timeout,
            f"the interaction of the call to {destination}",
        )

    @property
    def supervision(self) -> extension_wire.SupervisionReply | None:
        """What the phone does as a supervisor's, as last told."""
        return self.node.supervision

    async def supervise(
        self, agent: str, mode: extension_wire.SupervisionMode, *, timeout: float | None = None
    ) -> None:
        """Have the phone ring to supervise an agent's call, or change the mode; returns once it rings."""
        await self._do(extension_wire.Supervise(agent_id=agent, mode=mode), timeout)

    async def stop_supervision(self, *, timeout: float | None = None) -> None:
        """Have the phone hung up."""
        await self._do(extension_wire.StopSupervision(), timeout)

    async def ask_supervision(
        self, *, timeout: float | None = None
    ) -> extension_wire.SupervisionReply | None:
        """Ask what the phone does."""
        await self._do(extension_wire.AskSupervision(), timeout)
        return self.supervision

    async def wait_supervision(
        self, state: extension_wire.SupervisionState, *, timeout: float | None = None
    ) -> None:
        """Wait until the phone is in that state of supervision."""
        await self.link.until(
            lambda: self.supervision is not None and self.supervision.state is state,
            timeout,
            lambda: f"supervision {state} at {self.target} (it is {self.supervision})",
        )

    async def next_interaction(self, *, timeout: float | None = None) -> Interaction:
        """Wait for the next interaction that nobody got yet; its conversations are initialised."""
        return await self._claim(lambda _each: True, timeout, "a new interaction")

    async def wait_state(
        self,
        state: channel_wire.ChannelState | None = None,
        agent_state: channel_wire.AgentState | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        """Wait until the channel and the agent are in the given states."""
        await self.link.until(
            lambda: state in {None, self.state} and agent_state in {None, self.agent_state},
            timeout,
            lambda: f"{self.target} {state} {agent_state} (it is {self.state} {self.agent_state})",
        )

    async def dispose(self, *, timeout: float | None = None) -> None:
        """Give up its interactions, then itself; the agent's state and the calls stay."""
        for each in self.interactions:
            await each.dispose(timeout=timeout)
        if not self.node.gone:
            await self._do(channel_wire.Dispose(), timeout)

    async def _claim(
        self, fits: Callable[[Interaction], bool], timeout: float | None, what: str
    ) -> Interaction:
        def new() -> Interaction | None:
            return next(
                (each for each in self.interactions if each.nativeid not in self._claimed and fits(each)),
                None,
            )

        found = await self.link.until(new, timeout, lambda: f"{what} on {self.target}")
        self._claimed.add(found.nativeid)
        return found

    async def _do(self, body: Body, timeout: float | None) -> Reply:
        return await self.link.perform(self.target, body, timeout=timeout)
