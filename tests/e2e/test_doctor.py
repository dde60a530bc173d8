"""`connector doctor` on real PBXs: silent where all is well, and told of each planted fault with its mend."""

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from desk import deep_merge, own_names
from site_labs import BASE, running

from connector.config import load_settings
from connector.doctor.examine import examine
from connector.doctor.findings import Finding, Verdict
from connector.doctor.user_checks import LATEST
from connector.lab.configuration import settings as lab_settings
from connector.lab.phones.fleet import PhoneFleet
from connector.lab.provider import LabInfo, tree_folder

DAY = 86400
OURS = tree_folder("asterisk-conf")
USER = (OURS / "manager.harmony.conf").read_text("utf-8").split("[harmony]\n")[1]


def user(name: str, *changes: tuple[str, str]) -> str:
    """Return a manager user that is ours but for these changes (patterns of lines)."""
    text = USER
    for pattern, line in changes:
        text, count = re.subn(pattern, line, text, flags=re.MULTILINE)
        assert count, pattern
    return f"\n[{name}]\n{text}\n"


USERS = "".join(
    (
        user("cannot-dial", (r"^write = .*", "write = call,agent,reporting")),
        user("hears-no-queues", (r"^read = .*", "read = call,user,dialplan")),
        user("hears-no-data", (r"^read = .*", "read = call,agent,user")),
        user("may-all", (r"^write = .*", "write = all")),
        user("hears-all", (r"^read = .*", "read = all")),
        user("unfiltered", (r"^eventfilter.*\n", "")),
        user("impatient", (r"^writetimeout.*\n", "")),
    )
)


@pytest.fixture(scope="module")
def pbx() -> Iterator[LabInfo]:
    """Run a good PBX, whose manager has some bad users besides ours."""
    manager = (BASE / "manager.conf").read_text("utf-8") + USERS
    with running("doctor", {"manager.conf": manager}) as (_, info):
        yield info


