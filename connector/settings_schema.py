"""The typed settings: one frozen struct a section, and every key with its description, bounds and default.

This module is the single source: the reader takes types, bounds and wording of errors from it, and
`config/connector.yaml` and the table in `docs/configuration.md` are generated from it.
"""

import re
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from connector.asterisk.settings import RECORDING_FIELDS

HIDDEN: Final = "***"
"""What is shown in a secret's place."""


class Secret:
    """A text that must not be shown: `repr` and `str` hide it, `reveal` gives it to the one that needs it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself; never log it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})" if self else "Secret()"

    __str__ = __repr__


class Transport(StrEnum):
    """How the bridge is reached."""

    TCP = "tcp"
    AMQP = "amqp"


class Answer(StrEnum):
    """How a phone model can be made to pick up."""

    NONE = "none"
    AUTO_ANSWER = "auto-answer"
    NOTIFY_TALK = "notify-talk"


class Hold(StrEnum):
    """How calls on a phone model are put on hold."""

    ROOMS = "rooms"
    NOTIFY = "notify"


class Way(StrEnum):
    """Who takes a caller that has nobody."""

    AGENT = "agent"
    QUEUE = "queue"


class AgentSource(StrEnum):
    """Where agents are looked up, besides the configuration itself."""

    NONE = "none"
    FILE = "file"
    SQL = "sql"


class Consult(StrEnum):
    """How answered calls are handled on the PBX."""

    ROOMS = "rooms"
    ATXFER = "atxfer"


class LogLevel(StrEnum):
    """The least important records that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a record is written; `auto` is `console` on a terminal and `json` elsewhere."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping of the configuration."""


def _seconds(about: str, least: float = 0.1, most: float = 3600.0) -> Meta:
    return Meta(ge=least, le=most, description=about, extra={"unit": "seconds"})


def _text(about: str, pattern: str, expected: str, *, example: str = "") -> Meta:
    return Meta(
        pattern=f"^(?:{pattern})$", description=about, extra={"expected": expected, "example": example}
    )


_LINE: Final = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"
# What would end the value in the dialplan or in a variable's assignment is left out.
_CALLER_NAME: Final = r"""[^<>;,"$\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"""
_HOST: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}"
_PATTERN: Final = r"_?(?:[0-9XZN*#+]|\[[0-9*#-]+\])+[.!]?|_?[.!]"

