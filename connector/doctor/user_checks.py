"""Our manager user: what it may, what it may but should not, and which events reach it."""

import secrets
from collections.abc import AsyncIterator
from typing import Final

from connector.asterisk.wire import AmiMessage
from connector.config import Consult, Settings
from connector.doctor.examination import Examination
from connector.doctor.findings import Finding, fault, ok, warning

LATEST: Final = 10
"""Version of `asterisk-conf/harmony.conf` that this connector goes with; 5 is the first that tells it."""

_WRITE: Final = {
    "call": ("Redirect", "Setvar", "PlayDTMF"),
    "originate": ("Originate",),
    "agent": ("QueueAdd", "QueueRemove", "QueuePause"),
    "reporting": ("CoreShowChannels",),
}
"""Class to actions that come with no other."""

_READ: Final = ("call", "agent", "user", "dialplan")
_READ_TOO: Final = frozenset({*_READ, "dtmf", "system"})
"""`dtmf` shows digits, `system` registrations: events, not power."""

_DANGEROUS: Final = {
    "system": "stops Asterisk and runs commands on its machine",
    "command": "runs every command of the console",
    "config": "reads and changes configuration files, passwords included",
}
_VARIABLE: Final = "HARMONY_DOCTOR"
_UNWANTED: Final = "DOCTOR_OF_HARMONY"
_NOISE: Final = frozenset({"Newexten", "RTCPSent", "RTCPReceived"})
_CHANNEL_VARIABLES: Final = ("HARMONY_ID", "HARMONY_ROLE", "HARMONY_DEST")
_VERSION_CONTEXT: Final = "harmony-version"


async def privileges(pbx: Examination, settings: Settings) -> AsyncIterator[Finding]:
    """Check which classes it may write (AMI ListCommands)."""
    user = settings.asterisk.username
    actions = await pbx.actions()
    granted = {next(iter(classes)) for classes in actions.values() if len(classes) == 1}
    queues = "QueueStatus" in actions
    missing = [
        name
        for name, proofs in _WRITE.items()
        if (queues or name != "agent") and not any(proof in actions for proof in proofs)
    ]
    if missing:
        yield fault(
            "privileges to write",
            f"The manager user {user} lacks {', '.join(missing)}.",
            f"Set `write = {','.join(_WRITE)}` in [{user}] of manager.conf and run `manager reload`.",
        )
    too_many = sorted(granted & _DANGEROUS.keys())
    if too_many:
        why = "; ".join(f"`{name}` {_DANGEROUS[name]}" for name in too_many)
        yield fault(
            "privileges to write",
            f"The manager user {user} may do too much: {why}.",
            f"Set `write = {','.join(_WRITE)}` in [{user}] of manager.conf and run `manager reload`.",
        )
    if not missing and not too_many:
        yield ok("privileges to write", ", ".join(_WRITE))


async def system_user(system: Examination, settings: Settings) -> AsyncIterator[Finding]:
    """Check that the second user has `system`, and neither console nor configuration."""
    assert settings.asterisk.system is not None  # noqa: S101 - the caller has a session of it # nosec B101
    user = settings.asterisk.system.username
    actions = await system.actions()
    granted = {next(iter(classes)) for classes in actions.values() if len(classes) == 1}
    mend = f"Set `write = system` and an empty `read` in [{user}] of manager.conf and run `manager reload`."
    if "ModuleCheck" not in actions:
        yield fault("second user", f"The manager user {user} lacks system.", mend)
    elif too_many := sorted(granted & {"command", "config", "originate"}):
        yield fault("second user", f"The manager user {user} may do too much: {', '.join(too_many)}.", mend)
    else:
        yield ok("second user", "system")


