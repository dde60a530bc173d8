"""What the desk shows of a session, as rows of plain text. No I/O, no clock of its own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from connector.processor.desktop_model import CallObject, ConversationView, InteractionView, SessionView

_LONGEST = 40


@dataclass(frozen=True, slots=True)
class CallRow:
    """A line of the call list: an interaction, or one of its conversations (indented)."""

    interaction: InteractionView
    conversation: ConversationView | None
    cells: tuple[str, str, str, str]
    """What it is, who, its state, how long."""


class Since:
    """When each object came into the state that it is in; times are seconds of the caller's clock."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, float]] = {}

    def seconds(self, key: str, state: str, now: float) -> float:
        """Return for how long something has been in a state."""
        before = self._seen.get(key)
        if before is None or before[0] != state:
            before = self._seen[key] = (state, now)
        return now - before[1]

    def keep(self, keys: set[str]) -> None:
        """Forget what is not there any more."""
        self._seen = {key: value for key, value in self._seen.items() if key in keys}


def shown(text: object, longest: int = _LONGEST) -> str:
    """Return text from outside as it may stand in a terminal: printable, on one line, not too long."""
    clean = "".join(one if one.isprintable() else "·" for one in str(text))
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, with hours where there are any."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def status_line(view: SessionView, since: Since, now: float) -> str:
    """Return the line at the top: agent, phone, state, reason, how long."""
    try:
        channel = view.channel
    except LookupError:
        return f"Agent {shown(view.agent)}  no phone"
    state = channel.agent_state if channel.state == "ACTIVE" else channel.state
    reason = f" ({shown(channel.reason)})" if channel.reason else ""
    lasts = clock(since.seconds("agent", f"{state}{reason}", now))
    return f"Agent {shown(view.agent)}  phone {shown(channel.endpoint)}  {state}{reason}  {lasts}"


def call_rows(view: SessionView, since: Since, now: float) -> list[CallRow]:
    """Return the lines of the call list, oldest call first."""
    rows: list[CallRow] = []
    for interaction in view.interactions():
        if interaction.initialized and not interaction.gone:
            rows.append(_interaction_row(interaction, since, now))
            rows.extend(
                CallRow(interaction, one, ("  " + one.role, _who(one), _state(one), _lasts(one, since, now)))
                for one in interaction.conversations.values()
                if one.initialized and one.state != "RELEASED"
            )
    keys = {one.target for row in rows for one in (row.interaction, row.conversation) if one is not None}
    since.keep({*keys, "agent"})
    return rows


def _interaction_row(interaction: InteractionView, since: Since, now: float) -> CallRow:
    marks = [
        word for word, true in (("muted", interaction.muted), ("rec", interaction.recording != "OFF")) if true
    ]
    state = " ".join([_state(interaction), *marks])
    kind = str(interaction.data.get("DIRECTION", "CALL")).lower()
    cells = (shown(kind), _customer(interaction), state, _lasts(interaction, since, now))
    return CallRow(interaction, None, cells)


def _customer(interaction: InteractionView) -> str:
    words = [interaction.data[key] for key in ("ANI", "QUEUE") if interaction.data.get(key)]
    return " → ".join(shown(one) for one in words)


def _who(conversation: ConversationView) -> str:
    members = conversation.members.values()
    return shown(", ".join(_name(one) for one in members), 60)


def _name(member: Mapping[str, Any]) -> str:
    address, name = str(member.get("address", "")), str(member.get("name") or "")
    return f"{address} {name}" if name and name != address else address


def _state(one: CallObject) -> str:
    return f"{one.state} {one.cause}" if one.cause else one.state


def _lasts(one: CallObject, since: Since, now: float) -> str:
    return clock(since.seconds(one.target, one.state, now))


def team_rows(view: SessionView) -> Iterator[tuple[str, str, str, str]]:
    """Iterate over the team: login id, name, phone, state."""
    for name, one in sorted(view.team.items()):
        full = f"{one.get('firstname', '')} {one.get('lastname', '')}".strip()
        yield shown(name), shown(full), shown(one.get("extension", "")), shown(one.get("state", ""))


def reason_label(reason: Mapping[str, Any]) -> str:
    """Return a not-ready reason as the agent reads it."""
    labels = reason.get("labels") or [{}]
    return shown(labels[0].get("name") or reason.get("reasonCodeCode", ""))
