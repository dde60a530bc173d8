"""`Pbx` on Asterisk: the link, the model and the recipes, wired together."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import structlog

from connector.asterisk.control import CallControl
from connector.asterisk.data import CallData
from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiDown, AmiError, AmiLink, AmiRefused, AmiSettings, AmiTimeout
from connector.asterisk.queues import QueueMembership
from connector.asterisk.recovery import resync
from connector.asterisk.rooms import PartyRooms
from connector.asterisk.settings import DialSettings
from connector.asterisk.wire import AmiMessage, AmiValueRejected
from connector.telephony.changes import Change, ConversationChanged
from connector.telephony.interactions import Interaction
from connector.telephony.model import TelephonyModel
from connector.telephony.pbx import Listener, PbxDown, Refused, Seat, TimedOut
from connector.telephony.states import ConversationState

log = structlog.get_logger(__name__)

_RESYNC_PAUSE = 1.0
"""Seconds between two attempts to read the PBX's lists."""


class AsteriskPbx:
    """An Asterisk behind one AMI user, and optionally a second one that may do `system` things.

    `on_event` is called with every event before the model sees it.
    """

    def __init__(
        self,
        ami: AmiSettings,
        dial: DialSettings,
        *,
        system: tuple[str, str] | None = None,
        proof_timeout: float = 5.0,
        on_event: Callable[[AmiMessage], None] | None = None,
    ) -> None:
        self._exchange = Exchange(proof_timeout=proof_timeout)
        self._on_event = on_event
        self._link = AmiLink(ami, on_event=self._take, on_up=self._up, on_down=self._down)
        self._system_link: AmiLink | None = None
        if system is not None:
            username, secret = system
            second = replace(ami, username=username, secret=secret)
            self._system_link = AmiLink(second, on_event=_ignore)
        self._membership = QueueMembership(self._exchange, self._link)
        self._rooms = PartyRooms(self._exchange, self._link, dial)
        self._data = CallData(self._exchange, self._link)
        self._control = CallControl(
            self._exchange, self._link, self._membership, self._rooms, dial, system_link=self._system_link
        )
        self._chores: set[asyncio.Task[None]] = set()
        self._exchange.subscribe(self._tidy_up)
        self._resync: asyncio.Task[None] | None = None

    @property
    def model(self) -> TelephonyModel:
        """The call model; read only for everybody else."""
        return self._exchange.model

    @property
    def available(self) -> bool:
        """Whether the link is up and the model in step with the PBX."""
        return self._exchange.available

    async def run(self) -> None:
        """Keep the links up until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._link.run())
            if self._system_link is not None:
                group.create_task(self._system_link.run())

    async def close(self) -> None:
        """Log off; calls in progress stay up."""
        if self._resync is not None:
            self._resync.cancel()
        await self._link.close()
        if self._system_link is not None:
            await self._system_link.close()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """See `Pbx.subscribe`."""
        return self._exchange.subscribe(listener)

    def watch(self, endpoint: str) -> None:
        """See `Pbx.watch`."""
        self._exchange.publish(self._exchange.model.watch(endpoint))

    def complete(self, interaction: str) -> None:
        """See `Pbx.complete`."""
        self._exchange.publish(self._exchange.model.complete(interaction))

    async def log_in(self, seat: Seat) -> None:
        """See `Pbx.log_in`."""
        with _in_port_words():
            await self._membership.log_in(seat)

    async def log_out(self, seat: Seat) -> None:
        """See `Pbx.log_out`."""
        with _in_port_words():
            await self._membership.log_out(seat)

    async def set_ready(self, seat: Seat) -> None:
        """See `Pbx.set_ready`."""
        with _in_port_words():
            await self._membership.set_ready(seat)

    async def set_not_ready(self, seat: Seat, reason: str) -> None:
        """See `Pbx.set_not_ready`."""
        with _in_port_words():
            await self._membership.set_not_ready(seat, reason)

    async def dial(self, seat: Seat, number: str) -> str:
        """See `Pbx.dial`."""
        with _in_port_words():
            return await self._control.dial(seat, number)

    async def answer(self, interaction: str, seat: Seat) -> None:
        """See `Pbx.answer`."""
        with _in_port_words():
            await self._control.answer(interaction, seat)

    async def reject(self, interaction: str, seat: Seat) -> None:
        """See `Pbx.reject`."""
        with _in_port_words():
            await self._control.reject(interaction, seat)

    async def release(self, interaction: str, conversation: str) -> None:
        """See `Pbx.release`."""
        with _in_port_words():
            await self._control.release(interaction, conversation)

    async def hold(self, interaction: str, conversation: str) -> None:
        """See `Pbx.hold`."""
        with _in_port_words():
            await self._rooms.hold(interaction, conversation)

    async def retrieve(self, interaction: str, conversation: str) -> None:
        """See `Pbx.retrieve`."""
        with _in_port_words():
            await self._rooms.retrieve(interaction, conversation)

    async def consult(self, interaction: str, number: str) -> str:
        """See `Pbx.consult`."""
        with _in_port_words():
            return await self._rooms.consult(interaction, number)

    async def consult_transfer(self, interaction: str) -> None:
        """See `Pbx.consult_transfer`."""
        with _in_port_words():
            await self._rooms.consult_transfer(interaction)

    async def consult_conference(self, interaction: str) -> None:
        """See `Pbx.consult_conference`."""
        with _in_port_words():
            await self._rooms.consult_conference(interaction)

    async def alternate(self, interaction: str) -> None:
        """See `Pbx.alternate`."""
        with _in_port_words():
            await self._rooms.alternate(interaction)

    async def blind_transfer(self, interaction: str, conversation: str, number: str) -> None:
        """See `Pbx.blind_transfer`."""
        with _in_port_words():
            await self._rooms.blind_transfer(interaction, conversation, number)

    async def blind_conference(self, interaction: str, conversation: str, number: str) -> None:
        """See `Pbx.blind_conference`."""
        with _in_port_words():
            await self._rooms.blind_conference(interaction, conversation, number)

    async def send_dtmf(self, interaction: str, conversation: str, tones: str) -> None:
        """See `Pbx.send_dtmf`."""
        with _in_port_words():
            await self._rooms.send_dtmf(interaction, conversation, tones)

    async def set_data(self, interaction: str, values: Mapping[str, str]) -> None:
        """See `Pbx.set_data`."""
        with _in_port_words():
            await self._data.set(interaction, values)

    def _take(self, event: AmiMessage) -> None:
        if self._on_event is not None:
            self._on_event(event)
        self._exchange.on_event(event)

    def _tidy_up(self, change: Change) -> None:
        """Let an agent's leg go that waits for nobody: its held party hung up."""
        if not isinstance(change, ConversationChanged) or change.state is not ConversationState.RELEASED:
            return
        interaction = self.model.interaction(change.interaction)
        if interaction is None or interaction.over or interaction.live_conversations:
            return
        chore = asyncio.get_running_loop().create_task(self._release_idle(interaction))
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)

    async def _release_idle(self, interaction: Interaction) -> None:
        try:
            await self._rooms.leave_if_alone(interaction)
        except AmiError as problem:
            log.warning("an idle leg was not released", interaction=interaction.id, problem=str(problem))

    def _up(self) -> None:
        self._resync = asyncio.get_running_loop().create_task(self._get_in_step())

    def _down(self, reason: str) -> None:
        if self._resync is not None:
            self._resync.cancel()
            self._resync = None
        self._exchange.set_available(available=False, reason=reason)

    async def _get_in_step(self) -> None:
        while True:
            try:
                await resync(self._exchange, self._link)
            except AmiDown:
                return
            except (AmiRefused, AmiTimeout) as problem:
                log.warning("the PBX's lists could not be read; trying again", problem=str(problem))
                await asyncio.sleep(_RESYNC_PAUSE)
            else:
                self._exchange.set_available(available=True)
                return


def _ignore(_event: AmiMessage) -> None:
    """Drop the events of the second user: the first one's are the model's."""


@contextmanager
def _in_port_words() -> Iterator[None]:
    """Turn the link's errors into the port's."""
    try:
        yield
    except AmiDown as problem:
        raise PbxDown(
            "The telephone system cannot be reached at the moment; please try again soon."
        ) from problem
    except AmiTimeout as problem:
        raise TimedOut("The telephone system did not reply in time.") from problem
    except AmiRefused as problem:
        raise Refused(f"The telephone system refused: {problem}.") from problem
    except AmiValueRejected as problem:
        raise Refused(f"The telephone system cannot be told this: {problem}.") from problem
