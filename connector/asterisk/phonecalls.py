"""Ringing an agent's own phone: with a leg whose id we choose, towards a place in our dialplan."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiLink, AmiRefused
from connector.asterisk.queues import interface_of
from connector.asterisk.settings import AnswerMethod, DialSettings
from connector.telephony.facts import EndpointState, PlacementFailed
from connector.telephony.pbx import Refused, Seat, TimedOut

PLACED = "hc-"
"""What the ids of legs begin with that are placed for an agent who dials from the desktop."""

_GONE = frozenset({"UNAVAILABLE", "INVALID"})
_THERE = frozenset({EndpointState.IDLE, EndpointState.RINGING, EndpointState.IN_USE})
_REGISTERING = 0.3


def place(context: str, extension: str) -> dict[str, str]:
    """Return the fields of Originate that say where in the dialplan a leg goes."""
    return {"Context": context, "Exten": extension, "Priority": "1"}


class PhoneCalls:
    """Originate towards phones of agents."""

    def __init__(self, exchange: Exchange, link: AmiLink, settings: DialSettings) -> None:
        self._exchange = exchange
        self._link = link
        self._settings = settings

    async def require_free(self, seat: Seat) -> None:
        """Make sure that the phone is there and on no call.

        Raises:
            Refused: it is on a call, supervises one, or is not registered.

        """
        model = self._exchange.model
        if any(not one.over for one in model.interactions(seat.endpoint)):
            raise Refused(f"Phone {seat.endpoint} is on a call already.")
        if model.supervisor(seat.endpoint) is not None:
            raise Refused(f"Phone {seat.endpoint} supervises a call: stop that first.")
        query = {"Variable": f"DEVICE_STATE({interface_of(seat.endpoint)})"}
        state = await self._link.send("Getvar", query)
        if state.get("Value") in _GONE:
            # The state of a phone that registers just now follows its registration by some milliseconds.
            with suppress(TimedOut):
                await self._exchange.until(
                    lambda: model.phone(seat.endpoint) in _THERE, f"phone {seat.endpoint}", _REGISTERING
                )
            state = await self._link.send("Getvar", query)
        if state.get("Value") in _GONE:
            raise Refused(f"Phone {seat.endpoint} is not registered with the telephone system.")

    async def ring(
        self,
        seat: Seat,
        leg: str,
        runs: Mapping[str, str],
        *,
        caller_id: str,
        variables: Sequence[str],
        there: Callable[[], bool],
    ) -> None:
        """Ring the phone with `leg`; once picked up it `runs` what these fields of Originate say.

        Done when `there` is true, which it must be as soon as the model knows the leg.

        Raises:
            Refused: the PBX did not place the call.

        """
        failed = PlacementFailed(leg, timed_out=False)
        failures = self._exchange.failed_placements
        failures[leg] = failed
        phone = self._settings.phone_at(seat.endpoint)
        told = list(variables)
        if phone.answer is AnswerMethod.AUTO_ANSWER:
            name, _, value = phone.auto_answer_header.partition(":")
            told.append(f"PJSIP_HEADER(add,{name.strip()})={value.strip()}")
        fields: dict[str, str | list[str]] = {
            "Channel": interface_of(seat.endpoint),
            **runs,
            "Timeout": str(int(self._settings.agent_timeout * 1000)),
            "CallerID": caller_id,
            "Async": "true",
            "ChannelId": leg,
            "Variable": told,
        }
        try:
            await self._link.send("Originate", fields)
            await self._exchange.until(
                lambda: there() or failures.get(leg) is not failed, f"call to phone {seat.endpoint}"
            )
        except AmiRefused as refusal:
            raise Refused(f"The telephone system refused the call: {refusal}.") from refusal
        finally:
            failures.pop(leg, None)
        if not there():
            raise Refused(f"Phone {seat.endpoint} could not be reached.")
