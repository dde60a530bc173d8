"""Free ports for a laboratory, outside the range that the kernel hands out by itself."""

import random
import socket
from collections.abc import Collection, Iterator

from connector.lab.provider import LabError, Ports

LOOPBACK = "127.0.0.1"
_FIRST, _LAST = 12000, 32000
"""Below Linux's ephemeral range (32768 and up): nobody is given one of these by chance."""
_RTP_PORTS = 400
"""Two a call leg: enough for 200 legs at a time."""


def choose(taken: Collection[Ports]) -> Ports:
    """Return ports that are free now and belong to no other lab; LabError if there are none."""
    used = [range(each.rtp_first, each.rtp_last + 1) for each in taken]
    singles = {
        port
        for each in taken
        for port in (each.sip, each.ami, each.ami_tls, each.amqp, each.amqp_tls, each.epmd, each.erlang)
    }
    candidates = (
        base
        for base in _bases()
        if not any(base < block.stop and block.start < base + _RTP_PORTS + 10 for block in used)
        and not singles.intersection(range(base, base + _RTP_PORTS + 10))
    )
    for base in candidates:
        rest = base + _RTP_PORTS
        wanted = list(range(rest, rest + 7))
        if all(_free(port, socket.SOCK_STREAM) for port in wanted) and all(
            _free(port, socket.SOCK_DGRAM) for port in (*range(base, rest), rest)
        ):
            sip, ami, ami_tls, amqp, amqp_tls, epmd, erlang = wanted
            return Ports(
                sip=sip,
                ami=ami,
                ami_tls=ami_tls,
                amqp=amqp,
                amqp_tls=amqp_tls,
                epmd=epmd,
                erlang=erlang,
                rtp_first=base,
                rtp_last=rest - 1,
            )
    raise LabError("No free ports for a laboratory: are many of them running?")


def free_port() -> int:
    """Return one TCP port that is free now; LabError if there is none."""
    ports = list(range(_FIRST, _LAST))
    random.shuffle(ports)
    for port in ports:
        if _free(port, socket.SOCK_STREAM):
            return port
    raise LabError("No free port: are many laboratories running?")


def _bases() -> Iterator[int]:
    step = _RTP_PORTS + 10
    bases = list(range(_FIRST, _LAST - step, step))
    random.shuffle(bases)
    yield from bases


def _free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            # As servers do: a connection in TIME_WAIT from the lab before doesn't count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
