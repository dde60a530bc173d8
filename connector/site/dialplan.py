"""A site's own dialplan: the numbers of `dial.context`, its queues, the way out and in by its trunks."""

from collections.abc import Iterator

from connector.config import Settings
from connector.settings_calls import QueueSettings, matches
from connector.settings_site import TrunkSettings


def extensions(settings: Settings) -> str:
    """Return the contexts of a site, to be included in extensions.conf after `[general]`."""
    return "\n".join(_extensions(settings)) + "\n"


def _extensions(settings: Settings) -> Iterator[str]:
    pbx = settings.pbx
    yield f"[{settings.dial.context}]"
    yield "; Phones: PJSIP endpoints of the same name."
    numbers = [*pbx.phones, *_other_phones(settings)]
    for number in numbers:
        yield f"exten => {number},1,Dial(PJSIP/{_dialled(number)},{_TIMEOUT},{pbx.dial_options})"
        yield " same => n,Hangup(${HANGUPCAUSE})"
    for name, queue in settings.queues.items():
        if queue.extension:
            yield from _queue(name, queue, pbx.dial_options)
    for name, trunk in settings.trunks.items():
        if trunk.dial:
            yield f"; Out by the trunk {name}."
        for pattern in trunk.dial:
            yield f"exten => {pattern},1,NoOp(out by {name})"
            if trunk.caller_id:
                yield f" same => n,Set(CALLERID(num)={trunk.caller_id})"
                yield " same => n,Set(CALLERID(name)=)"
            yield f" same => n,Dial(PJSIP/{_dialled(pattern)}@{name},{_TIMEOUT},{pbx.dial_options})"
            yield " same => n,Hangup(${HANGUPCAUSE})"
    for name, trunk in settings.trunks.items():
        yield from _inbound(name, trunk, settings.dial.context)


_TIMEOUT = '${IF($["${HARMONY_TIMEOUT}" = ""]?30:${HARMONY_TIMEOUT})}'


def _dialled(pattern: str) -> str:
    """Return the number that fits a pattern, as Dial takes it.

    `.` and `!` fit anything, and a phone may dial anything: after `&` Dial would call whatever follows.
    """
    return "${FILTER(0-9*#+,${EXTEN})}" if pattern.endswith((".", "!")) else "${EXTEN}"


def _other_phones(settings: Settings) -> list[str]:
    """Return the agents' phones that no pattern has."""
    return [
        agent.extension
        for agent in settings.agents.values()
        if not any(matches(pattern, agent.extension) for pattern in settings.pbx.phones)
    ]


def _queue(name: str, queue: QueueSettings, options: str) -> Iterator[str]:
    yield f"; Queue {name}."
    yield f"exten => {queue.extension},1,Answer()"
    yield f" same => n,Set(__HARMONY_SKILL={name})"
    if queue.language:
        yield f" same => n,Set(CHANNEL(language)={queue.language})"
        yield f" same => n,Set(__HARMONY_LANGUAGE={queue.language})"
    yield f" same => n,Queue({name},{options or 'tT'},,,300)"
    yield " same => n,Hangup()"


def inbound_context(name: str) -> str:
    """Return the context in which a trunk's inbound calls arrive."""
    return f"harmony-from-{name}"


def _inbound(name: str, trunk: TrunkSettings, context: str) -> Iterator[str]:
    yield ""
    yield f"; In by the trunk {name}: these numbers and no others."
    yield f"[{inbound_context(name)}]"
    for number, extension in trunk.inbound.items():
        yield f"exten => {number},1,Goto({context},{extension},1)"
    yield "exten => i,1,Hangup(1)"


def queues(settings: Settings) -> str:
    """Return the queues, to be included in queues.conf after `[general]`. Members join by QueueAdd."""
    return "\n".join(_queues(settings)) + "\n"


def _queues(settings: Settings) -> Iterator[str]:
    for name, queue in settings.queues.items():
        yield f"[{name}]"
        yield f"strategy = {queue.strategy}"
        yield f"timeout = {queue.ring}"
        yield "retry = 1"
        yield "; One call at a time; wrap-up is the connector's."
        yield "ringinuse = no"
        yield "wrapuptime = 0"
        yield "autopause = no"
        yield "joinempty = yes"
        yield "leavewhenempty = no"
        yield ""