async def events(pbx: Examination, settings: Settings) -> AsyncIterator[Finding]:
    """Check that events of each class reach us, and those not that nobody needs.

    Proven by events: a global variable is set (VarSet), a paused member that is no phone joins a queue for
    a moment (QueueMemberAdded, DeviceStateChange), and a leg without a phone runs `harmony-version`.
    """
    token = secrets.token_hex(4)
    # In this order: when the wanted one is there, the unwanted one would be too.
    await pbx.act("Setvar", {"Variable": _UNWANTED, "Value": token})
    await pbx.act("Setvar", {"Variable": _VARIABLE, "Value": token})
    seen = {"dialplan": await pbx.hear(lambda event: event.get("Variable") == _VARIABLE) is not None}
    if settings.queues and "QueueAdd" in await pbx.actions():
        seen |= await _queue_events(pbx, next(iter(settings.queues)), f"Local/{token}@{_VERSION_CONTEXT}")
    if settings.dial.consult is Consult.ROOMS and (leg := await _own_leg(pbx)) is not None:
        seen |= {"user": leg.name == "UserEvent"}
        yield _channel_variables(leg)
    async for finding in _read(pbx, settings.asterisk.username, seen):
        yield finding
    noise = {event.name for event in pbx.events if event.name in _NOISE or event.get("Variable") == _UNWANTED}
    if noise:
        yield warning(
            "event filters",
            f"Events come that nobody needs ({', '.join(sorted(noise))}): about half of all.",
            f"Take the lines `eventfilter` of manager.harmony.conf into [{settings.asterisk.username}] "
            "and run `manager reload`.",
        )
    elif seen["dialplan"]:
        yield ok("event filters", "in force")


async def _read(pbx: Examination, user: str, seen: dict[str, bool]) -> AsyncIterator[Finding]:
    check, mend = "privileges to read", f"Set `read = {','.join(_READ)}` in [{user}] of manager.conf"
    missing = [name for name, came in seen.items() if not came]
    if missing:
        yield fault(
            check,
            f"No events of {', '.join(missing)} reach the manager user {user}.",
            f"{mend}, take out every eventfilter with action(include), and run `manager reload`.",
        )
    configured = await pbx.configured("manager.conf", user, "read")
    extra = sorted({name.strip() for name in configured.split(",") if name.strip()} - _READ_TOO)
    if extra:
        yield warning(
            check,
            f"The manager user {user} reads more than it needs: {', '.join(extra)}.",
            f"{mend} and run `manager reload`.",
        )
    if not missing and not extra:
        yield ok(check, ", ".join(sorted(seen)))


async def _queue_events(pbx: Examination, queue: str, interface: str) -> dict[str, bool]:
    member = {"Queue": queue, "Interface": interface}
    if await pbx.act("QueueAdd", {**member, "Paused": "true", "MemberName": "connector doctor"}) is None:
        return {}
    added = await pbx.hear(
        lambda event: event.name == "QueueMemberAdded" and event.get("Interface") == interface
    )
    await pbx.act("QueueRemove", member)
    state = await pbx.hear(
        lambda event: event.name == "DeviceStateChange" and interface in (event.get("Device") or "")
    )
    return {"agent": added is not None, "call": state is not None}


async def _own_leg(pbx: Examination) -> AmiMessage | None:
    """Run a leg in our include; give the event by which it tells of itself, or else its Newchannel."""
    version = await include_version(pbx)
    if not version:
        return None
    where = {"Context": _VERSION_CONTEXT, "Exten": f"v{version}", "Priority": "1"}
    placed = await pbx.act(
        "Originate",
        {"Channel": f"Local/v{version}@{_VERSION_CONTEXT}", "Async": "true", "Timeout": "2000", **where},
    )
    if placed is None:
        return None

    def told(event: AmiMessage) -> bool:
        return event.name == "UserEvent" and event.get("UserEvent") == "HarmonyVersion"

    return await pbx.hear(told) or pbx.heard(lambda event: event.name == "Newchannel")


async def include_version(pbx: Examination) -> int:
    """Return the version of the dialplan include on the PBX; 0 if there is none that tells it."""
    for version in range(LATEST + 5, 4, -1):
        if await pbx.value(f"DIALPLAN_EXISTS({_VERSION_CONTEXT},v{version},1)") == "1":
            return version
    return 0


def _channel_variables(leg: AmiMessage) -> Finding:
    missing = [name for name in _CHANNEL_VARIABLES if name not in leg.variables()]
    if not missing:
        return ok("channelvars", "events carry them")
    return fault(
        "channelvars",
        f"Events do not carry {', '.join(missing)}: after a restart calls would not be found again.",
        f"Set `channelvars = {','.join(_CHANNEL_VARIABLES)},...` in [general] of manager.conf as "
        "manager.harmony.conf has it, and run `manager reload`.",
    )
