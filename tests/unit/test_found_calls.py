"""Calls found in the PBX's lists: states, ids and data read off rows and what stands on the legs."""

from collections.abc import Iterable

import pytest
from test_phone_chores import Link

from connector.asterisk.exchange import Exchange
from connector.asterisk.recovery import resync
from connector.asterisk.wire import AmiMessage
from connector.telephony import facts
from connector.telephony.changes import Anomaly, Change, ConversationAdded, MemberJoined, MemberLeft
from connector.telephony.interactions import Interaction
from connector.telephony.states import Cause, ConversationState, InteractionState

TALKING, HELD, DIALING, RELEASED = (
    ConversationState.TALKING,
    ConversationState.HELD,
    ConversationState.DIALING,
    ConversationState.RELEASED,
)
AGENT, CUSTOMER, TARGET = "a-1", "c-1", "x-1"


def row(
    leg: str,
    endpoint: str,
    place: str = "from-internal,s",
    bridge: str = "",
    state: str = "6",
    dnid: str = "",
    application: str = "",
    name: str = "",
    tree: str = CUSTOMER,
    **variables: str,
) -> AmiMessage:
    """Return what Status says of a leg; its variables are those of the dialplan and the connector."""
    context, _, extension = place.partition(",")
    app, _, data = application.partition(" ")
    return AmiMessage(
        [
            ("Event", "Status"),
            ("Channel", name or f"PJSIP/{endpoint}-0000000a"),
            ("ChannelState", state),
            ("CallerIDNum", endpoint),
            ("Context", context),
            ("Exten", extension),
            ("Uniqueid", leg),
            ("Linkedid", tree),
            ("DNID", dnid),
            ("BridgeID", bridge),
            ("Application", app),
            ("Data", data),
            *(("Variable", f"{key}={value}") for key, value in variables.items()),
        ]
    )


class Found:
    """A model that knows nothing until `read`."""

    def __init__(self, *watched: str) -> None:
        self.exchange, self.link = Exchange(proof_timeout=0.1), Link()
        self.changes: list[Change] = []
        self.exchange.subscribe(self.changes.append)
        for endpoint in watched or ("1001",):
            self.exchange.model.watch(endpoint)

    async def read(self, *rows: AmiMessage) -> list[Change]:
        """Read these rows; return what that changed."""
        del self.changes[:]
        self.link.rows = list(rows)
        await resync(self.exchange, self.link)  # type: ignore[arg-type]
        assert not [one for one in self.changes if isinstance(one, Anomaly)]
        return list(self.changes)

    @property
    def interaction(self) -> Interaction:
        (found,) = self.exchange.model.interactions("1001")
        return found


def customer(bridge: str = "r1", **more: str) -> AmiMessage:
    """Return a customer who has a room."""
    return row(
        CUSTOMER, "2001", f"harmony-room,p{CUSTOMER}", bridge, dnid="7000", HARMONY_AGENT=AGENT, **more
    )


