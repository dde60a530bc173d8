"""Interaction data keeps the types that the bridge told, for as long as the call says the same."""

from typing import Any

import pytest
from telephony_script import AGENT, agent_answers
from tree_door import INTERACTION, Bridge

from connector.asterisk.variable_names import data_key
from connector.bridge.codec import decode, encode
from connector.bridge.messages import Result
from connector.destinations.datavalues import SetValues
from connector.telephony import facts
from connector.telephony.pbx import Refused

VALUES: dict[str, Any] = {
    "NUMBER": 1.5,
    "COUNT": 7,
    "YES": True,
    "NO": False,
    "TEXT": "1.5",
    "BRACES": '{"a": 1}',
    "OBJECT": {"a": 1},
}


@pytest.fixture
async def bridge() -> Bridge:
    bridge = Bridge()
    await bridge.log_in()
    await bridge.take_call()
    bridge.pbx.tell(*agent_answers())
    return bridge


async def data(bridge: Bridge) -> dict[str, Any]:
    answer = await bridge.must("interaction.request.getdata", INTERACTION)
    return dict(answer.body["interaction-data"])


async def test_values_come_back_as_they_were_set(bridge: Bridge) -> None:
    bridge.take_events()
    await bridge.must("interaction.request.setdata", INTERACTION, **{"interaction-data": VALUES})
    changed: dict[str, Any] = {}
    for one in bridge.wire.sent:
        if one.name == "interaction.datachanged":
            changed |= one.body["interaction-data"]
    assert changed == VALUES
    assert [type(changed[key]) for key in VALUES] == [type(value) for value in VALUES.values()]
    assert VALUES.items() <= (await data(bridge)).items()
    again = await bridge.must("interaction.query.init", INTERACTION)
    assert again.body["interaction-data"]["YES"] is True


async def test_what_the_call_says_since_is_text(bridge: Bridge) -> None:
    await bridge.must(
        "interaction.request.setdata", INTERACTION, **{"interaction-data": {"A": 1.5, "B": True, "C": 1}}
    )
    bridge.pbx.tell(facts.VariableSet(AGENT, "A", "2.5"), facts.VariableSet(AGENT, "B", ""))
    assert (await data(bridge)).items() >= {"A": "2.5", "C": 1}.items()
    await bridge.must("interaction.request.setdata", INTERACTION, **{"interaction-data": {"C": None, "D": 2}})
    now = await data(bridge)
    assert (now["A"], now["D"]) == ("2.5", 2)
    assert not {"B", "C"} & set(now)


async def test_a_refused_value_leaves_the_type_of_before(bridge: Bridge) -> None:
    await bridge.must("interaction.request.setdata", INTERACTION, **{"interaction-data": {"A": 1}})
    bridge.pbx.refuse = Refused("No.")
    refused = await bridge.ask("interaction.request.setdata", INTERACTION, **{"interaction-data": {"A": "1"}})
    assert refused.result is Result.FAILURE
    assert (await data(bridge))["A"] == 1


def test_only_what_the_call_still_says_is_remembered() -> None:
    values = SetValues()
    for number in range(1000):
        with values.setting({f"K{number}": number}, {}):
            pass
    assert len(values._set) == 1


@pytest.mark.parametrize(("levels", "is_object"), [(3, True), (30, True), (40, False), (5000, False)])
async def test_what_the_dialplan_nests_too_deeply_for_a_message_is_told_as_text(
    bridge: Bridge, levels: int, *, is_object: bool
) -> None:
    text = '{"a":' * levels + "1" + "}" * levels
    bridge.take_events()
    bridge.pbx.tell(facts.VariableSet(AGENT, "DEEP", text))
    (told,) = (one for one in bridge.wire.sent if one.name == "interaction.datachanged")
    asked = ("interaction.request.getdata", "interaction.query.init")
    answers = [await bridge.must(name, INTERACTION) for name in asked]
    for message in (told, *answers):
        value = decode(encode(message)).body["interaction-data"]["DEEP"]
        assert isinstance(value, dict) if is_object else value == text


def test_the_cause_of_the_end_is_no_data_of_the_dialplan() -> None:
    assert data_key("__HARMONY_CAUSE") == ""
    assert data_key("__HARMONY_CAUSES") == "CAUSES"
