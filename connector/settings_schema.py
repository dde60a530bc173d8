"""The typed settings: one frozen struct a section, and every key with its description, bounds and default.

It is the single source, with the modules whose sections it puts together: the reader takes types, bounds and
wording of errors from it, and `config/connector.yaml` and the table in `docs/configuration.md` are generated.
"""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from connector.settings_calls import (
    Answer,
    Consult,
    DialSettings,
    HandlingSettings,
    Hold,
    PhoneSettings,
    QueueSettings,
    Way,
)
from connector.settings_directory import AgentSource, DirectorySettings
from connector.settings_fields import (
    HIDDEN,
    AgentId,
    DialPattern,
    Endpoint,
    FilePath,
    Host,
    Label,
    ModelName,
    Port,
    QueueName,
    Secret,
    Section,
    seconds,
    text,
)
from connector.settings_links import (
    AmqpSettings,
    AsteriskSettings,
    BridgeSettings,
    BrokerName,
    OptionalBrokerName,
    SystemUser,
    TlsSettings,
    Transport,
)
from connector.settings_people import (
    AgentSettings,
    ExtensionSettings,
    Language,
    ReasonId,
    ReasonLabelSettings,
    ReasonSettings,
    ReasonsSettings,
    RecordingSettings,
)
from connector.settings_site import NumberSettings, PbxSettings, TrunkName, TrunkSettings

__all__ = [
    "HIDDEN",
    "AgentId",
    "AgentSettings",
    "AgentSource",
    "AmqpSettings",
    "Answer",
    "AsteriskSettings",
    "BridgeSettings",
    "BrokerName",
    "Consult",
    "DialPattern",
    "DialSettings",
    "DirectorySettings",
    "Endpoint",
    "ExtensionSettings",
    "FilePath",
    "HandlingSettings",
    "Hold",
    "Host",
    "Label",
    "Language",
    "LimitSettings",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "ModelName",
    "MonitoringSettings",
    "NumberSettings",
    "OptionalBrokerName",
    "PbxSettings",
    "PhoneSettings",
    "Port",
    "QueueName",
    "QueueSettings",
    "ReasonId",
    "ReasonLabelSettings",
    "ReasonSettings",
    "ReasonsSettings",
    "RecordingSettings",
    "Secret",
    "Section",
    "Settings",
    "SystemUser",
    "TlsSettings",
    "Transport",
    "TrunkName",
    "TrunkSettings",
    "Way",
]


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


class LogSettings(Section, frozen=True, kw_only=True):
    """The log, on standard error: one line a record."""

    level: Annotated[LogLevel, Meta(description="Least important records that are written.")] = LogLevel.INFO
    format: Annotated[
        LogFormat, Meta(description="`json`, `console`, or `auto`: `console` on a terminal, else `json`.")
    ] = LogFormat.AUTO


class MonitoringSettings(Section, frozen=True, kw_only=True):
    """Metrics and health by HTTP: /metrics, /livez, /readyz."""

    host: Annotated[
        Host,
        Meta(description="Address to listen on. The pages need no password and tell no secret."),
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0: no pages.")] = 9464


class LimitSettings(Section, frozen=True, kw_only=True):
    """Bounds on waits and attempts."""

    proof_timeout: Annotated[
        float, seconds("Longest wait for the event of the PBX that proves a request done.", 0.5, 60.0)
    ] = 5.0
    drain: Annotated[
        float,
        seconds(
            "Longest wait, on SIGTERM, for the calls of agents to end; a second signal ends it. "
            "Calls go on without the connector, and the next one finds them.",
            0.0,
        ),
    ] = 30.0
    member_check: Annotated[
        float, seconds("How often is looked whether the queues still have their members.", 0.1, 3600.0)
    ] = 30.0
    password_free_failures: Annotated[
        int,
        Meta(ge=0, le=100, description="Wrong passwords of one agent in a row before answers are delayed."),
    ] = 3
    password_delay_max: Annotated[
        float, seconds("Longest delay of an answer after many wrong passwords.", 0.0, 60.0)
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
        text(
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
    numbers: Annotated[
        NumberSettings, Meta(description="How numbers are written before they are dialled.")
    ] = NumberSettings()
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
    trunks: Annotated[
        dict[TrunkName, TrunkSettings],
        Meta(description="SIP trunks of the PBX, for `connector site render`."),
    ] = msgspec.field(default_factory=dict)
    pbx: Annotated[PbxSettings, Meta(description="What `connector site render` writes for the PBX.")] = (
        PbxSettings()
    )
    log: Annotated[LogSettings, Meta(description="The log, on standard error.")] = LogSettings()
    monitoring: Annotated[
        MonitoringSettings, Meta(description="Metrics and health by HTTP: /metrics, /livez, /readyz.")
    ] = MonitoringSettings()
    limits: Annotated[LimitSettings, Meta(description="Bounds on waits and attempts.")] = LimitSettings()

    def redacted(self) -> dict[str, Any]:
        """Return the settings as plain dicts, lists and scalars, with `***` in the place of every secret."""
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self, enc_hook=_hide))
        return plain


def _hide(value: object) -> str:
    if isinstance(value, Secret):
        return HIDDEN if value else ""
    raise NotImplementedError(type(value).__name__)
