"""A PBX for tests of the destinations: the real model, and procedures that a test can hold or refuse.

The end-to-end tests do the same on a real Asterisk.
"""

import asyncio
from collections.abc import Callable, Mapping

from connector.telephony import facts
from connector.telephony.changes import Change, ServiceChanged
from connector.telephony.facts import Fact
from connector.telephony.mobile import mobile_endpoint
from connector.telephony.model import TelephonyModel
from connector.telephony.numbers import check_number
from connector.telephony.pbx import Limits, Listener, PbxProblem, Seat


class FakePbx:
    def __init__(self) -> None:
        self.model = TelephonyModel()
        self.available = True
        self.done: list[str] = []
        self.refuse: PbxProblem | None = None
        self.gate: asyncio.Event | None = None
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, *told: Fact) -> None:
        for fact in told:
            self._publish(self.model.apply(fact))

    def set_available(self, *, available: bool) -> None:
        self.available = available
        self._publish([ServiceChanged(available)])

    def _publish(self, changes: list[Change]) -> None:
        for change in changes:
            for listener in tuple(self._listeners):
                listener(change)

    async def _do(self, what: str) -> None:
        self.done.append(what)
        if self.gate is not None:
            await self.gate.wait()
        if self.refuse is not None:
            raise self.refuse

    def limits(self, _endpoint: str) -> Limits:
        return Limits(frozenset({"hold"}), ("A call is held on the phone.",))

    def watch(self, endpoint: str) -> None:
        self._publish(self.model.watch(endpoint))

    def complete(self, interaction: str) -> None:
        self._publish(self.model.complete(interaction))

    async def mobile_phone(self, number: str, *, nailed: bool) -> str:
        await self._do(f"mobile_phone {number}")
        return mobile_endpoint(check_number(number), nailed=nailed)

    async def log_in(self, seat: Seat) -> None:
        await self._do("log_in")
        self.tell(facts.MemberChanged("support", seat.endpoint, seat.agent, paused=True, reason=""))

    async def log_out(self, seat: Seat) -> None:
        await self._do("log_out")
        self.tell(facts.MemberGone("support", seat.endpoint))

    async def set_ready(self, seat: Seat) -> None:
        await self._do("set_ready")
        self.tell(facts.MemberChanged("support", seat.endpoint, seat.agent, paused=False, reason=""))

    async def set_not_ready(self, seat: Seat, reason: str) -> None:
        await self._do(f"set_not_ready {reason}")
        self.tell(facts.MemberChanged("support", seat.endpoint, seat.agent, paused=True, reason=reason))

    async def dial(self, seat: Seat, number: str) -> str:
        await self._do(f"dial {number}")
        self.model.expect_dial("out-1", number)
        self.tell(
            facts.LegCreated("out-1", seat.endpoint, "out-1", placed=False),
            facts.DialStarted(None, "out-1"),
        )
        return "out-1"

    async def answer(self, interaction: str, seat: Seat) -> None:
        await self._do(f"answer {interaction} {seat.endpoint}")

    async def reject(self, interaction: str, seat: Seat) -> None:
        await self._do(f"reject {interaction} {seat.agent}")

    async def set_data(self, interaction: str, values: Mapping[str, str]) -> None:
        await self._do("set_data")
        self.tell(*(facts.VariableSet(interaction, key, value) for key, value in values.items()))

    async def send_dtmf(self, _interaction: str, _conversation: str, tones: str) -> None:
        await self._do(f"send_dtmf {tones}")

    async def release(self, interaction: str, conversation: str) -> None:
        await self._do(f"release {conversation}")
        self.tell(facts.LegEnded(interaction, 16))
