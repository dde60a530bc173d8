"""What the AMQP transport is told of its broker."""

from dataclasses import dataclass

from connector.bridge.amqp_topology import Names, Role
from connector.bridge.codec import MAX_FRAME
from connector.bridge.stream import SEND_QUEUE
from connector.bridge.tcp import TlsClient


@dataclass(frozen=True, slots=True)
class AmqpSettings:
    """The broker and how patient we are. Times in seconds, `max_body` in bytes, the rest in messages."""

    url: str
    names: Names
    role: Role = Role.CLIENT
    tls: TlsClient | None = None
    declare: bool = True
    standby: str = ""
    """Exchange by which the ledger travels to other connectors of the processor; empty: there are none."""
    prefetch: int = 500
    unconfirmed: int = 256
    send_queue: int = SEND_QUEUE
    max_body: int = MAX_FRAME
    heartbeat: int = 15
    connect_timeout: float = 5.0
    confirm_timeout: float = 30.0
    reconnect_initial: float = 0.5
    reconnect_max: float = 30.0
