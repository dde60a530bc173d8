"""Settings of the connections: bridge, message broker, manager interface."""

from enum import StrEnum
from typing import Annotated, Final

from msgspec import Meta

from connector.settings_fields import HOST, FilePath, Host, Port, Secret, Section, seconds, text


class Transport(StrEnum):
    """How the bridge is reached."""

    TCP = "tcp"
    AMQP = "amqp"


class TlsSettings(Section, frozen=True, kw_only=True):
    """TLS of a connection. Paths are relative to the folder of the configuration file."""

    enabled: Annotated[bool, Meta(description="Whether the connection is encrypted.")] = False
    ca_file: Annotated[
        FilePath, Meta(description="PEM file of the authorities to trust; empty: those of the system.")
    ] = ""
    verify: Annotated[
        bool,
        Meta(description="Whether the peer's certificate and name are checked. Switch off in a lab only."),
    ] = True
    server_name: Annotated[
        str,
        text("Name expected in the peer's certificate; empty: `host`.", f"|{HOST}", "a host name"),
    ] = ""
    cert_file: Annotated[FilePath, Meta(description="PEM file of our own certificate, if asked for.")] = ""
    key_file: Annotated[FilePath, Meta(description="PEM file of the key of `cert_file`.")] = ""


class BridgeSettings(Section, frozen=True, kw_only=True):
    """Where Harmony's Processor Bridge is."""

    transport: Annotated[
        Transport, Meta(description="`tcp`: straight to the bridge; `amqp`: by way of a message broker.")
    ] = Transport.TCP
    host: Annotated[
        str,
        text(
            "Where the bridge listens. Required with `tcp`.",
            f"|{HOST}",
            "a host name or an address without a port",
            example="bridge.example.com",
        ),
    ] = ""
    port: Annotated[Port, Meta(description="TCP port at which the bridge listens.")] = 7760
    tls: Annotated[TlsSettings, Meta(description="TLS towards the bridge.")] = TlsSettings()
    max_frame_bytes: Annotated[
        int,
        Meta(
            ge=1024, le=64 * 1024 * 1024, description="Longest frame that is read.", extra={"unit": "bytes"}
        ),
    ] = 1024 * 1024
    connect_timeout: Annotated[float, seconds("Longest wait for a connection.")] = 5.0
    reconnect_initial: Annotated[float, seconds("First pause before connecting again.", 0.05)] = 0.5
    reconnect_max: Annotated[float, seconds("Longest pause before connecting again.", 0.05)] = 30.0
    send_queue: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Messages that may wait for a slow bridge; more end the connection.",
            extra={"unit": "messages"},
        ),
    ] = 10_000
    dialect: Annotated[
        FilePath,
        Meta(
            description="YAML file with the bridge's own names and keys; empty: those of the catalogue. "
            "Relative to the folder of the configuration file."
        ),
    ] = ""
    record: Annotated[
        FilePath,
        Meta(
            description="File that keeps the latest traffic with the bridge, without passwords; empty: none. "
            "Relative to the folder of the configuration file."
        ),
    ] = ""
    record_mib: Annotated[
        int,
        Meta(
            ge=2,
            le=4096,
            description="Room for `record` and its older half (`.1`).",
            extra={"unit": "MiB"},
        ),
    ] = 64


_BROKER_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,126}"
_BROKER_NAME_EXPECTED: Final = "a name on the broker (letters, digits, _ . : -)"

BrokerName = Annotated[str, text("A name.", _BROKER_NAME, _BROKER_NAME_EXPECTED)]
OptionalBrokerName = Annotated[str, text("A name.", f"|{_BROKER_NAME}", _BROKER_NAME_EXPECTED)]


