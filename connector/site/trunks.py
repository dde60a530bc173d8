"""A site's trunks as PJSIP objects: transport, endpoint, address, digest, and who may call in."""

from collections.abc import Iterator

from connector.config import Settings
from connector.settings_site import PbxSettings, SipTransport, TrunkSettings
from connector.site.dialplan import inbound_context


def placeholder(name: str) -> str:
    """Return what stands in the place of a trunk's password."""
    return f"@TRUNK_{name.upper().replace('-', '_')}_SECRET@"


def pjsip(settings: Settings) -> str:
    """Return the trunks, to be included in pjsip.conf.

    The PBX's own `[global]` must have `ip` in endpoint_identifier_order, and a transport for `udp` and `tcp`.
    """
    lines: list[str] = []
    if any(trunk.transport is SipTransport.TLS for trunk in settings.trunks.values()):
        lines += _tls(settings.pbx)
    for name, trunk in settings.trunks.items():
        lines += _trunk(name, trunk, settings)
    return "\n".join(lines) + "\n"


def _tls(pbx: PbxSettings) -> Iterator[str]:
    yield "[harmony-transport-tls]"
    yield "type = transport"
    yield "protocol = tls"
    yield f"bind = {pbx.tls_bind}"
    yield "method = tlsv1_2"
    yield f"cert_file = {pbx.cert_file}"
    yield f"priv_key_file = {pbx.key_file}"
    yield f"ca_list_file = {pbx.ca_file}"
    yield "; The trunk's certificate and its name are checked."
    yield "verify_server = yes"
    yield ""


def _trunk(name: str, trunk: TrunkSettings, settings: Settings) -> Iterator[str]:
    tls = trunk.transport is SipTransport.TLS
    yield f"; Trunk {name}."
    yield f"[{name}]"
    yield "type = endpoint"
    if tls:
        yield "transport = harmony-transport-tls"
    yield f"context = {inbound_context(name) if settings.pbx.dialplan else settings.dial.context}"
    yield "disallow = all"
    yield "allow = ulaw,alaw"
    yield f"aors = {name}"
    if trunk.username:
        yield f"outbound_auth = {name}"
    if trunk.encrypt_media:
        yield "media_encryption = sdes"
        yield "media_encryption_optimistic = no"
    yield "direct_media = no"
    yield "rtp_symmetric = yes"
    yield "force_rport = yes"
    yield "rewrite_contact = yes"
    yield "dtmf_mode = rfc4733"
    yield f"from_domain = {trunk.host}"
    if trunk.caller_id:
        yield f"from_user = {trunk.caller_id}"
    yield ""
    yield f"[{name}]"
    yield "type = aor"
    scheme = ";transport=tls" if tls else ";transport=tcp" if trunk.transport is SipTransport.TCP else ""
    yield f"contact = sip:{trunk.host}:{trunk.port}{scheme.replace(';', chr(92) + ';')}"
    yield ""
    if trunk.username:
        yield f"[{name}]"
        yield "type = auth"
        yield "auth_type = userpass"
        yield f"username = {trunk.username}"
        yield f"password = {placeholder(name)}"
        yield ""
    if trunk.addresses:
        yield f"[{name}]"
        yield "type = identify"
        yield f"endpoint = {name}"
        yield from (f"match = {network}" for network in trunk.addresses)
        yield ""
