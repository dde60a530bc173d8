"""Interaction data: what a call says of itself, and what the dialplan put on its legs."""

from connector.telephony.calls import Calls
from connector.telephony.changes import DataChanged
from connector.telephony.interactions import Interaction
from connector.telephony.legs import Leg
from connector.telephony.states import InteractionState


def update(calls: Calls, interaction: Interaction) -> None:
    """Tell what changed in the data of an interaction."""
    # Asked with every event of the call, most of which are about something else.
    if interaction.state is InteractionState.STARTED:
        made_of = _made_of(calls, interaction)
        if made_of == interaction.data_of:
            return
        interaction.data_of = made_of
    else:
        interaction.data_of = ()
    data = collect(calls, interaction)
    if data == interaction.data:
        return
    changed = tuple((key, value) for key, value in data.items() if interaction.data.get(key) != value)
    changed += tuple((key, "") for key in interaction.data if key not in data)
    if changed:
        interaction.data = data
        calls.emit(DataChanged(interaction.id, changed))


def collect(calls: Calls, interaction: Interaction) -> dict[str, str]:
    """Return what the call itself says, then what the dialplan put on it."""
    agent = calls.legs.get(interaction.leg)
    caller = calls.legs.get(interaction.caller)
    data = dict(interaction.data)
    if agent is not None and interaction.state is InteractionState.DIALING:
        data["DIRECTION"] = "OUTBOUND"
        if interaction.primary.placeholder is not None:
            data["DNIS"] = interaction.primary.placeholder.address
    elif interaction.state is InteractionState.ALERTING:
        data["DIRECTION"] = "INBOUND"
        data |= _of_caller(calls, caller, agent)
        data |= _of_queue(caller, calls.legs.get(_dialler(agent)))
    for leg in (caller, agent):
        if leg is not None:
            data.update(leg.variables)
    return {key: value for key, value in data.items() if value}


def _of_caller(calls: Calls, caller: Leg | None, agent: Leg | None) -> dict[str, str]:
    if caller is not None:
        dialled = calls.destinations.get(caller.id) or caller.destination or caller.dialled
        name = {"CALLER_NAME": caller.name} if caller.name else {}
        return {"ANI": caller.number, "DNIS": dialled, **name}
    if agent is not None and agent.dialled_by is not None:
        # The PBX dials it itself, on behalf of whom it shows there.
        return {"ANI": agent.connected_number, "CALLER_NAME": agent.connected_name}
    return {}


def _of_queue(*legs: Leg | None) -> dict[str, str]:
    # Who was transferred to a queue waits there by a joint.
    waited = next((one for one in legs if one is not None and one.queue and one.queue_offered), None)
    if waited is None:
        return {}
    known = {"QUEUE": waited.queue}
    if waited.queue_entered:
        known["WAIT_TIME"] = str(max(0, int(waited.queue_offered - waited.queue_entered)))
    return known


def _made_of(calls: Calls, interaction: Interaction) -> tuple[str | int, ...]:
    legs = calls.legs.legs
    agent = legs.get(interaction.leg)
    first = interaction.caller
    caller = legs.get(first) if first is not None else None
    of_agent = (agent.id, agent.revision) if agent is not None else ("", 0)
    return of_agent if caller is None else (*of_agent, caller.id, caller.revision)


def _dialler(agent: Leg | None) -> str | None:
    return agent.dialled_by if agent is not None else None
