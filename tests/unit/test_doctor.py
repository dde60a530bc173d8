"""The doctor's words, the version that it knows, and what no real PBX at hand can show."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from scripted_ami import SECRET, USERNAME, Peer, ScriptedAmi

from connector.asterisk.wire import AmiMessage
from connector.config import load_settings
from connector.doctor import pbx_checks, tls_checks, user_checks
from connector.doctor.examine import examine
from connector.doctor.findings import Finding, Verdict, as_json, fault, healthy, ok, table, unseen, warning

TREE = Path(__file__).resolve().parents[2]


def test_the_include_tells_the_version_that_the_doctor_knows() -> None:
    text = (TREE / "asterisk-conf" / "harmony.conf").read_text("utf-8")
    latest = user_checks.LATEST
    assert f"; harmony.conf version {latest}\n" in text
    assert f"exten => v{latest},1,UserEvent(HarmonyVersion,Version: {latest})" in text


def test_a_table_shows_each_mend_below_its_finding() -> None:
    text = table(
        [ok("clock", "agrees"), fault("queues", "None.", "Add one."), unseen("files", "?", "Load it.")]
    )
    assert re.search(r"^OK +clock +agrees$", text, re.MULTILINE)
    assert re.search(r"^FAULT +queues +None\.\n +mend: Add one\.$", text, re.MULTILINE)
    assert text.endswith("1 ok, 1 fault, 1 unseen\n")


def test_only_a_fault_is_unhealthy() -> None:
    assert healthy([ok("a", "b"), warning("a", "b", "c"), unseen("a", "b", "c")])
    report = json.loads(as_json([fault("a", "b", "c")]))
    assert report == {
        "healthy": False,
        "findings": [{"check": "a", "verdict": "fault", "found": "b", "mend": "c"}],
    }


class OldPbx:
    """An Asterisk that tells a version."""

    def __init__(self, version: str) -> None:
        self.version = version

    async def act(self, _action: str) -> AmiMessage:
        return AmiMessage([("Response", "Success"), ("AsteriskVersion", self.version)])


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("22.10.1+dfsg-1", Verdict.OK),
        ("22.4.0", Verdict.OK),
        ("22.3.0", Verdict.FAULT),
        ("21.9.1", Verdict.OK),
        ("20.13.0", Verdict.FAULT),
        ("certified/20.7-cert5", Verdict.FAULT),
        ("18.26.0", Verdict.FAULT),
        ("23.0.0", Verdict.OK),
        ("GIT-master-1a2b", Verdict.UNSEEN),
    ],
)
async def test_versions(version: str, verdict: Verdict) -> None:
    pbx: Any = OldPbx(version)
    (finding,) = [one async for one in pbx_checks.version(pbx)]
    assert finding.verdict is verdict


@pytest.mark.parametrize(("days", "verdict"), [(400, Verdict.OK), (12, Verdict.WARNING), (-3, Verdict.FAULT)])
def test_certificates_are_judged_by_their_end(days: int, verdict: Verdict) -> None:
    now = 1_800_000_000.0
    until = time.strftime("%b %d %H:%M:%S %Y GMT", time.gmtime(now + days * 86400))
    finding: Finding = tls_checks._judge("TLS", {"notAfter": until}, lambda: now)
    assert finding.verdict is verdict


async def test_a_session_that_breaks_is_a_finding(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.log_in()
        asked = await peer.expect("CoreSettings")
        await peer.reply(asked, AsteriskVersion="22.10.1")
        await peer.expect("ListCommands")

    async with ScriptedAmi(script) as ami:
        file = tmp_path / "connector.yaml"
        file.write_text(
            "processor: X\nbridge: {host: 127.0.0.1, port: 1}\n"
            f"asterisk: {{host: 127.0.0.1, port: {ami.port}, username: {USERNAME}, secret: {SECRET}}}\n"
        )
        findings = await examine(load_settings(file, environ={}))
    said = {one.check: one.verdict for one in findings}
    assert said == {
        "login": Verdict.OK,
        "version": Verdict.OK,
        "session": Verdict.FAULT,
        "bridge": Verdict.FAULT,
    }