def shape(interaction: Interaction) -> tuple[str, str | None]:
    consult = interaction.consult
    return interaction.primary.state, None if consult is None else consult.state


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((row(AGENT, "1001", "harmony-didle,s", HARMONY_P1=CUSTOMER), customer()), (HELD, None)),
        # A release was under way: the party is still there, or gone.
        ((row(AGENT, "1001", "harmony-didle,s", HARMONY_P1=""), customer()), (HELD, None)),
        ((row(AGENT, "1001", "harmony-didle,s", HARMONY_P1=""),), (RELEASED, None)),
        (
            (
                row(AGENT, "1001", f"harmony-room,a{TARGET}", "r2", HARMONY_P1="", HARMONY_P2=TARGET),
                customer(),
                row(TARGET, "1002", f"harmony-room,p{TARGET}", "r2"),
            ),
            (HELD, TALKING),
        ),
        (
            (row(AGENT, "1001", f"harmony-room,a{CUSTOMER}", "r1", HARMONY_P1=CUSTOMER), customer()),
            (TALKING, None),
        ),
        (
            (
                row(AGENT, "1001", "harmony-dconsult,s", "b2", HARMONY_P1=CUSTOMER, HARMONY_DEST="1002"),
                customer(),
                row(TARGET, "1002", bridge="b2"),
            ),
            (HELD, TALKING),
        ),
        (
            (
                row(AGENT, "1001", f"harmony-room,a{CUSTOMER}", "r1", HARMONY_P1=CUSTOMER, HARMONY_P2=TARGET),
                customer(),
                row(TARGET, "1002", f"harmony-room,p{TARGET}", "r2"),
            ),
            (TALKING, HELD),
        ),
        (
            (
                row(AGENT, "1001", "harmony-didle,s", HARMONY_P1=CUSTOMER, HARMONY_P2=TARGET),
                customer(),
                row(TARGET, "1002", f"harmony-room,p{TARGET}", "r2"),
            ),
            (HELD, HELD),
        ),
        (
            # The consulted party sits in the customer's room: that is a conference, whatever P2 says.
            (
                row(AGENT, "1001", f"harmony-room,a{CUSTOMER}", "r1", HARMONY_P1=CUSTOMER, HARMONY_P2=TARGET),
                customer(),
                row(TARGET, "1002", f"harmony-room,p{CUSTOMER}", "r1"),
            ),
            (TALKING, None),
        ),
        (
            # The customer hung up in the consult.
            (
                row(AGENT, "1001", "harmony-dconsult,s", "b2", HARMONY_P1=CUSTOMER, HARMONY_DEST="1002"),
                row(TARGET, "1002", bridge="b2"),
            ),
            (RELEASED, TALKING),
        ),
        (
            # An operation was about to begin: variables are set, nobody has moved.
            (
                row(AGENT, "1001", bridge="b1", HARMONY_P1=CUSTOMER),
                row(CUSTOMER, "2001", bridge="b1", dnid="7000", HARMONY_AGENT=AGENT),
            ),
            (TALKING, None),
        ),
    ],
    ids=[
        "held",
        "release begun",
        "release half done",
        "release beside a consult",
        "retrieved",
        "consult",
        "alternated",
        "both held",
        "conference",
        "customer gone",
        "on the way",
    ],
)
async def test_conversations_are_read_off_rooms_and_places(
    rows: Iterable[AmiMessage], expected: tuple[str, str | None]
) -> None:
    found = Found()
    await found.read(*rows)
    assert (found.interaction.id, found.interaction.state) == (AGENT, InteractionState.STARTED)
    assert shape(found.interaction) == expected
    # A second reading finds nothing new.
    assert await found.read(*rows) == []


async def test_ids_numbers_and_data_of_a_consult() -> None:
    found = Found("1001", "1002")
    agent = row(
        AGENT,
        "1001",
        "harmony-dconsult,s",
        application="Dial Local/1002@from-internal,20,g",
        HARMONY_P1=CUSTOMER,
        HARMONY_DEST="1002",
        HARMONY_CONSULTS="3",
        HARMONY_ORDER="4711",
    )
    joint = "Local/1002@from-internal-00000001"
    rows = (
        row(TARGET, "1002", state="5", application="AppDial (Outgoing Line)"),
        agent,
        customer(HARMONY_QUEUED_IN="support", HARMONY_QUEUED_FOR="7"),
        row("l2", "", name=f"{joint};2", state="4", application="Dial PJSIP/1002,20"),
        row("l1", "", name=f"{joint};1", state="5", application="AppDial (Outgoing Line)"),
    )
    await found.read(*rows)
    interaction = found.interaction
    assert shape(interaction) == (HELD, DIALING)
    assert interaction.consult is not None
    assert interaction.consult.id == f"{AGENT}-3"
    assert [member.address for member in interaction.consult.members] == ["1002"]
    assert interaction.consult.candidates == {TARGET}
    assert interaction.data == {
        "DIRECTION": "INBOUND",
        "ANI": "2001",
        "DNIS": "7000",
        "QUEUE": "support",
        "WAIT_TIME": "7",
        "ORDER": "4711",
    }
    (theirs,) = found.exchange.model.interactions("1002")
    assert (theirs.state, theirs.data["ANI"]) == (InteractionState.ALERTING, "1001")


async def test_a_consult_that_is_over_had_its_number() -> None:
    """The bridge may know that conversation: the next one is another."""
    found = Found()
    agent = row(AGENT, "1001", f"harmony-room,a{CUSTOMER}", "r1", HARMONY_P1=CUSTOMER, HARMONY_CONSULTS="3")
    await found.read(agent, customer())
    assert found.interaction.consult is None
    assert found.interaction.next_conversation_id() == f"{AGENT}-4"


