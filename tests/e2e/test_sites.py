"""The worked sites on real PBXs: what is rendered loads without a warning, and carries calls."""

import asyncio
from dataclasses import replace
from pathlib import Path

from calls import ENDED, HELD, TALKING, make_call
from desk import WAIT, Desk, desk
from sip_caller import Caller
from site_labs import BASE, DIALPLAN, FILES, QUEUES, complaints, configured, running, site_files

from connector.doctor.examine import examine
from connector.doctor.findings import Verdict
from connector.lab.phones.base import SipAccount
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo

OURS, THEIRS = "+12025550100", "+12025550123"
CARRIER_SECRET = "a-trunk's-secret"


async def consult_and_transfer(at: Desk) -> None:
    """Take a call from the queue, consult a colleague, and leave the customer to that one."""
    call = await make_call(at, "queue")
    consult = await call.consult()
    assert (call.primary.state, consult.state) == (HELD, TALKING)
    await call.interaction.consult_transfer()
    await call.over()
    await expect_hears({call.customer: {"1002"}, call.target: {"2001"}})
    await call.customers_call.hangup()
    await call.customers_call.wait_state("ended", WAIT)


async def doctor_is_silent(at: Desk) -> None:
    """See that the doctor finds nothing at the site as it is rendered and documented."""
    findings = await examine(at.connector.settings)
    assert [one for one in findings if one.verdict is not Verdict.OK] == []


async def test_lab(tmp_path: Path) -> None:
    overlay = {**site_files("lab"), "extensions.conf": DIALPLAN, "queues.conf": QUEUES}
    with running("lab", overlay) as (lab, info):
        async with desk(lab, info, tmp_path, configure=configured("lab")) as at:
            await consult_and_transfer(at)
            await doctor_is_silent(at)
        assert complaints(info) == []


async def test_branch_office(tmp_path: Path) -> None:
    overlay = {
        **site_files("branch-office"),
        "harmony.conf": "",
        "extensions.conf": (FILES / "branch.extensions.conf").read_text("utf-8"),
        "queues.conf": (FILES / "branch.queues.conf").read_text("utf-8"),
        "features.conf": "[general]\n\n[featuremap]\nblindxfer = ##\n\n#include features.harmony.conf\n",
    }
    with running("branch", overlay) as (lab, info):
        assert "harmony" not in await asyncio.to_thread(lab.asterisk_cli, "dialplan show")
        async with desk(lab, info, tmp_path, configure=configured("branch-office")) as at:
            await consult_and_transfer(at)
            await doctor_is_silent(at)
        assert complaints(info) == []


def twilio(carrier: LabInfo) -> dict[str, str]:
    """Return the files of the site, whose trunk leads to the carrier of the test."""
    files = site_files(
        "twilio",
        {
            "CONNECTOR_TRUNKS__TWILIO__HOST": "127.0.0.1",
            "CONNECTOR_TRUNKS__TWILIO__PORT": str(carrier.ports.sip),
            "CONNECTOR_TRUNKS__TWILIO__ADDRESSES": "[127.0.0.1]",
            "CONNECTOR_PBX__CA_FILE": "/etc/asterisk/carrier.pem",
        },
    )
    here = "direct_media = no\nmedia_address = @BIND@\nbind_rtp_to_media_address = yes"
    trunk = (
        files["pjsip.harmony.conf"]
        .replace("0.0.0.0:5061", "@BIND@:@SIP_PORT@")
        .replace("direct_media = no", here)
        .replace("@TRUNK_TWILIO_SECRET@", CARRIER_SECRET)
    )
    phones = (BASE / "pjsip.conf").read_text("utf-8")
    return {
        **files,
        "pjsip.harmony.conf": trunk,
        "carrier.pem": Path(carrier.ca_file).read_text("utf-8"),
        "extensions.conf": DIALPLAN,
        "queues.conf": QUEUES,
        "pjsip.conf": phones.replace("context = from-internal", "context = twilio-agents").replace(
            "auth_username,username\nkeep", "auth_username,username,ip\nkeep"
        )
        + "\n#include pjsip.harmony.conf\n",
        "modules.conf": modules(),
    }


def modules() -> str:
    more = "load = res_srtp.so\nload = res_pjsip_endpoint_identifier_ip.so\n"
    return (BASE / "modules.conf").read_text("utf-8") + more


def carrier_files() -> dict[str, str]:
    phones = (BASE / "pjsip.conf").read_text("utf-8")
    return {
        "pjsip.conf": phones + (FILES / "carrier.pjsip.conf").read_text("utf-8"),
        "extensions.conf": (FILES / "carrier.extensions.conf").read_text("utf-8"),
        "modules.conf": modules(),
    }


async def test_twilio(tmp_path: Path) -> None:
    with (
        running("carrier", carrier_files()) as (carrier, there),
        running("twilio", twilio(there)) as (lab, info),
    ):
        await asyncio.to_thread(
            carrier.asterisk_cli, f"dialplan set global CUSTOMER 127.0.0.1:{info.ports.sip}"
        )
        async with desk(lab, info, tmp_path, configure=configured("twilio")) as at:
            at.phones.place(SipAccount("2001", there.host, there.ports.sip, there.sip["2001"].password))
            await out_and_in(at)
            await at.agent_phone("1002")
            await doctor_is_silent(at)
            assert complaints(info) == []
            assert complaints(there) == []
            await the_carrier_insists(there)


async def the_carrier_insists(there: LabInfo) -> None:
    """See the stand-in take a call, and refuse it when one thing is missing: else it would prove nothing."""
    right = Caller(
        host=there.host,
        port=there.ports.sip,
        ca_file=there.ca_file,
        username="connector",
        secret=CARRIER_SECRET,
        number=THEIRS,
        shown=OURS,
    )
    answers = {
        "right": await right.call(),
        "without TLS": await replace(right, tls=False).call(),
        "without SRTP": await replace(right, srtp=False).call(),
        "wrong digest": await replace(right, secret="wrong").call(),
        "not E.164": await replace(right, number="2025550123").call(),
        "a foreign number shown": await replace(right, shown="+12025550199").call(),
    }
    assert answers == {
        "right": 180,
        "without TLS": 403,
        "without SRTP": 488,
        "wrong digest": 401,
        "not E.164": 404,
        "a foreign number shown": 403,
    }


async def out_and_in(at: Desk) -> None:
    agent, customer = await at.agent_phone(), await at.phones.phone("2001")
    session = await at.login()

    out = await session.channel.dial("(202) 555-0123")
    customers_call = await customer.next_call(WAIT)
    await customers_call.answer()
    await out.primary.wait_state(TALKING)
    await expect_hears({agent: {"2001"}, customer: {"1001"}})
    assert [member.address for member in out.primary.members] == [THEIRS]
    await out.primary.release()
    await customers_call.wait_state("ended", WAIT)
    await out.wait_state(ENDED)
    await out.complete()

    agent.answer_mode = "auto"
    customers_call = await customer.dial(OURS)
    back = await session.channel.next_interaction()
    await back.primary.wait_state(TALKING)
    await expect_hears({agent: {"2001"}, customer: {"1001"}})
    assert [member.address for member in back.primary.members] == [THEIRS]
    await customers_call.hangup()
    await customers_call.wait_state("ended", WAIT)
    await back.wait_state(ENDED)
    await back.complete()
    await session.close()
