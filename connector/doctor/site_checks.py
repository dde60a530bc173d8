"""What the site's configuration names: contexts, our dialplan include, queues, agents' phones."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

from connector.config import Consult, Settings
from connector.doctor.examination import Examination
from connector.doctor.findings import Finding, fault, ok, unseen, warning
from connector.doctor.user_checks import LATEST, include_version

_INCLUDE: Final = {
    "harmony-dial": "s",
    "harmony-room": "a1",
    "harmony-didle": "s",
    "harmony-dconsult": "s",
    "harmony-xfer": "s",
    "harmony-refer": "1",
    "harmony-referred": "1",
    "harmony-bye": "s",
    "harmony-alone": "s",
    "harmony-orphan": "s",
    "harmony-fallback": "s",
    "harmony-safety": "h",
    "harmony-release": "s",
}
"""Context of our include to an extension that it has."""

_SUPERVISION: Final = {"harmony-supervise": "MONITOR", "harmony-voice": "listen", "harmony-whisper": "BARGE"}
_TAKE: Final = (
    "Put `#include harmony.conf` into extensions.conf, with the file that goes with this connector, and run "
    "`dialplan reload`."
)


async def include(pbx: Examination, settings: Settings) -> AsyncIterator[Finding]:
    """Check that our dialplan is there, whole and of this version."""
    if settings.dial.consult is Consult.ATXFER:
        yield await _without_rooms(pbx, settings)
        return
    wanted = _INCLUDE | (_SUPERVISION if settings.extensions.enabled else {})
    missing = await _missing(pbx, wanted)
    if missing:
        yield fault("dialplan include", f"The dialplan has no {', '.join(missing)}.", _TAKE)
        return
    version = await include_version(pbx)
    if version == LATEST:
        yield ok("dialplan include", f"version {version}")
    else:
        yield fault(
            "dialplan include",
            f"harmony.conf is of version {version or '4 or older'}, this connector goes with {LATEST}.",
            _TAKE,
        )


async def _missing(pbx: Examination, wanted: Mapping[str, str]) -> list[str]:
    """Return which contexts, each with an extension that it should have, the dialplan has not."""
    return [context for context, exten in wanted.items() if not await _dials(pbx, context, exten)]


async def _without_rooms(pbx: Examination, settings: Settings) -> Finding:
    """Return whether what is needed beside calls is there: supervisors' legs run in our dialplan."""
    if not settings.extensions.enabled:
        return ok("dialplan include", "not needed with dial.consult: atxfer")
    missing = await _missing(pbx, _SUPERVISION)
    if not missing:
        return ok("dialplan include", "there for supervision; calls do without (dial.consult: atxfer)")
    return warning(
        "dialplan include",
        f"The dialplan has no {', '.join(missing)}: nobody can be supervised (recording and muting can).",
        _TAKE,
    )


async def contexts(pbx: Examination, settings: Settings) -> AsyncIterator[Finding]:
    """Check that agents' phones and queues' numbers can be dialled in the site's context."""
    context = settings.dial.context
    numbers = {agent.extension: f"agent {agent_id}" for agent_id, agent in settings.agents.items()}
    numbers |= {
        queue.extension: f"queue {name}" for name, queue in settings.queues.items() if queue.extension
    }
    unknown = [number for number in numbers if not await _dials(pbx, context, number)]
    if numbers and len(unknown) == len(numbers):
        yield fault(
            "dial.context",
            f"Nothing that we know can be dialled in the context {context}.",
            "Set dial.context to the context in which the site's phones dial (`dialplan show` lists them).",
        )
        return
    for number in unknown:
        yield fault(
            "dial.context",
            f"{numbers[number]} cannot be dialled: the context {context} has no {number}.",
            f"Add the extension {number} to [{context}], or correct the number in the site's file.",
        )
    if not unknown:
        yield ok("dial.context", f"{context} dials all {len(numbers)} of our numbers")


async def queues(pbx: Examination, settings: Settings) -> AsyncIterator[Finding]:
    """Check that the PBX has the queues, with the option that agent state needs."""
    good = 0
    for name in settings.queues:
        ring = (await pbx.configured("queues.conf", name, "ringinuse")).lower()
        if await pbx.value(f"QUEUE_EXISTS({name})") != "1":
            yield fault(
                "queues",
                f"The PBX has no queue {name}.",
                f"Add [{name}] to queues.conf and run `queue reload all`, or take it out of `queues`.",
            )
        elif await pbx.sees_files() and ring not in {"no", "false", "off", "0", "n", "f"}:
            yield warning(
                "queues",
                f"The queue {name} rings agents who are on a call.",
                f"Set `ringinuse = no` in [{name}] of queues.conf and run `queue reload all`.",
            )
        else:
            good += 1
    if good == len(settings.queues):
        yield ok("queues", f"all {good} there")


async def phones(pbx: Examination, settings: Settings) -> AsyncIterator[Finding]:
    """Check each agent's endpoint, and whether a phone is registered at it (DEVICE_STATE)."""
    away, good = [], 0
    for agent_id, agent in settings.agents.items():
        state = await pbx.value(f"DEVICE_STATE(PJSIP/{agent.extension})")
        if state == "INVALID":
            yield fault(
                "phones",
                f"The PBX has no PJSIP endpoint {agent.extension}, the phone of agent {agent_id}.",
                "Add the endpoint to pjsip.conf and `module reload res_pjsip.so`, or correct `extension`.",
            )
        elif not state:
            yield unseen(
                "phones", "The PBX does not tell the state of phones.", "Load func_devstate.so there."
            )
            return
        elif state == "UNAVAILABLE":
            away.append(agent.extension)
        else:
            good += 1
    if away:
        shown = ", ".join(away[:8]) + (f" and {len(away) - 8} more" if len(away) > 8 else "")  # noqa: PLR2004
        yield warning(
            "phones",
            f"No phone is registered at {shown}.",
            "Look at `pjsip show contacts`, and at the phone: is it on, are user and password right?",
        )
    if good == len(settings.agents):
        yield ok("phones", f"all {good} registered")


async def _dials(pbx: Examination, context: str, number: str) -> bool:
    return await pbx.value(f"DIALPLAN_EXISTS({context},{number},1)") == "1"
