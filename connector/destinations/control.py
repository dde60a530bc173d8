"""The control destination: server status, capabilities, agents' credentials, new sessions."""

from collections.abc import Mapping
from typing import Any

from connector.bridge.messages import control as wire
from connector.bridge.targets import control_target
from connector.destinations.base import Destination, Refusal, handles
from connector.destinations.directory import Agent, TooManyChecks
from connector.destinations.session import Session
from connector.destinations.tree import SERVICE_TOPIC, Tree
from connector.telephony.changes import Change, ServiceChanged

_CREATE_SESSION = "cti.request.createsession"
_SERVER_STATUS = "cti.request.serverstatus"
_DISPOSE = "cti.request.dispose"
_BAD_CREDENTIALS = "Agent id or password is wrong."


class Control(Destination):
    """Always there, whatever the state of sessions and PBX."""

    kind = "control destination"

    def __init__(self, tree: Tree) -> None:
        super().__init__(tree, control_target(tree.processor), None)
        tree.root = self
        tree.listen(SERVICE_TOPIC, self)
        self._was_in_service = tree.pbx.available
        self._service = ServiceChanged(tree.pbx.available)
        self._told: wire.ServiceStatus | None = None
        self._stopping = False
        self._pausing = False

    @property
    def status(self) -> wire.ServiceStatus:
        """The status that the bridge is told."""
        if self._stopping:
            return wire.ServiceStatus.STOPPING
        if self._service.available:
            return wire.ServiceStatus.PAUSING if self._pausing else wire.ServiceStatus.IN_SERVICE
        if self._service.ending:
            return wire.ServiceStatus.STOPPING
        return wire.ServiceStatus.OUT_OF_SERVICE if self._was_in_service else wire.ServiceStatus.STARTING

    @property
    def busy(self) -> bool:
        """Whether an agent with a session is on a call."""
        return any(isinstance(child, Session) and child.busy for child in self.children.values())

    def lane_for(self, name: str, body: Mapping[str, Any]) -> str:
        """Give every new session a lane of its own: checking a password takes a while."""
        destination = body.get("destination")
        if name.replace(" ", "") == _CREATE_SESSION and isinstance(destination, str) and destination:
            return destination
        return self.target

    @handles(wire.ServerStatus)
    async def server_status(self, _body: wire.ServerStatus) -> None:
        """Answer; the status itself follows as an event."""
        self.open = True

    @handles(wire.Capabilities)
    async def capabilities(self, _body: wire.Capabilities) -> wire.CapabilitiesReply:
        """Tell what the connector supports: one channel group an agent, with a telephony channel in it."""
        return wire.CapabilitiesReply(
            channel_groups_supported=True,
            channel_groups_max_per_agent=1,
            channel_groups_media_types="TELEPHONY",
            single_channels_supported=False,
            single_channels_media_types="",
        )

    @handles(wire.AgentInfo)
    async def agent_info(self, body: wire.AgentInfo) -> wire.AgentInfoReply:
        """Check who asks, then tell what the directory knows of the agent."""
        await self._check(body.requesting_agent_login, body.requesting_agent_password)
        agent = self.tree.directory.get(body.agent_id)
        if agent is None:
            raise Refusal(f"Agent {body.agent_id} is not known.")
        return wire.AgentInfoReply(
            switch_agent_id=agent.login,
            first_name=agent.first_name,
            last_name=agent.last_name,
            full_name=f"{agent.first_name} {agent.last_name}".strip(),
            cti_specific={"extension": agent.extension, "queues": list(agent.queues)},
        )

    @handles(wire.ValidateAgentCredentials)
    async def validate_agent_credentials(self, body: wire.ValidateAgentCredentials) -> None:
        """Check a password without any side effect; `agentLogin` must belong to `agentId`."""
        agent = await self._check(body.agent_login or body.agent_id, body.agent_password)
        if agent.agent_id != body.agent_id:
            raise Refusal(_BAD_CREDENTIALS)

    @handles(wire.CreateSession)
    async def create_session(self, body: wire.CreateSession) -> None:
        """Check the agent's password and prepare the session destination."""
        self._require_sessions()
        agent = await self._check(body.agent_id, body.agent_password)
        # To check a password takes a while, and the bridge may have disposed of everything meanwhile.
        self._require_sessions()
        self._end_outlived(agent)
        if self.tree.find(body.destination) is not None:
            raise Refusal(f"The destination {body.destination} exists already.")
        Session(self.tree, body.destination, self, agent, body.session_id)

    def _require_sessions(self) -> None:
        """Raise Refusal unless sessions can be made now."""
        if not self.open:
            raise Refusal("No sessions yet: the bridge has not asked for the service status.")
        if self._stopping or self._pausing:
            raise Refusal("No new sessions: the connector is being stopped.")
        if not self.tree.pbx.available:
            raise Refusal("No new sessions at the moment: the telephone system cannot be reached.")

    def go_on_from(self, status: wire.ServiceStatus) -> None:
        """Take up the status that an earlier process has told."""
        self._told = status
        self._was_in_service = self._was_in_service or status is not wire.ServiceStatus.STARTING

    def tell_news(self) -> None:
        """Tell the status if it is not the one that was told, and sessions that the service is lost."""
        if self.status is self._told:
            return
        self._tell_status()
        if not self._service.available:
            for child in self.children.values():
                if isinstance(child, Session):
                    child.lose_service()

    def pause(self) -> None:
        """Tell the bridge to begin no more sessions: the connector will be stopped when calls are over."""
        self._pausing = True
        if self.busy and self.status is not self._told:
            self._tell_status()

    def stop(self) -> None:
        """Tell the bridge that the connector is being stopped: no new sessions from now on."""
        self._stopping = True
        if self.status is not self._told:
            self._tell_status()

    @handles(wire.Dispose)
    async def dispose_all(self, _body: wire.Dispose) -> None:
        """Answer; everything is released after it."""

    def answered(self, name: str) -> None:
        """Send the status after serverstatus; release all sessions after dispose."""
        if name == _SERVER_STATUS:
            self._tell_status()
        elif name == _DISPOSE:
            for child in tuple(self.children.values()):
                child.dispose()
            self.open = False

    def on_change(self, change: Change) -> None:
        """Tell the bridge when the PBX comes or goes."""
        if isinstance(change, ServiceChanged):
            self._service = change
            self._was_in_service = self._was_in_service or change.available
            if self.status is not self._told:
                self._tell_status()

    def _end_outlived(self, agent: Agent) -> None:
        """Drop the agent's sessions from before the service was lost: the bridge has ended them (S3).

        A bridge that kept one goes on with it, and does not ask for another.
        """
        for child in tuple(self.children.values()):
            if isinstance(child, Session) and child.out_of_service and child.agent.agent_id == agent.agent_id:
                child.dispose()

    def _tell_status(self) -> None:
        self._told = self.status
        self.emit(wire.ServerStatusChanged(status=self.status))

    async def _check(self, login: str, password: str) -> Agent:
        agent = self.tree.directory.get(login)
        try:
            right = await self.tree.directory.verify(login, password)
        except TooManyChecks as refusal:
            raise Refusal(str(refusal)) from refusal
        if not right or agent is None:
            raise Refusal(_BAD_CREDENTIALS)
        return agent
