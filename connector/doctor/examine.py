"""All checks, in the order in which one would look: login, rights, PBX, site, certificates, wire."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

from connector.app import ami_settings
from connector.asterisk.link import AmiError, AmiTlsProblem
from connector.config import Settings
from connector.doctor import pbx_checks, site_checks, tls_checks, user_checks, wire_checks
from connector.doctor.examination import PATIENCE, Examination, NoPbx, examination
from connector.doctor.findings import Finding, fault, ok


async def examine(
    settings: Settings, *, now: Callable[[], float] = time.time, patience: float = PATIENCE
) -> list[Finding]:
    """Examine the PBX and the way to the bridge.

    `now` is our own clock (seconds since 1970), `patience` how many seconds an event of the PBX may take.
    """
    findings = [finding async for finding in _pbx(settings, now, patience)]
    findings += [finding async for finding in tls_checks.certificates(settings, now)]
    findings += [finding async for finding in wire_checks.wire(settings)]
    return findings


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
            second = replace(
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
