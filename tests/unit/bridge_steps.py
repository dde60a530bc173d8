"""What can happen to the tree of destinations, for the property tests: single steps, and how calls begin."""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from scripted_pbx import Fate
from test_model_properties import fact as any_fact

from connector.bridge.messages import CATALOGUE, Kind
from connector.telephony import facts
from connector.telephony.facts import Fact
from connector.telephony.states import Recording, Supervision


@dataclass(frozen=True)
class Ask:
    """The bridge asks `name` of `target`; `pick` chooses among what it was told (ids, endpoints)."""

    name: str
    target: str
    body: Any = None
    pick: int = 0
    kind: Kind | None = None


@dataclass(frozen=True)
class Again:
    """The bridge repeats an earlier request, same requestId."""

    which: int


@dataclass(frozen=True)
class Raw:
    """Bytes come that need not be a message."""

    payload: bytes


@dataclass(frozen=True)
class Told:
    """The PBX tells something."""

    fact: Fact


@dataclass(frozen=True)
class Next:
    """The next procedure of the PBX has that fate."""

    fate: Fate


@dataclass(frozen=True)
class Service:
    """The PBX goes or comes."""

    available: bool


@dataclass(frozen=True)
class Turns:
    """The loop runs for a while; what was held up goes on if `let_go`."""

    count: int
    let_go: bool = False


@dataclass(frozen=True)
class Disconnect:
    """The connection breaks, a new one begins."""


Step = Ask | Again | Raw | Told | Next | Service | Turns | Disconnect

CONTROL = "P.CONTROL"
SESSIONS = ("S1", "S2", "P.S3")
PATHS = (
    CONTROL,
    *SESSIONS,
    *(f"{session}.g" for session in SESSIONS),
    *(f"{session}.g.c" for session in SESSIONS),
    *(f"{session}.g.c.{i}" for session in SESSIONS[:2] for i in ("i", "j")),
    *(f"{session}.g.c.{i}.{c}" for session in SESSIONS[:2] for i in ("i", "j") for c in ("p", "q")),
)
LEVEL = {"control": 0, "session": 1, "channel group": 2, "channel": 3, "interaction": 4, "conversation": 5}
ASKED = tuple(spec.name for spec in CATALOGUE.values() if spec.kind is not Kind.EVENT)

targets = st.sampled_from(PATHS)
junk_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=5),
    st.lists(st.text(max_size=2), max_size=2),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
)
keys = st.sampled_from(
    ["id", "nativeid", "endpoint", "name", "destination", "agentId", "agentPassword", "type", "reasonCodeId"]
)
junk_bodies = st.dictionaries(keys, junk_values, max_size=4)
picks = st.integers(0, 3)


def at_its_place(name: str) -> st.SearchStrategy[str]:
    level = LEVEL[CATALOGUE[name].scope]
    there = [each for each in PATHS if depth(each) == level]
    return st.sampled_from([each for each in there if each.startswith("S1")] * 3 + there)


def depth(target: str) -> int:
    if target == CONTROL:
        return 0
    return 1 + target.removeprefix("P.").count(".")


