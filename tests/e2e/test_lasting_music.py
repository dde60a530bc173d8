"""Music that Asterisk did not end when somebody came into the room: the connector ends it, proven by ear."""

from calls import HELD, TALKING, Call

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
