"""TCP with TLS, as a site configures it: the connector verifies the bridge, and the bridge the connector."""

import asyncio
import ssl
from pathlib import Path

from desk import WAIT, dialect_of, settings_for

from connector.app import Connector
from connector.lab.provider import LabInfo
from connector.processor.server import ReferenceBridge


async def _certificate(folder: Path, name: str) -> tuple[str, str]:
    """Make a certificate that is its own authority; return its file and its key's."""
    cert, key = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
    process = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", key, "-out", cert, "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await process.wait() == 0
    return cert, key


async def test_an_agent_works_at_a_bridge_that_asks_for_a_certificate(lab: LabInfo, tmp_path: Path) -> None:
    bridge_cert, bridge_key = await _certificate(tmp_path, "bridge")
    own_cert, own_key = await _certificate(tmp_path, "connector")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bridge_cert, bridge_key)
    context.load_verify_locations(own_cert)
    context.verify_mode = ssl.CERT_REQUIRED
    tls = {"enabled": True, "ca_file": bridge_cert, "cert_file": own_cert, "key_file": own_key}
    account, stop = lab.agents["1001"], asyncio.Event()
    async with ReferenceBridge(processor="LAB", tls=context, dialect=dialect_of(tmp_path)) as bridge:
        connector = Connector(settings_for(lab, tmp_path, bridge.port, {"bridge": {"tls": tls}}))
        running = asyncio.create_task(connector.run(stop))
        try:
            await bridge.wait_in_service(WAIT)
            session = await bridge.login("1001", account.password, extension=account.extension)
            await session.channel.activate()
            await session.close()
        finally:
            stop.set()
            await running
