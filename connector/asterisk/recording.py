"""Recording a call (MixMonitor on the customer's leg).

It sits on the leg, so it follows it through hold, consult, conference and transfer. What the model knows
of it comes from Asterisk's events; variables on the leg tell a connector that comes later.
"""

import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from connector.asterisk.exchange import Exchange
from connector.asterisk.handling import started
from connector.asterisk.link import AmiError, AmiLink
from connector.asterisk.settings import RecordingSettings
from connector.asterisk.system_user import SystemUser
from connector.asterisk.turns import Turns
from connector.telephony.interactions import Interaction
from connector.telephony.pbx import PbxProblem, Refused
from connector.telephony.states import Recording

log = structlog.get_logger(__name__)

_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST = 40
RECORDER, RECORDING_FILE, _RECORDING = "HARMONY_X_RECORDER", "HARMONY_X_FILE", "HARMONY_X_RECORDING"
"""On a recorded leg: the recorder's id (empty: it is none of ours), its file, and the state."""


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def file_name(settings: RecordingSettings, interaction: Interaction, agent: str, now: datetime) -> str:
    """Return the path of a new recording, in UTC times: the pattern, with every field made harmless.

    Of a field letters, digits, `-` and `_` are kept, 40 at most; nothing of it can leave the directory.
    """
    member = interaction.contact
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
    """Start, stop, pause. `turns` are those of recorded legs."""

    def __init__(
        self,
        exchange: Exchange,
        user: SystemUser,
        settings: RecordingSettings,
        turns: Turns,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._exchange = exchange
        self._user = user
        self._settings = settings
        self._turns = turns
        self._clock = clock

    async def start(self, interaction_id: str) -> str:
        """Record both directions of the customer's leg. Returns the file's name on the PBX."""
        system, interaction = self._ready(interaction_id)
        if interaction.recording is not Recording.OFF:
            raise Refused(f"The call is recorded already: the recording is {interaction.recording}.")
        leg = interaction.caller
        if leg is None:
            raise Refused("This call has no other party that could be recorded.")
        if self._exchange.model.interaction_on(leg) is not None:
            # What sits on that leg goes with it into that agent's other calls, where nobody could stop it.
            raise Refused("The other party is an agent: a call between agents cannot be recorded.")
        agent = self._exchange.model.presence(interaction.endpoint).agent or ""
        file = file_name(self._settings, interaction, agent, self._clock())
        await self._user.ready_for_listeners(interaction_id)
        # The option has the recorder's id written on the leg: only so can this one be stopped and no other.
        fields = {"Channel": leg, "File": file, "Options": f"i({RECORDER})"}
        await self._user.send("MixMonitor", fields, system)
        await self._user.mark(leg, RECORDING_FILE, file)
        await self._user.mark(leg, _RECORDING, Recording.ON)
        await self._shown(interaction, Recording.ON)
        return file

    async def stop(self, interaction_id: str) -> None:
        """End the recording that was started here."""
        system, interaction = self._ready(interaction_id)
        leg = self._recorded_leg(interaction)
        async with self._turns.of(leg):
            recorder = await self._user.read(leg, RECORDER)
            if not recorder:
                raise Refused(
                    "The telephone system itself records this call: that can be paused, not stopped."
                )
            await self._user.send("StopMixMonitor", {"Channel": leg, "MixMonitorID": recorder}, system)
            await self._user.mark(leg, RECORDER, "")
            await self._user.mark(leg, _RECORDING, "")
        await self._shown(interaction, Recording.OFF)

    async def pause(self, interaction_id: str, *, paused: bool) -> None:
        """Have silence recorded, or what is said again. Applies to every recorder on the leg."""
        system, interaction = self._ready(interaction_id)
        leg = self._recorded_leg(interaction)
        wanted = Recording.PAUSED if paused else Recording.ON
        if interaction.recording is wanted:
            raise Refused(f"The recording is {wanted} already.")
        async with self._turns.of(leg):
            await self._user.pause_recording(leg, system, paused=paused)
            await self._user.mark(leg, _RECORDING, wanted)
        await self._shown(interaction, wanted)

    async def mark_anew(self) -> None:
        """Write on legs that we record that they are recorded: the link may have broken before that."""
        legs = self._exchange.model.legs
        for leg in [one.id for one in legs.legs.values() if one.recording is not Recording.OFF]:
            try:
                async with self._turns.of(leg):
                    is_ours, live = await self._user.read(leg, RECORDER), legs.get(leg)
                    if is_ours and live is not None and live.recording is not Recording.OFF:
                        await self._user.mark(leg, _RECORDING, live.recording)
            except (AmiError, PbxProblem) as problem:
                log.info("a recorded leg was gone already", leg=leg, reason=str(problem))

    def _ready(self, interaction_id: str) -> tuple[AmiLink, Interaction]:
        return self._user.require("Recording"), started(self._exchange, interaction_id)

    def _recorded_leg(self, interaction: Interaction) -> str:
        for party in interaction.contacts:
            leg = self._exchange.model.legs.get(party)
            if leg is not None and leg.recording is not Recording.OFF:
                return party
        raise Refused("The call is not being recorded.")

    async def _shown(self, interaction: Interaction, wanted: Recording) -> None:
        await self._exchange.until(
            lambda: interaction.over or interaction.recording is wanted, f"recording {wanted}"
        )
