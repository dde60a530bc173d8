"""The metrics that are counted as things happen; `docs/operations.md` lists all of them.

Every connector has a registry of its own, so that several can live in one process.
"""

import time
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from connector.bridge.messages import CATALOGUE
from connector.operations.series import Count, Shown, Times
from connector.telephony.changes import Anomaly, Change

OTHER: Final = "other"
"""Stands for names that are not known, so that nobody outside can make up series."""

_QUICK: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
_REQUEST: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_RESYNC: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
_MOST_EVENTS: Final = 300
"""Names of manager events that get a series of their own; Asterisk has about 180."""


class Metrics:
    """Counters and histograms of one connector. It is the `Meter` of its PBX side."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self._logins = Count("connector_ami_logins", "Logins of the manager users.", ["user"])
        self._actions = Times(
            "connector_ami_action_seconds",
            "Manager actions: time to the reply (or the whole list).",
            _QUICK,
            ["user", "action", "outcome"],
        )
        self._events = Count("connector_ami_events", "Manager events that came.", ["event"])
        self._event_names: set[str] = set()
        self._resync = Times(
            "connector_resync_seconds",
            "Time from a login to a model that is in step with the PBX.",
            _RESYNC,
        )
        self._to_bridge = Times(
            "connector_event_to_bridge_seconds",
            "Time from the arrival of a manager event to the message for the bridge that it causes.",
            _QUICK,
        )
        self._requests = Times(
            "connector_request_seconds",
            "Requests and queries of the bridge: time to the response.",
            _REQUEST,
            ["name", "result"],
        )
        self.messages = Count(
            "connector_bridge_messages", "Messages from and to the bridge.", ["direction", "kind"]
        )
        """Counted by direction (`in`, `out`) and kind for each message: one call less than by a method."""
        self._connections = Count(
            "connector_bridge_connections", "Connections to the bridge (or the broker)."
        )
        self._malformed = Count("connector_bridge_malformed", "Messages that could not be read.")
        self._anomalies = Count("connector_model_anomalies", "Steps of calls that the model did not expect.")
        self._reloads = Count("connector_reloads", "Reloads of the configuration.", ["result"])
        self._late = Times(
            "connector_event_loop_late_seconds",
            "How late the event loop comes to what is due, looked at every second.",
            _QUICK,
        )
        self._arrived: float | None = None
        Shown(
            registry,
            *(self._logins, self._actions, self._events, self._resync, self._to_bridge, self._requests),
            *(self.messages, self._connections, self._malformed, self._anomalies, self._reloads, self._late),
        )

    # -- the PBX side (`connector.asterisk.meter.Meter`) -----------------------------------------------

    def logged_in(self, user: str) -> None:
        """Note that a manager user is logged in, for the first time or again."""
        self._logins.add(user)

    def action(self, user: str, name: str, outcome: str, seconds: float) -> None:
        """Note an action and the time to its reply."""
        self._actions.note(seconds, user, name, outcome)

    def event(self, name: str, arrived: float) -> None:
        """Note an event; what is sent until `event_over` is its consequence."""
        self._arrived = arrived
        if name not in self._event_names:
            if len(self._event_names) >= _MOST_EVENTS:
                name = OTHER
            else:
                self._event_names.add(name)
        self._events.add(name)

    def event_over(self) -> None:
        """Note that what is sent from now on is no direct consequence of an event."""
        self._arrived = None

    def resynced(self, seconds: float) -> None:
        """Note that the model is in step with the PBX."""
        self._resync.note(seconds)

    def changed(self, change: Change) -> None:
        """Count anomalies (a listener of the PBX)."""
        if isinstance(change, Anomaly):
            self._anomalies.add()

    # -- the bridge side -------------------------------------------------------------------------------

    def connected(self) -> None:
        """Note a connection to the bridge."""
        self._connections.add()

    def malformed(self) -> None:
        """Note a message that could not be read."""
        self._malformed.add()

    def answered(self, name: str, result: str, seconds: float) -> None:
        """Note a response of ours and how long it took."""
        self._requests.note(seconds, name if name in CATALOGUE else OTHER, result)

    def told(self) -> None:
        """Note that an event goes to the bridge: measured if a manager event just now caused it.

        What waits until a request is answered is not measured here.
        """
        if self._arrived is not None:
            self._to_bridge.note(time.monotonic() - self._arrived)

    def late(self, seconds: float) -> None:
        """Note how late the event loop was."""
        self._late.note(seconds)

    def reloaded(self, *, good: bool) -> None:
        """Note an attempt to reload the configuration."""
        self._reloads.add("good" if good else "bad")
