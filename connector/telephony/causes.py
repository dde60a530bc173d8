"""From what the PBX said at the end of a call to the one word that the agent sees."""

from connector.telephony.legs import Leg, LegGraph
from connector.telephony.states import Cause, DialOutcome

# ISDN (Q.850) cause numbers that say more than the dial outcome does.
_UNALLOCATED = 1
_NO_ROUTE = 3
_BUSY = 17
_NO_USER_RESPONSE = 18
_NO_ANSWER = 19
_SUBSCRIBER_ABSENT = 20
_REJECTED = 21
_OUT_OF_ORDER = 27
_INVALID_FORMAT = 28

_CAUSE_BY_NUMBER = {
    _UNALLOCATED: Cause.INVALID_NUMBER,
    _NO_ROUTE: Cause.UNREACHABLE,
    _BUSY: Cause.BUSY,
    _NO_USER_RESPONSE: Cause.NO_ANSWER,
    _NO_ANSWER: Cause.NO_ANSWER,
    _SUBSCRIBER_ABSENT: Cause.UNREACHABLE,
    _REJECTED: Cause.REJECTED,
    _OUT_OF_ORDER: Cause.UNREACHABLE,
    _INVALID_FORMAT: Cause.INVALID_NUMBER,
}

_CAUSE_BY_OUTCOME = {
    DialOutcome.ANSWERED: Cause.NORMAL,
    DialOutcome.BUSY: Cause.BUSY,
    DialOutcome.NO_ANSWER: Cause.NO_ANSWER,
    DialOutcome.CANCELLED: Cause.CANCELLED,
    DialOutcome.UNREACHABLE: Cause.UNREACHABLE,
    DialOutcome.INVALID: Cause.INVALID_NUMBER,
    DialOutcome.FAILED: Cause.FAILED,
}


def of_dial(outcome: DialOutcome, number: int) -> Cause:
    """Why a dialled party was not reached: the outcome, made exact by the ISDN cause number."""
    if outcome in {DialOutcome.NO_ANSWER, DialOutcome.UNREACHABLE, DialOutcome.FAILED}:
        return _CAUSE_BY_NUMBER.get(number, _CAUSE_BY_OUTCOME[outcome])
    return _CAUSE_BY_OUTCOME[outcome]


def of_unanswered_offer(agent: Leg, number: int, *, caller_gone: bool, caller_hung_up: bool) -> Cause:
    """Why an offered call was not taken. `number` is the cause with which the agent's leg ended."""
    if caller_hung_up:
        return Cause.ABANDONED
    if number in {_REJECTED, _BUSY}:
        # The PBX lets the caller of a call that was declined go, and may tell that first.
        return Cause.REJECTED
    if caller_gone:
        return Cause.ABANDONED
    if agent.outcome is DialOutcome.BUSY:
        return Cause.REJECTED
    if agent.outcome is DialOutcome.NO_ANSWER or number == _NO_ANSWER:
        return Cause.NO_ANSWER
    if agent.outcome is DialOutcome.ANSWERED or agent.answered:
        return Cause.NORMAL
    return Cause.CANCELLED if agent.outcome is DialOutcome.CANCELLED else Cause.FAILED


def of_unanswered_dial(agent: Leg, number: int) -> Cause:
    """Why a call that the agent placed never became a conversation."""
    if not agent.answered and not agent.placed:
        if number == _REJECTED or agent.outcome is DialOutcome.BUSY:
            return Cause.REJECTED
        if agent.hangup_asked and not agent.hangup_by_phone:
            return Cause.CANCELLED
        return Cause.NO_ANSWER
    if agent.reported is not None and agent.reported[0] is not DialOutcome.CANCELLED:
        return of_dial(*agent.reported)
    # Who hangs up on a busy tone has not cancelled: the attempt had failed before.
    if agent.reached not in {None, DialOutcome.ANSWERED, DialOutcome.CANCELLED}:
        return of_dial(agent.reached or DialOutcome.FAILED, number)
    # The PBX itself asks for the end of a call that it cannot place, and its number says why.
    if agent.hangup_by_phone or (agent.hangup_asked and number not in _CAUSE_BY_NUMBER):
        return Cause.CANCELLED
    if agent.reported is not None:
        return Cause.CANCELLED
    return _CAUSE_BY_NUMBER.get(number, Cause.FAILED)


def caller_is_gone(graph: LegGraph, caller: str | None) -> bool:
    """Whether the party that an offer was made for has left the PBX."""
    return caller is not None and graph.get(caller) is None