async def test_what_the_bridge_dialled_is_told_from_whom_it_consulted() -> None:
    found = Found()
    agent = row(
        AGENT,
        "1001",
        "harmony-didle,s",
        HARMONY_P1=CUSTOMER,
        HARMONY_DEST="1002",
        HARMONY_DIALLED="2001",
    )
    # Of the variables that every event carries, two say that the bridge placed the call.
    told = [("ChanVariable", "HARMONY_ROLE=agent"), ("ChanVariable", "HARMONY_DEST=1002")]
    await found.read(AmiMessage([*agent, *told]), customer())
    assert found.interaction.data == {"DIRECTION": "OUTBOUND", "DNIS": "2001"}
    assert [member.address for member in found.interaction.primary.members] == ["2001"]


async def test_a_consult_that_failed_while_nobody_looked_tells_why() -> None:
    found = Found()
    dials = "Dial Local/1002@from-internal,20,g"
    rows = (
        row(AGENT, "1001", "harmony-dconsult,s", application=dials, HARMONY_P1=CUSTOMER, HARMONY_DEST="1002"),
        customer(),
    )
    await found.read(*rows)
    consult = found.interaction.consult
    assert consult is not None
    assert consult.state is DIALING
    waits = row(AGENT, "1001", "harmony-didle,s", HARMONY_P1=CUSTOMER, DIALSTATUS="BUSY", HANGUPCAUSE="17")
    await found.read(waits, customer())
    assert (consult.state, consult.cause, found.interaction.primary.state) == (RELEASED, Cause.BUSY, HELD)


async def test_data_that_changed_while_nobody_looked() -> None:
    found = Found()
    rows = (row(AGENT, "1001", bridge="b1", HARMONY_A="1", HARMONY_B="2"), row(CUSTOMER, "2001", bridge="b1"))
    await found.read(*rows)
    await found.read(row(AGENT, "1001", bridge="b1", HARMONY_B="3", HARMONY_C="4"), rows[1])
    data = found.interaction.data
    assert {key: data[key] for key in data.keys() & {"A", "B", "C"}} == {"B": "3", "C": "4"}


async def test_who_is_left_alone_is_told_as_released() -> None:
    found = Found()
    await found.read(row(AGENT, "1001", "harmony-didle,s", HARMONY_P1=CUSTOMER))
    assert shape(found.interaction) == (RELEASED, None)


class Moving(Link):
    """While one list of these is read, events tell of legs of it."""

    def __init__(self, exchange: Exchange, *lists: tuple[list[AmiMessage], tuple[facts.Fact, ...]]) -> None:
        super().__init__()
        self.exchange = exchange
        self.lists = list(lists)
        self.read = 0

    async def send_list(
        self, action: str, _fields: dict[str, str] | None = None, **_more: object
    ) -> list[AmiMessage]:
        if action != "Status":
            return []
        self.read += 1
        rows, told = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        for fact in told:
            self.exchange.apply(fact)
        return rows


OTHER = (row("a-9", "1009", bridge="b9", tree="c-9"), row("c-9", "2009", bridge="b9", tree="c-9"))
BEFORE = [row(AGENT, "1001", bridge="b1"), row(CUSTOMER, "2001", bridge="b1"), *OTHER]
AFTER = [row(AGENT, "1001", "harmony-didle,s", HARMONY_P1=CUSTOMER), customer(), *OTHER]


@pytest.mark.parametrize("moved", [AGENT, CUSTOMER])
async def test_a_call_that_changes_while_it_is_first_listed_is_looked_at_again_as_a_whole(moved: str) -> None:
    """Judged by half of its legs, its agent would seem to wait for nobody, and be let go."""
    found = Found("1001", "1009")
    link = Moving(found.exchange, (BEFORE, (facts.LegLeft(moved, "b1"),)), (AFTER, ()))
    await resync(found.exchange, link)  # type: ignore[arg-type]
    assert link.read == 2
    assert shape(found.interaction) == (HELD, None)
    released = [one for one in found.changes if getattr(one, "state", None) is RELEASED]
    assert released == []


async def test_calls_that_never_come_to_rest_are_taken_as_they_are_in_the_end() -> None:
    found = Found("1001", "1009")
    link = Moving(found.exchange, (AFTER, (facts.LegLeft(CUSTOMER, "b1"),)))
    await resync(found.exchange, link)  # type: ignore[arg-type]
    assert link.read == 5
    assert shape(found.interaction) == (HELD, None)


