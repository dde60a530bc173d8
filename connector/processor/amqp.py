"""The reference bridge's end of a message broker."""

from connector.bridge.amqp import AmqpTransport
from connector.bridge.amqp_settings import AmqpSettings
from connector.bridge.amqp_topology import Names, Role
from connector.bridge.dialect import IDENTITY, Dialect
from connector.bridge.tcp import TlsClient


def broker_end(
    url: str,
    processor: str,
    *,
    names: Names | None = None,
    tls: TlsClient | None = None,
    dialect: Dialect = IDENTITY,
) -> AmqpTransport:
    """Return the bridge's transport by way of a broker, for `ReferenceBridge.attach`. Quick to reconnect.

    Raises:
        ValueError: `url` is none.

    """
    return AmqpTransport(
        AmqpSettings(
            url=url,
            names=names or Names(processor),
            role=Role.BRIDGE,
            tls=(tls or TlsClient()) if url.startswith("amqps:") else None,
            reconnect_initial=0.1,
            reconnect_max=2.0,
        ),
        dialect,
    )
