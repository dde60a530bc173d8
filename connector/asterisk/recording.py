"""Recording a call (MixMonitor on the customer's leg) and muting its agent (MuteAudio on the agent's leg).

Both sit on a leg, so they follow it through hold, consult, conference and transfer. What the model knows
of them comes from Asterisk's events; variables on the legs tell a connector that comes later.
"""

import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiLink, AmiRefused
from connector.asterisk.settings import RecordingSettings
from connector.asterisk.wire import AmiMessage, Fields
from connector.telephony.interactions import Interaction
from connector.telephony.pbx import Refused
from connector.telephony.states import InteractionState, Recording

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST = 40
_BEHIND = 1.0
"""Seconds that an action waits for its link."""

_RECORDER, _RECORDING, _MUTED = "HARMONY_X_RECORDER", "HARMONY_X_RECORDING", "HARMONY_X_MUTED"


def require_system(link: AmiLink | None, what: str) -> AmiLink:
    """Return the link of the second user.

    Raises:
        Refused: it is not configured.

    """
    if link is None:
        raise Refused(f"{what} is not set up: the connector has no system AMI user on the telephone system.")
    return link


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def file_name(settings: RecordingSettings, interaction: Interaction, agent: str, now: datetime) -> str:
    """Return the path of a new recording, in UTC times: the pattern, with every field made harmless.

    Of a field letters, digits, `-` and `_` are kept, 40 at most; nothing of it can leave the directory.
    """
    member = next(iter(interaction.primary.members), None)
    values = {
        "date": f"{now:%Y-%m-%d}",
        "time": f"{now:%H%M%S}",
        "agent": agent,
        "phone": interaction.endpoint,
        "number": member.address if member is not None else "",
        "direction": interaction.data.get("DIRECTION", ""),
        "queue": interaction.data.get("QUEUE", ""),
        "call": interaction.id,
        "unique": secrets.token_hex(4),
    }
    fitted = {name: _UNFIT.sub("_", value)[:_LONGEST] or "none" for name, value in values.items()}
    return f"{settings.directory}/{settings.name.format(**fitted)}.{settings.format}"


class Recorder:
    """Start, stop, pause; and mute."""

    def __init__(
        self,
        exchange: Exchange,
        link: AmiLink,
        system_link: AmiLink | None,
        settings: RecordingSettings,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._exchange = exchange
        self._link = link
        self._system_link = system_link
        self._settings = settings
        self._clock = clock

    async def start(self, interaction_id: str) -> str:
        """Record both directions of the customer's leg. Returns the file's name on the PBX."""
        system, interaction = self._ready(interaction_id)
        if interaction.recording is not Recording.OFF:
            raise Refused(f"The call is recorded already: the recording is {interaction.recording}.")
        leg = next(iter(interaction.primary.parties), None)
        if leg is None:
            raise Refused("This call has no other party that could be recorded.")
        agent = self._exchange.model.presence(interaction.endpoint).agent or ""
        file = file_name(self._settings, interaction, agent, self._clock())
        # The option has the recorder's id written on the leg: only so can this one be stopped and no other.
        await self._send(system, "MixMonitor", {"Channel": leg, "File": file, "Options": f"i({_RECORDER})"})
        await self._mark(leg, _RECORDING, Recording.ON)
        await self._shown(interaction, Recording.ON)
        return file

    async def stop(self, interaction_id: str) -> None:
        """End the recording that was started here."""
        system, interaction = self._ready(interaction_id)
        leg = self._recorded_leg(interaction)
        recorder = (await self._send(self._link, "Getvar", {"Channel": leg, "Variable": _RECORDER}))["Value"]
        if not recorder:
            raise Refused("The telephone system itself records this call: that can be paused, not stopped.")
        await self._send(system, "StopMixMonitor", {"Channel": leg, "MixMonitorID": recorder})
        await self._mark(leg, _RECORDER, "")
        await self._mark(leg, _RECORDING, "")
        await self._shown(interaction, Recording.OFF)

    async def pause(self, interaction_id: str, *, paused: bool) -> None:
        """Have silence recorded, or what is said again. Applies to every recorder on the leg."""
        system, interaction = self._ready(interaction_id)
        leg = self._recorded_leg(interaction)
        wanted = Recording.PAUSED if paused else Recording.ON
        if interaction.recording is wanted:
            raise Refused(f"The recording is {wanted} already.")
        fields = {"Channel": leg, "Direction": "both", "State": "1" if paused else "0"}
        await self._send(system, "MixMonitorMute", fields)
        await self._mark(leg, _RECORDING, wanted)
        await self._shown(interaction, wanted)

    async def mute(self, interaction_id: str, *, muted: bool) -> None:
        """Drop what comes from the agent's phone, or let it through. The variable's event is the proof."""
        system, interaction = self._ready(interaction_id, "Muting")
        if interaction.muted is muted:
            raise Refused(f"The agent is {'muted' if muted else 'not muted'} already.")
        state = "on" if muted else "off"
        fields = {"Channel": interaction.leg, "Direction": "in", "State": state}
        await self._send(system, "MuteAudio", fields)
        await self._mark(interaction.leg, _MUTED, "1" if muted else "")
        await self._exchange.until(lambda: interaction.over or interaction.muted is muted, f"mute {state}")

    def _ready(self, interaction_id: str, what: str = "Recording") -> tuple[AmiLink, Interaction]:
        system = require_system(self._system_link, what)
        self._exchange.require_available()
        interaction = self._exchange.model.interaction(interaction_id)
        if interaction is None or interaction.over:
            raise Refused("The call is over already.")
        if interaction.state is not InteractionState.STARTED:
            raise Refused(f"The call is not answered yet: it is {interaction.state}.")
        return system, interaction

    def _recorded_leg(self, interaction: Interaction) -> str:
        for party in interaction.primary.parties:
            leg = self._exchange.model.legs.get(party)
            if leg is not None and leg.recording is not Recording.OFF:
                return party
        raise Refused("The call is not being recorded.")

    async def _send(self, link: AmiLink, action: str, fields: Fields) -> AmiMessage:
        # The second user's link may come up a moment after the first one's.
        with suppress(TimeoutError):
            await link.wait_up(_BEHIND)
        try:
            return await link.send(action, fields)
        except AmiRefused as refusal:
            raise Refused(f"The telephone system refused: {refusal}.") from refusal

    async def _mark(self, leg: str, name: str, value: str) -> None:
        await self._send(self._link, "Setvar", {"Channel": leg, "Variable": name, "Value": value})

    async def _shown(self, interaction: Interaction, wanted: Recording) -> None:
        await self._exchange.until(
            lambda: interaction.over or interaction.recording is wanted, f"recording {wanted}"
        )
