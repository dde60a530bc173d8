"""Mobile agents on Asterisk: a Local channel stands for the agent's phone.

A queue or an Originate calls `Local/NUMBER@harmony-mobile/n`. Its first half is the agent's leg in every
respect: it is answered and moved as a desk phone's leg is; because of `/n` it never takes itself out of the
path. What is behind its second half (the site's dialplan, a trunk, the agent's mobile) is no concern of the
model. With `harmony-nailed` the second half is put together with the standing call instead.
"""

from typing import Final

import structlog

from connector.asterisk.chores import Chores
from connector.asterisk.contexts import STANDING
from connector.asterisk.exchange import Exchange
from connector.asterisk.handling import dialable, hang_up
from connector.asterisk.link import AmiError, AmiLink, AmiRefused
from connector.asterisk.phonecalls import place
from connector.asterisk.queues import QueueMembership
from connector.asterisk.settings import ConsultStrategy, DialSettings
from connector.telephony.facts import Fact, LegEnded, PlacementFailed
from connector.telephony.mobile import is_nailed, mobile_endpoint, mobile_number
from connector.telephony.pbx import PbxProblem, Refused, Seat, TimedOut

log = structlog.get_logger(__name__)

_STANDING_LEG: Final = "hn-"
_STANDING_END: Final = "-here"
_FAR_HALF: Final = "hf-"
"""Begins the id of the standing call's second half, towards the agent."""
_CODEC: Final = "ulaw"
"""Of its own accord Originate makes Local channels of signed linear; from a conference room nothing is heard
through two Local channels of different formats (seen in Asterisk 22.10)."""
_LATER: Final = 2.0
"""Seconds after which an Originate whose time is over has told so."""


