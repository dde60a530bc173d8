"""Variables of legs: one action for several, none for what is so already."""

import asyncio

import pytest
from scripted_ami import Peer, ScriptedAmi, linked

from connector.asterisk.variables import LegVariables
from connector.asterisk.wire import AmiMessage
from connector.telephony.pbx import Refused


def var_set(leg: str, name: str, value: str) -> AmiMessage:
    return AmiMessage([("Event", "VarSet"), ("Uniqueid", leg), ("Variable", name), ("Value", value)])


async def test_several_variables_go_in_one_action_and_known_ones_not_at_all() -> None:
    async def script(peer: Peer) -> None:
        await peer.log_in()
        both = await peer.expect("Setvar", Channel="a", Variable="ARRAY(HARMONY_P1,HARMONY_P2)", Value="c,")
        await peer.reply(both)
        one = await peer.expect("Setvar", Channel="a", Variable="HARMONY_P2", Value="x")
        await peer.reply(one)
        again = await peer.expect("Setvar", Channel="a", Variable="HARMONY_P1", Value="c")
        await peer.reply(again)
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        variables = LegVariables(watched.link)
        await variables.set("a", HARMONY_P1="c", HARMONY_P2="")
        for name, value in {"HARMONY_P1": "c", "HARMONY_P2": ""}.items():
            variables.on_event(var_set("a", name, value))
        await variables.set("a", HARMONY_P1="c", HARMONY_P2="")
        await variables.set("a", HARMONY_P1="c", HARMONY_P2="x")
        # Somebody else changed it: what the PBX tells counts, not what we sent.
        variables.on_event(var_set("a", "HARMONY_P1", "other"))
        await variables.set("a", HARMONY_P1="c")


@pytest.mark.parametrize("how", ["hangup", "events missed"])
async def test_what_may_have_changed_unnoticed_is_set_again(how: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.log_in()
        await peer.reply(await peer.expect("Setvar", Channel="a", Variable="HARMONY_P1", Value="c"))
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        variables = LegVariables(watched.link)
        variables.on_event(var_set("a", "HARMONY_P1", "c"))
        if how == "hangup":
            variables.on_event(AmiMessage([("Event", "Hangup"), ("Uniqueid", "a")]))
        else:
            variables.forget()
        await variables.set("a", HARMONY_P1="c")


async def test_legs_are_set_at_once_and_a_leg_that_is_gone_refuses() -> None:
    async def script(peer: Peer) -> None:
        await peer.log_in()
        first = await peer.expect("Setvar", Channel="a")
        second = await peer.expect("Setvar", Channel="c")
        await peer.reply(second)
        await peer.reply(first)
        await peer.reply(await peer.expect("Setvar", Channel="gone"), "Error", Message="No such channel")
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        variables = LegVariables(watched.link)
        async with asyncio.timeout(5):
            await variables.set_all({"a": {"HARMONY_P1": "c"}, "c": {"HARMONY_AGENT": "a"}})
        with pytest.raises(Refused, match="The call ended at this moment"):
            await variables.set("gone", HARMONY_P1="c")


def test_other_variables_and_broken_events_are_none_of_it() -> None:
    variables = LegVariables(None)  # type: ignore[arg-type]  # nothing is sent
    variables.on_event(AmiMessage([("Event", "VarSet"), ("Variable", "HARMONY_P1")]))
    variables.on_event(var_set("a", "HARMONY_SKILL", "gold"))
    assert variables._known == {}
