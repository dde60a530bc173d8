"""Consults that the PBX itself runs, by its attended transfer, as its list of channels shows them.

The joint by which such a consult goes bears the name of the channel that began it (TRANSFERERNAME). Who was
left by that channel waits alone in a bridge and was joined to it last (BRIDGEPEER); so does the joint while
the agent is back with the first party. Asterisk plays them music, of which no list tells.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from connector.asterisk.found_legs import call_of, serial_of
from connector.asterisk.wire import AmiMessage
from connector.telephony import facts

_FIRST_HALF = ";1"


@dataclass(frozen=True, slots=True)
class FoundConsult:
    """A consult of the PBX's."""

    joint: str
    music: tuple[facts.Fact, ...]
    """Who hears music in it."""
    call: facts.CallFound
    """What the agent's leg is in."""

    @property
    def begun(self) -> facts.JointFound:
        """That it is there: to be told before anybody is heard through the joint, who would join the call."""
        return facts.JointFound(self.call.leg, self.joint)


def found_consults(
    rows: Sequence[AmiMessage], variables: Mapping[str, Mapping[str, str]]
) -> dict[str, FoundConsult]:
    """Return the consults of these rows by the agent's leg; `variables` by leg."""
    legs = {row["Channel"]: row for row in rows}
    crowd = Counter(bridge for row in rows if (bridge := row.get("BridgeID")))
    waiting: dict[str, list[str]] = {}
    for row in rows:
        if crowd[row.get("BridgeID") or ""] == 1:
            waiting.setdefault(variables[row["Uniqueid"]].get("BRIDGEPEER", ""), []).append(row["Uniqueid"])
    found: dict[str, FoundConsult] = {}
    for row in sorted(rows, key=lambda row: serial_of(row["Uniqueid"])):
        joint = row["Uniqueid"]
        by = variables[joint].get("TRANSFERERNAME", "")
        agent = legs.get(by)
        if agent is None or not row["Channel"].endswith(_FIRST_HALF) or not row.get("BridgeID"):
            continue
        alone = sorted(waiting.get(by, ()), key=serial_of)
        music: list[facts.Fact] = [facts.MusicStarted(leg) for leg in alone]
        if joint not in alone:
            music.append(facts.MusicStopped(joint))
        leg = agent["Uniqueid"]
        call = replace(
            call_of(agent, variables[leg]),
            number=row.get("Exten") or "",
            guests=tuple(one for one in alone if one != joint),
        )
        found[leg] = FoundConsult(joint, tuple(music), call)
    return found
