"""All checks, in the order in which one would look: agents, login, rights, PBX, site, certificates, wire."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

from msgspec.structs import replace

from connector.agents import agents_of
from connector.app import ami_settings
from connector.asterisk.link import AmiError, AmiTlsProblem
from connector.config import ConfigError, Settings
from connector.doctor import pbx_checks, site_checks, tls_checks, user_checks, wire_checks
from connector.doctor.examination import PATIENCE, Examination, NoPbx, examination
from connector.doctor.findings import Finding, fault, ok
from connector.settings_schema import AgentSource


async def examine(
    settings: Settings, *, now: Callable[[], float] = time.time, patience: float = PATIENCE
) -> list[Finding]:
    """Examine the PBX and the way to the bridge.

    `now` is our own clock (seconds since 1970), `patience` how many seconds an event of the PBX may take.
    """
    settings, findings = await _with_agents(settings)
    findings += [finding async for finding in _pbx(settings, now, patience)]
    findings += [finding async for finding in tls_checks.certificates(settings, now)]
    findings += [finding async for finding in wire_checks.wire(settings)]
    return findings


async def _with_agents(settings: Settings) -> tuple[Settings, list[Finding]]:
    """Return the settings with the agents of `directory.source` too, and what there is to say of it."""
    if settings.directory.source is AgentSource.NONE:
        return settings, []
    try:
        everybody = await asyncio.to_thread(agents_of, settings)
    except ConfigError as problem:
        mend = "Mend it until `connector agents check` is content; until then `connector run` does not start."
        return settings, [fault("agents", f"{problem}.", mend)]
    return replace(settings, agents=everybody), [ok("agents", f"{len(everybody)} known")]


async def _pbx(settings: Settings, now: Callable[[], float], patience: float) -> AsyncIterator[Finding]:
    asterisk = settings.asterisk
    async with AsyncExitStack() as stack:
        try:
            pbx = await stack.enter_async_context(examination(ami_settings(settings), patience))
        except (NoPbx, AmiTlsProblem) as problem:
            yield fault(
                "login",
                f"No session with {asterisk.host}:{asterisk.port} as {asterisk.username}: {problem}.",
                "Look at asterisk.host and asterisk.port; in manager.conf at `enabled`, the user, its secret "
                "and its `permit`; then run `manager reload`.",
            )
            return
        yield ok("login", f"{asterisk.username} at {asterisk.host}:{asterisk.port}")
        system: Examination | None = None
        if asterisk.system is not None:
            second = dataclasses.replace(
                ami_settings(settings),
                username=asterisk.system.username,
                secret=asterisk.system.secret.reveal(),
            )
            try:
                system = await stack.enter_async_context(examination(second, patience))
            except NoPbx as problem:
                yield fault(
                    "second user",
                    f"No session as {asterisk.system.username}: {problem}.",
                    "Put `#include manager.harmony-system.conf` into manager.conf, with its secret.",
                )
        for checks in _checks(pbx, system, settings, now):
            try:
                async for finding in checks:
                    yield finding
            except AmiError as problem:
                yield fault("session", f"It broke: {problem}.", "Look at Asterisk's log, and try again.")
                return


def _checks(
    pbx: Examination, system: Examination | None, settings: Settings, now: Callable[[], float]
) -> list[AsyncIterator[Finding]]:
    return [
        pbx_checks.version(pbx),
        user_checks.privileges(pbx, settings),
        *([user_checks.system_user(system, settings)] if system is not None else []),
        user_checks.events(pbx, settings),
        pbx_checks.warn_of_writetimeout(pbx, settings),
        pbx_checks.modules(pbx, system, settings),
        pbx_checks.files(pbx, settings),
        pbx_checks.clock(pbx, now),
        site_checks.include(pbx, settings),
        site_checks.contexts(pbx, settings),
        site_checks.queues(pbx, settings),
        site_checks.phones(pbx, settings),
    ]
