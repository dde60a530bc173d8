"""`Pbx` on Asterisk: the link, the model and the recipes, wired together."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import structlog

from connector.asterisk.atxfer import AttendedTransfers
from connector.asterisk.booting import BOOTED
from connector.asterisk.chores import Chores
from connector.asterisk.control import CallControl
from connector.asterisk.data import CallData
from connector.asterisk.exchange import Exchange
from connector.asterisk.extensions import Extensions
from connector.asterisk.handling import CallHandling
from connector.asterisk.hold_limits import HoldLimits
from connector.asterisk.link import AmiDown, AmiError, AmiLink, AmiRefused, AmiSettings, AmiTimeout
from connector.asterisk.meter import Meter, NoMeter
from connector.asterisk.mobile import MobileAgents
from connector.asterisk.notify import PhoneNotifier
from connector.asterisk.phonecalls import PhoneCalls
from connector.asterisk.phoneside import PhoneSide
from connector.asterisk.projection import MemberWatch
from connector.asterisk.queues import QueueMembership
from connector.asterisk.recovery import Reconciler
from connector.asterisk.rooms import PartyRooms
from connector.asterisk.service import Service
from connector.asterisk.settings import ConsultStrategy, DialSettings, RecordingSettings
from connector.asterisk.taken_over import TakenOver
from connector.asterisk.turns import Turns
from connector.asterisk.variables import VARIABLE_EVENTS, LegVariables
from connector.asterisk.wire import AmiMessage, AmiValueRejected
from connector.asterisk.wrapup import WrapUp
from connector.telephony.changes import Change, ConversationChanged
from connector.telephony.facts import Fact, MemberChanged, MemberGone
from connector.telephony.model import TelephonyModel
from connector.telephony.pbx import Limits, Listener, PbxDown, Refused, TimedOut
from connector.telephony.states import ConversationState

log = structlog.get_logger(__name__)

_P = ParamSpec("_P")
_R = TypeVar("_R")

_RESYNC_PAUSE = 1.0
"""Seconds between two attempts to read the PBX's lists."""


