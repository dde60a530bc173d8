"""The part of an interaction that is our own extension: recording the call, muting the agent."""

from typing import Any

from connector.bridge.messages import extensions as wire
from connector.bridge.messages import interaction as interaction_wire
from connector.destinations.base import Destination, Refusal, handles
from connector.telephony import changes
from connector.telephony.changes import Change
from connector.telephony.interactions import Interaction as Model
from connector.telephony.states import Recording


def require_extensions(destination: Destination) -> None:
    """Raise Refusal unless the site uses our extension of the protocol."""
    if not destination.tree.site.extensions:
        raise Refusal("Messages with x- are an extension that is not enabled here (extensions.enabled).")


class RecordedInteraction(Destination):
    """Carries out the requests of the extension and tells what came of them."""

    nativeid: str

    @handles(wire.StartRecording)
    async def start_recording(self, _body: wire.StartRecording) -> wire.RecordingStarted:
        """Record the customer's leg."""
        require_extensions(self)
        return wire.RecordingStarted(file=await self.tree.pbx.start_recording(self.nativeid))

    @handles(wire.StopRecording)
    async def stop_recording(self, _body: wire.StopRecording) -> None:
        """End the recording."""
        require_extensions(self)
        await self.tree.pbx.stop_recording(self.nativeid)

    @handles(wire.PauseRecording)
    async def pause_recording(self, _body: wire.PauseRecording) -> None:
        """Record silence."""
        require_extensions(self)
        await self.tree.pbx.pause_recording(self.nativeid, paused=True)

    @handles(wire.ResumeRecording)
    async def resume_recording(self, _body: wire.ResumeRecording) -> None:
        """End the pause."""
        require_extensions(self)
        await self.tree.pbx.pause_recording(self.nativeid, paused=False)

    @handles(wire.Mute)
    async def mute(self, _body: wire.Mute) -> None:
        """Let nobody hear the agent."""
        require_extensions(self)
        await self.tree.pbx.mute(self.nativeid, muted=True)

    @handles(wire.Unmute)
    async def unmute(self, _body: wire.Unmute) -> None:
        """Let everybody hear the agent."""
        require_extensions(self)
        await self.tree.pbx.mute(self.nativeid, muted=False)

    def marks(self, model: Model) -> dict[str, interaction_wire.DataValue]:
        """Return the keys of the interaction data that tell of recording and muting; none if all is usual."""
        marks: dict[str, interaction_wire.DataValue] = {}
        if self.tree.site.extensions and model.recording is not Recording.OFF:
            marks[wire.RECORDING_KEY] = str(model.recording)
        if self.tree.site.extensions and model.muted:
            marks[wire.MUTED_KEY] = True
        return marks

    def tell_marks(self, change: Change) -> None:
        """Tell a change of recording or muting: by its own event, and as interaction data."""
        if not self.tree.site.extensions:
            return
        match change:
            case changes.RecordingChanged(state=state):
                self.emit(wire.RecordingChanged(recording=wire.RecordingState(state)))
                self._tell_data(wire.RECORDING_KEY, None if state is Recording.OFF else str(state))
            case changes.MuteChanged(muted=muted):
                self.emit(wire.MuteChanged(muted=muted))
                self._tell_data(wire.MUTED_KEY, muted or None)
            case _:
                pass

    def _tell_data(self, key: str, value: Any) -> None:
        self.emit(interaction_wire.DataChanged(interaction_data={key: value}))
