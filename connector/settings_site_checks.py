"""Checks of what becomes files of the PBX: patterns, names, networks, and where inbound numbers lead.

Each would otherwise show only when the PBX loads the files, or when a call comes.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

import phonenumbers

from connector.settings_calls import matches
from connector.settings_schema import Settings
from connector.settings_site import SipTransport

Problems = Iterator[tuple[tuple[str, ...], str]]
"""Paths of keys, each with what is expected there and what was found."""

_OUR_CONTEXTS: Final = "harmony-"
_GENERAL: Final = "general"
"""A section of its own in manager.conf, queues.conf and extensions.conf; Asterisk ignores the case."""


def site_problems(settings: Settings) -> Problems:
    """Give what is wrong with numbers, names and addresses that Asterisk's files are made of."""
    yield from _patterns(settings)
    yield from _names(settings)
    yield from _networks(settings)
    region = settings.numbers.region
    if region and region not in phonenumbers.SUPPORTED_REGIONS:
        yield (
            ("numbers", "region"),
            f'expected the two letters of a country such as US or DE, found "{region}"',
        )
    yield from _trunks(settings)


def _patterns(settings: Settings) -> Problems:
    lists: dict[tuple[str, ...], tuple[str, ...]] = {
        ("dial", "allow"): settings.dial.allow,
        ("dial", "deny"): settings.dial.deny,
        ("numbers", "internal"): settings.numbers.internal,
        ("pbx", "phones"): settings.pbx.phones,
    }
    lists |= {("trunks", name, "dial"): trunk.dial for name, trunk in settings.trunks.items()}
    for path, patterns in lists.items():
        for group in re.findall(r"\[[^\]]+\]", " ".join(patterns)):
            try:
                re.compile(group)
            except re.error:
                yield path, f"expected digits in rising order in [ ], found {group}"


def _names(settings: Settings) -> Problems:
    users: dict[tuple[str, ...], str] = {("asterisk", "username"): settings.asterisk.username}
    if settings.asterisk.system is not None:
        users["asterisk", "system", "username"] = settings.asterisk.system.username
    for path, user in users.items():
        if user.lower() == _GENERAL:
            yield path, f'expected a user, found "{user}": in manager.conf that is no user'
    for queue in settings.queues:
        if queue.lower() == _GENERAL:
            yield ("queues", queue), "expected another name: in queues.conf that is no queue"
    context = settings.dial.context
    if context.lower() in {_GENERAL, "globals"}:
        yield ("dial", "context"), f'expected a context, found "{context}": in extensions.conf that is none'
    if context.startswith(_OUR_CONTEXTS):
        yield (
            ("dial", "context"),
            f'expected a context of the PBX, found "{context}": {_OUR_CONTEXTS}… are the connector\'s own',
        )


def _networks(settings: Settings) -> Problems:
    lists: dict[tuple[str, ...], tuple[str, ...]] = {("pbx", "permit"): settings.pbx.permit}
    lists |= {("trunks", name, "addresses"): trunk.addresses for name, trunk in settings.trunks.items()}
    for path, networks in lists.items():
        for network in networks:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                yield path, f'expected addresses or networks such as 192.0.2.0/24, found "{network}"'
    address, _, port = settings.pbx.tls_bind.rpartition(":")
    try:
        ipaddress.IPv4Address(address)
        good = 0 < int(port) <= 65535  # noqa: PLR2004 - ports
    except ValueError:
        good = False
    if not good:
        yield (
            ("pbx", "tls_bind"),
            f'expected an address and a port such as 0.0.0.0:5061, found "{settings.pbx.tls_bind}"',
        )


def _trunks(settings: Settings) -> Problems:
    endpoints = {agent.extension: f"agent {agent_id}" for agent_id, agent in settings.agents.items()}
    numbers = {*endpoints, *(queue.extension for queue in settings.queues.values() if queue.extension)}
    phones = settings.pbx.phones
    for name, trunk in settings.trunks.items():
        if trunk.encrypt_media and trunk.transport is not SipTransport.TLS:
            yield (
                ("trunks", name, "transport"),
                "expected tls, as encrypt_media is true: else everybody on the way reads the keys",
            )
        if name in endpoints or any(matches(pattern, name) for pattern in phones):
            owner = endpoints.get(name, "pbx.phones")
            yield (
                ("trunks", name),
                f"expected another name: it would be the PJSIP endpoint {name}, a phone ({owner})",
            )
        if not settings.pbx.dialplan:
            # The PBX's own pages decide where a number leads.
            continue
        for number, extension in trunk.inbound.items():
            if extension not in numbers and not any(matches(pattern, extension) for pattern in phones):
                yield (
                    ("trunks", name, "inbound", number),
                    f'expected the extension of a queue or agent, or one of pbx.phones, found "{extension}"',
                )
