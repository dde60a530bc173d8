"""What a site tells its agents: the reasons for logging out and for being not ready, in their languages."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Label:
    """A reason in one language: ISO 639 code, ISO 3166 country or empty, name, description."""

    language: str
    country: str
    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason that an agent may give."""

    id: str
    code: str
    labels: tuple[Label, ...] = ()
    selectable: bool = True


@dataclass(frozen=True, slots=True)
class Site:
    """The site's lists (empty ones are allowed), and whether it uses our extension of the protocol."""

    not_ready: tuple[Reason, ...] = ()
    logout: tuple[Reason, ...] = ()
    extensions: bool = False
