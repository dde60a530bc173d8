"""The metrics that are counted as things happen; `docs/operations.md` lists all of them.

Every connector has a registry of its own, so that several can live in one process.
"""

import asyncio
from typing import Final, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from connector.bridge.messages import CATALOGUE
from connector.telephony.changes import Anomaly, Change

OTHER: Final = "other"
"""Stands for names that are not known, so that nobody outside can make up series."""

_QUICK: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
_REQUEST: Final = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_RESYNC: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
_MOST_EVENTS: Final = 300
"""Names of manager events that get a series of their own; Asterisk has about 180."""


_Child = TypeVar("_Child", Counter, Histogram)


class Metrics:
    """Counters and histograms of one connector. It is the `Meter` of its PBX side."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        self._logins = _Series(
            Counter("connector_ami_logins", "Logins of the manager users.", ["user"], registry=registry)
        )
        self._actions = _Series(
            Histogram(
                "connector_ami_action_seconds",
                "Manager actions: time to the reply (or the whole list).",
                ["user", "action", "outcome"],
                buckets=_QUICK,
                registry=registry,
            )
        )
        self._events = _Series(
            Counter("connector_ami_events", "Manager events that came.", ["event"], registry=registry)
        )
        self._event_names: set[str] = set()
        self._resync = Histogram(
            "connector_resync_seconds",
            "Time from a login to a model that is in step with the PBX.",
            buckets=_RESYNC,
            registry=registry,
        )
        self._to_bridge = Histogram(
            "connector_event_to_bridge_seconds",
            "Time from the arrival of a manager event to the message for the bridge that it causes.",
            buckets=_QUICK,
            registry=registry,
        )
        self._requests = _Series(
            Histogram(
                "connector_request_seconds",
                "Requests and queries of the bridge: time to the response.",
                ["name", "result"],
                buckets=_REQUEST,
                registry=registry,
            )
        )
        self._messages = _Series(
            Counter(
                "connector_bridge_messages",
                "Messages from and to the bridge.",
                ["direction", "kind"],
                registry=registry,
            )
        )
        self._connections = Counter(
            "connector_bridge_connections", "Connections to the bridge (or the broker).", registry=registry
        )
        self._malformed = Counter(
            "connector_bridge_malformed", "Messages that could not be read.", registry=registry
        )
        self._anomalies = Counter(
            "connector_model_anomalies", "Steps of calls that the model did not expect.", registry=registry
        )
        self._reloads = Counter(
            "connector_reloads", "Reloads of the configuration.", ["result"], registry=registry
        )
        self._late = Histogram(
            "connector_event_loop_late_seconds",
            "How late the event loop comes to what is due, looked at every second.",
            buckets=_QUICK,
            registry=registry,
        )
        self._arrived: float | None = None

    # -- the PBX side (`connector.asterisk.meter.Meter`) -----------------------------------------------

    def logged_in(self, user: str) -> None:
        """Note that a manager user is logged in, for the first time or again."""
        self._logins.of(user).inc()

    def action(self, user: str, name: str, outcome: str, seconds: float) -> None:
        """Note an action and the time to its reply."""
        self._actions.of(user, name, outcome).observe(seconds)

    def event(self, name: str, arrived: float) -> None:
        """Note an event; what is sent until `event_over` is its consequence."""
        self._arrived = arrived
        if name not in self._event_names:
            if len(self._event_names) >= _MOST_EVENTS:
                name = OTHER
            else:
                self._event_names.add(name)
        self._events.of(name).inc()

    def event_over(self) -> None:
        """Note that what is sent from now on is no direct consequence of an event."""
        self._arrived = None

    def resynced(self, seconds: float) -> None:
        """Note that the model is in step with the PBX."""
        self._resync.observe(seconds)

    def changed(self, change: Change) -> None:
        """Count anomalies (a listener of the PBX)."""
        if isinstance(change, Anomaly):
            self._anomalies.inc()

    # -- the bridge side -------------------------------------------------------------------------------

    def connected(self) -> None:
        """Note a connection to the bridge."""
        self._connections.inc()

    def message(self, direction: str, kind: str) -> None:
        """Note a message, `in` or `out`."""
        self._messages.of(direction, kind).inc()

    def malformed(self) -> None:
        """Note a message that could not be read."""
        self._malformed.inc()

    def answered(self, name: str, result: str, seconds: float) -> None:
        """Note a response of ours and how long it took."""
        self._requests.of(name if name in CATALOGUE else OTHER, result).observe(seconds)

    def told(self) -> None:
        """Note that an event goes to the bridge: measured if a manager event just now caused it.

        What waits until a request is answered is not measured here.
        """
        if self._arrived is not None:
            self._to_bridge.observe(asyncio.get_running_loop().time() - self._arrived)

    def late(self, seconds: float) -> None:
        """Note how late the event loop was."""
        self._late.observe(seconds)

    def reloaded(self, *, good: bool) -> None:
        """Note an attempt to reload the configuration."""
        self._reloads.labels("good" if good else "bad").inc()


class _Series(Generic[_Child]):
    """The children of a metric with labels, found faster than by the library's own look-up."""

    def __init__(self, metric: _Child) -> None:
        self._metric: _Child = metric
        self._children: dict[tuple[str, ...], _Child] = {}

    def of(self, *labels: str) -> _Child:
        child = self._children.get(labels)
        if child is None:
            child = self._children[labels] = self._metric.labels(*labels)
        return child
