"""One SIP call by hand: what a trunk's carrier answers to an INVITE, if need be a wrong one.

No phone of the laboratory can call without what it is set up to have, so this writes the few messages itself
(RFC 3261, the digest of RFC 2617, the SDP of RFC 4568).
"""

import asyncio
import hashlib
import re
import secrets
import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass

from desk import WAIT

_LAST_PROVISIONAL = 199
_LOGIN_FAILED = 401
_RINGS = 180
_CANCELLED = 487


@dataclass(frozen=True)
class Caller:
    """Who calls whom, and how."""

    host: str
    port: int
    ca_file: str
    username: str
    secret: str
    number: str
    shown: str
    tls: bool = True
    srtp: bool = True

    async def call(self) -> int:
        """Call; return the status that decides: 180 if it rings (it is cancelled then), else the last one."""
        return await asyncio.to_thread(self._call)

    def _call(self) -> int:
        with self._connected() as wire:
            dialogue = _Dialogue(self, wire)
            status, head = dialogue.invite()
            if status == _LOGIN_FAILED:
                status, _ = dialogue.invite(_answer(head, self))
            if status == _RINGS:
                dialogue.cancel()
            return status

    def _connected(self) -> socket.socket:
        if not self.tls:
            wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            wire.settimeout(WAIT)
            wire.connect((self.host, self.port))
            return wire
        plain = socket.create_connection((self.host, self.port), WAIT)
        return ssl.create_default_context(cafile=self.ca_file).wrap_socket(plain, server_hostname=self.host)

    @property
    def uri(self) -> str:
        return f"sip:{self.number}@{self.host}:{self.port}"


class _Dialogue:
    """The messages of one call, each one with the headers that all of them have."""

    def __init__(self, caller: Caller, wire: socket.socket) -> None:
        self._caller = caller
        self._wire = wire
        self._call_id = secrets.token_hex(8)
        self._tag = secrets.token_hex(4)
        self._number = 0
        self._branch = ""
        self._unread = b""
        here, port = wire.getsockname()[:2]
        self._here = f"{here}:{port}"

    def invite(self, authorization: str = "") -> tuple[int, str]:
        """Send an INVITE; return the status and head of what decides, acknowledged if it is final."""
        self._number += 1
        self._branch = f"z9hG4bK{secrets.token_hex(8)}"
        login = f"Authorization: {authorization}\r\n" if authorization else ""
        self._send(
            "INVITE", f"Contact: <sip:{self._here}>\r\nContent-Type: application/sdp\r\n{login}", self._sdp()
        )
        return self._decided()

    def cancel(self) -> None:
        """Give the call up, and see that it ends."""
        self._send("CANCEL")
        status = 0
        while status != _CANCELLED:
            status, _ = self._decided()

    def _decided(self) -> tuple[int, str]:
        status, head = 0, ""
        while status <= _LAST_PROVISIONAL and status != _RINGS:
            status, head = self._received()
        if status > _LAST_PROVISIONAL and "INVITE" in _header(head, "CSeq"):
            self._send("ACK", to=_header(head, "To"))
        return status, head

    def _send(self, method: str, more: str = "", body: str = "", to: str = "") -> None:
        caller = self._caller
        transport = "TLS" if caller.tls else "UDP"
        text = (
            f"{method} {caller.uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/{transport} {self._here};branch={self._branch}\r\n"
            f"From: <sip:{caller.shown}@{self._here}>;tag={self._tag}\r\n"
            f"To: {to or f'<{caller.uri}>'}\r\n"
            f"Call-ID: {self._call_id}\r\nCSeq: {self._number} {method}\r\nMax-Forwards: 70\r\n"
            f"{more}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._wire.sendall(text.encode())

    def _received(self) -> tuple[int, str]:
        """Return status and head of the next message."""
        while b"\r\n\r\n" not in self._unread:
            self._read()
        head, _, self._unread = self._unread.partition(b"\r\n\r\n")
        text = head.decode()
        length = int(_header(text, "Content-Length") or 0)
        while len(self._unread) < length:
            self._read()
        self._unread = self._unread[length:]
        return int(text.split(maxsplit=2)[1]), text

    def _read(self) -> None:
        found = self._wire.recv(65536)
        if not found:
            raise ConnectionError("the carrier closed the connection")
        self._unread += found

    def _sdp(self) -> str:
        here = self._here.partition(":")[0]
        key = b64encode(secrets.token_bytes(30)).decode()
        crypto = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n" if self._caller.srtp else ""
        return (
            f"v=0\r\no=- 1 1 IN IP4 {here}\r\ns=-\r\nc=IN IP4 {here}\r\nt=0 0\r\n"
            f"m=audio 40000 RTP/{'SAVP' if crypto else 'AVP'} 0\r\na=rtpmap:0 PCMU/8000\r\n{crypto}"
        )


def _header(head: str, name: str) -> str:
    found = re.search(rf"^{name}: *(.*?)\r?$", head, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def _answer(head: str, caller: Caller) -> str:
    """Answer the challenge (MD5, qop auth)."""
    asked = dict(re.findall(r'(\w+)="?([^",]*)"?', _header(head, "WWW-Authenticate").removeprefix("Digest")))

    def hashed(*parts: str) -> str:
        return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()

    mine = hashed(caller.username, asked["realm"], caller.secret)
    right = hashed(mine, asked["nonce"], "00000001", "c", "auth", hashed("INVITE", caller.uri))
    return (
        f'Digest username="{caller.username}", realm="{asked["realm"]}", nonce="{asked["nonce"]}", '
        f'uri="{caller.uri}", response="{right}", algorithm=MD5, qop=auth, nc=00000001, cnonce="c"'
        + (f', opaque="{asked["opaque"]}"' if "opaque" in asked else "")
    )
