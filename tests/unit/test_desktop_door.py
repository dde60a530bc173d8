"""The service's door and its options: TLS, slow desktops, several services, the command line."""

import asyncio
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from desktop_service import service
from test_processor_tool import DEADLINE, START, client_of, line, tool

from connector.processor.desktop_client import DesktopClient, DesktopGone
from connector.processor.desktop_options import desktops_of
from connector.processor.desktop_pool import NoService, fewest_clients
from connector.processor.options import server_tls
from connector.processor.service.door import DesktopDoor
from connector.processor.service.options import ServiceOptions


async def test_desktops_spread_over_the_services_of_their_domain() -> None:
    async with service() as one, service() as two, service(instance_domain="elsewhere") as three:
        urls = [three.door.url, one.door.url, two.door.url]
        desktops = [await fewest_clients(urls, "lab") for _ in range(4)]
        for pair in (desktops[:2], desktops[2:]):
            assert {each.url for each in pair} == {one.door.url, two.door.url}
        one.status("pausing-service")
        at_one = next(each for each in desktops if each.url == one.door.url)
        await at_one.until(
            lambda: any(not each["data"]["accepting"] for each in at_one.service_events), "the status"
        )
        desktops.append(await fewest_clients(urls, "lab"))
        assert desktops[-1].url == two.door.url
        for each in desktops:
            await each.close()
        with pytest.raises(NoService, match="domain nowhere") as none:
            await fewest_clients([*urls, "ws://127.0.0.1:9"], "nowhere", timeout=2)
        assert "127.0.0.1:9" in str(none.value)


async def test_desktops_that_start_at_once_spread_too() -> None:
    async with service() as one, service() as two:
        urls = [one.door.url, two.door.url]
        desktops = await asyncio.gather(*(fewest_clients(urls, "lab") for _ in range(40)))
        # By chance, all 40 go to one of them once in 2**39 runs.
        assert {each.url for each in desktops} == set(urls)
        for each in desktops:
            await each.close()


async def test_a_desktop_that_does_not_read_is_cut_off() -> None:
    async with service() as at, DesktopClient(at.door.url) as desktop:
        await desktop.bind_service()
        (peer,) = at.door._peers
        for _ in range(3000):
            peer.send({"much": "x"})
        assert peer.over
        assert await desktop.wait_lost()
        await at.bridge.link.until(lambda: not at.door._peers, None, lambda: "the connection's end")


def certificate(folder: Path) -> Path:
    file = folder / "desk.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
            ),
            *("-keyout", str(folder / "key.pem"), "-out", str(file), "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return file


async def test_the_tool_serves_desktops_with_tls(tmp_path: Path) -> None:
    cert = certificate(tmp_path)
    options = ("--desktop-port", "0", "--desktop-tls-cert", str(cert))
    more = ("--desktop-tls-key", str(tmp_path / "key.pem"), "--instance-domain", "north")
    async with tool(*options, *more) as (process, port), client_of(port):
        url = (await line(process)).strip().removesuffix(".").rpartition(" ")[2]
        assert url.startswith("wss://127.0.0.1:")
        with pytest.raises(DesktopGone):
            await DesktopClient(url).connect()
        async with DesktopClient(url, tls=ssl.create_default_context(cafile=cert)) as desktop:
            told = await desktop.bind_service()
            assert told["information"]["instance-domain"] == "north"
            await desktop.until(
                lambda: told["accepting"] or any(one["data"]["accepting"] for one in desktop.service_events),
                "the connector",
            )
            session = await desktop.login("1001", "right")
            assert session.view.channel.endpoint == "1001"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"port": None, "tls": (Path("x.pem"), None)}, "--desktop-port"),
        ({"port": None, "origins": ("https://desk.example",)}, "--desktop-port"),
        ({"origins": ("desk.example",)}, "--desktop-origin"),
        ({"origins": ("https://desk.example/page",)}, "--desktop-origin"),
        ({"tls": (None, Path("key.pem"))}, "--desktop-tls-key needs --desktop-tls-cert"),
        ({"host": "192.0.2.1"}, "--desktop-tls-cert"),
        ({"host": "desk.example"}, "--desktop-tls-cert"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], complaint: str) -> None:
    usual = {"port": 0, "host": "127.0.0.1", "origins": (), "tls": (None, None), "options": ServiceOptions()}
    with pytest.raises(ValueError, match=complaint):
        desktops_of(**{**usual, **options})  # type: ignore[arg-type]


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"missing\.pem"):
        server_tls(tmp_path / "missing.pem", None)
    with pytest.raises(OSError, match=r"missing\.key"):
        server_tls(certificate(tmp_path), tmp_path / "missing.key")


async def test_an_address_with_colons_is_a_url_for_desktops() -> None:
    async with service() as at:
        assert DesktopDoor(at.door.processor, "::1", 7761).url == "ws://[::1]:7761"


async def test_a_port_that_is_taken_is_one_line() -> None:
    async with service() as at:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", START, "--port", "0", "--desktop-port", str(at.door.port)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode == 2
    assert said.decode().startswith(f"connector bridge: cannot serve desktops on 127.0.0.1:{at.door.port}: ")
    assert said.decode().count("\n") == 1
