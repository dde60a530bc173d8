"""Who was logged in where outlives the process, also an agent without queues, whom the PBX does not know."""

from connector.asterisk.link_settings import AmiSettings
from connector.asterisk.pbx import AsteriskPbx
from connector.asterisk.settings import DialSettings
from connector.bridge.ledger import Ledger, NoStore
from connector.memberships import Memberships
from connector.telephony.facts import MemberChanged, MemberGone
from connector.telephony.presence import NO_QUEUE


def pbx_with(ledger: Ledger) -> AsteriskPbx:
    pbx = AsteriskPbx(AmiSettings("127.0.0.1", 1, "harmony", "unused"), DialSettings())
    Memberships(pbx, ledger, {"agent-1", "agent-2", "agent-3"}.__contains__).recall()
    return pbx


async def test_an_agent_without_queues_is_logged_in_after_a_restart() -> None:
    first, second = Ledger(NoStore()), Ledger(NoStore())
    pbx = pbx_with(first)
    for fact in (
        MemberChanged(NO_QUEUE, "1001", "agent-1", paused=False, reason=""),
        MemberChanged("support", "1002", "agent-2", paused=True, reason="lunch"),
        MemberChanged(NO_QUEUE, "1003", "agent-3", paused=False, reason=""),
        MemberGone(NO_QUEUE, "1003"),
        MemberChanged(NO_QUEUE, "1004", "agent-4", paused=False, reason=""),
    ):
        pbx._exchange.apply(fact)
    first.put("pbx/started", lambda: "2026-11-21 04:00:00")
    await first.flushed()
    second.replace(first.rows)
    model = pbx_with(second).model
    there = {phone: model.presence(phone) for phone in ("1001", "1002", "1003", "1004")}
    assert {phone: one.agent for phone, one in there.items()} == {
        "1001": "agent-1",
        "1002": "agent-2",
        "1003": None,
        # Whoever is no agent any more would keep the phone from others.
        "1004": None,
    }
    assert there["1001"].ready
    assert not there["1002"].ready
