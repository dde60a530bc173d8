"""CONTROL destination: service status, capabilities, agents, and the start of sessions."""

from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from connector.bridge.schema import Body, Password, Scope, event, query, request


class ServiceStatus(StrEnum):
    """Whether the client takes new sessions, and whether it keeps the existing ones."""

    STARTING = "starting-service"
    IN_SERVICE = "in-service"
    PAUSING = "pausing-service"
    STOPPING = "stopping-service"
    OUT_OF_SERVICE = "out-of-service"


class CapabilitiesReply(Body, frozen=True, kw_only=True, rename="kebab"):
    """What the CTI platform can do; media types are comma separated lists."""

    channel_groups_supported: bool
    channel_groups_max_per_agent: int
    channel_groups_media_types: str
    single_channels_supported: bool
    single_channels_media_types: str


@query("cti.query.capabilities", scope=Scope.CONTROL, origin="S3", reply=CapabilitiesReply)
class Capabilities(Body, frozen=True, kw_only=True):
    """Asks what the CTI platform can do; last step of the control initialisation."""


class AgentInfoReply(Body, frozen=True, kw_only=True, rename="kebab"):
    """Who an agent is. `full-name` wins over first and last name."""

    switch_agent_id: str
    first_name: str = ""
    last_name: str = ""
    full_name: str = ""
    cti_specific: dict[str, Any] = msgspec.field(default_factory=dict)


@query("cti.query.agentinfo", scope=Scope.CONTROL, origin="S3", reply=AgentInfoReply)
class AgentInfo(Body, frozen=True, kw_only=True, rename="camel"):
    """Asks who an agent is; the requester's credentials are checked first."""

    secrets: ClassVar[frozenset[str]] = frozenset({"requesting_agent_password"})

    agent_id: str
    requesting_agent_login: str
    requesting_agent_password: Password


@request("cti.request.validateagentcredentials", scope=Scope.CONTROL, origin="S3")
class ValidateAgentCredentials(Body, frozen=True, kw_only=True, rename="camel"):
    """Has an agent's password checked, free of side effects."""

    secrets: ClassVar[frozenset[str]] = frozenset({"agent_password"})

    agent_id: str
    agent_login: str = ""
    agent_password: Password


@request("cti.request.serverstatus", scope=Scope.CONTROL, origin="S3")
class ServerStatus(Body, frozen=True, kw_only=True):
    """Asks for the service status: the response, then `cti.serverstatuschanged`."""


@request("cti.request.createsession", scope=Scope.CONTROL, origin="S3")
class CreateSession(Body, frozen=True, kw_only=True, rename="camel"):
    """Logs an agent in and prepares the session destination named in `destination`."""

    secrets: ClassVar[frozenset[str]] = frozenset({"agent_password"})

    agent_id: str
    agent_password: Password
    session_id: str
    destination: str


@request("cti.request.dispose", scope=Scope.CONTROL, origin="S3")
class Dispose(Body, frozen=True, kw_only=True):
    """Ends the service: respond, then release everything."""


@event("cti.serverstatuschanged", scope=Scope.CONTROL, origin="S3")
class ServerStatusChanged(Body, frozen=True, kw_only=True):
    """The service status: on every change and after `cti.request.serverstatus`."""

    status: ServiceStatus
