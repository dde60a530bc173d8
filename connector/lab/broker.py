"""RabbitMQ's configuration in a lab: loopback only, one user and vhost of its own, nothing to administer."""

from pathlib import Path

from connector.lab.ports import LOOPBACK
from connector.lab.state import AMQP_USER, AMQP_VHOST, LabState

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
CONTROL = "/usr/lib/rabbitmq/bin/rabbitmqctl"
PROGRAM = "beam.smp"

_SETTINGS = """\
listeners.tcp.1 = {host}:{port}
listeners.ssl.1 = {host}:{tls_port}
ssl_options.certfile = {keys}/server.pem
ssl_options.keyfile = {keys}/server.key
ssl_options.verify = verify_none
ssl_options.versions.1 = tlsv1.3
ssl_options.versions.2 = tlsv1.2
default_user = {user}
default_pass = {password}
default_vhost = {vhost}
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
default_user_tags.administrator = false
log.console = true
log.console.level = info
log.file = false
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 512MB
"""


def render(state: LabState, folder: Path, *, keys: str) -> None:
    """Write `rabbitmq.conf` for the lab (readable by its owner only).

    `keys` is the folder of the certificate and its key, as the broker sees it.
    """
    file = folder / "rabbitmq.conf"
    file.touch(mode=0o600)
    file.write_text(
        _SETTINGS.format(
            host=LOOPBACK,
            port=state.ports.amqp,
            tls_port=state.ports.amqp_tls,
            keys=keys,
            user=AMQP_USER,
            password=state.amqp,
            vhost=AMQP_VHOST,
        )
    )
    (folder / "enabled_plugins").write_text("[].\n")


def environment(state: LabState) -> dict[str, str]:
    """Return the environment of server and control tool: an Erlang node of this lab, on the loopback."""
    ports = state.ports
    interface = "inet_dist_use_interface {127,0,0,1}"
    return {
        "HOME": "/var/lib/rabbitmq",
        "RABBITMQ_NODENAME": f"harmony-{state.name}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
        "RABBITMQ_NODE_PORT": str(ports.amqp),
        "RABBITMQ_DIST_PORT": str(ports.erlang),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-kernel {interface} +S 2:2 +sbwt none",
        "RABBITMQ_MNESIA_BASE": "/var/lib/rabbitmq/mnesia",
        "RABBITMQ_LOG_BASE": "/var/log/rabbitmq",
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "ERL_EPMD_PORT": str(ports.epmd),
    }