class AsteriskPbx:
    """An Asterisk behind one AMI user, and optionally a second one that may do `system` things.

    A link that is back within `grace` seconds is not told as lost. `wrap_up` is the longest wrap-up in
    seconds (0: none), `member_check` how often (in seconds) is looked whether the queues have their members.
    `on_event` is called with every event before the model sees it.
    """

    def __init__(
        self,
        ami: AmiSettings,
        dial: DialSettings,
        *,
        system: tuple[str, str] | None = None,
        recording: RecordingSettings | None = None,
        proof_timeout: float = 5.0,
        grace: float = 0.0,
        wrap_up: float = 0.0,
        member_check: float = 30.0,
        on_event: Callable[[AmiMessage], None] | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._exchange = Exchange(proof_timeout=proof_timeout)
        self._service = Service(self._exchange, grace)
        self._on_event, self._meter = on_event, meter or NoMeter()
        self._link = AmiLink(ami, on_event=self._take, on_up=self._up, on_down=self._down, meter=self._meter)
        self._reconciler = Reconciler(self._exchange, self._link)
        self._exchange.reconcile = self._reconciler.settle
        self._variables = LegVariables(self._link)
        self._system_link = _second_link(ami, system, self._meter)
        self._chores = Chores()
        self._exchange.attend(self._tidy_up, ConversationChanged)
        self._resync: asyncio.Task[None] | None = None

        # The procedures of `Pbx`, each as the recipe of its name has it.
        membership = QueueMembership(self._exchange, self._link, wrap_up=wrap_up > 0)
        self._member_watch = MemberWatch(self._exchange, self._link, membership, member_check)
        self._wrap_up = WrapUp(self._exchange, membership, wrap_up)
        mobile = self._mobile = MobileAgents(self._exchange, self._link, dial, membership)
        self.mobile_phone, self.set_ready = _in_port_words(mobile.phone), _in_port_words(mobile.set_ready)
        self.log_in, self.log_out = _in_port_words(mobile.log_in), _in_port_words(mobile.log_out)
        self.set_not_ready = _in_port_words(membership.set_not_ready)

        notifier = PhoneNotifier(self._exchange, self._link, dial, self._system_link)
        turns = Turns()
        self._handling = _handling(self._exchange, self._link, dial, notifier, self._variables, turns)
        self._hold_limits: HoldLimits | None = None
        if isinstance(self._handling, PartyRooms):
            # Only our dialplan has a place for a caller who was on hold for too long.
            give_up = turns.taking(self._handling.give_up)
            self._hold_limits = HoldLimits(self._exchange, give_up, dial.handling.hold_limit)
        self.hold, self.retrieve = (
            _in_port_words(turns.taking(self._handling.hold)),
            _in_port_words(turns.taking(self._handling.retrieve)),
        )
        self._taken_over = TakenOver(self._exchange, self._link, self.retrieve)
        self.alternate = _in_port_words(turns.taking(self._handling.alternate))
        self.consult = _in_port_words(turns.taking(self._handling.consult))
        self.consult_transfer = _in_port_words(turns.taking(self._handling.consult_transfer))
        self.consult_conference = _in_port_words(turns.taking(self._handling.consult_conference))
        self.blind_transfer = _in_port_words(turns.taking(self._handling.blind_transfer))
        self.blind_conference = _in_port_words(turns.taking(self._handling.blind_conference))
        self.drop_member, self.private_word = (
            _in_port_words(turns.taking(self._handling.drop_member)),
            _in_port_words(turns.taking(self._handling.private_word)),
        )
        self._ready_for_tones = turns.taking(self._handling.ready_for_tones)
        self._tones, self.send_dtmf = _tones(self._handling, turns), _in_port_words(self._send_dtmf)

        self._phone_side = PhoneSide(self._exchange, self._link, self._handling, membership, turns)

        phones = PhoneCalls(self._exchange, self._link, dial)
        control = CallControl(self._exchange, self._link, membership, self._handling, dial, phones, notifier)
        self.dial, self.answer = _in_port_words(control.dial), _in_port_words(control.answer)
        self.reject, self.release = (
            _in_port_words(control.reject),
            _in_port_words(turns.taking(control.release)),
        )

        self.set_data = _in_port_words(CallData(self._exchange, self._link).set)

        extensions = self._extensions = Extensions(
            self._exchange,
            self._link,
            self._system_link,
            recording=recording,
            phones=phones,
            ready_for_listeners=turns.taking(self._handling.ready_for_listeners),
        )
        recorder, supervisors = extensions.recorder, extensions.supervisors
        self.start_recording = _in_port_words(recorder.start)
        self.stop_recording = _in_port_words(recorder.stop)
        self.pause_recording = _in_port_words(recorder.pause)
        self.mute = _in_port_words(extensions.muting.mute)
        self.supervise = _in_port_words(supervisors.supervise)
        self.stop_supervision = _in_port_words(supervisors.stop)

    @property
    def model(self) -> TelephonyModel:
        """The call model; read only for everybody else."""
        return self._exchange.model

    @property
    def links(self) -> tuple[AmiLink, ...]:
        """The links to the manager interface: the first user's, and the second one's if there is one."""
        return (self._link,) if self._system_link is None else (self._link, self._system_link)

    @property
    def available(self) -> bool:
        """Whether the link is up and the model in step with the PBX."""
        return self._exchange.available

    async def run(self) -> None:
        """Keep the links up until cancelled."""
        async with asyncio.TaskGroup() as group:
            link = group.create_task(self._link.run())
            watch = group.create_task(self._member_watch.run())
            link.add_done_callback(lambda _link: watch.cancel())
            if self._system_link is not None:
                group.create_task(self._system_link.run())

    async def close(self) -> None:
        """Log off; calls in progress stay up."""
        if self._resync is not None:
            self._resync.cancel()
        self._service.close()
        self._phone_side.close()
        self._mobile.close()
        self._wrap_up.close()
        await self._extensions.close()
        self._taken_over.close()
        self._handling.close()
        if self._hold_limits is not None:
            self._hold_limits.close()
        await self._link.close()
        if self._system_link is not None:
            await self._system_link.close()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """See `Pbx.subscribe`."""
        return self._exchange.subscribe(listener)

    @property
    def started(self) -> str:
        """When the PBX was started that the model is in step with, in its own words; empty if none was."""
        return self._reconciler.started

    def members(self, endpoint: str) -> tuple[MemberChanged, ...]:
        """Return the memberships of a phone, with the one that only the connector keeps."""
        return tuple(self.model.board.queues(endpoint).values())

    def recall(self, started: str, members: Iterable[MemberChanged]) -> None:
        """Begin with what another process knew of a PBX: if that was started anew, they are put back."""
        self._reconciler.started = started
        for member in members:
            self._exchange.apply(member)

    def follow_members(self, chore: Callable[[str], None]) -> None:
        """Have a chore done with each phone of which the queues tell something."""

        def on_fact(fact: Fact) -> None:
            if isinstance(fact, MemberChanged | MemberGone):
                chore(fact.endpoint)

        self._exchange.follow(on_fact, MemberChanged, MemberGone)

    def when_in_step(self, chore: Callable[[], None]) -> None:
        """Have a chore done each time that the model is in step with the PBX (again)."""
        self._exchange.when_back.append(chore)

    def limits(self, endpoint: str) -> Limits:
        """See `Pbx.limits`."""
        return self._handling.limits(endpoint)

    def watch(self, endpoint: str) -> None:
        """See `Pbx.watch`."""
        self._exchange.publish(self._exchange.model.watch(endpoint))

    def complete(self, interaction: str) -> None:
        """See `Pbx.complete`."""
        self._exchange.publish(self._exchange.model.complete(interaction))

    async def _send_dtmf(self, interaction_id: str, conversation_id: str, tones: str) -> None:
        # Not one turn: tones take seconds, and the phone may do something meanwhile.
        await self._ready_for_tones(interaction_id, conversation_id)
        await self._tones(interaction_id, conversation_id, tones)

    def _take(self, event: AmiMessage) -> bool:
        self._meter.event(event.name, self._link.arrived)
        try:
            if self._on_event is not None:
                self._on_event(event)
            if event.name in VARIABLE_EVENTS:
                self._variables.on_event(event)
            elif event.name == BOOTED:
                self._service.booting.on_event(event)
            told = self._exchange.on_event(event)
            if event.name == "Shutdown":
                self._service.ending()
            return told
        finally:
            self._meter.event_over()

    def _tidy_up(self, change: Change) -> None:
        """Let an agent's leg go that waits for nobody: its held party hung up."""
        if not isinstance(change, ConversationChanged) or change.state is not ConversationState.RELEASED:
            return
        interaction = self.model.interaction(change.interaction)
        if interaction is None or interaction.over:
            return
        # A consult that the phone itself began has a leg of its own.
        if idle := [leg for leg in interaction.every_leg if not interaction.on_leg(leg)]:
            self._chores.start(self._release_idle(interaction.id, idle))

    async def _release_idle(self, interaction_id: str, legs: Sequence[str]) -> None:
        try:
            await self._handling.leave_if_alone(*legs)
        except (AmiError, PbxDown) as problem:
            log.warning("an idle leg was not released", interaction=interaction_id, problem=str(problem))

    def _up(self) -> None:
        self._resync = asyncio.get_running_loop().create_task(self._get_in_step())

    def _down(self, reason: str) -> None:
        self._variables.forget()
        self._taken_over.look_away()
        if self._resync is not None:
            self._resync.cancel()
            self._resync = None
        self._service.down(reason)

    async def _get_in_step(self) -> None:
        began = asyncio.get_running_loop().time()
        while True:
            try:
                await self._service.booting.ready()
                await self._reconciler.read()
            except AmiDown:
                return
            except Exception as problem:  # noqa: BLE001 - without it nobody could work until the next restart
                said = str(problem) if isinstance(problem, AmiError) else repr(problem)
                log.warning("the PBX's lists could not be read; trying again", problem=said)
                await asyncio.sleep(_RESYNC_PAUSE)
            else:
                self._service.up()
                self._taken_over.look()
                self._phone_side.look()
                self._chores.start(self._extensions.recorder.mark_anew())
                self._meter.resynced(asyncio.get_running_loop().time() - began)
                return


def _second_link(ami: AmiSettings, user: tuple[str, str] | None, meter: Meter) -> AmiLink | None:
    if user is None:
        return None
    username, secret = user
    return AmiLink(replace(ami, username=username, secret=secret), on_event=_ignore, meter=meter)


def _ignore(_event: AmiMessage) -> None:
    """Drop the events of the second user: the first one's are the model's."""


def _tones(handling: CallHandling, turns: Turns) -> Callable[[str, str, str], Awaitable[None]]:
    """Return what sends tones: where operations are tones, too, neither may come in between the other."""
    by_tones = isinstance(handling, AttendedTransfers)
    return turns.taking(handling.send_dtmf) if by_tones else handling.send_dtmf


def _handling(
    exchange: Exchange,
    link: AmiLink,
    dial: DialSettings,
    notifier: PhoneNotifier,
    variables: LegVariables,
    turns: Turns,
) -> CallHandling:
    """Return the site's strategy."""
    if dial.consult is ConsultStrategy.ATXFER:
        return AttendedTransfers(exchange, link, dial, notifier, variables)
    return PartyRooms(exchange, link, dial, notifier, variables, turns)


def _in_port_words(procedure: Callable[_P, Coroutine[Any, Any, _R]]) -> Callable[_P, Coroutine[Any, Any, _R]]:
    """Return the procedure with the link's errors turned into the port's."""

    @wraps(procedure)
    async def worded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return await procedure(*args, **kwargs)
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

    return worded
