"""Our own extension of the catalogue: recording, muting, supervision, what a channel cannot do.

The vendor's protocol has none of this. Every name has `x-` before its last word, and nothing of it is on the
wire unless the site's configuration says `extensions.enabled`: a bridge that doesn't know it never meets it.
"""

from enum import StrEnum
from typing import Final

from connector.bridge.schema import Body, Scope, event, query, request

ORIGIN: Final = "X"
"""What stands for this module in the catalogue's column of origins."""

RECORDING_KEY: Final = "X_RECORDING"
MUTED_KEY: Final = "X_MUTED"
"""Keys of the interaction data that tell a desktop that comes later: a `RecordingState`, and true."""


class RecordingState(StrEnum):
    """Whether the customer's leg is recorded."""

    OFF = "OFF"
    ON = "ON"
    PAUSED = "PAUSED"


class SupervisionMode(StrEnum):
    """How to supervise: hear the agent's call, be heard by the agent too, be heard by everybody."""

    MONITOR = "MONITOR"
    WHISPER = "WHISPER"
    BARGE = "BARGE"


class SupervisionState(StrEnum):
    """What the supervisor's phone does: nothing, ring for it, or supervise in a mode."""

    OFF = "OFF"
    CALLING = "CALLING"
    MONITOR = "MONITOR"
    WHISPER = "WHISPER"
    BARGE = "BARGE"


class RecordingStarted(Body, frozen=True, kw_only=True):
    """The recording's file on the telephone system."""

    file: str


@request(
    "interaction.request.x-startrecording", scope=Scope.INTERACTION, origin=ORIGIN, reply=RecordingStarted
)
class StartRecording(Body, frozen=True, kw_only=True):
    """Records the customer's leg until it ends; then `interaction.x-recordingchanged`."""


@request("interaction.request.x-stoprecording", scope=Scope.INTERACTION, origin=ORIGIN)
class StopRecording(Body, frozen=True, kw_only=True):
    """Ends a recording that was started here; then `interaction.x-recordingchanged`."""


@request("interaction.request.x-pauserecording", scope=Scope.INTERACTION, origin=ORIGIN)
class PauseRecording(Body, frozen=True, kw_only=True):
    """Records silence from now on; then `interaction.x-recordingchanged`."""


@request("interaction.request.x-resumerecording", scope=Scope.INTERACTION, origin=ORIGIN)
class ResumeRecording(Body, frozen=True, kw_only=True):
    """Ends a pause; then `interaction.x-recordingchanged`."""


@event("interaction.x-recordingchanged", scope=Scope.INTERACTION, origin=ORIGIN)
class RecordingChanged(Body, frozen=True, kw_only=True):
    """The call is recorded, or no longer, or pauses: whoever wanted it."""

    recording: RecordingState


@request("interaction.request.x-mute", scope=Scope.INTERACTION, origin=ORIGIN)
class Mute(Body, frozen=True, kw_only=True):
    """Nobody hears the agent any more; then `interaction.x-mutechanged`."""


@request("interaction.request.x-unmute", scope=Scope.INTERACTION, origin=ORIGIN)
class Unmute(Body, frozen=True, kw_only=True):
    """Everybody hears the agent again; then `interaction.x-mutechanged`."""


@event("interaction.x-mutechanged", scope=Scope.INTERACTION, origin=ORIGIN)
class MuteChanged(Body, frozen=True, kw_only=True):
    """The agent is muted, or no longer."""

    muted: bool


class CapabilitiesReply(Body, frozen=True, kw_only=True):
    """What this site's way of handling calls cannot do at this phone.

    `unsupported` names the requests that are always refused, `limits` has a sentence for each thing that
    is refused or different at times. Both may be empty.
    """

    unsupported: tuple[str, ...]
    limits: tuple[str, ...]


@query("channel.query.x-capabilities", scope=Scope.CHANNEL, origin=ORIGIN, reply=CapabilitiesReply)
class AskCapabilities(Body, frozen=True, kw_only=True):
    """Asks what of call handling is not possible here."""


@request("channel.request.x-supervise", scope=Scope.CHANNEL, origin=ORIGIN)
class Supervise(Body, frozen=True, kw_only=True, rename="camel"):
    """Rings the supervisor's phone for an agent's call, or changes the mode; an event follows."""

    agent_id: str
    mode: SupervisionMode


@request("channel.request.x-stopsupervision", scope=Scope.CHANNEL, origin=ORIGIN)
class StopSupervision(Body, frozen=True, kw_only=True):
    """Hangs the supervisor's phone up; then `channel.x-supervisionchanged`."""


class SupervisionReply(Body, frozen=True, kw_only=True):
    """What the supervisor's phone does; unless OFF, with the agent's phone and interaction."""

    state: SupervisionState
    endpoint: str | None = None
    nativeid: str | None = None


@query("channel.query.x-supervision", scope=Scope.CHANNEL, origin=ORIGIN, reply=SupervisionReply)
class AskSupervision(Body, frozen=True, kw_only=True):
    """Asks what the supervisor's phone does."""


@event("channel.x-supervisionchanged", scope=Scope.CHANNEL, origin=ORIGIN)
class SupervisionChanged(SupervisionReply, frozen=True, kw_only=True):
    """The supervisor's phone does something else now."""
