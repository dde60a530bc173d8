"""Mobile agents: names of phones that are numbers, on the way to Asterisk and back."""

from typing import Any

import pytest

from connector.asterisk.channel_names import endpoint_of_channel, endpoint_of_interface
from connector.asterisk.events import translate
from connector.asterisk.queues import interface_of
from connector.asterisk.settings import AnswerMethod, DialSettings, PhoneModel
from connector.asterisk.wire import AmiMessage
from connector.telephony import facts
from connector.telephony.mobile import is_nailed, mobile_endpoint, mobile_number, shown_number


@pytest.mark.parametrize("number", ["2009", "+4930123456", "*21#"])
@pytest.mark.parametrize("nailed", [False, True])
def test_names_there_and_back(number: str, *, nailed: bool) -> None:
    endpoint = mobile_endpoint(number, nailed=nailed)
    assert (mobile_number(endpoint), is_nailed(endpoint), shown_number(endpoint)) == (number, nailed, number)
    interface = interface_of(endpoint)
    assert endpoint_of_interface(interface) == endpoint
    device = interface.removesuffix("/n")
    assert endpoint_of_interface(device) == endpoint
    assert endpoint_of_channel(f"{device}-0000002a;1") == endpoint
    assert not endpoint_of_channel(f"{device}-0000002a;2")


def test_a_desk_phone_is_no_number() -> None:
    assert (mobile_number("1001"), is_nailed("1001"), shown_number("1001")) == ("", False, "1001")
    assert interface_of("1001") == "PJSIP/1001"
    for other in ("Local/2009@from-internal/n", "Local/20x9@harmony-mobile/n", "Local/1@harmony-mobile-x/n"):
        assert not endpoint_of_interface(other)
        assert not endpoint_of_channel(f"{other.removesuffix('/n')}-0000002a;1")


def test_a_number_has_no_phone_model() -> None:
    settings = DialSettings(other_phones=PhoneModel(AnswerMethod.NOTIFY_TALK))
    assert settings.phone_at("1001").answer is AnswerMethod.NOTIFY_TALK
    assert settings.phone_at("mobile:2009").answer is AnswerMethod.NONE


def created(channel: str) -> list[Any]:
    event = {
        "Event": "Newchannel",
        "Channel": channel,
        "ChannelState": "0",
        "CallerIDNum": "2001",
        "Uniqueid": "1.1",
        "Linkedid": "1.0",
        "Exten": "2009",
    }
    return translate(AmiMessage(tuple(event.items())))


def test_the_first_half_is_the_agents_leg_and_the_second_none() -> None:
    (leg,) = created("Local/2009@harmony-mobile-0000002a;1")
    assert isinstance(leg, facts.LegCreated)
    assert (leg.endpoint, leg.internal, leg.placed) == ("mobile:2009", False, False)
    assert created("Local/2009@harmony-mobile-0000002a;2") == []
    (joint,) = created("Local/2009@from-internal-0000002a;2")
    assert (joint.endpoint, joint.internal) == ("", True)