class AmqpSettings(Section, frozen=True, kw_only=True):
    """The message broker, for `bridge.transport: amqp`."""

    url: Annotated[
        Secret | None,
        Meta(
            description="The broker with user, password and virtual host. Required with `amqp`.",
            extra={
                "pattern": r"^amqps?://\S+$",
                "expected": "a URL that starts with amqp:// or amqps://",
                "example": "amqps://connector:PASSWORD@rabbit.example.com/harmony",
            },
        ),
    ] = None
    tls: Annotated[
        TlsSettings,
        Meta(description="TLS towards the broker. Used whenever the URL starts with amqps://."),
    ] = TlsSettings()
    bridge_exchange: Annotated[
        BrokerName, Meta(description="Topic exchange to which the bridge publishes.")
    ] = "harmony.bridge"
    client_exchange: Annotated[BrokerName, Meta(description="Topic exchange to which we publish.")] = (
        "harmony.client"
    )
    dead_exchange: Annotated[
        BrokerName, Meta(description="Topic exchange for what came and cannot be read.")
    ] = "harmony.dead"
    queue: Annotated[
        OptionalBrokerName,
        Meta(description="Queue that we consume; empty: `harmony.client.` and the processor."),
    ] = ""
    dead_queue: Annotated[
        OptionalBrokerName,
        Meta(description="Queue of dead letters; empty: `harmony.dead.` and the processor."),
    ] = ""
    declare: Annotated[
        bool,
        Meta(description="Whether we declare exchanges, queues and bindings; if not, they must be there."),
    ] = True
    prefetch: Annotated[
        int,
        Meta(
            ge=1,
            le=65535,
            description="Requests that may be under way at once.",
            extra={"unit": "messages"},
        ),
    ] = 500
    unconfirmed: Annotated[
        int,
        Meta(
            ge=1,
            le=65535,
            description="Messages that may be published ahead of the broker's confirmation.",
            extra={"unit": "messages"},
        ),
    ] = 256
    store: Annotated[
        FilePath,
        Meta(
            description="File that keeps sessions and unanswered requests, so that a connector that is "
            "started anew goes on with them; empty: none. Relative to the folder of the configuration file."
        ),
    ] = ""
    standby: Annotated[
        OptionalBrokerName,
        Meta(
            description="Topic exchange by which several connectors of the processor share their state: one "
            "leads, the others stand by; empty: there is one connector only.",
            extra={"example": "harmony.state"},
        ),
    ] = ""
    heartbeat: Annotated[
        int,
        Meta(
            ge=1,
            le=600,
            description="Pause between signs of life on the connection.",
            extra={"unit": "seconds"},
        ),
    ] = 15


class SystemUser(Section, frozen=True, kw_only=True):
    """A second AMI user with the class `system`: for `answer: notify-talk`, recording and supervision."""

    username: Annotated[
        str,
        text(
            "Its name in manager.conf.",
            r"[^\s\x00-\x1f\x7f]{1,80}",
            "a user of manager.conf",
            example="harmony-system",
        ),
    ]
    secret: Annotated[Secret, Meta(description="Its password.", extra={"example": "PASSWORD"})]


class AsteriskSettings(Section, frozen=True, kw_only=True):
    """The PBX and our manager (AMI) user on it."""

    host: Annotated[Host, Meta(description="Where Asterisk's manager interface listens.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="Its port (usually 5039 with TLS).")] = 5038
    username: Annotated[
        str,
        text(
            "Our user in manager.conf.",
            r"[^\s\x00-\x1f\x7f]{1,80}",
            "a user of manager.conf",
            example="harmony",
        ),
    ]
    secret: Annotated[
        Secret,
        Meta(
            description="Its password; best given as CONNECTOR_ASTERISK__SECRET_FILE.",
            extra={"example": "PASSWORD"},
        ),
    ]
    tls: Annotated[TlsSettings, Meta(description="TLS towards Asterisk.")] = TlsSettings()
    connect_timeout: Annotated[float, seconds("Longest wait for a connection and the login.")] = 5.0
    action_timeout: Annotated[float, seconds("Longest wait for the reply to an action.")] = 5.0
    ping_interval: Annotated[float, seconds("Pause between two checks that the link lives.")] = 10.0
    ping_timeout: Annotated[float, seconds("Longest wait for the reply to such a check.")] = 3.0
    reconnect_initial: Annotated[float, seconds("First pause before connecting again.", 0.05)] = 0.5
    reconnect_max: Annotated[float, seconds("Longest pause before connecting again.", 0.05)] = 30.0
    grace: Annotated[
        float,
        seconds(
            "How long a lost link is kept from the bridge; requests are refused meanwhile. "
            "After it the service is out of service, and the bridge ends its sessions.",
            0.0,
        ),
    ] = 5.0
    system: Annotated[
        SystemUser | None,
        Meta(
            description="A second user with the class `system`: for phones with `answer: notify-talk`, for "
            "recording, muting and supervision."
        ),
    ] = None