fitting = st.sampled_from(ASKED).flatmap(
    lambda name: st.builds(Ask, st.just(name), at_its_place(name), pick=picks)
)
wild = st.builds(
    Ask,
    st.sampled_from([*ASKED, "cti.serverstatuschanged", "session.request.fly", "cti.request. createsession"]),
    targets | st.sampled_from(["", "X", "S1.", ".g", "S1..g", "P.CONTROL.x", "S1.g.c.i.p.z"]),
    st.none() | junk_bodies,
    picks,
    st.none() | st.sampled_from(Kind),
)
LIKELY: tuple[Fact, ...] = (
    facts.LegAnswered("a"),
    facts.LegJoined("a", "b1"),
    facts.LegJoined("c", "b1"),
    facts.MusicStarted("c"),
    facts.MusicStopped("c"),
    facts.VariableSet("a", "KEY", "value"),
    facts.LegRecorded("c", Recording.ON),
    facts.LegRecorded("c", Recording.PAUSED),
    facts.LegMuted("a", muted=True),
    facts.SpyStarted("sup-1", "a", Supervision.WHISPER),
    facts.LegEnded("sup-1", 16),
    facts.LegEnded("a", 16),
    facts.LegEnded("c", 16),
    facts.LegJoined("d", "b1"),
    facts.LegCreated("d", "2002", "d", placed=True, number="2002"),
    facts.DialStarted("a", "d"),
    facts.MemberChanged("support", "1001", "1001", paused=False, reason=""),
    facts.MemberChanged("support", "1001", "1002", paused=True, reason=""),
    facts.MemberGone("support", "1001"),
    facts.PbxStopped(),
)
told: st.SearchStrategy[Step] = st.builds(Told, any_fact | st.sampled_from(LIKELY))
step: st.SearchStrategy[Step] = st.one_of(
    fitting,
    fitting,
    wild,
    st.builds(Again, st.integers(0, 30)),
    st.builds(Raw, st.binary(max_size=30) | st.sampled_from([b'{"header": {"requestId": "r"}}', b"[]"])),
    told,
    told,
    st.builds(Next, st.sampled_from(Fate)),
    st.builds(Service, st.booleans()),
    st.builds(Turns, st.integers(1, 6), st.booleans()),
    st.just(Disconnect()),
)


def desk_of(session: str, agent: int) -> tuple[Step, ...]:
    """Return the login of an agent, so that not every sequence spends itself before the first door."""
    return (
        Ask("cti.request.serverstatus", CONTROL),
        Ask("cti.query.capabilities", CONTROL),
        Ask("cti.request.createsession", CONTROL, pick=SESSIONS.index(session) + 4 * agent),
        Turns(6),
        *(Ask("session.query.init", session), Turns(6)),
        Ask("session.request.createchannelgroup", session, pick=4 * agent),
        *(Ask("channelgroup.query.init", f"{session}.g"), Turns(6)),
        Ask("channelgroup.request.createchannel", f"{session}.g"),
        Ask("channel.query.init", f"{session}.g.c"),
        Ask("channel.request.activate", f"{session}.g.c"),
        Turns(6),
    )


def call_at(endpoint: str, session: str) -> tuple[Step, ...]:
    """Return an incoming call, and a bridge that takes it up."""
    here = f"{session}.g.c"
    return (
        Told(facts.LegCreated("c", "2001", "c", placed=True, number="2001", dialled="7000")),
        Told(facts.LegCreated("a", endpoint, "c", placed=False)),
        Told(facts.DialStarted("c", "a")),
        Told(facts.LegRinging("a")),
        Turns(3),
        Ask("channel.request.createinteraction", here),
        Ask("interaction.query.init", f"{here}.i"),
        Ask("interaction.request.createconversation", f"{here}.i"),
        Ask("conversation.query.init", f"{here}.i.p"),
        Turns(6),
    )


TALK: tuple[Step, ...] = tuple(Told(each) for each in LIKELY[:3])


SUPERVISED = Ask("channel.request.x-supervise", "S2.g.c")

beginnings: st.SearchStrategy[tuple[Step, ...]] = st.sampled_from(
    [
        (),
        desk_of("S1", 0),
        (*desk_of("S1", 0), *desk_of("S2", 1)),
        (*desk_of("S1", 0), *call_at("1001", "S1")),
        (*desk_of("S1", 0), Ask("channel.request.dial", "S1.g.c"), *call_at("1001", "S1")[-6:]),
        (*desk_of("S1", 0), *call_at("1001", "S1"), *TALK),
        (*desk_of("S1", 0), *desk_of("S2", 1), *call_at("1001", "S1"), *TALK, SUPERVISED, Turns(3)),
        (*desk_of("S1", 0), *call_at("1001", "S1"), *TALK, Told(facts.LegEnded("c", 16)), Turns(3)),
        (*desk_of("S1", 0), *desk_of("S2", 0), *call_at("1001", "S2")),
    ]
)