async def test_other_calls_do_not_wait_for_one_that_changes() -> None:
    found = Found("1001", "1009")
    there: list[int] = []

    class Counting(Moving):
        async def send_list(
            self, action: str, _fields: dict[str, str] | None = None, **_more: object
        ) -> list[AmiMessage]:
            if action == "Status":
                there.append(len(found.exchange.model.interactions("1009")))
            return await super().send_list(action, _fields)

    link = Counting(found.exchange, (BEFORE, (facts.LegLeft(AGENT, "b1"),)), (AFTER, ()))
    await resync(found.exchange, link)  # type: ignore[arg-type]
    assert there == [0, 1]


@pytest.mark.parametrize(("waited", "told"), [("7", "7"), ("0", "0"), ("", "0")])
async def test_a_caller_who_is_still_in_the_queues_hands_tells_queue_and_wait(waited: str, told: str) -> None:
    found = Found()
    caller = row(CUSTOMER, "2001", bridge="b1", dnid="7000", application="Queue support,tT", QUEUEWAIT=waited)
    await found.read(row(AGENT, "1001", bridge="b1", application="AppQueue (Outgoing Line)"), caller)
    data = found.interaction.data
    assert (data["QUEUE"], data["WAIT_TIME"], data["DNIS"]) == ("support", told, "7000")


@pytest.mark.parametrize("seen", [True, False], ids=["after a gap", "after a restart"])
async def test_a_private_word_is_found_as_a_consult(seen: bool) -> None:
    found = Found()
    together = {"bridge": "r1", "HARMONY_AGENT": AGENT}
    if seen:
        await found.read(
            row(AGENT, "1001", f"harmony-room,a{CUSTOMER}", "r1", HARMONY_P1=CUSTOMER, HARMONY_P2=""),
            customer(),
            row(TARGET, "1002", f"harmony-room,p{CUSTOMER}", **together),
        )
        assert len(found.interaction.primary.parties) == 2
    aside = {"HARMONY_P1": CUSTOMER, "HARMONY_P2": TARGET, "HARMONY_CONSULTS": "3", "HARMONY_DEST": "1002"}
    changes = await found.read(
        row(AGENT, "1001", f"harmony-room,a{TARGET}", "r2", **aside),
        customer(),
        row(TARGET, "1002", f"harmony-room,p{TARGET}", "r2", HARMONY_AGENT=AGENT),
    )
    assert shape(found.interaction) == (HELD, TALKING)
    consult = found.interaction.consult
    assert consult is not None
    assert [one.address for one in consult.members] == ["1002"]
    assert list(found.interaction.primary.parties) == [CUSTOMER]
    assert consult.id == f"{AGENT}-{2 if seen else 3}"
    assert [one for one in changes if isinstance(one, ConversationAdded)]


@pytest.mark.parametrize("inbound", [True, False])
async def test_of_a_conference_in_the_room_of_who_was_consulted_the_customer_is_the_first(
    *, inbound: bool
) -> None:
    """So nobody takes the customer aside, whom the call is about."""
    found = Found()
    tree, dialled = (CUSTOMER, "") if inbound else (AGENT, "2001")
    together = {"place": f"harmony-room,p{TARGET}", "bridge": "r1", "tree": tree, "HARMONY_AGENT": AGENT}
    own = {"HARMONY_P1": TARGET, "HARMONY_DEST": "1002", "HARMONY_DIALLED": dialled}
    await found.read(
        row(AGENT, "1001", f"harmony-room,a{TARGET}", "r1", dnid=dialled, tree=tree, **own),
        row(TARGET, "1002", **together),
        row("x-2", "2002", **together),
        row(CUSTOMER, "2001", **together),
    )
    interaction = found.interaction
    assert shape(interaction) == (TALKING, None)
    assert interaction.data["ANI" if inbound else "DNIS"] == "2001"
    assert [one.address for one in interaction.primary.members] == ["2001", "1002", "2002"]


async def test_a_consult_of_the_phones_whose_first_call_is_over_is_held_as_its_room_tells() -> None:
    found = Found("1001", "1002")
    await found.read(
        row(
            AGENT,
            "1001",
            "harmony-didle,s",
            tree=AGENT,
            dnid="1003",
            HARMONY_SIDE="agent",
            HARMONY_CONSULT="a-0",
            HARMONY_CONSULTS="2",
            HARMONY_P2="gone",
        ),
        row(TARGET, "1002", "harmony-didle,s", tree=TARGET, HARMONY_SIDE="agent", HARMONY_P1="gone"),
    )
    consult = found.interaction.consult
    assert shape(found.interaction) == (RELEASED, HELD)
    assert consult is not None
    assert (consult.id, [member.address for member in consult.members]) == ("a-0-2", ["1002"])


