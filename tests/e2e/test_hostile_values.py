"""Injection at every door, on the real PBX: values that mean something to AMI, the dialplan or a log."""

import asyncio

from calls import TALKING, make_call
from desk import WAIT, Desk

from connector.asterisk.link import AmiLink, AmiSettings
from connector.lab.phones.hearing import expect_hears
from connector.lab.provider import LabInfo

BROKEN_LINES = ("2001\r\nAction: Logoff", "2001\nAction: Logoff", "2001\rx", "2001\x00")
DIALPLAN = (
    "2001&PJSIP/1002",
    "2001,20,g",
    "2001@default",
    "PJSIP/1002",
    "${SHELL(id)}",
    "$[1+1]",
    "2001|x",
    "2001;x",
    "1)x",
    "../1",
    "".join(chr(0xFF10 + int(digit)) for digit in "2001"),
)
"""The last one is digits to Python, and none to a telephone."""


async def test_no_door_lets_a_hostile_value_in(at_desk: Desk) -> None:
    call = await make_call(at_desk, "direct")
    talk, at, here = call.primary.target, call.interaction.target, call.session.channel.target
    legs = set(at_desk.connector.pbx.model.legs.legs)
    bridge = at_desk.bridge
    asked = [
        (target, name, {key: value})
        for target, name, key in (
            (here, "channel.request.dial", "destination"),
            (at, "interaction.request.consult", "destination"),
            (talk, "conversation.request.blindtransfer", "destination"),
            (talk, "conversation.request.blindconference", "destination"),
            (talk, "conversation.request.senddtmf", "tones"),
        )
        for value in (*BROKEN_LINES, *DIALPLAN)
    ]
    asked += [
        (at, "interaction.request.setdata", {"interaction-data": data})
        for value in (*BROKEN_LINES, "x\u2028y")
        for data in ({"ORDER": value}, {value: "x"})
    ]
    asked += [
        (at, "interaction.request.setdata", {"interaction-data": {key: "x"}})
        for key in (
            "A(b)",
            "A,B",
            "${A}",
            "A=B",
            "__A",
            "CUR",
            "P1",
            "AGENT",
            "DEST",
            "CTX",
            "ID",
            "1A",
            "MOBILE_CTX",
            "RETURNED_FROM",
            "",
        )
    ]
    asked += [(at, "interaction.request.deletedata", {"keys": [key]}) for key in ("CUR", "A\r\nB", "A(b)")]
    asked += [
        (here, "channel.request.notready", {"reasonCodeId": value})
        for value in (*BROKEN_LINES, "a|ADDMEMBER", "x" * 2000)
    ]
    for target, name, body in asked:
        reply = await bridge.request(target, name, body)
        assert reply.error_message, (name, body)
        assert reply.error_message.isprintable(), (name, body)
    assert set(at_desk.connector.pbx.model.legs.legs) == legs
    assert call.primary.state is TALKING
    assert call.session.channel.agent_state == "NOT_READY"
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.customers_call.hangup()
    await call.over()


async def test_where_an_agent_sits_is_checked(at_desk: Desk) -> None:
    password, target = at_desk.info.agents["1001"].password, "LAB.HOSTILE"
    created = {"agentId": "1001", "agentPassword": password, "sessionId": "s", "destination": target}
    assert (await at_desk.bridge.request("", "cti.request.createsession", created)).ok
    assert (await at_desk.bridge.request(target, "session.query.init", {"name": "x"})).ok
    for body in (
        *({"extension": value} for value in (*BROKEN_LINES, *DIALPLAN[:-1], "mobile:2001", "x" * 100)),
        *(
            {"extensions": {"mobileagent-mode": "1", "mobileagent-dialnumber": value}}
            for value in (*BROKEN_LINES, *DIALPLAN)
        ),
    ):
        group = {"name": "group-1001", "id": "g", **body}
        reply = await at_desk.bridge.request(target, "session.request.createchannelgroup", group)
        assert reply.error_message, body
        assert reply.error_message.isprintable(), body
    assert (await at_desk.bridge.request(target, "session.request.dispose", {})).ok


async def test_a_callers_name_and_data_stay_text_through_every_operation(at_desk: Desk, lab: LabInfo) -> None:
    name = "${CHANNEL(name)},x&y|z; $[1+1] <9>"
    agent, target = await at_desk.agent_phone(), await at_desk.phones.phone("1002")
    customer = await at_desk.phones.phone("2001")
    session = await at_desk.login("1001", ready=False)
    await customer.dial("1001")
    interaction = await session.channel.next_interaction()
    model = at_desk.connector.pbx.model.interaction(interaction.nativeid)
    assert model is not None
    (party,) = model.primary.parties
    await rename(lab, party, name)
    await (await agent.next_call(WAIT)).answer()
    await interaction.primary.wait_state(TALKING)
    data = {"NOTE": "${CHANNEL(name)} $[1+1] %{x} a,b&c|d;e", "OTHER": '"quoted"\\'}
    await interaction.set_data(data)
    await interaction.primary.hold()
    await interaction.primary.retrieve()
    consult = await interaction.consult("1002")
    await (await target.next_call(WAIT)).answer()
    await consult.wait_state(TALKING)
    assert {key: interaction.data[key] for key in data} == data
    leg = at_desk.connector.pbx.model.legs.get(party)
    assert leg is not None
    assert leg.name == name
    await interaction.consult_transfer()
    await expect_hears({customer: {"1002"}, target: {"2001"}})
    await target.calls[0].hangup()
    await interaction.complete()
    await session.close()


async def rename(lab: LabInfo, leg: str, name: str) -> None:
    """Give a caller another name, as a hostile one would bring it along."""
    user = lab.ami["observer"]
    settings = AmiSettings(lab.host, lab.ports.ami, user.username, user.secret)
    link = AmiLink(settings, on_event=lambda _event: None)
    running = asyncio.create_task(link.run())
    try:
        await link.wait_up(WAIT)
        await link.send("Setvar", {"Channel": leg, "Variable": "CALLERID(name)", "Value": name})
    finally:
        await link.close()
        await running