@pytest.fixture
async def bridge_port() -> AsyncIterator[int]:
    """Give a port at which somebody listens, as a bridge would."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


Over = dict[str, Any]


def written(info: LabInfo, folder: Path, port: int, over: Over) -> Path:
    """Write the configuration of a site with two agents."""
    plain = lab_settings(info, bridge_port=port)
    plain["agents"] = {number: plain["agents"][number] for number in ("1001", "1002")}
    file = folder / "connector.yaml"
    file.write_text(yaml.safe_dump(deep_merge(plain, over)))
    return file


async def findings_of(
    info: LabInfo,
    folder: Path,
    port: int,
    over: Over,
    now: Callable[[], float] = time.time,
    patience: float = 5.0,
) -> list[Finding]:
    settings = load_settings(written(info, folder, port, over), environ={})
    return await examine(settings, now=now, patience=patience)


def wrong(findings: list[Finding]) -> dict[str, str]:
    """Return what is not in order: name of the check to what was found. Each must say how to mend it."""
    found: dict[str, str] = {}
    for one in findings:
        if one.verdict is not Verdict.OK:
            assert one.mend, one
            found[one.check] = f"{found.get(one.check, '')}{one.found} "
    return found


async def test_is_silent_on_a_good_site(pbx: LabInfo, tmp_path: Path, bridge_port: int) -> None:
    """As a command: only `ok`, status 0."""
    over = {
        "extensions": {"enabled": True},
        "asterisk": {
            "port": pbx.ports.ami_tls,
            "tls": {"enabled": True, "ca_file": pbx.ca_file},
            "system": {"username": "harmony-system", "secret": pbx.ami["harmony-system"].secret},
        },
    }
    file = written(pbx, tmp_path, bridge_port, over)
    accounts = {number: account.password for number, account in pbx.sip.items()}
    async with PhoneFleet(pbx.host, pbx.ports.sip, accounts) as phones:
        await phones.phone("1001")
        await phones.phone("1002")
        doctor = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "connector", "doctor", "--json", "--config", str(file)),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await doctor.communicate()
    report = json.loads(said)
    assert [one for one in report["findings"] if one["verdict"] != "ok"] == []
    assert report["healthy"]
    assert doctor.returncode == 0


PLANTED: dict[str, tuple[Over, str, str]] = {
    # a fault to what plants it, the check that must find it, and a word of what must be found
    "wrong secret": ({"asterisk": {"secret": "wrong"}}, "login", "Authentication failed"),
    "nobody at the port": ({"asterisk": {"port": 1}}, "login", "refused|failed"),
    "too few rights": ({"asterisk": {"username": "cannot-dial"}}, "privileges to write", "lacks originate"),
    "too many rights": ({"asterisk": {"username": "may-all"}}, "privileges to write", "`command`.*`system`"),
    "deaf to queues": (
        {"asterisk": {"username": "hears-no-queues"}},
        "privileges to read",
        r"\bagent\b",
    ),
    "deaf to data": (
        {"asterisk": {"username": "hears-no-data"}},
        "privileges to read",
        r"\bdialplan\b",
    ),
    "hears too much": (
        {"asterisk": {"username": "hears-all"}},
        "privileges to read",
        "more than .*: all",
    ),
    "no event filters": ({"asterisk": {"username": "unfiltered"}}, "event filters", "Newexten, VarSet"),
    "dropped when slow": ({"asterisk": {"username": "impatient"}}, "writetimeout", "100 ms"),
    "second user refused": (
        {"asterisk": {"system": {"username": "harmony-system", "secret": "wrong"}}},
        "second user",
        "Authentication failed",
    ),
    "wrong context": ({"dial": {"context": "from-nowhere"}}, "dial.context", "Nothing .* from-nowhere"),
    "unknown number": ({"queues": {"support": {"extension": "7999"}}}, "dial.context", "no 7999"),
    "unknown queue": ({"queues": {"billing": {}}}, "queues", "no queue billing"),
    "unknown phone": ({"agents": {"1002": {"extension": "1099"}}}, "phones", "no PJSIP endpoint 1099"),
    "phone not registered": ({}, "phones", "No phone is registered at 1001, 1002"),
    "no bridge": ({"bridge": {"port": 1}}, "bridge", "Nobody listens"),
}


@pytest.mark.parametrize("fault", PLANTED)
async def test_finds(fault: str, pbx: LabInfo, tmp_path: Path, bridge_port: int) -> None:
    over, check, words = PLANTED[fault]
    # Who waits for what never comes need not wait long.
    patience = 1.0 if fault.startswith("deaf") else 5.0
    found = wrong(await findings_of(pbx, tmp_path, bridge_port, over, patience=patience))
    assert re.search(words, found[check]), found


async def test_finds_the_faults_of_agents_in_a_directory(
    pbx: LabInfo, tmp_path: Path, bridge_port: int
) -> None:
    there = tmp_path / "agents.yaml"
    over: Over = {"directory": {"source": "file", "file": str(there)}}
    found = wrong(await findings_of(pbx, tmp_path, bridge_port, over))
    assert "there is no such file" in found["agents"], found
    hashed = pbx.agents["1001"].password_hash
    there.write_text(yaml.safe_dump({"agents": {"7": {"extension": "1098", "password_hash": hashed}}}))
    found = wrong(await findings_of(pbx, tmp_path, bridge_port, over))
    assert "agents" not in found
    assert "no PJSIP endpoint 1098, the phone of agent 7" in found["phones"], found


async def test_finds_clocks_apart(pbx: LabInfo, tmp_path: Path, bridge_port: int) -> None:
    found = wrong(await findings_of(pbx, tmp_path, bridge_port, {}, lambda: time.time() + 90))
    assert re.search(r"(89|90|91) s behind ours", found["clock"]), found


async def test_finds_certificates_that_end(
    pbx: LabInfo, lab: LabInfo, tmp_path: Path, bridge_port: int
) -> None:
    over = {"asterisk": {"port": pbx.ports.ami_tls, "tls": {"enabled": True, "ca_file": pbx.ca_file}}}
    soon = wrong(await findings_of(pbx, tmp_path, bridge_port, over, lambda: time.time() + 350 * DAY))
    assert re.search(r"ends on .*, in 1[45] days", soon["TLS of asterisk"]), soon
    later = wrong(await findings_of(pbx, tmp_path, bridge_port, over, lambda: time.time() + 400 * DAY))
    assert "ended on" in later["TLS of asterisk"], later
    over["asterisk"]["tls"]["ca_file"] = lab.ca_file
    foreign = wrong(await findings_of(pbx, tmp_path, bridge_port, over))
    assert "refused" in foreign["TLS of asterisk"], foreign


async def test_finds_what_is_wrong_at_the_broker(pbx: LabInfo, lab: LabInfo, tmp_path: Path) -> None:
    names = own_names()
    over: Over = {
        "bridge": {"transport": "amqp"},
        "amqp": {
            "url": lab.amqp_url,
            "declare": False,
            "bridge_exchange": names.bridge_exchange,
            "client_exchange": "amq.direct",
            "queue": names.client_queue,
        },
    }
    found = wrong(await findings_of(pbx, tmp_path, 1, over))
    assert f"exchange {names.bridge_exchange} is missing" in found["broker"]
    assert f"queue {names.client_queue} is missing" in found["broker"]
    assert "exchange amq.direct is declared otherwise" in found["broker"]
    over["amqp"]["url"] = lab.amqp_url.replace("//harmony:", "//nobody:")
    assert "does not let us in" in wrong(await findings_of(pbx, tmp_path, 1, over))["broker"]


def changed(name: str, pattern: str, text: str = "") -> dict[str, str]:
    """Return a file of the lab's or of ours with what the pattern finds replaced."""
    file = BASE / name if (BASE / name).exists() else OURS / name
    new, count = re.subn(pattern, text, file.read_text("utf-8"), flags=re.MULTILINE)
    assert count, (name, pattern)
    return {name: new}


