"""The connector as a process in the middle of calls: killed, and asked to stop."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from calls import HELD, TALKING, make_call
from desk import WAIT, desk
from found import find_again
from process_desk import START, ProcessDesk, process_desk

from connector.bridge.messages import control
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo, LabProvider
from connector.processor.problems import BridgeRequestFailed
from connector.processor.server import ReferenceBridge


def statuses(bridge: ReferenceBridge) -> list[object]:
    """Return all that the bridge was told of the service."""
    told = [one.message.body for one in bridge.log if one.message.name == "cti.serverstatuschanged"]
    return [body["status"] for body in told]


@pytest.fixture
async def daemon(provider: LabProvider, lab: LabInfo, tmp_path: Path) -> AsyncIterator[ProcessDesk]:
    """Run a bridge, phones and a connector process."""
    async with process_desk(provider, lab, tmp_path) as found:
        yield found


async def test_a_killed_connector_is_replaced_and_one_stopped_twice_leaves(
    daemon: ProcessDesk,
) -> None:
    call = await make_call(daemon, "queue")
    await call.interaction.set_data({"ORDER": "4711"})
    await call.consult()
    await call.interaction.alternate()
    await daemon.end(signal.SIGKILL)
    heard = {call.agent: {"2001"}, call.customer: {"1001"}, call.target: {"MOH"}}
    await expect_hears(heard)
    await daemon.start()
    consult = await find_again(call)
    assert consult is not None
    assert (call.primary.state, consult.state) == (TALKING, HELD)
    assert call.interaction.data["ORDER"] == "4711"
    await expect_hears(heard)
    await call.interaction.alternate()
    heard = {call.agent: {"1002"}, call.target: {"1001"}, call.customer: {"MOH"}}
    await expect_hears(heard)

    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    await daemon.bridge.wait_status("pausing-service", timeout=WAIT)
    await daemon.end(signal.SIGTERM)
    assert daemon.process.returncode == 0
    assert statuses(daemon.bridge)[-3:] == ["in-service", "pausing-service", "stopping-service"]
    await expect_hears(heard)
    await call.customers_call.hangup()
    await call.agent.calls[0].hangup()
    await daemon.log_out()


class Manager(asyncio.DatagramProtocol):
    """A service manager: keeps what it is told, one set of lines a datagram."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[list[str]] = asyncio.Queue()

    def datagram_received(self, data: bytes, _addr: object) -> None:
        self._told.put_nowait(data.decode().split("\n"))

    async def wait_for(self, line: str) -> None:
        async with asyncio.timeout(START):
            while line not in await self._told.get():
                pass


@pytest.fixture
async def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Manager]:
    """Be the service manager of connectors that are started from now on."""
    where = str(tmp_path / "notify")
    found = Manager()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: found, local_addr=where, family=socket.AF_UNIX
    )
    monkeypatch.setenv("NOTIFY_SOCKET", where)
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    yield found
    transport.close()


async def test_a_service_manager_sees_start_life_reloads_and_end(
    manager: Manager, daemon: ProcessDesk
) -> None:
    await manager.wait_for("READY=1")
    await manager.wait_for("STATUS=in-service")
    await manager.wait_for("WATCHDOG=1")
    call = await make_call(daemon, "direct")
    good = daemon.file.read_text()
    plain = yaml.safe_load(good)
    del plain["agents"]["1002"]

    for text, said in (
        (yaml.safe_dump(plain), "Agent id or password is wrong."),
        ("agents: [", "Agent id or password is wrong."),
        (good, None),
    ):
        daemon.file.write_text(text)
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGHUP)
        await manager.wait_for("READY=1")
        asked = control.ValidateAgentCredentials(
            agent_id="1002", agent_login="1002", agent_password=daemon.info.agents["1002"].password
        )
        answer = await daemon.bridge.request("LAB.CONTROL", asked)
        assert answer.error_message == said
    await call.primary.hold()
    await call.primary.retrieve()
    await call.customers_call.hangup()
    await call.over()

    log = await daemon.end(signal.SIGTERM)
    await manager.wait_for("STOPPING=1")
    assert log.count(b"not read again; those of before stay") == 1


async def test_a_connector_that_is_stopped_waits_for_calls_and_takes_no_new_sessions(
    provider: LabProvider, lab: LabInfo, tmp_path: Path
) -> None:
    async with desk(provider, lab, tmp_path, {"limits": {"drain": 60}}, transport="tcp") as at_desk:
        call = await make_call(at_desk, "direct")
        closing = asyncio.create_task(at_desk.close())
        await at_desk.bridge.wait_status("pausing-service", timeout=WAIT)
        account = at_desk.info.agents["1002"]
        with pytest.raises(BridgeRequestFailed, match="No new sessions: the connector is being stopped"):
            await at_desk.bridge.login("1002", account.password, extension=account.extension)
        await call.primary.hold()
        await call.primary.retrieve()
        await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
        assert not closing.done()
        await call.customers_call.hangup()
        await closing
        assert statuses(at_desk.bridge)[-3:] == ["in-service", "pausing-service", "stopping-service"]
        await at_desk.renew_connector()
        await at_desk.log_out()
