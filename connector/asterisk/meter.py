"""What the PBX side tells of its work, for whoever measures it. It knows nothing of metrics."""

from typing import Protocol


class Meter(Protocol):
    """Is told of links, actions and events. Methods are called on the event loop and must be quick."""

    def logged_in(self, user: str) -> None:
        """Note that a manager user is logged in, for the first time or again."""
        ...

    def action(self, user: str, name: str, outcome: str, seconds: float) -> None:
        """Note an action; `outcome` is `accepted`, `refused`, `timeout`, `lost` or `error`."""
        ...

    def event(self, name: str, arrived: float) -> None:
        """Note an event that the model is about to see; `arrived` is its time (`time.monotonic`)."""
        ...

    def event_over(self) -> None:
        """Note that everything which that event changed has been told."""
        ...

    def resynced(self, seconds: float) -> None:
        """Note that the model is in step with the PBX, so long after the login."""
        ...


class NoMeter:
    """Measures nothing."""

    def logged_in(self, user: str) -> None:
        """See `Meter`."""

    def action(self, user: str, name: str, outcome: str, seconds: float) -> None:
        """See `Meter`."""

    def event(self, name: str, arrived: float) -> None:
        """See `Meter`."""

    def event_over(self) -> None:
        """See `Meter`."""

    def resynced(self, seconds: float) -> None:
        """See `Meter`."""
