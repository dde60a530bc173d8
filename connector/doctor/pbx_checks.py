"""The PBX by itself: version, modules, clock, silence, conference profiles, music."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Final

from connector.config import Consult, Settings
from connector.doctor.examination import Examination
from connector.doctor.findings import Finding, fault, ok, unseen, warning

_VERSION: Final = re.compile(r"(?:certified/)?(\d+)\.(\d+)")
_OLDEST: Final = {20: 14, 21: 9, 22: 4}
"""Major version to its first minor version without the fault of Redirect after Bridge."""

_SEEN_BY: Final = (
    # module, what it brings, a value that is never empty with it ('' if an action shows it), the action
    ("app_queue", "agent state", "", "QueueStatus"),
    ("func_strings", "checked numbers", "FILTER(0-9,1)", ""),
    ("func_dialplan", "checks of numbers", "DIALPLAN_EXISTS(harmony-none,s,1)", ""),
    ("func_channel", "the safety net", "CHANNEL_EXISTS(none)", ""),
    ("func_devstate", "callbacks to agents", "DEVICE_STATE(PJSIP/none)", ""),
    ("func_logic", "the dialplan include", "IF(1?a:b)", ""),
    ("res_manager_devicestate", "the state of phones", "", "DeviceStateList"),
    ("app_confbridge", "hold, consult and transfer", "CONFBRIDGE_INFO(parties,none)", ""),
)
_BY_SYSTEM_USER: Final = (
    ("app_channelredirect", "the safety net"),
    ("app_stack", "the safety net"),
    ("app_userevent", "the outcome of calls"),
    ("bridge_softmix", "rooms and conferences"),
    ("res_pjsip_notify", "answer and hold by NOTIFY"),
)
"""Modules that only a user with the class `system` can ask for (ModuleCheck)."""

_ROOMS_ONLY: Final = frozenset(
    {"app_confbridge", "func_strings", "func_channel", "func_devstate", "func_logic"}
)
_SKEW: Final = 2.0
"""Seconds by which the clocks may differ: Asterisk tells whole seconds where func_strings is missing."""


async def version(pbx: Examination) -> AsyncIterator[Finding]:
    """Check that Asterisk is new enough (AMI CoreSettings)."""
    reply = await pbx.act("CoreSettings")
    text = (reply.get("AsteriskVersion") or "") if reply is not None else ""
    found = _VERSION.match(text)
    if found is None:
        yield unseen(
            "version",
            f"Asterisk calls itself {text!r}.",
            "Compare it with the versions in docs/doctor.md by hand.",
        )
        return
    major, minor = int(found[1]), int(found[2])
    if major < min(_OLDEST) or minor < _OLDEST.get(major, 0):
        yield fault(
            "version",
            f"Asterisk {text} loses legs when a call is moved out of a bridge.",
            "Upgrade to 20.14, 21.9, 22.4 or newer.",
        )
    else:
        yield ok("version", f"Asterisk {text}")


async def modules(pbx: Examination, system: Examination | None, settings: Settings) -> AsyncIterator[Finding]:
    """Check that the modules are loaded: by what they bring, some by the second user only."""
    rooms = settings.dial.consult is Consult.ROOMS
    actions = await pbx.actions()
    missing = [
        (module, what)
        for module, what, function, action in _SEEN_BY
        if (rooms or module not in _ROOMS_ONLY)
        and not (await pbx.value(function) if function else action in actions)
    ]
    if system is not None and rooms:
        for module, what in _BY_SYSTEM_USER:
            if await system.act("ModuleCheck", {"Module": module}) is None:
                missing.append((module, what))
    for module, what in missing:
        yield fault(
            "modules",
            f"{module}.so is not loaded: it is needed for {what}.",
            f"Add `load = {module}.so` to modules.conf and run `module load {module}.so`.",
        )
    if not missing:
        yield ok("modules", "all that can be seen are loaded" if system is None else "all loaded")


async def clock(pbx: Examination, now: Callable[[], float]) -> AsyncIterator[Finding]:
    """Check that the clocks agree: times in reports and recordings come from both."""
    before = now()
    text = await pbx.value("STRFTIME(,UTC,%s.%3q)") or await pbx.value("EPOCH")
    after = now()
    try:
        there = float(text)
    except ValueError:
        yield unseen("clock", "The PBX does not tell its time.", "Load func_strings.so there.")
        return
    skew = there - after if there > after else min(there - before, 0.0)
    if abs(skew) > _SKEW:
        yield fault(
            "clock",
            f"The PBX's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} ours.",
            "Let both machines follow NTP (chronyd or systemd-timesyncd).",
        )
    else:
        yield ok("clock", "agrees with ours")


async def files(pbx: Examination, settings: Settings) -> AsyncIterator[Finding]:
    """Check what stands in the PBX's configuration files (AST_CONFIG)."""
    if not await pbx.sees_files():
        yield unseen(
            "configuration files",
            "transmit_silence, conference profiles, music and queue options cannot be seen.",
            "Load func_config.so on the PBX (`module load func_config.so`) while the doctor looks.",
        )
        return
    silence = (await pbx.configured("asterisk.conf", "options", "transmit_silence")).lower()
    if silence in {"yes", "true", "on", "1", "y", "t"}:
        yield ok("transmit_silence", "on")
    else:
        yield fault(
            "transmit_silence",
            "It is off: waiting legs get no audio, and phones hear again only a second after a hold.",
            "Set `transmit_silence = yes` in [options] of asterisk.conf and restart Asterisk.",
        )
    if settings.dial.consult is Consult.ROOMS:
        async for finding in _for_rooms(pbx):
            yield finding
    else:
        async for finding in _for_atxfer(pbx):
            yield finding