@pytest.mark.parametrize("direction", ["INBOUND", "OUTBOUND"])
async def test_a_call_that_went_over_to_the_leg_of_the_phones_consult_is_about_its_customer(
    direction: str,
) -> None:
    found = Found()
    dnid = {"dnid": "7000"} if direction == "INBOUND" else {}
    await found.read(
        row(
            AGENT,
            "1001",
            f"harmony-room,a{CUSTOMER}",
            "r1",
            tree=AGENT,
            dnid="1003",
            HARMONY_SIDE="agent",
            HARMONY_CONSULT="a-0",
            HARMONY_CONSULTS="2",
            HARMONY_P1=CUSTOMER,
            HARMONY_P2="gone",
        ),
        row(CUSTOMER, "2001", f"harmony-room,p{CUSTOMER}", "r1", HARMONY_AGENT=AGENT, **dnid),
    )
    one = found.interaction
    assert (one.id, *shape(one)) == ("a-0", TALKING, None)
    assert [(member.id, member.address) for member in one.primary.members] == [("a-0-1.1", "2001")]
    number = {"ANI": "2001", "DNIS": "7000"} if direction == "INBOUND" else {"DNIS": "2001"}
    assert one.data == {"DIRECTION": direction, **number}


@pytest.mark.parametrize("own", ["HARMONY_P1", "HARMONY_P2"])
async def test_agents_who_all_hold_a_room_that_nobody_is_in_have_each_other(own: str) -> None:
    """Whom the room is named after has left it to them: to be found by their notes alone."""
    found = Found("1001", "1002")
    await found.read(
        row(AGENT, "1001", "harmony-didle,s", tree=AGENT, HARMONY_SIDE="agent", **{own: "gone"}),
        row(TARGET, "1002", "harmony-dconsult,s", "b1", tree=TARGET, HARMONY_P1="gone", HARMONY_DEST="2002"),
        row("y-1", "2002", bridge="b1", tree=TARGET),
    )
    mine, (theirs,) = found.interaction, found.exchange.model.interactions("1002")
    talk = mine.primary if own == "HARMONY_P1" else mine.consult
    assert talk is not None
    assert (talk.state, set(talk.parties)) == (HELD, {TARGET})
    assert (theirs.primary.state, set(theirs.primary.parties)) == (HELD, {AGENT})
    assert theirs.consult is not None
    assert (theirs.consult.state, set(theirs.consult.parties)) == (TALKING, {"y-1"})


async def test_who_was_on_hold_and_is_gone_has_not_sent_the_agent_to_whom_it_consults() -> None:
    """The consulted is behind a joint, which is nobody's that the agent knows."""
    found = Found()
    rest = (
        row(AGENT, "1001", "harmony-dconsult,s", "b2", HARMONY_P1=CUSTOMER, HARMONY_DEST="1002"),
        row("l-1", "", bridge="b2", name="Local/1002@from-internal-00000001;1"),
        row("l-2", "", bridge="b3", name="Local/1002@from-internal-00000001;2"),
        row(TARGET, "1002", bridge="b3"),
    )
    await found.read(*rest, customer())
    assert shape(found.interaction) == (HELD, TALKING)
    await found.read(*rest)
    assert shape(found.interaction) == (RELEASED, TALKING)


async def test_who_rang_and_has_taken_the_place_of_an_agent_who_held_a_call() -> None:
    """While the link was away the first agent's phone joined its customer, on hold, with the second one."""
    found = Found("1001", "1002")
    held = row(AGENT, "1001", "harmony-didle,s", HARMONY_P1=CUSTOMER)
    dialled = row("a-2", "1001", "from-internal,1002", dnid="1002", application="Dial PJSIP/1002", tree="a-2")
    await found.read(held, customer(), dialled, row(TARGET, "1002", state="5", tree="a-2"))
    (theirs,) = found.exchange.model.interactions("1002")
    assert (theirs.state, theirs.contacts) == (InteractionState.ALERTING, ("a-2",))
    told = await found.read(row(TARGET, "1002", "harmony-didle,s", HARMONY_P1=CUSTOMER), customer())
    assert (theirs.state, theirs.primary.state) == (InteractionState.STARTED, HELD)
    assert theirs.contacts == (CUSTOMER,)
    members = [(type(one), one.member.address) for one in told if isinstance(one, (MemberJoined, MemberLeft))]
    assert members == [(MemberJoined, "2001"), (MemberLeft, "1001")]
