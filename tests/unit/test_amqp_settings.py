"""What the configuration says of the broker, and how it reaches the transport."""

import subprocess
from pathlib import Path

import pytest

from connector.app import Connector
from connector.bridge.amqp import AmqpTransport
from connector.bridge.amqp_topology import Role
from connector.config import ConfigError, load_settings

PLAIN = """\
processor: P
bridge: {transport: amqp}
asterisk: {host: 127.0.0.1, username: u, secret: s}
"""


def connector(folder: Path, amqp: str) -> Connector:
    file = folder / "connector.yaml"
    file.write_text(f"{PLAIN}amqp: {amqp}\n")
    return Connector(load_settings(file, environ={}))


def test_names_and_limits_reach_the_transport(tmp_path: Path) -> None:
    text = (
        "{url: 'amqp://u:hunter2@h/v', queue: q, dead_exchange: d, prefetch: 7, declare: false, heartbeat: 9}"
    )
    transport = connector(tmp_path, text).transport
    assert isinstance(transport, AmqpTransport)
    settings = transport._settings
    assert (settings.names.processor, settings.names.queue_of(Role.CLIENT)) == ("P", "q")
    assert (settings.names.dead_exchange, settings.names.client_exchange) == ("d", "harmony.client")
    assert (settings.prefetch, settings.declare, settings.heartbeat) == (7, False, 9)
    assert settings.tls is None


SELF_SIGNED = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    *("-nodes", "-subj", "/CN=broker"),
)


def test_amqps_means_tls_that_verifies(tmp_path: Path) -> None:
    subprocess.run([*SELF_SIGNED, "-keyout", tmp_path / "key.pem", "-out", tmp_path / "ca.pem"], check=True)
    text = "{url: 'amqps://u:hunter2@h/v', tls: {ca_file: ca.pem, server_name: broker}}"
    transport = connector(tmp_path, text).transport
    assert isinstance(transport, AmqpTransport)
    tls = transport._settings.tls
    assert tls is not None
    assert (tls.verify, tls.server_name, tls.ca_file) == (True, "broker", str(tmp_path / "ca.pem"))


@pytest.mark.parametrize(
    ("amqp", "key", "complaint"),
    [
        ("{url: 'amqp://u:hunter2@h/', tls: {enabled: true}}", "amqp.url", "starts with amqps://"),
        ("{url: 'amqps://u:hunter2@h/', tls: {cert_file: c}}", "amqp.tls.cert_file", "amqp.tls.key_file"),
        (
            "{url: 'amqp://u:hunter2@h/', client_exchange: harmony.bridge}",
            "amqp.client_exchange",
            "different",
        ),
        (
            "{url: 'amqp://u:hunter2@h/', standby: harmony.dead}",
            "amqp.standby",
            "an exchange of its own",
        ),
        ("{url: 'amqp://u:hunter2@h/', store: nowhere/state.db}", "amqp.store", "cannot be made"),
        ("{url: 'amqp://u:hunter2@h:port/v'}", "amqp.url", "expected a URL"),
        ("{url: 'amqp://u:hunter2@h/', queue: 'a b'}", "amqp.queue", "a name on the broker"),
        ("{url: 'amqp://u:hunter2@h/', prefetch: 0}", "amqp.prefetch", "from 1 to 65535"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_without_the_password(
    tmp_path: Path, amqp: str, key: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        connector(tmp_path, amqp)
    text = str(caught.value)
    assert key in text
    assert complaint in text
    assert "\n" not in text
    assert "hunter2" not in text
