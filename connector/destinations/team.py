"""Team status: what the members of an agent's team are doing, and since when."""

from collections.abc import Callable
from datetime import UTC, datetime

from connector.bridge.messages import session as wire
from connector.destinations.directory import Agent, Directory
from connector.telephony.changes import (
    Change,
    InteractionAdded,
    InteractionCompleted,
    InteractionEnded,
    InteractionStarted,
    PresenceChanged,
)
from connector.telephony.pbx import Pbx

LOGGED_OUT, READY, NOT_READY = "LOGGED_OUT", "READY", "NOT_READY"
ON_CALL, WRAP_UP = "ON_CALL", "WRAP_UP"

Listener = Callable[[wire.TeamMember], None]


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


class TeamBoard:
    """States of all agents; those without a team belong to the team of agents without a name."""

    def __init__(self, pbx: Pbx, directory: Directory, clock: Callable[[], datetime] = utc_now) -> None:
        self._pbx = pbx
        self._directory = directory
        self._clock = clock
        began = clock()
        self._states: dict[str, tuple[str, datetime]] = {
            agent.agent_id: (LOGGED_OUT, began) for agent in directory.agents()
        }
        self._subscribers: dict[object, tuple[str, Listener]] = {}
        self._phones: dict[str, str] = {}

    def members(self, team: str) -> tuple[wire.TeamMember, ...]:
        """Return all members of a team."""
        return tuple(self._member(agent) for agent in self._directory.agents() if agent.team == team)

    def counts(self) -> dict[str, int]:
        """Return how many agents are in each state."""
        found = dict.fromkeys((LOGGED_OUT, NOT_READY, READY, ON_CALL, WRAP_UP), 0)
        for agent in self._directory.agents():
            found[self._states.get(agent.agent_id, (LOGGED_OUT, None))[0]] += 1
        return found

    def subscribe(self, owner: object, team: str, listener: Listener) -> None:
        """Tell `listener` every member of the team whose state changes, until `unsubscribe`."""
        self._subscribers[owner] = (team, listener)

    def unsubscribe(self, owner: object) -> None:
        """End a subscription; there may be none."""
        self._subscribers.pop(owner, None)

    def is_subscribed(self, owner: object) -> bool:
        """Tell whether a subscription of that owner is there."""
        return owner in self._subscribers

    def on_change(self, change: Change) -> None:
        """Take a change of the model in."""
        match change:
            case PresenceChanged(before=before, now=now):
                for agent_id in {before.agent, now.agent} - {None}:
                    self._look_at(agent_id)
            case InteractionAdded(interaction=one, endpoint=endpoint):
                self._phones[one] = endpoint
                self._look_at(self._pbx.model.presence(endpoint).agent)
            case InteractionStarted(interaction=one) | InteractionEnded(interaction=one):
                self._look_at(self._pbx.model.presence(self._phones.get(one, "")).agent)
            case InteractionCompleted(interaction=one):
                self._look_at(self._pbx.model.presence(self._phones.pop(one, "")).agent)
            case _:
                pass

    def _look_at(self, agent_id: str | None) -> None:
        agent = self._directory.get(agent_id) if agent_id is not None else None
        if agent is None:
            return
        state = self._state_of(agent)
        before, _since = self._states.get(agent.agent_id, (LOGGED_OUT, None))
        if state == before:
            return
        self._states[agent.agent_id] = (state, self._clock())
        member = self._member(agent)
        for team, listener in tuple(self._subscribers.values()):
            if team == agent.team:
                listener(member)

    def endpoint_of(self, agent: Agent) -> str | None:
        """Return the phone at which an agent is logged in; None if nowhere."""
        return next(iter(self._pbx.model.board.phones_of(agent.agent_id)), None)

    def _state_of(self, agent: Agent) -> str:
        endpoint = self.endpoint_of(agent)
        if endpoint is None:
            return LOGGED_OUT
        if any(not one.over for one in self._pbx.model.interactions(endpoint)):
            return ON_CALL
        if self._pbx.model.occupied(endpoint):
            return WRAP_UP
        return READY if self._pbx.model.presence(endpoint).ready else NOT_READY

    def _member(self, agent: Agent) -> wire.TeamMember:
        state, since = self._states.get(agent.agent_id, (LOGGED_OUT, self._clock()))
        return wire.TeamMember(
            loginid=agent.login,
            firstname=agent.first_name,
            lastname=agent.last_name,
            extension=self.endpoint_of(agent) or agent.extension,
            state=state,
            statechangetime=since.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        )
