"""What protects the connector unless somebody switches it off: TLS with verification, bounds, allow-lists."""

import ssl
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from connector.asterisk.link_settings import AmiTls
from connector.bridge.codec import MAX_HEADER, Malformed, decode_parts
from connector.bridge.tcp import TlsClient
from connector.config import (
    AgentSource,
    AsteriskSettings,
    BridgeSettings,
    Secret,
    Settings,
    TlsSettings,
    Transport,
)
from connector.observability import clean_text, is_secret
from connector.operations.exposure import exposures

SETTINGS = Settings(
    processor="P",
    asterisk=AsteriskSettings(username="harmony", secret=Secret("hunter2")),
    bridge=BridgeSettings(host="127.0.0.1"),
)


@pytest.mark.parametrize("context", [AmiTls().context(), TlsClient().context()], ids=["ami", "bridge"])
def test_tls_checks_certificates_and_names_by_default(context: ssl.SSLContext) -> None:
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def tls_sections(settings: Any, name: str = "") -> list[tuple[str, TlsSettings]]:
    found = []
    for key in settings.__struct_fields__:
        value = getattr(settings, key)
        if isinstance(value, TlsSettings):
            found.append((f"{name}{key}", value))
        elif isinstance(value, msgspec.Struct):
            found += tls_sections(value, f"{name}{key}.")
    return found


def test_every_way_out_verifies_by_default() -> None:
    sections = dict(tls_sections(SETTINGS))
    assert sections.keys() == {"bridge.tls", "amqp.tls", "asterisk.tls", "directory.tls"}
    assert all(tls.verify for tls in sections.values())


def test_what_leaves_the_machine_unprotected_is_told() -> None:
    assert list(exposures(SETTINGS)) == []
    on, blind = TlsSettings(enabled=True), TlsSettings(enabled=True, verify=False)

    def told(**changes: Any) -> list[str]:
        return [line.split(":")[0] for line in exposures(replace(SETTINGS, **changes))]

    asterisk, bridge = SETTINGS.asterisk, SETTINGS.bridge
    assert told(asterisk=replace(asterisk, host="pbx.example.com")) == ["asterisk"]
    assert told(asterisk=replace(asterisk, host="pbx.example.com", tls=on)) == []
    assert told(bridge=replace(bridge, host="192.0.2.1")) == ["bridge"]
    assert told(bridge=replace(bridge, host="192.0.2.1", tls=blind)) == ["bridge.tls.verify"]
    by_broker = replace(bridge, transport=Transport.AMQP)
    for scheme, said in (("amqp", ["amqp"]), ("amqps", [])):
        url = Secret(f"{scheme}://user:hunter2@rabbit.example.com/v")
        found = replace(SETTINGS, bridge=by_broker, amqp=replace(SETTINGS.amqp, url=url))
        assert [line.split(":")[0] for line in exposures(found)] == said
        assert "hunter2" not in "".join(exposures(found))
    for secret in ("pa[ss", "pa[ss]w", "pa]ss", "pa:ss", "pa/ss?#"):
        url = Secret(f"postgresql://user:{secret}@db.example.com/agents")
        found = replace(SETTINGS, directory=replace(SETTINGS.directory, source=AgentSource.SQL, url=url))
        assert list(exposures(found)) == [
            "directory.url: not encrypted on the way to db.example.com; use TLS"
        ]
    for host, tls, said in (
        ("10.0.0.9", TlsSettings(), ["directory.url"]),
        ("10.0.0.9", blind, ["directory.url.tls.verify"]),
        ("10.0.0.9", on, []),
        ("127.0.0.1", TlsSettings(), []),
    ):
        url = Secret(f"postgresql+pg8000://user:hunter2@{host}/agents")
        database = replace(SETTINGS.directory, source=AgentSource.SQL, url=url, tls=tls)
        found = replace(SETTINGS, directory=database)
        assert [line.split(":")[0] for line in exposures(found)] == said
        assert "hunter2" not in "".join(exposures(found))
    assert told(monitoring=replace(SETTINGS.monitoring, host="0.0.0.0")) == ["monitoring.host"]  # noqa: S104
    assert told(monitoring=replace(SETTINGS.monitoring, host="::1")) == []


VALUES = st.one_of(st.text(max_size=700), st.integers(), st.none(), st.binary(), st.lists(st.text()))


@given(
    st.dictionaries(
        st.sampled_from(["type", "name", "target", "requestId", "result", "errorMessage", "x"]), VALUES
    ),
    st.binary(max_size=200),
)
def test_headers_of_a_letter_are_bounded_texts_or_refused(headers: dict[str, Any], body: bytes) -> None:
    try:
        message = decode_parts(headers, body)
    except Malformed as problem:
        for text in (problem.name, problem.target, problem.request_id):
            assert text is None or 0 <= len(text) <= MAX_HEADER
        return
    assert len(message.name) <= MAX_HEADER
    assert len(message.target) <= MAX_HEADER


@given(st.text(min_size=6, alphabet=st.characters(categories=["L", "N"])))
def test_a_secret_is_hidden_wherever_a_text_names_it(secret: str) -> None:
    for text in (f"password={secret}", f"agentPassword: '{secret}'", f"amqps://user:{secret}@host/v"):
        assert secret not in clean_text(text).replace("password", "").replace("agentPassword", "").replace(
            "amqps://", ""
        )
    assert is_secret("agentPassword")
