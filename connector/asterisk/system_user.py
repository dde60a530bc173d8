"""What recording, muting and supervision share: the second AMI user, and marks on legs for later."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

from connector.asterisk.link import AmiLink, AmiRefused
from connector.asterisk.wire import AmiMessage, Fields
from connector.telephony.pbx import Refused

_BEHIND = 1.0
"""Seconds that an action waits for its link."""


class SystemUser:
    """The links of both users: `system` is the second one's, which the few actions of that class need."""

    def __init__(
        self,
        link: AmiLink,
        system_link: AmiLink | None,
        ready_for_listeners: Callable[[str], Awaitable[None]],
    ) -> None:
        self._link = link
        self._system_link = system_link
        self.ready_for_listeners = ready_for_listeners
        """See `CallHandling`: to be awaited before anything is attached to a leg of the interaction."""

    def require(self, what: str) -> AmiLink:
        """Return the link of the second user.

        Raises:
            Refused: it is not configured.

        """
        if self._system_link is None:
            raise Refused(
                f"{what} is not set up: the connector has no system AMI user on the telephone system."
            )
        return self._system_link

    async def send(self, action: str, fields: Fields, system: AmiLink | None = None) -> AmiMessage:
        """Send an action on the first user's link, or on this one.

        Raises:
            Refused: the PBX does not want it.

        """
        link = system or self._link
        # The second user's link may come up a moment after the first one's.
        with suppress(TimeoutError):
            await link.wait_up(_BEHIND)
        try:
            return await link.send(action, fields)
        except AmiRefused as refusal:
            raise Refused(f"The telephone system refused: {refusal}.") from refusal

    async def pause_recording(self, leg: str, system: AmiLink, *, paused: bool) -> None:
        """Have all recorders on a leg write silence, or what is said again (MixMonitorMute)."""
        state = "1" if paused else "0"
        await self.send("MixMonitorMute", {"Channel": leg, "Direction": "both", "State": state}, system)

    async def read(self, leg: str, name: str) -> str:
        """Return a variable of a leg (Getvar), empty if it has none."""
        return (await self.send("Getvar", {"Channel": leg, "Variable": name})).get("Value") or ""

    async def mark(self, leg: str, name: str, value: str) -> None:
        """Set a variable on a leg (Setvar): its event tells the model, its listing tells who comes later."""
        await self.send("Setvar", {"Channel": leg, "Variable": name, "Value": value})
