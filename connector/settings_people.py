"""Settings of people: agents, reasons, and what our own messages do."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from connector.asterisk.settings import RECORDING_FIELDS
from connector.settings_fields import Endpoint, Label, ModelName, QueueName, Secret, Section, text


class AgentSettings(Section, frozen=True, kw_only=True):
    """An agent: who, with which password, at which phone, for which queues."""

    password_hash: Annotated[
        Secret,
        Meta(
            description="Argon2 hash of the password; never the password itself.",
            extra={
                "pattern": r"^\$argon2(?:id|i|d)\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$",
                "expected": "an argon2 hash that starts with $argon2",
                "example": "$argon2id$v=19$m=19456,t=2,p=1$SALT$HASH",
            },
        ),
    ]
    login: Annotated[
        str,
        text(
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


_FIELD: Final = rf"\{{(?:{'|'.join(RECORDING_FIELDS)})\}}"
_FOLDER: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_FILE: Final = rf"(?:[A-Za-z0-9_]|{_FIELD})(?:[A-Za-z0-9_.-]|{_FIELD})*"


class RecordingSettings(Section, frozen=True, kw_only=True):
    """Files of recordings, on the PBX."""

    directory: Annotated[
        str,
        text(
            "Folder for them, on the PBX: absolute, or in Asterisk's own folder of recordings.",
            rf"/?{_FOLDER}(?:/{_FOLDER})*",
            "a path of letters, digits, _ . - and /, in which no name begins with . or -",
        ),
    ] = "harmony"
    name: Annotated[
        str,
        text(
            "Pattern of their names without ending, times in UTC: "
            + ", ".join(f"`{{{field}}}`" for field in RECORDING_FIELDS)
            + ".",
            rf"(?=.*\{{unique\}}){_FILE}(?:/{_FILE})*",
            "names of letters, digits, _ . - and known {fields}, with {unique} somewhere",
        ),
    ] = "{date}/{time}-{agent}-{number}-{unique}"
    format: Annotated[
        str,
        text("Format, which is the ending too.", r"[a-z0-9]{2,8}", "a file format of Asterisk such as `wav`"),
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
    str, text("", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", "a reason's id (letters, digits, _ . -)")
]
Language = Annotated[
    str, text("", r"[a-z]{2}(?:-[A-Z]{2})?", "a language such as `en` or `en-US`", example="en-US")
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
