"""Which commands a session resource takes, and which request of the bridge each one is. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from connector.bridge.messages import CATALOGUE, Body, BodyInvalid, Kind, MessageSpec, Scope, convert
from connector.processor.service.wire import Code, Failed
from connector.wording import closest

_SPELT: Final[Mapping[str, str]] = {"session.request.logout": "session.request.close"}
"""Commands that the bridge calls otherwise."""

_OF_GROUPS: Final[Mapping[str, str]] = {
    f"channelgroup.request.{verb}": f"channel.request.{verb}"
    for verb in ("activate", "deactivate", "ready", "notready")
}
"""Commands to a group that are requests to each of its telephony channels."""

_OWN: Final = frozenset(
    {"init", "createchannelgroup", "createchannel", "createinteraction", "createconversation"}
)
"""Verbs by which the service builds the destinations, no desktop's business."""

_MEDIA: Final = frozenset({"multimedia", "media", "chat", "email", "callback", "voicemail"})
"""Objects of the third category of requests (S1), which this processor leaves out."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A command in its full spelling; `of_group`: its request goes to each telephony channel of the group."""

    command: str
    scope: Scope
    spec: MessageSpec
    of_group: bool = False

    def body(self, data: Mapping[str, Any]) -> Body:
        """Return the request's typed body. Raises Failed."""
        try:
            return convert(data, self.spec.body)
        except BodyInvalid as invalid:
            raise Failed(Code.INVALID_DATA, str(invalid)) from None


def _verbs() -> dict[str, Verb]:
    made: dict[str, Verb] = {}
    for name, spec in CATALOGUE.items():
        verb = name.rpartition(".")[2]
        # What the service has built it gives up itself: only the session can be disposed of from a desktop.
        own = verb in _OWN or (verb == "dispose" and spec.scope is not Scope.SESSION)
        if spec.kind in {Kind.REQUEST, Kind.QUERY} and spec.scope is not Scope.CONTROL and not own:
            made[name] = Verb(name, spec.scope, spec)
    for command, name in _SPELT.items():
        made[command] = Verb(command, CATALOGUE[name].scope, CATALOGUE[name])
    for command, name in _OF_GROUPS.items():
        made[command] = Verb(command, Scope.CHANNEL_GROUP, CATALOGUE[name], of_group=True)
    return made


VERBS: Final[Mapping[str, Verb]] = _verbs()
"""All commands of a session resource by their full spelling."""


def verb_of(command: str) -> Verb:
    """Return the verb that a command means, spelt with or without `.request`.

    Raises:
        Failed: there is none, or not for desktops.

    """
    if (found := VERBS.get(command)) is not None:
        return found
    head, _, verb = command.partition(".")
    for between in ("request", "query"):
        if verb and (found := VERBS.get(f"{head}.{between}.{verb}")) is not None:
            return found
    if head.lower() in _MEDIA:
        raise Failed(Code.NOT_SUPPORTED, "This processor has telephony only, no multimedia.")
    name = command if command in CATALOGUE else f"{head}.request.{verb}"
    if name in CATALOGUE and CATALOGUE[name].kind is not Kind.EVENT:
        raise Failed(Code.NOT_SUPPORTED, f"{name} is the processor's own business, no desktop's.")
    near = closest(command, VERBS)
    hint = f" Did you mean {near}?" if near else ""
    raise Failed(Code.UNKNOWN_COMMAND, f"There is no command of this name.{hint}")
