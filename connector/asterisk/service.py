"""Whether the PBX can be worked with: refused at once when not, told to the bridge after a grace.

A link that is back within the grace was never lost to the bridge: what changed meanwhile goes out as ordinary
changes. A PBX that says that it ends is told at once, for its calls end with it.
"""

import asyncio

from connector.asterisk.booting import Booting
from connector.asterisk.exchange import Exchange
from connector.telephony.changes import ServiceChanged


class Service:
    """Follows the link. `grace` in seconds."""

    def __init__(self, exchange: Exchange, grace: float) -> None:
        self._exchange = exchange
        self._grace = grace
        self.booting = Booting()
        self._told: ServiceChanged | None = None
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None

    def up(self) -> None:
        """Note that the link is up and the model in step."""
        self._cancel()
        self._exchange.set_available(available=True)
        # Also when nobody was told that it was away: a tree that was restored meanwhile waits for it.
        self._told = ServiceChanged(available=True)
        self._exchange.publish([self._told])

    def down(self, reason: str) -> None:
        """Note that the link broke: requests are refused from now on, and those that wait fail."""
        self.booting.lost()
        self._exchange.set_available(available=False)
        if self._told is not None and self._timer is None and not self._closed:
            lost = ServiceChanged(available=False, reason=reason)
            self._timer = asyncio.get_running_loop().call_later(self._grace, self._tell, lost)

    def ending(self) -> None:
        """Note that the PBX says that it ends."""
        self._exchange.set_available(available=False)
        self._tell(ServiceChanged(available=False, reason="it is being shut down", ending=True))

    def close(self) -> None:
        """Tell nothing more: the end of the link that follows is our own."""
        self._closed = True
        self._cancel()

    def _tell(self, change: ServiceChanged) -> None:
        if change != self._told:
            self._told = change
            self._exchange.publish([change])

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
