"""The part of a channel that is our own extension: the agent at this phone supervises another one."""

from connector.bridge.messages import extensions as wire
from connector.destinations.base import Destination, Refusal, handles
from connector.destinations.directory import Agent
from connector.destinations.recording import require_extensions
from connector.telephony.changes import Change, SupervisionChanged
from connector.telephony.interactions import Interaction
from connector.telephony.pbx import Seat
from connector.telephony.states import InteractionState, Supervision

EVERY_TEAM = "*"
"""In an agent's list of supervised teams: all of them."""


class SupervisingChannel(Destination):
    """Carries out the requests of the extension and tells what came of them."""

    seat: Seat

    @handles(wire.Supervise)
    async def supervise(self, body: wire.Supervise) -> None:
        """Ring this phone for the agent's call, or change the mode."""
        require_extensions(self)
        agent = self._supervised(body.agent_id)
        call = self._call_of(agent)
        if call is None:
            raise Refusal(f"Agent {agent.agent_id} has no answered call at the moment.")
        await self.tree.pbx.supervise(self.seat, call.id, Supervision(body.mode))

    @handles(wire.StopSupervision)
    async def stop_supervision(self, _body: wire.StopSupervision) -> None:
        """Hang this phone up."""
        require_extensions(self)
        await self.tree.pbx.stop_supervision(self.seat)

    @handles(wire.AskSupervision)
    async def ask_supervision(self, _body: wire.AskSupervision) -> wire.SupervisionReply:
        """Tell what this phone does."""
        require_extensions(self)
        leg = self.tree.pbx.model.supervisor(self.seat.endpoint)
        if leg is None:
            return wire.SupervisionReply(state=wire.SupervisionState.OFF)
        return wire.SupervisionReply(
            state=wire.SupervisionState(leg.supervision),
            endpoint=self._phone_of(leg.supervises),
            nativeid=leg.supervises,
        )

    def tell_supervision(self, change: Change) -> None:
        """Tell a change of what this phone does."""
        if not self.tree.site.extensions or not isinstance(change, SupervisionChanged):
            return
        if change.state is Supervision.OFF:
            self.emit(wire.SupervisionChanged(state=wire.SupervisionState.OFF))
            return
        self.emit(
            wire.SupervisionChanged(
                state=wire.SupervisionState(change.state),
                endpoint=self._phone_of(change.interaction),
                nativeid=change.interaction,
            )
        )

    def _supervised(self, agent_id: str) -> Agent:
        """Return the agent if this one may supervise it; who doesn't exist is refused with the same words."""
        directory = self.tree.directory
        me, agent = directory.get(self.seat.agent), directory.get(agent_id)
        teams = me.supervises if me is not None else ()
        if not teams:
            raise Refusal("You may not supervise other agents.")
        if agent is None or not (EVERY_TEAM in teams or agent.team in teams):
            raise Refusal("You may not supervise this agent.")
        if agent.agent_id == self.seat.agent:
            raise Refusal("Nobody can supervise their own calls.")
        return agent

    def _call_of(self, agent: Agent) -> Interaction | None:
        model = self.tree.pbx.model
        endpoint = self.tree.team.endpoint_of(agent)
        if endpoint is None and model.presence(agent.extension).agent is None:
            # Nobody is logged in at the agent's usual phone: a call there is the agent's.
            endpoint = agent.extension
        calls = model.interactions(endpoint) if endpoint is not None else []
        return next((one for one in calls if one.state is InteractionState.STARTED), None)

    def _phone_of(self, interaction_id: str) -> str | None:
        interaction = self.tree.pbx.model.interaction(interaction_id)
        return interaction.endpoint if interaction is not None else None
