"""Rows of lists in which a variable's value brings line breaks along: what it makes up is not believed."""

import pytest
from scripted_ami import Peer, ScriptedAmi, linked

from connector.asterisk.found_legs import TRUSTED, variables_of
from connector.asterisk.wire import AmiMessage

HANGUP = "Event: Hangup\r\nUniqueid: victim\r\nCause: 16"
BREAKS = {
    "an event": f"x\r\n\r\n{HANGUP}",
    "several events": f"\r\n\r\n{HANGUP}\r\n\r\n{HANGUP}\r\n\r\n",
    "the end of the list": "x\r\n\r\nEvent: StatusComplete\r\nActionID: 1\r\nEventList: Complete",
    "another row": "x\r\n\r\nEvent: Status\r\nChannel: PJSIP/9-1\r\nUniqueid: victim\r\nX: ",
    "a closed row": "x\r\nActionID: 1\r\n\r\nEvent: Status\r\nChannel: PJSIP/9-1\r\nUniqueid: victim\r\nX: ",
    "a reply": "x\r\n\r\nResponse: Error\r\nActionID: 1\r\nMessage: gone",
    "no header": "x\r\n\r\nfour\r\n\r\nfive",
    "an id": "x\r\nActionID: 1",
    "an end inside": "x\r\nEventList: Complete",
    "a blank line only": "x\r\n",
    "ours": "x\r\nVariable: HARMONY_P1=victim\r\nVariable: HARMONY_AGENT=victim",
    "ours, and an event": f"x\r\nVariable: HARMONY_P1=victim\r\n\r\n{HANGUP}\r\nVariable: HARMONY_P2=victim",
}


def status(leg: str, action_id: str, *variables: str, **trusted: str) -> bytes:
    """Return a row as Asterisk writes it: the variables asked for by name, all variables, the action's id."""
    by_name = [f"{name}={trusted.get(name, '(null)')}" for name in TRUSTED]
    lines = ["Event: Status", "Privilege: Call", f"Channel: PJSIP/1001-{leg}", f"Uniqueid: {leg}"]
    lines += [f"Variable: {each}" for each in (*by_name, *variables)]
    return "\r\n".join([*lines, f"ActionID: {action_id}", "", ""]).encode()


@pytest.mark.parametrize("what", BREAKS)
@pytest.mark.parametrize("after", [(), ("HARMONY_LANGUAGE=en",)])
async def test_what_a_value_makes_up_is_neither_event_nor_row(what: str, after: tuple[str, ...]) -> None:
    async def script(peer: Peer) -> None:
        await peer.log_in()
        action_id = (await peer.expect("Status"))["ActionID"]
        await peer.send(("Response", "Success"), ("ActionID", action_id), ("EventList", "start"))
        await peer.raw(status("1", action_id, "HARMONY_SKILL=a", HARMONY_P1="2"))
        evil = f"EVIL={BREAKS[what]}"
        await peer.split(status("2", action_id, "HARMONY_SKILL=b", evil, *after, HARMONY_AGENT="1"), size=64)
        await peer.raw(status("3", action_id, "HARMONY_SKILL=c"))
        await peer.emit("StatusComplete", ActionID=action_id, EventList="Complete", ListItems="3")
        await peer.emit("Newchannel", Uniqueid="4")
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        rows = await watched.link.send_list("Status", {"AllVariables": "true"})
        assert [row["Uniqueid"] for row in rows] == ["1", "2", "3"]
        found = [variables_of(row) for row in rows]
        assert [each["HARMONY_SKILL"] for each in found] == ["a", "b", "c"]
        assert [each.get("HARMONY_P1") for each in found] == ["2", None, None]
        assert [each.get("HARMONY_P2") for each in found] == [None, None, None]
        assert [each.get("HARMONY_AGENT") for each in found] == [None, "1", None]
        await watched.until(lambda seen: bool(seen.events))
        assert [event.name for event in watched.events] == ["Newchannel"]


async def test_a_row_that_nobody_closes_ends_with_the_list() -> None:
    async def script(peer: Peer) -> None:
        await peer.log_in()
        action_id = (await peer.expect("Status"))["ActionID"]
        await peer.send(("Response", "Success"), ("ActionID", action_id), ("EventList", "start"))
        await peer.raw(b"Event: Status\r\nUniqueid: 1\r\n\r\n")
        await peer.emit("StatusComplete", ActionID=action_id, EventList="Complete")
        await peer.emit("Newchannel", Uniqueid="4")
        await peer.stall()

    async with ScriptedAmi(script) as ami, linked(ami) as watched:
        assert await watched.link.send_list("Status") == []
        await watched.until(lambda seen: bool(seen.events))


def test_a_name_that_was_asked_for_and_holds_breaks_itself_says_nothing() -> None:
    lines = [f"{name}=(null)" for name in TRUSTED]
    lines.insert(2, "HARMONY_P1=2")
    row = AmiMessage([("Event", "Status"), *(("Variable", line) for line in (*lines, "A=1"))])
    assert variables_of(row) == {"A": "1"}
