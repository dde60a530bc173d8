"""What may be dialled, and what an agent reads who tries something else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.telephony.numbers import check_number
from connector.telephony.pbx import Refused


@pytest.mark.parametrize(
    ("typed", "dialled"),
    [
        ("2001", "2001"),
        ("+49 (30) 123-45.67", "+49301234567"),
        ("*72#", "*72#"),
        (" 7000 ", "7000"),
        ("1" * 32, "1" * 32),
    ],
)
def test_numbers_as_people_write_them(typed: str, dialled: str) -> None:
    assert check_number(typed) == dialled


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "20;01",
        "2001&2002",
        "2001@from-internal",
        "2001,30,tT",
        "2001\r\nAction: Logoff",
        "1\x00",
        "1" * 33,
        "9" * 200,
        "1+2",
        "${EXTEN}",
        "٢٠٠١",
        "sip:2001",
    ],
)
def test_what_is_no_number_is_refused_in_one_readable_line(typed: str) -> None:
    with pytest.raises(Refused) as refused:
        check_number(typed)
    sentence = str(refused.value)
    assert sentence.isprintable()
    assert sentence.endswith(".")
    assert len(sentence) < 160


@given(st.text())
def test_nothing_gets_through_but_digits_star_hash_and_a_leading_plus(typed: str) -> None:
    try:
        number = check_number(typed)
    except Refused:
        return
    assert 1 <= len(number.lstrip("+")) <= 32
    assert set(number.removeprefix("+")) <= set("0123456789*#")
