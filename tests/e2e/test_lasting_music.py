"""Music that Asterisk did not end when somebody came into the room: the connector ends it, proven by ear."""

from calls import HELD, TALKING, Call
from desk import Desk

from connector.lab.phones.hearing import expect_hears

_CONTEXT = "test-lasting-music"


async def test_a_customer_whose_music_goes_on_hears_the_agent_again(queue_call: Call) -> None:
    """A customer comes into the room with music that nobody ends, as when Asterisk's end of it is lost."""
    call = queue_call
    await call.primary.hold()
    await call.primary.retrieve()
    connector = call.desk.connector
    legs = connector.pbx._exchange.model.legs
    (customer,) = (leg.id for leg in legs.of_endpoint("2001"))
    for step in (
        "1,StartMusicOnHold()",
        f"2,ConfBridge({customer},harmony_bridge,harmony_roomparty)",
    ):
        call.desk.lab.asterisk_cli(f"dialplan add extension s,{step} into {_CONTEXT} replace")
    await connector.pbx._link.send(
        "Redirect", {"Channel": customer, "Context": _CONTEXT, "Exten": "s", "Priority": "1"}
    )
    await connector.pbx._exchange.until(lambda: legs.legs[customer].music, "music in the room")
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    assert call.primary.states[-2:] == [HELD, TALKING]
    await call.primary.hold()
    await expect_hears({call.agent: set(), call.customer: {"MOH"}})
    await call.primary.retrieve()
    await expect_hears({call.agent: {"2001"}, call.customer: {"1001"}})
    await call.primary.release()
    await call.over()


async def test_who_waits_for_the_leader_of_a_conference_of_the_site_is_left_alone(at_desk: Desk) -> None:
    """Two hear music in one conference, as the site wants it: that is no music that lasts."""
    cli = at_desk.lab.asterisk_cli
    for step in (
        "1,Answer()",
        "2,Set(CONFBRIDGE(user,wait_marked)=yes)",
        "3,Set(CONFBRIDGE(user,music_on_hold_when_empty)=yes)",
        "4,Set(CONFBRIDGE(user,quiet)=yes)",
        "5,ConfBridge(900)",
    ):
        cli(f"dialplan add extension s,{step} into {_CONTEXT} replace")
    cli(f"dialplan add extension 900,1,Goto({_CONTEXT},s,1) into from-internal replace")
    try:
        people = [await at_desk.phones.phone(number) for number in ("2001", "2002")]
        calls = [await phone.dial("900") for phone in people]
        # Longer than the connector waits for the end of music.
        await expect_hears({phone: {"MOH"} for phone in people}, 10.0, stable=1.5)
        channels = cli("core show channels concise").splitlines()
        assert [line.split("!")[1] for line in channels if line.startswith("PJSIP/")] == [_CONTEXT] * 2
        for call in calls:
            await call.hangup()
    finally:
        cli("dialplan remove extension 900@from-internal")
