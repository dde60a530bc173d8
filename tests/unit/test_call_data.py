"""Interaction data from the bridge is bounded in number, size and character set."""

import pytest

from connector.telephony.data import check_data
from connector.telephony.pbx import Refused


@pytest.mark.parametrize(
    "fits",
    [
        {},
        {"A": ""},
        {"CUSTOMER_ID": "4711"},
        {"k" * 40: "ü" * 400},
        {f"K{number}": "x" for number in range(32)},
    ],
)
def test_what_fits_passes(fits: dict[str, str]) -> None:
    check_data(fits)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"": "x"}, "data key ''"),
        ({"1A": "x"}, "a letter first"),
        ({"A B": "x"}, "a letter first"),
        ({"A=B,C": "x"}, "a letter first"),
        ({"A\nB": "x"}, "data key 'A?B'"),
        ({"k" * 41: "x"}, "1 to 40"),
        ({"Ä": "x"}, "a letter first"),
        ({"A": "one\r\nAction: Logoff"}, "printable text on one line"),
        ({"A": "\0"}, "printable text"),
        ({"A": "\ud800"}, "printable text"),
        ({"A": "ü" * 401}, "longer than 800 bytes"),
        ({f"K{number}": "x" for number in range(33)}, "At most 32 data keys"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(Refused, match=r"^(The|At) .*") as refused:
        check_data(wrong)
    assert said in str(refused.value)
    assert "Logoff" not in str(refused.value)


def test_an_interaction_holds_a_bounded_number_of_keys() -> None:
    present = {f"K{number}" for number in range(100)}
    check_data({"K1": "changed", "K2": "", "gone": ""}, present)
    check_data({"NEW": "x"}, present - {"K1"})
    with pytest.raises(Refused, match="at most 100 data keys"):
        check_data({"NEW": "x"}, present)
