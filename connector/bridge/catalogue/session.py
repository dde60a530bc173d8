"""Session destination: one per agent who works with Harmony."""

from enum import StrEnum
from typing import Any

import msgspec

from connector.bridge.schema import Body, Scope, event, query, request


class ChannelType(StrEnum):
    """Media of a channel."""

    TELEPHONY = "TELEPHONY"
    EMAIL = "EMAIL"
    CHAT = "CHAT"
    CALLBACK = "CALLBACK"
    UNSUPPORTED = "UNSUPPORTED"


class SessionInitReply(Body, frozen=True, kw_only=True, rename="camel"):
    """The one channel group of the session, by its CTI id."""

    channel_group: str


@query("session.query.init", scope=Scope.SESSION, origin="S4", reply=SessionInitReply)
class SessionInit(Body, frozen=True, kw_only=True):
    """Opens the session; media flags that the platform does not support are ignored."""

    name: str = ""
    chat: bool = False
    email: bool = False
    callback: bool = False


class MediaProperties(Body, frozen=True, kw_only=True):
    """Media that the agent is configured for."""

    chat: bool = False
    email: bool = False
    callback: bool = False
    voicemail: bool = False


class GroupExtensions(Body, frozen=True, kw_only=True):
    """Site specific settings of a channel group, strings as the bridge has them."""

    mobileagent_mode: str = msgspec.field(name="mobileagent-mode", default="")
    mobileagent_dialnumber: str = msgspec.field(name="mobileagent-dialnumber", default="")
    max_emails: str = msgspec.field(name="MaxEmails", default="")
    max_chats: str = msgspec.field(name="MaxChats", default="")


# The source prints these keys flat, and one of them with another prefix than its neighbours.
_FLAT_PREFIXES = {"properties.": "properties", "extensions.": "extensions", "extension.": "extensions"}


@request("session.request.createchannelgroup", scope=Scope.SESSION, origin="S4")
class CreateChannelGroup(Body, frozen=True, kw_only=True):
    """Prepares the channel group; `extension` is the phone at which the agent sits."""

    name: str
    id: str
    extension: str = ""
    properties: MediaProperties = MediaProperties()
    extensions: GroupExtensions = GroupExtensions()

    @classmethod
    def normalise(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Fold the dotted flat spelling into the nested objects; numbers become strings."""
        out: dict[str, Any] = {}
        for key, value in data.items():
            for prefix, section in _FLAT_PREFIXES.items():
                if key.startswith(prefix):
                    # A section that is not an object stays as it is: the type check names it then.
                    nested = out.setdefault(section, data.get(section) or {})
                    if isinstance(nested, dict):
                        out[section] = {key.removeprefix(prefix): value, **nested}
                    break
            else:
                out.setdefault(key, value)
        for section in ("properties", "extensions"):
            if isinstance(nested := out.get(section), dict):
                out[section] = {key: value for key, value in nested.items() if value is not None}
        if isinstance(extensions := out.get("extensions"), dict):
            out["extensions"] = {
                key: str(value) if type(value) is int else value for key, value in extensions.items()
            }
        return out


@request("session.request.close", scope=Scope.SESSION, origin="S4")
class Close(Body, frozen=True, kw_only=True):
    """Logs the agent out; FAILURE while the session is busy, else it ends with `session.closed`."""


@request("session.request.externallogoutreasons", scope=Scope.SESSION, origin="S4")
class ExternalLogoutReasons(Body, frozen=True, kw_only=True):
    """Asks for the logout reasons: the response, then `session.externallogoutreasons.updated`."""


@request("session.request.externalnotreadyreasons", scope=Scope.SESSION, origin="S4")
class ExternalNotReadyReasons(Body, frozen=True, kw_only=True):
    """Asks for the not-ready reasons: the response, then `session.externalnotreadyreasons.updated`."""


@request("session.request.dispose", scope=Scope.SESSION, origin="S4")
class Dispose(Body, frozen=True, kw_only=True):
    """Drops the session's resources; the agent's state on the PBX stays as it is."""


class TeamMember(Body, frozen=True, kw_only=True):
    """One agent of the team; `statechangetime` is ISO 8601 in UTC."""

    loginid: str
    firstname: str
    lastname: str
    extension: str
    state: str
    statechangetime: str


class TeamStatusReply(Body, frozen=True, kw_only=True):
    """All members of the agent's team."""

    teamstatus: tuple[TeamMember, ...]


@request("session.request.getteamstatus", scope=Scope.SESSION, origin="S4", reply=TeamStatusReply)
class GetTeamStatus(Body, frozen=True, kw_only=True):
    """Asks for the team's states; `realtime` true subscribes to `session.teamstatus.updated`."""

    realtime: bool = False


@request("session.request.stopteamstatus", scope=Scope.SESSION, origin="S4")
class StopTeamStatus(Body, frozen=True, kw_only=True):
    """Ends the subscription to the team's states."""


@event("session.closed", scope=Scope.SESSION, origin="S4")
class Closed(Body, frozen=True, kw_only=True):
    """The agent is logged out."""


@event("session.channel.added", scope=Scope.SESSION, origin="S4")
class ChannelAdded(Body, frozen=True, kw_only=True):
    """A channel was added for the agent."""

    endpoint: str
    type: ChannelType


@event("session.channelgroup.added", scope=Scope.SESSION, origin="S4")
class ChannelGroupAdded(Body, frozen=True, kw_only=True):
    """A channel group was added for the agent; `name` is its CTI id."""

    name: str


class ReasonLabel(Body, frozen=True, kw_only=True):
    """A reason in one language."""

    language: str
    country: str
    name: str
    description: str


class LogoutReason(Body, frozen=True, kw_only=True):
    """A reason that an agent may give for logging out."""

    id: str = msgspec.field(name="logoutReasonId")
    code: str = msgspec.field(name="logoutReasonCode")
    extensions: tuple[dict[str, Any], ...]
    labels: tuple[ReasonLabel, ...]


class NotReadyReason(Body, frozen=True, kw_only=True):
    """A reason that an agent may give for being not ready."""

    id: str = msgspec.field(name="reasonCodeId")
    code: str = msgspec.field(name="reasonCodeCode")
    selectable: bool
    extensions: tuple[dict[str, Any], ...]
    labels: tuple[ReasonLabel, ...]


@event("session.externallogoutreasons.updated", scope=Scope.SESSION, origin="S4")
class LogoutReasonsUpdated(Body, frozen=True, kw_only=True, rename="camel"):
    """The logout reasons of this session."""

    logout_reasons: tuple[LogoutReason, ...]


@event("session.externalnotreadyreasons.updated", scope=Scope.SESSION, origin="S4")
class NotReadyReasonsUpdated(Body, frozen=True, kw_only=True, rename="camel"):
    """The not-ready reasons of this session."""

    reason_codes: tuple[NotReadyReason, ...]


@event("session.teamstatus.updated", scope=Scope.SESSION, origin="S4")
class TeamStatusUpdated(Body, frozen=True, kw_only=True):
    """Members of the team whose state changed, and only these."""

    teamstatus: tuple[TeamMember, ...]
