"""One query or request by hand, through a reference bridge: where it goes, the answer, and what follows."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from connector.bridge.messages import CATALOGUE, Kind, Message
from connector.processor.floor import Session
from connector.processor.handles import Interaction
from connector.processor.link import Direction, Entry
from connector.processor.problems import BridgeGone, BridgeTimeout
from connector.processor.server import ReferenceBridge
from connector.processor.timeline import line_of
from connector.wording import closest

PLACES = ("control", "session", "group", "channel", "interaction", "primary", "consult")
"""Words for targets; `@AGENT` behind one names the agent whose session is meant."""


class CannotSend(Exception):
    """What was asked for cannot be sent. One sentence."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to send and where to; `listen` is how many seconds to show what follows the answer."""

    name: str
    target: str
    body: Mapping[str, Any] = field(default_factory=dict)
    listen: float = 2.0
    timeout: float = 10.0


def body_of(words: Iterable[str], json: str = "") -> dict[str, Any]:
    """Make a body of `key=text` and `key:=JSON`, laid over a whole body in JSON.

    Raises:
        CannotSend: a word is neither; the JSON cannot be read.

    """
    body = _json(json, "--json") if json else {}
    if not isinstance(body, dict):
        raise CannotSend("--json must be an object.")
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or not key.rstrip(":"):
            # The word itself may be a password whose key was forgotten.
            raise CannotSend("Expected key=text or key:=JSON, found something else.")
        if key.endswith(":"):
            body[key[:-1]] = _json(value, key[:-1])
        else:
            body[key] = value
    return body


def _json(text: str, where: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise CannotSend(f"{where}: this is not JSON.") from None


def check_name(name: str) -> str:
    """Return a hint about a name that the catalogue does not have, or ''.

    Raises:
        CannotSend: it is an event: the bridge sends none.

    """
    spec = CATALOGUE.get(name)
    if spec is None:
        asked = [each.name for each in CATALOGUE.values() if each.kind is not Kind.EVENT]
        near = closest(name, asked)
        return f"{name} is not in the catalogue{f'; did you mean {near}?' if near else '.'}"
    if spec.kind is Kind.EVENT:
        raise CannotSend(f"{name} is an event: the bridge sends queries and requests only.")
    return ""


def resolve_word(target: str) -> tuple[str, str]:
    """Split a word for a target into place and agent; an address gives its own text and ''.

    Raises:
        CannotSend: it is neither one of `PLACES` nor an address.

    """
    place, _, agent = target.partition("@")
    if place in PLACES:
        return place, agent
    if "." in target:
        return target, ""
    near = closest(place, PLACES)
    hint = f"did you mean {near}?" if near else f"give an address, or one of {', '.join(PLACES)}."
    raise CannotSend(f"There is no place {place!r}; {hint}")


def resolve(bridge: ReferenceBridge, target: str) -> str:
    """Return the address that a word such as `channel` or `primary@1001` stands for; others stay as they are.

    Raises:
        CannotSend: there is no such thing at the moment. BridgeGone: no client is connected.

    """
    place, agent = resolve_word(target)
    if place == "control":
        return bridge.link.rules.control.target
    if place not in PLACES:
        return place
    return _below(_session(bridge, agent), place)


def _session(bridge: ReferenceBridge, agent: str) -> Session:
    for session in reversed(bridge.sessions):
        if not session.closed and agent in {"", session.agent_id}:
            return session
    raise CannotSend(f"Agent {agent} has no session." if agent else "Nobody has a session: log an agent in.")


def _below(session: Session, place: str) -> str:
    if place == "session":
        return session.target
    if place == "group":
        if session.group is None:
            raise CannotSend(f"The session of {session.agent_id} has no channel group.")
        return session.group.target
    try:
        channel = session.channel
    except LookupError as problem:
        raise CannotSend(str(problem)) from None
    if place == "channel":
        return channel.target
    if not channel.interactions:
        raise CannotSend(f"Agent {session.agent_id} has no interaction.")
    return _in_interaction(channel.interactions[-1], place)


def _in_interaction(interaction: Interaction, place: str) -> str:
    if place == "interaction":
        return interaction.target
    if place == "primary":
        try:
            return interaction.primary.target
        except LookupError as problem:
            raise CannotSend(str(problem)) from None
    consult = interaction.consult_conversation
    if consult is None:
        raise CannotSend(f"Interaction {interaction.nativeid} has no consult conversation.")
    return consult.target


async def send(bridge: ReferenceBridge, order: Order, show: Callable[[str], None]) -> bool:
    """Send, and show everything from the request on as lines without passwords; return whether it succeeded.

    Raises:
        CannotSend: nothing was sent.

    """
    if hint := check_name(order.name):
        show(f"note: {hint}")

    def tell(direction: Direction, message: Message) -> None:
        show(line_of(Entry(datetime.now(UTC), direction, message)))

    try:
        target = resolve(bridge, order.target)
    except BridgeGone as problem:
        raise CannotSend(str(problem)) from None
    link, broken = bridge.link, len(bridge.violations)
    bridge.listeners.add(tell)
    try:
        reply = await bridge.request(target, order.name, order.body, timeout=order.timeout)
        try:
            await bridge.wait_lost(link, order.listen)
        except BridgeTimeout:
            # The moment in which what follows is shown is over, and the connection still there.
            return reply.ok
        show("The connection is gone.")
    except BridgeTimeout:
        show(f"No answer within {order.timeout:g} s.")
    except BridgeGone as problem:
        show(str(problem))
    finally:
        bridge.listeners.discard(tell)
        for text in bridge.violations[broken:]:
            show(f"BROKEN RULE: {text}")
    return False
