"""Whether the connector lives and can serve, and what it has in hand: read when somebody asks."""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from connector import __version__
from connector.asterisk.pbx import AsteriskPbx
from connector.bridge.messages import control as wire
from connector.destinations.control import Control
from connector.destinations.tree import Tree
from connector.directory import AgentDirectory
from connector.operations.wire import MeteredTransport
from connector.telephony.states import InteractionState

_SESSION = "session"


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a connector that tell how it is."""

    pbx: AsteriskPbx
    transport: MeteredTransport
    tree: Tree
    control: Control
    directory: AgentDirectory


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether agents can work, and how each thing that this takes is."""

    ready: bool
    service: str
    checks: dict[str, bool]

    def __str__(self) -> str:
        missing = [name for name, good in self.checks.items() if not good]
        return self.service + (f"; not so: {', '.join(missing)}" if missing else "")


def readiness(parts: Parts) -> Readiness:
    """Return how the connector is now."""
    service = parts.control.status
    checks = {
        "PBX link up": parts.pbx.links[0].up,
        "in step with the PBX": parts.pbx.available,
        "bridge connected": parts.transport.is_connected,
        "bridge initialised": parts.control.open,
    }
    if len(parts.pbx.links) > 1:
        checks["second AMI user logged in"] = parts.pbx.links[1].up
    # Without its second user the connector still serves calls.
    needed = [good for name, good in checks.items() if not name.startswith("second")]
    return Readiness(all(needed) and service is wire.ServiceStatus.IN_SERVICE, service.value, checks)


class StateCollector(Collector):
    """Gauges of what is so now. Reading them changes nothing and waits for nothing."""

    def __init__(self, parts: Parts, processor: str) -> None:
        self._parts = parts
        self._processor = processor

    def describe(self) -> list[Metric]:
        """Return nothing: the registry need not read the state to know the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Iterate over the gauges."""
        yield from self._links()
        yield from self._service()
        yield from self._people()
        yield from self._calls()

    def _links(self) -> Iterator[Metric]:
        pbx, transport = self._parts.pbx, self._parts.transport
        up = GaugeMetricFamily("connector_ami_up", "Whether a manager user is logged in.", labels=["user"])
        waiting = GaugeMetricFamily(
            "connector_ami_actions_pending", "Manager actions that wait for a reply.", labels=["user"]
        )
        for link in pbx.links:
            up.add_metric([link.user], float(link.up))
            waiting.add_metric([link.user], link.pending)
        yield up
        yield waiting
        yield _gauge(
            "connector_pbx_in_step", "Whether the model is in step with the PBX.", float(pbx.available)
        )
        yield _gauge(
            "connector_bridge_up",
            "Whether the connection to the bridge (or broker) is up.",
            float(transport.is_connected),
        )
        yield _gauge(
            "connector_bridge_send_queue", "Messages that wait for the bridge.", float(transport.waiting)
        )
        yield _gauge(
            "connector_requests_open", "Requests without a response yet.", float(transport.unanswered)
        )

    def _service(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("connector_info", "What runs.", labels=["version", "processor"])
        info.add_metric([__version__, self._processor], 1.0)
        yield info
        status = GaugeMetricFamily(
            "connector_service_status", "The service status; 1 at the present one.", labels=["status"]
        )
        for each in wire.ServiceStatus:
            status.add_metric([each.value], float(each is self._parts.control.status))
        yield status
        yield _gauge("connector_ready", "As /readyz.", float(readiness(self._parts).ready))

    def _people(self) -> Iterator[Metric]:
        agents = GaugeMetricFamily("connector_agents", "Agents by state.", labels=["state"])
        for state, number in self._parts.tree.team.counts().items():
            agents.add_metric([state.lower()], number)
        yield agents
        kinds = self._parts.tree.counts()
        yield _gauge("connector_sessions", "Sessions of agents.", float(kinds.get(_SESSION, 0)))
        destinations = GaugeMetricFamily("connector_destinations", "Destinations by kind.", labels=["kind"])
        for kind, number in sorted(kinds.items()):
            destinations.add_metric([kind], number)
        yield destinations
        failures = CounterMetricFamily("connector_password_failures", "Wrong agent ids or passwords.")
        failures.add_metric([], self._parts.directory.failed)
        yield failures

    def _calls(self) -> Iterator[Metric]:
        model = self._parts.pbx.model
        numbers = dict.fromkeys(InteractionState, 0)
        for interaction in model.interactions_everywhere():
            numbers[interaction.state] += 1
        interactions = GaugeMetricFamily("connector_interactions", "Interactions by state.", labels=["state"])
        for state, number in numbers.items():
            interactions.add_metric([state.value.lower()], number)
        yield interactions
        yield _gauge("connector_legs", "Channels of the PBX that the model knows.", len(model.legs.legs))


def _gauge(name: str, about: str, value: float) -> Metric:
    metric = GaugeMetricFamily(name, about)
    metric.add_metric([], value)
    return metric
