"""Who works at which phone, as the destinations ask it: the board knows, not what the bridge has created."""

from connector.telephony.pbx import Pbx, Seat
from connector.telephony.states import InteractionState


def phones_of(pbx: Pbx, agent: str) -> list[str]:
    """Return the phones at which the agent is logged in, sorted."""
    return pbx.model.board.phones_of(agent)


def is_taken(pbx: Pbx, seat: Seat) -> bool:
    """Tell whether another agent is logged in at the seat's phone."""
    return pbx.model.presence(seat.endpoint).agent not in {None, seat.agent}


def is_busy(pbx: Pbx, seat: Seat) -> bool:
    """Tell whether a call of the seat's agent is up at the phone; another agent's calls don't count."""
    calls = pbx.model.interactions(seat.endpoint)
    return not is_taken(pbx, seat) and any(not one.over for one in calls)


async def leave(pbx: Pbx, seat: Seat) -> None:
    """Complete ended interactions, log the agent out, end its supervision; a colleague's stay."""
    if is_taken(pbx, seat):
        return
    for interaction in pbx.model.interactions(seat.endpoint):
        if interaction.state is InteractionState.ENDED:
            pbx.complete(interaction.id)
    presence = pbx.model.presence(seat.endpoint)
    if presence.agent == seat.agent:
        if presence.ready:
            await pbx.set_not_ready(seat, "")
        await pbx.log_out(seat)
    if pbx.model.supervisor(seat.endpoint) is not None:
        await pbx.stop_supervision(seat)
