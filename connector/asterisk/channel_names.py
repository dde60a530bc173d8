"""What the names of channels, interfaces and devices tell: technology, and whose phone it is."""

import re
from functools import lru_cache

from connector.telephony.mobile import mobile_endpoint

_CHANNEL = re.compile(r"^(?P<technology>[A-Za-z0-9]+)/(?P<rest>.+)-(?P<serial>[0-9a-f]+)(?P<half>;[12])?$")
_INTERFACE = re.compile(r"^PJSIP/(?P<endpoint>[^/@]+)$")
_MOBILE = re.compile(
    r"^Local/(?P<number>\+?[0-9*#]{1,32})@harmony-(?P<kind>mobile|nailed)(?:/n|-[0-9a-f]+;[12])?$"
)
"""A mobile agent's phone, as interface or device, or (with a serial number) a channel of it."""
_FURNITURE = frozenset({"CBAnn", "CBRec", "Announcer", "Recorder", "Surrogate", "Message", "Bridge"})
"""Channels that Asterisk makes for itself inside bridges: nobody is at their far end."""
_REMEMBERED = 4096
"""Interfaces whose phones are not looked for anew: each use of a phone is told of each of its queues."""


def channel_parts(channel: str) -> tuple[str, str] | None:
    """Return technology and resource of a channel name (`PJSIP/1001-0000002a`: PJSIP, 1001), if it is one."""
    match = _CHANNEL.match(channel)
    return (match["technology"], match["rest"]) if match is not None else None


def is_furniture(channel: str) -> bool:
    """Whether a channel of that name is one of those that Asterisk makes for itself in a bridge."""
    parts = channel_parts(channel)
    return parts is not None and parts[0] in _FURNITURE


def endpoint_of_channel(channel: str) -> str:
    """Return the phone of a channel name (`PJSIP/1001-0000002a` is phone 1001), or an empty string."""
    if mobile := endpoint_of_mobile(channel):
        return mobile if channel.endswith(";1") else ""
    parts = channel_parts(channel)
    return parts[1] if parts is not None and parts[0] == "PJSIP" else ""


@lru_cache(_REMEMBERED)
def endpoint_of_interface(interface: str, state_interface: str = "") -> str:
    """Return the phone behind a queue member's interface, else behind its state interface, else ''."""
    for name in (interface, state_interface):
        if mobile := endpoint_of_mobile(name):
            return mobile
        match = _INTERFACE.match(name)
        if match is not None:
            return match["endpoint"]
    return ""


def endpoint_of_mobile(name: str) -> str:
    """Return what stands for a mobile agent whose channel, interface or device has that name, else ''."""
    match = _MOBILE.match(name)
    return mobile_endpoint(match["number"], nailed=match["kind"] == "nailed") if match is not None else ""