class MobileAgents:
    """What agents at numbers need beyond membership of queues; other agents pass through unchanged."""

    def __init__(
        self, exchange: Exchange, link: AmiLink, settings: DialSettings, membership: QueueMembership
    ) -> None:
        self._exchange = exchange
        self._link = link
        self._settings = settings
        self._membership = membership
        self._chores = Chores()
        exchange.follow(self._on_fact, LegEnded)
        exchange.when_back.append(self._when_back)

    async def phone(self, number: str, *, nailed: bool) -> str:
        """Return the endpoint that stands for a number. Nobody is called yet.

        Raises:
            Refused: it cannot be dialled, or the site has not our dialplan.

        """
        self._exchange.require_available()
        if self._settings.consult is not ConsultStrategy.ROOMS:
            raise Refused("Mobile agents need the connector's dialplan (dial.consult: rooms).")
        return mobile_endpoint(await dialable(self._link, self._settings, number), nailed=nailed)

    async def log_in(self, seat: Seat) -> None:
        """Make the agent a member; an agent with a standing call is called first, and must answer."""
        number = mobile_number(seat.endpoint)
        if not number:
            await self._membership.log_in(seat)
            return
        self._exchange.require_available()
        await self.prepare(seat)
        here = self._exchange.model.presence(seat.endpoint).agent
        if here in {None, seat.agent} and is_nailed(seat.endpoint):
            await self._stand(number)
        try:
            await self._membership.log_in(seat)
        except PbxProblem:
            if self._exchange.model.presence(seat.endpoint).agent is None:
                await self._end_standing(seat)
            raise

    async def log_out(self, seat: Seat) -> None:
        """Take the agent out of the queues, then end the standing call."""
        await self._membership.log_out(seat)
        await self._end_standing(seat)

    async def set_ready(self, seat: Seat) -> None:
        """Let the queues offer calls; a standing call that has ended is placed anew first."""
        if is_nailed(seat.endpoint):
            self._exchange.require_available()
            await self.prepare(seat)
            await self._stand(mobile_number(seat.endpoint))
        await self._membership.set_ready(seat)

    async def prepare(self, seat: Seat) -> None:
        """Tell the dialplan in which context numbers are dialled (Setvar of a global variable)."""
        if mobile_number(seat.endpoint):
            value = self._settings.context
            await self._link.send("Setvar", {"Variable": "HARMONY_MOBILE_CTX", "Value": value})

    def _on_fact(self, fact: Fact) -> None:
        """Take the agent whose standing call ends out of ready: no call would get through."""
        if not isinstance(fact, LegEnded):
            return
        if fact.leg.startswith(_FAR_HALF):
            # While Bridge takes the near half over, it may miss that the far one is gone.
            self._chores.start(self._end_near_half(_standing_leg(fact.leg.removeprefix(_FAR_HALF))))
        elif fact.leg.startswith(_STANDING_LEG):
            number = fact.leg.removeprefix(_STANDING_LEG).removesuffix(_STANDING_END)
            self._without_call(mobile_endpoint(number, nailed=True))

    def _when_back(self) -> None:
        """After the PBX was away, tell it again what it forgot at a restart, and look for standing calls."""
        mobile = [one for one in sorted(self._exchange.model.board.endpoints()) if mobile_number(one)]
        if mobile:
            self._chores.start(self._prepare_again(Seat("", mobile[0])))
        for endpoint in mobile:
            leg = _standing_leg(mobile_number(endpoint))
            if is_nailed(endpoint) and self._exchange.model.legs.get(leg) is None:
                self._without_call(endpoint)

    def _without_call(self, endpoint: str) -> None:
        presence = self._exchange.model.presence(endpoint)
        if presence.agent is not None and presence.ready:
            self._chores.start(self._not_ready(Seat(presence.agent, endpoint)))

    async def _prepare_again(self, seat: Seat) -> None:
        try:
            await self.prepare(seat)
        except AmiError as problem:
            log.warning("mobile agents may not be reached", problem=str(problem))

    async def _end_near_half(self, leg: str) -> None:
        if self._exchange.model.legs.get(leg) is None:
            return
        try:
            await hang_up(self._link, leg)
        except AmiError as problem:
            log.warning("a standing call may not have ended", leg=leg, problem=str(problem))

    def close(self) -> None:
        """Drop what is under way."""
        self._chores.cancel()

    async def _not_ready(self, seat: Seat) -> None:
        log.info("standing call ended: the agent is not ready", agent=seat.agent)
        try:
            await self._membership.set_not_ready(seat, "")
        except (AmiError, PbxProblem) as problem:
            log.warning(
                "an agent without a standing call is still ready", agent=seat.agent, problem=str(problem)
            )

    async def _stand(self, number: str) -> None:
        """Place the standing call, unless it is there."""
        leg = _standing_leg(number)
        legs, failures = self._exchange.model.legs, self._exchange.failed_placements
        if legs.get(leg) is not None:
            return
        failed = PlacementFailed(leg, timed_out=False)
        failures[leg] = failed
        try:
            await self._link.send(
                "Originate",
                {
                    "Channel": f"Local/{number}@{self._settings.context}/n",
                    **place(STANDING, "s"),
                    "Timeout": str(int(self._settings.agent_timeout * 1000)),
                    "CallerID": self._settings.caller_id or number,
                    "Async": "true",
                    "Codecs": _CODEC,
                    "ChannelId": leg,
                    "OtherChannelId": f"{_FAR_HALF}{number}",
                },
            )
            await self._exchange.until(
                lambda: self._stands(leg) or failures.get(leg) is not failed,
                f"standing call to {number}",
                self._settings.agent_timeout + _LATER,
            )
        except AmiRefused as refusal:
            raise Refused(f"The telephone system refused the call: {refusal}.") from refusal
        except TimedOut:
            await hang_up(self._link, leg)
            raise
        finally:
            failures.pop(leg, None)
        if not self._stands(leg):
            raise Refused(f"The number {number} did not answer.")

    def _stands(self, leg: str) -> bool:
        live = self._exchange.model.legs.get(leg)
        return live is not None and live.answered

    async def _end_standing(self, seat: Seat) -> None:
        leg = _standing_leg(mobile_number(seat.endpoint))
        legs = self._exchange.model.legs
        if is_nailed(seat.endpoint) and legs.get(leg) is not None:
            await hang_up(self._link, leg)
            await self._exchange.until(lambda: legs.get(leg) is None, "end of the standing call")


def _standing_leg(number: str) -> str:
    """Return the id of the standing call to a number: there is one at most, and a restart finds it again."""
    return f"{_STANDING_LEG}{number}{_STANDING_END}"
