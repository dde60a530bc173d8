"""Settings of a site's telephony: how numbers are written, which trunks there are, what its PBX is given."""

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from connector.settings_fields import HOST, DialPattern, Port, Secret, Section, text

_NETWORK: Final = r"[0-9A-Fa-f.:]{2,45}(?:/[0-9.]{1,15})?"

TrunkName = Annotated[
    str, text("", r"[a-z0-9][a-z0-9-]{0,30}", "a trunk's name (lower-case letters, digits, -)")
]
OutsideNumber = Annotated[
    str, text("", r"\+?[0-9*#]{1,32}", "a number of digits, * # +", example="+12025550100")
]
Extension = Annotated[str, text("", r"[0-9*#]{1,32}", "an extension of `dial.context`", example="7000")]
PbxPath = Annotated[
    str, text("", r"/[A-Za-z0-9_./-]{1,200}", "an absolute path of letters, digits, _ . - and /")
]
Network = Annotated[str, text("", _NETWORK, "an address or a network such as 192.0.2.0/24")]


class NumberFormat(StrEnum):
    """How outside numbers are given to the PBX."""

    E164 = "e164"
    NATIONAL = "national"


class NumberSettings(Section, frozen=True, kw_only=True):
    """How numbers are written before they are dialled. Allow and deny lists (`dial`) see the result."""

    region: Annotated[
        str,
        text(
            "Country in whose way numbers are written, by its two letters; empty: they stay as typed.",
            r"|[A-Z]{2}",
            "two capital letters such as US or DE",
            example="US",
        ),
    ] = ""
    format: Annotated[
        NumberFormat,
        Meta(
            description="What the PBX is given: `e164`: +12025550100; `national`: as dialled within "
            "`region`, other countries as e164."
        ),
    ] = NumberFormat.E164
    internal: Annotated[
        tuple[DialPattern, ...],
        Meta(description="Patterns of numbers that stay as they are typed.", extra={"example": "[_10XX]"}),
    ] = ()
    outside_prefix: Annotated[
        str,
        text(
            "Digits that people dial for an outside line; taken off.", r"|[0-9*#]{1,4}", "1 to 4 digits, * #"
        ),
    ] = ""


class SipTransport(StrEnum):
    """How SIP reaches a trunk."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class TrunkSettings(Section, frozen=True, kw_only=True):
    """A way to the telephone network: a SIP trunk of the PBX."""

    host: Annotated[
        str,
        text(
            "Where outbound calls go.",
            HOST,
            "a host name or an address without a port",
            example="example.pstn.twilio.com",
        ),
    ]
    port: Annotated[Port, Meta(description="Its port (usually 5061 with TLS).")] = 5060
    transport: Annotated[SipTransport, Meta(description="How SIP gets there.")] = SipTransport.UDP
    encrypt_media: Annotated[
        bool,
        Meta(description="Whether audio is encrypted (SRTP, keys by SDES); calls without it are refused."),
    ] = False
    username: Annotated[
        str,
        text("User for the digest; empty: none is asked for.", r"|[A-Za-z0-9_.+-]{1,64}", "a SIP user name"),
    ] = ""
    secret: Annotated[
        Secret | None,
        Meta(
            description="Its password; in the rendered files only with `--secrets`.",
            extra={"example": "PASSWORD"},
        ),
    ] = None
    caller_id: Annotated[
        str,
        text(
            "Number shown on its outbound calls; empty: the one that the call has.",
            r"|\+?[0-9]{1,20}",
            "a number",
            example="+12025550100",
        ),
    ] = ""
    dial: Annotated[
        tuple[DialPattern, ...],
        Meta(description="Numbers that go out here, as `numbers` writes them.", extra={"example": "[_+X.]"}),
    ] = ()
    addresses: Annotated[
        tuple[Network, ...],
        Meta(
            description="Where inbound calls come from; all others are strangers.",
            extra={"example": "[192.0.2.0/24]"},
        ),
    ] = ()
    inbound: Annotated[
        dict[OutsideNumber, Extension],
        Meta(description="Inbound numbers, and the extension that each one is."),
    ] = msgspec.field(default_factory=dict)


class PbxSettings(Section, frozen=True, kw_only=True):
    """What `connector site render` writes for the site's PBX, beside our include. Paths are paths there."""

    dialplan: Annotated[
        bool,
        Meta(
            description="Whether queues and the extensions of `dial.context` are written too; false "
            "where the PBX has its own, such as FreePBX."
        ),
    ] = True
    phones: Annotated[
        tuple[DialPattern, ...],
        Meta(description="Numbers that are PJSIP endpoints of the same name.", extra={"example": "[_10XX]"}),
    ] = ()
    dial_options: Annotated[
        str,
        text(
            "Options of Dial and Queue for these; `tT` gives both sides the feature codes.",
            r"|[A-Za-z]{1,20}",
            "letters",
        ),
    ] = ""
    permit: Annotated[
        tuple[Network, ...],
        Meta(description="Where the connector may log in from."),
    ] = ("127.0.0.1/255.255.255.255",)
    tls_bind: Annotated[
        str,
        text(
            "Address and port at which the PBX speaks SIP by TLS, for trunks with `transport: tls`.",
            r"[0-9.]{7,15}:[0-9]{1,5}",
            "an address and a port",
        ),
    ] = "0.0.0.0:5061"
    cert_file: Annotated[PbxPath, Meta(description="PEM file of its certificate.")] = (
        "/etc/asterisk/keys/server.pem"
    )
    key_file: Annotated[PbxPath, Meta(description="PEM file of its key.")] = "/etc/asterisk/keys/server.key"
    ca_file: Annotated[
        PbxPath, Meta(description="PEM file of the authorities that trunks' certificates must come from.")
    ] = "/etc/ssl/certs/ca-certificates.crt"