async def _for_rooms(pbx: Examination) -> AsyncIterator[Finding]:
    profiles = {"harmony_bridge": "bridge", "harmony_agent": "user", "harmony_roomparty": "user"}
    missing = [
        name
        for name, kind in profiles.items()
        if await pbx.configured("confbridge.conf", name, "type") != kind
    ]
    if missing:
        yield fault(
            "conference profiles",
            f"confbridge.conf has no {' and no '.join(missing)}: calls end when they are held.",
            "Put `#include confbridge.harmony.conf` into confbridge.conf; `module reload app_confbridge.so`.",
        )
    else:
        yield ok("conference profiles", "there")
    if await pbx.configured("musiconhold.conf", "harmony_silence", "mode"):
        yield ok("music class harmony_silence", "there")
    else:
        yield fault(
            "music class harmony_silence",
            "musiconhold.conf has no such class: a waiting agent hears music instead of silence.",
            "Add the class with a file of silence (docs/sites.md) and run `moh reload`.",
        )


async def _for_atxfer(pbx: Examination) -> AsyncIterator[Finding]:
    keys = ("atxferabort", "atxfercomplete", "atxferthreeway", "atxferswap")
    codes = {key: await pbx.configured("features.conf", "general", key) for key in keys}
    start = await pbx.configured("features.conf", "featuremap", "atxfer")
    wanted = {"atxferabort": "*1", "atxfercomplete": "*2", "atxferthreeway": "*3", "atxferswap": "*4"}
    wrong = [f"{key} is {code or 'not set'}" for key, code in codes.items() if code != wanted[key]]
    if wrong or not start:
        yield fault(
            "feature codes",
            f"features.conf: {', '.join([*wrong, *([] if start else ['atxfer has no code'])])}.",
            "Take features.harmony.conf of `connector site render` and run `module reload features`.",
        )
    else:
        yield ok("feature codes", f"atxfer {start}, and those for what the agent does next")


async def warn_of_writetimeout(pbx: Examination, settings: Settings) -> AsyncIterator[Finding]:
    """Check that Asterisk has patience with our session."""
    text = await pbx.configured("manager.conf", settings.asterisk.username, "writetimeout")
    if text.isdigit() and int(text) >= 1000:  # noqa: PLR2004 - as manager.harmony.conf has it
        yield ok("writetimeout", f"{text} ms")
    elif await pbx.sees_files():
        yield warning(
            "writetimeout",
            f"Asterisk ends our session when we lag for {text or 100} ms.",
            f"Set `writetimeout = 1000` in [{settings.asterisk.username}] of manager.conf; `manager reload`.",
        )
