"""Who works at which phone, and whether calls may come: read from the queues' own membership events."""

from connector.telephony import facts
from connector.telephony.changes import Presence, PresenceChanged

NO_QUEUE = ""
"""The membership of an agent who has no queue: the connector alone keeps it."""

WRAP_UP = "harmony-wrapup"
"""Reason of a pause that keeps a ready agent's queues from offering calls during a call and its wrap-up."""


def takes_calls(member: facts.MemberChanged) -> bool:
    """Tell whether the agent is ready in that queue; a pause for wrap-up ends by itself."""
    return not member.paused or member.reason == WRAP_UP


class PresenceBoard:
    """Memberships of every phone, and the presence that follows from them.

    An agent counts as ready as soon as one of the phone's memberships takes calls, so that NOT_READY
    always means that no queue will ring the phone. Who is paused for wrap-up only is ready.
    """

    def __init__(self) -> None:
        self._members: dict[str, dict[str, facts.MemberChanged]] = {}
        self._phones: dict[str, set[str]] = {}

    def presence(self, endpoint: str) -> Presence:
        """Return who works at a phone now."""
        members = self._members.get(endpoint)
        if not members:
            return Presence()
        newest = list(members.values())
        agent = newest[-1].member
        ready = any(takes_calls(member) for member in newest)
        reason = "" if ready else newest[-1].reason
        return Presence(agent, ready, reason)

    def queues(self, endpoint: str) -> dict[str, facts.MemberChanged]:
        """Return the memberships of a phone by queue."""
        return dict(self._members.get(endpoint, {}))

    def endpoints(self) -> frozenset[str]:
        """Return every phone at which somebody is logged in."""
        return frozenset(self._members)

    def phones_of(self, agent: str) -> list[str]:
        """Return the phones at which an agent is logged in, sorted."""
        return sorted(self._phones.get(agent, ()))

    def apply(self, fact: facts.MemberChanged | facts.MemberGone) -> list[PresenceChanged]:
        """Take a membership fact in. Return the change of presence, if any."""
        # A queue tells its members whenever their phones are used, with nothing new about who is ready.
        if self._members.get(fact.endpoint, {}).get(fact.queue) == fact:
            return []
        before = self.presence(fact.endpoint)
        members = self._members.setdefault(fact.endpoint, {})
        members.pop(fact.queue, None)
        if isinstance(fact, facts.MemberChanged):
            members[fact.queue] = fact
        if not members:
            del self._members[fact.endpoint]
        now = self.presence(fact.endpoint)
        if before.agent is not None and before.agent != now.agent:
            self._phones[before.agent].discard(fact.endpoint)
            if not self._phones[before.agent]:
                del self._phones[before.agent]
        if now.agent is not None:
            self._phones.setdefault(now.agent, set()).add(fact.endpoint)
        return [] if now == before else [PresenceChanged(fact.endpoint, before, now)]