Host = Annotated[str, _text("Name or address.", _HOST, "a host name or an address without a port")]
Port = Annotated[int, Meta(ge=1, le=65535, description="TCP port.")]
FilePath = Annotated[str, _text("A path.", rf"{_LINE}*", "the path of a file")]
Endpoint = Annotated[
    str,
    _text(
        "The phone: its PJSIP endpoint.",
        r"[A-Za-z0-9_+][A-Za-z0-9_.+-]{0,63}",
        "the name of a PJSIP endpoint (letters, digits, _ . + -)",
        example="1001",
    ),
]
Label = Annotated[str, _text("A name to show.", rf"{_LINE}{{0,80}}", "at most 80 characters on one line")]
AgentId = Annotated[
    str,
    _text("", r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}", "an agent id (letters, digits, _ . @ -)", example="1001"),
]
QueueName = Annotated[
    str,
    _text(
        "", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}", "a queue's name (letters, digits, _ . -)", example="support"
    ),
]
ModelName = Annotated[
    str,
    _text("", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", "a phone model's name (letters, digits, _ . -)"),
]


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
        _text("Name expected in the peer's certificate; empty: `host`.", f"|{_HOST}", "a host name"),
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
        _text(
            "Where the bridge listens. Required with `tcp`.",
            f"|{_HOST}",
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
    connect_timeout: Annotated[float, _seconds("Longest wait for a connection.")] = 5.0
    reconnect_initial: Annotated[float, _seconds("First pause before connecting again.", 0.05)] = 0.5
    reconnect_max: Annotated[float, _seconds("Longest pause before connecting again.", 0.05)] = 30.0
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

BrokerName = Annotated[str, _text("A name.", _BROKER_NAME, _BROKER_NAME_EXPECTED)]
OptionalBrokerName = Annotated[str, _text("A name.", f"|{_BROKER_NAME}", _BROKER_NAME_EXPECTED)]


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
        _text(
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
        _text(
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
    connect_timeout: Annotated[float, _seconds("Longest wait for a connection and the login.")] = 5.0
    action_timeout: Annotated[float, _seconds("Longest wait for the reply to an action.")] = 5.0
    ping_interval: Annotated[float, _seconds("Pause between two checks that the link lives.")] = 10.0
    ping_timeout: Annotated[float, _seconds("Longest wait for the reply to such a check.")] = 3.0
    reconnect_initial: Annotated[float, _seconds("First pause before connecting again.", 0.05)] = 0.5
    reconnect_max: Annotated[float, _seconds("Longest pause before connecting again.", 0.05)] = 30.0
    grace: Annotated[
        float,
        _seconds(
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


DialPattern = Annotated[
    str,
    _text(
        "A pattern of the dialplan.",
        _PATTERN,
        "a dialplan pattern made of digits, * # +, X Z N, [1-5], and . or ! at the end",
    ),
]


class DialSettings(Section, frozen=True, kw_only=True):
    """How calls are placed and handled for agents."""

    context: Annotated[
        str,
        _text(
            "Context of the dialplan in which numbers are dialled.",
            r"[A-Za-z0-9_][A-Za-z0-9_-]{0,78}",
            "a context of the dialplan (letters, digits, _ -)",
        ),
    ] = "from-internal"
    agent_timeout: Annotated[float, _seconds("How long the agent's own phone rings first.", 1.0, 600.0)] = (
        30.0
    )
    timeout: Annotated[float, _seconds("How long the destination rings.", 1.0, 600.0)] = 60.0
    caller_id: Annotated[
        str,
        _text(
            "Caller id shown to the destination; empty: the agent's extension.",
            rf'|(?:"{_CALLER_NAME}{{0,80}}" ?)?<\+?[0-9*#]{{1,32}}>|\+?[0-9*#]{{1,32}}',
            'a number, or "Name" <number>',
        ),
    ] = ""
    consult: Annotated[
        Consult,
        Meta(
            description="How calls are consulted about, transferred and joined: `rooms`, by our dialplan "
            "include; `atxfer`, by Asterisk's own attended transfer, for a PBX without the include: see "
            "docs/call-handling.md for what that cannot do."
        ),
    ] = Consult.ROOMS
    allow: Annotated[
        tuple[DialPattern, ...],
        Meta(
            description="Patterns of numbers that agents may dial; empty: all.", extra={"example": "[_0X.]"}
        ),
    ] = ()
    deny: Annotated[
        tuple[DialPattern, ...],
        Meta(
            description="Patterns of numbers that agents must not dial; wins over `allow`.",
            extra={"example": "[_0900X.]"},
        ),
    ] = ()

    def permits(self, number: str) -> bool:
        """Return whether `allow` and `deny` let agents dial this number (digits, * # +)."""
        if any(_matches(pattern, number) for pattern in self.deny):
            return False
        return not self.allow or any(_matches(pattern, number) for pattern in self.allow)


_PIECES: Final = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]", ".": "[0-9*#+]+", "!": "[0-9*#+]*"}


def _matches(pattern: str, number: str) -> bool:
    pieces = re.findall(r"\[[^\]]+\]|.", pattern.removeprefix("_"))
    expression = "".join(
        _PIECES.get(piece) or (piece if piece.startswith("[") else re.escape(piece)) for piece in pieces
    )
    return re.fullmatch(expression, number) is not None


class PhoneSettings(Section, frozen=True, kw_only=True):
    """What a model of phone can do."""

    answer: Annotated[
        Answer,
        Meta(
            description="How it picks up by request: `none`; `auto-answer`: by a header on calls that we "
            "place; `notify-talk`: by NOTIFY, which ends the call on phones that don't know it."
        ),
    ] = Answer.NONE
    auto_answer_header: Annotated[
        str,
        _text(
            "SIP header that makes it pick up at once.",
            rf"[A-Za-z][A-Za-z0-9-]*: {_LINE}{{1,200}}",
            "a SIP header such as `Alert-Info: info=alert-autoanswer`",
        ),
    ] = "Call-Info: <sip:localhost>;answer-after=0"
    hold: Annotated[
        Hold,
        Meta(
            description="How it holds: `rooms`: the PBX does it, the phone needs to know nothing; "
            "`notify`: by NOTIFY, which ends the call on phones that don't know it."
        ),
    ] = Hold.ROOMS


class HandlingSettings(Section, frozen=True, kw_only=True):
    """What becomes of callers whom nobody talks to."""

    failed_transfer: Annotated[
        tuple[Way, ...],
        Meta(
            description="Who takes a caller whose transfer to a number failed, in this order: `agent`: the "
            "phone that it came from rings again; `queue`: `fallback_queue`. Empty: the call ends."
        ),
    ] = (Way.AGENT, Way.QUEUE)
    orphans: Annotated[
        tuple[Way, ...],
        Meta(
            description="Who takes a caller on hold whose agent's leg ended or whose hold reached the limit. "
            "Empty: the call ends."
        ),
    ] = (Way.QUEUE,)
    fallback_queue: Annotated[
        str,
        _text(
            "Queue for these callers, a key of `queues`; empty: none, but for calls whose routing set "
            "`HARMONY_ORPHAN_QUEUE`.",
            r"|[A-Za-z0-9][A-Za-z0-9_.-]{0,79}",
            "a queue's name (letters, digits, _ . -)",
            example="support",
        ),
    ] = ""
    fallback_patience: Annotated[
        int,
        Meta(
            ge=5,
            le=3600,
            description="How long these ways are tried again and again.",
            extra={"unit": "seconds"},
        ),
    ] = 120
    hold_limit: Annotated[
        float,
        _seconds("Longest hold: at half of it the agent is warned, then the caller is an orphan.", 1, 86400),
    ] = 3600.0
    wrap_up: Annotated[
        float,
        _seconds(
            "Longest wrap-up: so long after a call the queues wait for the agent to complete it. 0: no "
            "wrap-up, the next call may follow at once.",
            0,
            86400,
        ),
    ] = 60.0


class QueueSettings(Section, frozen=True, kw_only=True):
    """A queue of the PBX that agents may serve."""

    extension: Annotated[
        str,
        _text(
            "Number under which it is called.",
            r"|\+?[0-9*#]{1,32}",
            "a number of digits, * # +",
            example="7000",
        ),
    ] = ""
    label: Annotated[
        Label, Meta(description="Name to show; empty: the queue's own.", extra={"example": "Support"})
    ] = ""


class AgentSettings(Section, frozen=True, kw_only=True):
    """An agent: who, with which password, at which phone, for which queues."""

    password_hash: Annotated[
        Secret,
        Meta(
            description="Argon2 hash of the password; never the password itself.",
            extra={
                "pattern": r"^\$argon2(?:id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$",
                "expected": "an argon2 hash that starts with $argon2",
                "example": "$argon2id$v=19$m=65536,t=3,p=4$SALT$HASH",
            },
        ),
    ]
    login: Annotated[
        str,
        _text(
            "Name used to log in instead of the id; empty: the id.",
            r"|[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}",
            "a login name (letters, digits, _ . @ -)",
        ),
    ] = ""
    extension: Annotated[Endpoint, Meta(description="The usual phone: its PJSIP endpoint.")]
    first_name: Annotated[Label, Meta(description="First name.", extra={"example": "Ada"})] = ""
    last_name: Annotated[Label, Meta(description="Last name.", extra={"example": "Agent"})] = ""
    queues: Annotated[
        tuple[QueueName, ...],
        Meta(description="Queues served, each one a key of `queues`.", extra={"example": "[support]"}),
    ] = ()
    phone: Annotated[ModelName, Meta(description="Model of the phone, a key of `phones`.")] = "default"
    team: Annotated[Label, Meta(description="Team, for the team status.")] = ""
    penalty: Annotated[
        int,
        Meta(ge=0, le=1000, description="Queue penalty: agents with a lower one are called first."),
    ] = 0
    supervises: Annotated[
        tuple[Label, ...],
        Meta(
            description="Teams whose agents' calls this one may listen to; `*` stands for everybody.",
            extra={"example": "['*']"},
        ),
    ] = ()


class DirectorySettings(Section, frozen=True, kw_only=True):
    """Where agents are, besides those of `agents`."""

    source: Annotated[
        AgentSource,
        Meta(
            description="`none`: only the agents of `agents`; `file`: a YAML file too; `sql`: a table of a "
            "database too. See docs/agents-directory.md."
        ),
    ] = AgentSource.NONE
    file: Annotated[
        FilePath,
        Meta(
            description="The YAML file, kept by `connector agents`. Relative to the folder of the "
            "configuration file."
        ),
    ] = "agents.yaml"
    url: Annotated[
        Secret | None,
        Meta(
            description="The database; empty: `agents.db`, an SQLite file in the folder of `file`. A path "
            "after sqlite:/// is relative to the folder of the configuration file.",
            extra={
                "pattern": r"^[a-z0-9]+(?:\+[a-z0-9_]+)?://\S+$",
                "expected": "a URL such as sqlite:///agents.db or postgresql://USER:PASSWORD@HOST/DATABASE",
                "example": "postgresql://connector:PASSWORD@db.example.com/harmony",
            },
        ),
    ] = None
    table: Annotated[
        str,
        _text(
            "The table or view, with its schema if need be.",
            r"(?:[A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,62}",
            "the name of a table: NAME or SCHEMA.NAME (letters, digits, _)",
        ),
    ] = "agents"
    tls: Annotated[TlsSettings, Meta(description="TLS towards a PostgreSQL.")] = TlsSettings()
    refresh: Annotated[
        float,
        _seconds("Pause between two readings of the source; 0: on SIGHUP only.", 0.0, 86400.0),
    ] = 0.0


_FIELD: Final = rf"\{{(?:{'|'.join(RECORDING_FIELDS)})\}}"
_FOLDER: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_FILE: Final = rf"(?:[A-Za-z0-9_]|{_FIELD})(?:[A-Za-z0-9_.-]|{_FIELD})*"


class RecordingSettings(Section, frozen=True, kw_only=True):
    """Files of recordings, on the PBX."""

    directory: Annotated[
        str,
        _text(
            "Folder for them, on the PBX: absolute, or in Asterisk's own folder of recordings.",
            rf"/?{_FOLDER}(?:/{_FOLDER})*",
            "a path of letters, digits, _ . - and /, in which no name begins with . or -",
        ),
    ] = "harmony"
    name: Annotated[
        str,
        _text(
            "Pattern of their names without ending, times in UTC: "
            + ", ".join(f"`{{{field}}}`" for field in RECORDING_FIELDS)
            + ".",
            rf"(?=.*\{{unique\}}){_FILE}(?:/{_FILE})*",
            "names of letters, digits, _ . - and known {fields}, with {unique} somewhere",
        ),
    ] = "{date}/{time}-{agent}-{number}-{unique}"
    format: Annotated[
        str,
        _text(
            "Format, which is the ending too.", r"[a-z0-9]{2,8}", "a file format of Asterisk such as `wav`"
        ),
    ] = "wav"


class ExtensionSettings(Section, frozen=True, kw_only=True):
    """Messages of our own: recording, muting, supervision."""

    enabled: Annotated[
        bool,
        Meta(description="Whether messages with `x-` are sent and carried out. They need `asterisk.system`."),
    ] = False
    recording: Annotated[RecordingSettings, Meta(description="Files of recordings, on the PBX.")] = (
        RecordingSettings()
    )


ReasonId = Annotated[
    str, _text("", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", "a reason's id (letters, digits, _ . -)")
]
Language = Annotated[
    str, _text("", r"[a-z]{2}(?:-[A-Z]{2})?", "a language such as `en` or `en-US`", example="en-US")
]


class ReasonLabelSettings(Section, frozen=True, kw_only=True):
    """A reason in one language."""

    name: Annotated[Label, Meta(description="What the agent sees.", extra={"example": "Lunch"})]
    description: Annotated[Label, Meta(description="More words, if need be.")] = ""


class ReasonSettings(Section, frozen=True, kw_only=True):
    """A reason for being not ready, or for logging out."""

    code: Annotated[Label, Meta(description="Code of the reason in reports; empty: its id.")] = ""
    selectable: Annotated[bool, Meta(description="Whether agents may choose it (not ready only).")] = True
    labels: Annotated[
        dict[Language, ReasonLabelSettings], Meta(description="The reason's name by language.")
    ] = msgspec.field(default_factory=dict)


class ReasonsSettings(Section, frozen=True, kw_only=True):
    """The lists of reasons that agents choose from."""

    not_ready: Annotated[
        dict[ReasonId, ReasonSettings], Meta(description="Reasons for being not ready, by id.")
    ] = msgspec.field(default_factory=dict)
    logout: Annotated[dict[ReasonId, ReasonSettings], Meta(description="Reasons for logging out, by id.")] = (
        msgspec.field(default_factory=dict)
    )


class LogSettings(Section, frozen=True, kw_only=True):
    """The log, on standard error: one line a record."""

    level: Annotated[LogLevel, Meta(description="Least important records that are written.")] = LogLevel.INFO
    format: Annotated[
        LogFormat, Meta(description="`json`, `console`, or `auto`: `console` on a terminal, else `json`.")
    ] = LogFormat.AUTO


class LimitSettings(Section, frozen=True, kw_only=True):
    """Bounds on waits and attempts."""

    proof_timeout: Annotated[
        float, _seconds("Longest wait for the event of the PBX that proves a request done.", 0.5, 60.0)
    ] = 5.0
    drain: Annotated[
        float,
        _seconds(
            "Longest wait, on SIGTERM, for the calls of agents to end; a second signal ends it. "
            "Calls go on without the connector, and the next one finds them.",
            0.0,
        ),
    ] = 30.0
    member_check: Annotated[
        float, _seconds("How often is looked whether the queues still have their members.", 0.1, 3600.0)
    ] = 30.0
    password_free_failures: Annotated[
        int,
        Meta(ge=0, le=100, description="Wrong passwords of one agent in a row before answers are delayed."),
    ] = 3
    password_delay_max: Annotated[
        float, _seconds("Longest delay of an answer after many wrong passwords.", 0.0, 60.0)
    ] = 8.0
    password_failures_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Wrong passwords that the bridge may send in a minute, whosoever they are, before "
            "all answers are delayed.",
        ),
    ] = 60


class Settings(Section, frozen=True, kw_only=True):
    """The connector's whole configuration."""

    processor: Annotated[
        str,
        _text(
            "Name of the interaction processor, as configured in Harmony.",
            r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
            "a processor name (letters, digits, _ -)",
            example="ASTERISK_1",
        ),
    ]
    bridge: Annotated[BridgeSettings, Meta(description="Where Harmony's Processor Bridge is.")] = (
        BridgeSettings()
    )
    amqp: Annotated[AmqpSettings, Meta(description="The message broker, for `bridge.transport: amqp`.")] = (
        AmqpSettings()
    )
    asterisk: Annotated[AsteriskSettings, Meta(description="The PBX and our manager user on it.")]
    dial: Annotated[DialSettings, Meta(description="How calls are placed and handled for agents.")] = (
        DialSettings()
    )
    phones: Annotated[
        dict[ModelName, PhoneSettings],
        Meta(description="Models of phones by name; `default` is always there."),
    ] = msgspec.field(default_factory=lambda: {"default": PhoneSettings()})
    handling: Annotated[
        HandlingSettings, Meta(description="What becomes of callers whom nobody talks to.")
    ] = HandlingSettings()
    queues: Annotated[
        dict[QueueName, QueueSettings], Meta(description="Queues of the PBX by name, as in queues.conf.")
    ] = msgspec.field(default_factory=dict)
    agents: Annotated[dict[AgentId, AgentSettings], Meta(description="Agents by id.")] = msgspec.field(
        default_factory=dict
    )
    directory: Annotated[
        DirectorySettings, Meta(description="More agents: in a file of their own, or in a database.")
    ] = DirectorySettings()
    reasons: Annotated[ReasonsSettings, Meta(description="Reasons that agents choose from.")] = (
        ReasonsSettings()
    )
    extensions: Annotated[
        ExtensionSettings, Meta(description="Messages of our own: recording, muting, supervision.")
    ] = ExtensionSettings()
    log: Annotated[LogSettings, Meta(description="The log, on standard error.")] = LogSettings()
    limits: Annotated[LimitSettings, Meta(description="Bounds on waits and attempts.")] = LimitSettings()

    def redacted(self) -> dict[str, Any]:
        """Return the settings as plain dicts, lists and scalars, with `***` in the place of every secret."""
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self, enc_hook=_hide))
        return plain


def _hide(value: object) -> str:
    if isinstance(value, Secret):
        return HIDDEN if value else ""
    raise NotImplementedError(type(value).__name__)
