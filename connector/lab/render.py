"""Fills `asterisk-conf/` for one lab: tokens between at-signs become ports and secrets; tones are computed.

One renderer serves both providers, so that they run the very same PBX.
"""

import math
import re
import shutil
import struct
import wave
from collections.abc import Mapping
from pathlib import Path

from connector.lab import accounts
from connector.lab.provider import LabError
from connector.lab.state import LabState

_TOKEN = re.compile(r"@([A-Z][A-Z0-9_]*)@")
_RATE = 8000


def fill(text: str, tokens: Mapping[str, str], *, where: str = "") -> str:
    """Replace every `@TOKEN@`; LabError for one that has no value."""

    def value(match: re.Match[str]) -> str:
        try:
            return tokens[match[1]]
        except KeyError:
            raise LabError(f"{where}: nothing is known for the token {match[0]}.") from None

    return _TOKEN.sub(value, text)


def tokens(state: LabState, *, bind: str, sounds: str) -> dict[str, str]:
    """Return the tokens' values for a lab. `sounds` is the tone folder as Asterisk sees it."""
    ports = state.ports
    return {
        "BIND": bind,
        "SIP_PORT": str(ports.sip),
        "AMI_PORT": str(ports.ami),
        "AMI_TLS_PORT": str(ports.ami_tls),
        "RTP_START": str(ports.rtp_first),
        "RTP_END": str(ports.rtp_last),
        "AMI_HARMONY_SECRET": state.ami["harmony"],
        "AMI_OBSERVER_SECRET": state.ami["observer"],
        "AMI_SYSTEM_SECRET": state.ami["harmony-system"],
        "SOUNDS": sounds,
        "SIP_ACCOUNTS": "\n".join(_account(who, state) for who in accounts.AGENTS + accounts.CUSTOMERS),
    }


def _account(who: accounts.Person, state: LabState) -> str:
    number = who.number
    return (
        f"[{number}](phone)\nauth = {number}\naors = {number}\n"
        f'callerid = "{who.first_name} {who.last_name}" <{number}>\n'
        f"[{number}](phone-aor)\n"
        f"[{number}](phone-auth)\nusername = {number}\npassword = {state.sip[number]}\n"
    )


def asterisk(source: Path, target: Path, values: Mapping[str, str]) -> None:
    """Render `asterisk-conf/` into a lab's `/etc/asterisk`; files are readable by their owner only."""
    target.mkdir(parents=True, exist_ok=True)
    for file in (*sorted((source / "lab").glob("*.conf")), *sorted(source.glob("*.conf"))):
        rendered = target / file.name
        rendered.touch(mode=0o600)
        rendered.write_text(fill(file.read_text("utf-8"), values, where=file.name), "utf-8")


def overlay(target: Path, files: Mapping[str, str], values: Mapping[str, str]) -> None:
    """Lay a test's own files over a lab's `/etc/asterisk`: name to text, which may hold tokens too."""
    for name, text in files.items():
        rendered = target / name
        rendered.touch(mode=0o600)
        rendered.write_text(fill(text, values, where=name), "utf-8")


def tones(target: Path) -> None:
    """Write the music on hold (a tone), the silence and the beep, as 8 kHz mono WAV files."""
    for name, hertz, seconds in (
        ("moh-tone/loop", accounts.MOH_HERTZ, 10.0),
        ("moh-silence/loop", 0, 10.0),
        ("beep/tone", accounts.BEEP_HERTZ, 0.3),
    ):
        path = target / f"{name}.wav"
        shutil.rmtree(path.parent, ignore_errors=True)
        path.parent.mkdir(parents=True)
        _tone(path, hertz, seconds)


def _tone(path: Path, hertz: int, seconds: float) -> None:
    """Write a sine of half scale that starts and ends at a zero crossing: it loops without a click."""
    samples = b"".join(
        struct.pack("<h", round(16000 * math.sin(2 * math.pi * hertz * place / _RATE)))
        for place in range(round(_RATE * seconds))
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(samples)
