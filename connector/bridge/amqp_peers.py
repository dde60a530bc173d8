"""Which process the other side is, and which it was before. It does no I/O."""

from collections import deque
from datetime import datetime

_FORMER_PEERS = 16


class Peers:
    """Processes of the other side, known by the `app_id` of what they send."""

    def __init__(self) -> None:
        self.current: str | None = None
        self._newest: datetime | None = None
        self._former: deque[str] = deque(maxlen=_FORMER_PEERS)

    def restore(self, current: str | None, newest: datetime | None) -> None:
        """Go on with the process that an earlier one of ours knew."""
        self.current, self._newest = current, newest

    @property
    def newest(self) -> datetime | None:
        """When the current process sent its newest message, by its own clock; None if it doesn't say."""
        return self._newest

    def is_former(self, app_id: str | None) -> bool:
        """Whether that process was another one's predecessor."""
        return bool(app_id) and app_id in self._former

    def why_past(
        self, app_id: str | None, *, redelivered: bool | None, timestamp: datetime | None
    ) -> str | None:
        """Return what proves that a message was sent before the current process began; None if nothing does.

        Without proof a former process is one that is back: of two hosts that take turns each keeps its name.
        """
        if not self.is_former(app_id):
            return None
        if redelivered:
            return "it is delivered again"
        if timestamp is not None and self._newest is not None and timestamp < self._newest:
            return "it is older than what the present process sent"
        return None

    def meets(self, app_id: str, timestamp: datetime | None) -> bool:
        """Take note of who speaks; True if that is another process than before."""
        before, self.current = self.current, app_id
        changed = before is not None and before != app_id
        if before != app_id:
            self._newest = None
        if before is not None and changed:
            if app_id in self._former:
                self._former.remove(app_id)
            self._former.append(before)
        if timestamp is not None and (self._newest is None or timestamp > self._newest):
            self._newest = timestamp
        return changed