SICK = {
    **changed("asterisk.conf", r"^transmit_silence = yes", "transmit_silence = no"),
    **changed("confbridge.conf", r"^#include.*\n"),
    **changed("musiconhold.conf", r"^\[harmony_silence\]", "[silence]"),
    **changed("queues.conf", r"^ringinuse = no", "ringinuse = yes"),
    **changed("modules.conf", r"^load = (func_devstate|res_manager_devicestate|app_channelredirect)\.so\n"),
    **changed("manager.harmony.conf", r"^channelvars = .*", "channelvars = HARMONY_ROLE"),
    **changed("harmony.conf", r"^exten => v\d+,1", f"exten => v{LATEST + 1},1"),
    **changed("features.conf", r"^atxferswap = .*\n"),
}


async def test_finds_everything_that_a_sick_pbx_has(tmp_path: Path, bridge_port: int) -> None:
    with running("sick", SICK) as (lab, info):
        system = {"username": "harmony-system", "secret": info.ami["harmony-system"].secret}
        over: Over = {"asterisk": {"system": system}}
        found = wrong(await findings_of(info, tmp_path, bridge_port, over))
        assert "is off" in found["transmit_silence"]
        assert "no harmony_bridge and no harmony_agent" in found["conference profiles"]
        assert "music class harmony_silence" in found
        assert "support rings agents who are on a call" in found["queues"]
        for module in ("func_devstate", "res_manager_devicestate", "app_channelredirect"):
            assert f"{module}.so is not loaded" in found["modules"]
        assert "HARMONY_ID, HARMONY_DEST" in found["channelvars"]
        assert f"of version {LATEST + 1}" in found["dialplan include"]

        over["dial"] = {"consult": "atxfer"}
        assert (
            "atxferswap is not set"
            in wrong(await findings_of(info, tmp_path, bridge_port, over))["feature codes"]
        )

        over["extensions"] = {"enabled": True}
        assert "dialplan include" not in wrong(await findings_of(info, tmp_path, bridge_port, over))
        await asyncio.to_thread(lab.asterisk_cli, "dialplan remove context harmony-voice")
        found = wrong(await findings_of(info, tmp_path, bridge_port, over))
        assert "has no harmony-voice: nobody can be supervised" in found["dialplan include"]

        del over["dial"], over["extensions"]
        await asyncio.to_thread(lab.asterisk_cli, "dialplan remove context harmony-room")
        found = wrong(await findings_of(info, tmp_path, bridge_port, over))
        assert "has no harmony-room" in found["dialplan include"]
