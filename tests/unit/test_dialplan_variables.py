"""Our dialplan and interaction data have no variable in common that an expression could take apart."""

import re
from pathlib import Path

import pytest
from test_phone_chores import Link

from connector.asterisk.data import CallData
from connector.asterisk.exchange import Exchange
from connector.asterisk.variable_names import DIALPLANS_DATA, RESERVED_VARIABLES, VARIABLE_PREFIX, data_key
from connector.telephony import facts
from connector.telephony.pbx import Refused

OURS = Path(__file__).parents[2] / "asterisk-conf" / "harmony.conf"
NAME = re.compile(rf"{VARIABLE_PREFIX}[A-Z0-9_]+")
EXPRESSION = re.compile(r"\$\[[^\[\]]*\]")


def lines() -> list[str]:
    text = OURS.read_text("utf-8").splitlines()
    return [line for line in text if line and not line.lstrip().startswith(";")]


def test_every_variable_of_our_dialplan_is_out_of_the_bridges_reach() -> None:
    used = {name for line in lines() for name in NAME.findall(line)}
    assert len(used) > 20
    assert used <= RESERVED_VARIABLES | {VARIABLE_PREFIX + key for key in DIALPLANS_DATA}


def test_no_data_is_part_of_an_expression() -> None:
    expressions = [found for line in lines() for found in EXPRESSION.findall(line)]
    assert len(expressions) > 20
    assert not [one for one in expressions for name in NAME.findall(one) if data_key(name)]


@pytest.mark.parametrize("key", sorted(DIALPLANS_DATA | {"MOBILE_CTX", "AGENT", "DEST"}))
async def test_the_bridge_sets_none_of_them(key: str) -> None:
    exchange, link = Exchange(proof_timeout=0.1), Link()
    exchange.available = True
    exchange.model.watch("1001")
    exchange.apply(facts.LegCreated("n", "1001", "n", placed=True, number="1001", dialled="2002"))
    for value in ("x", '" | SHELL("id") | "', ""):
        with pytest.raises(Refused, match=key):
            await CallData(exchange, link).set("n", {key: value})  # type: ignore[arg-type]
    assert link.sent == []
