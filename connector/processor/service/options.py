"""What distinguishes one Interaction Processor service from another."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """The service's information and habits.

    `instance_domain` names the group of processors that serve one pool of desktops. `grace` is how many
    seconds a session waits for a desktop that dropped. `debug` has messages say more (`context`).
    """

    instance_domain: str = "lab"
    grace: float = 30.0
    debug: bool = False
    vendor: str = "Harmony Connector"
    cti_vendor: str = "Asterisk"
    cti_version: str = "unknown"
    """Of the telephone system. Nothing in the bridge's protocol tells it."""
