"""What an engineer sees of a running connector at night: health, metrics, the log's ids."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cable import Cable
from calls import make_call
from desk import WAIT, Desk, desk
from prometheus_client.parser import text_string_to_metric_families

from connector.lab.provider import LabInfo, LabProvider
from connector.processor.problems import BridgeRequestFailed

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Eyes:
    """Somebody who asks the connector's pages by HTTP."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def page(self, path: str) -> tuple[int, str]:
        """Return status and content."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = (await asyncio.wait_for(reader.read(), WAIT)).decode()
        writer.close()
        head, _, content = answer.partition("\r\n\r\n")
        return int(head.split()[1]), content

    async def metrics(self) -> Samples:
        """Return every sample."""
        status, content = await self.page("/metrics")
        assert status == 200
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(content)
            for sample in family.samples
        }


def of(samples: Samples, name: str, /, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


@asynccontextmanager
async def eyes_on(at: Desk) -> AsyncIterator[Eyes]:
    """Serve the pages of the desk's connector on a port that is free."""
    pages = at.connector.operations.pages
    await pages.listen("127.0.0.1", 0)
    yield Eyes(pages.port)


async def test_a_call_is_seen_in_the_metrics(at_desk: Desk) -> None:
    async with eyes_on(at_desk) as eyes:
        await look_at_a_call(at_desk, eyes)


async def look_at_a_call(at_desk: Desk, eyes: Eyes) -> None:
    assert (await eyes.page("/livez"))[0] == 200
    call = await make_call(at_desk, "queue")
    await call.primary.hold()
    seen = await eyes.metrics()
    user = at_desk.connector.settings.asterisk.username
    assert of(seen, "connector_ready") == 1
    assert of(seen, "connector_ami_up", user=user) == 1
    assert of(seen, "connector_ami_logins_total", user=user) == 1
    assert of(seen, "connector_bridge_up") == 1
    assert of(seen, "connector_sessions") == 1
    assert of(seen, "connector_agents", state="on_call") == 1
    assert of(seen, "connector_agents", state="logged_out") == len(at_desk.info.agents) - 1
    assert of(seen, "connector_interactions", state="started") == 1
    assert of(seen, "connector_legs") >= 2
    assert of(seen, "connector_requests_open") == 0
    assert of(seen, "connector_service_status", status="in-service") == 1
    count = "connector_request_seconds_count"
    assert of(seen, count, name="conversation.request.hold", result="SUCCESS") == 1
    redirects = of(
        seen, "connector_ami_action_seconds_count", user=user, action="Redirect", outcome="accepted"
    )
    assert redirects >= 1
    assert of(seen, "connector_ami_events_total", event="Hangup") == 0
    assert of(seen, "connector_resync_seconds_count") == 1
    assert of(seen, "connector_event_to_bridge_seconds_count") >= 1

    with pytest.raises(BridgeRequestFailed):
        await call.primary.hold()
    await call.customers_call.hangup()
    await call.over()
    seen = await eyes.metrics()
    assert of(seen, count, name="conversation.request.hold", result="FAILURE") == 1
    assert of(seen, "connector_interactions", state="started") == 0
    assert of(seen, "connector_agents", state="logged_out") == len(at_desk.info.agents)
    assert of(seen, "connector_ami_events_total", event="Hangup") >= 2


async def test_readiness_follows_the_links(provider: LabProvider, lab: LabInfo, tmp_path: Path) -> None:
    async with Cable(lab.host, lab.ports.ami) as cable:
        quick = {"port": cable.port, "grace": 0.0, "reconnect_initial": 0.05, "reconnect_max": 0.05}
        async with desk(provider, lab, tmp_path, {"asterisk": quick}) as at, eyes_on(at) as eyes:
            status, content = await eyes.page("/readyz")
            assert (status, json.loads(content)["service"]) == (200, "in-service")
            cable.freeze()
            cable.cut()
            await at.bridge.wait_status("out-of-service", timeout=WAIT)
            status, content = await eyes.page("/readyz")
            assert (status, json.loads(content)["checks"]["in step with the PBX"]) == (503, False)
            seen = await eyes.metrics()
            assert of(seen, "connector_ready") == of(seen, "connector_pbx_in_step") == 0
            assert (await eyes.page("/livez"))[0] == 200
            cable.thaw()
            await at.bridge.wait_status("in-service", timeout=WAIT)
            assert (await eyes.page("/readyz"))[0] == 200
            assert of(await eyes.metrics(), "connector_resync_seconds_count") == 2
