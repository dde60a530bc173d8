"""Mobile agents: an agent's phone that is a number, not one of the PBX's endpoints.

Such a phone goes by a name like every other one, so that all that works on phones works on it:
`mobile:NUMBER` is called for every call, `nailed:NUMBER` has one standing call, into which calls are put. No
endpoint of a PBX has a colon in its name.
"""

from typing import Final

_PER_CALL: Final = "mobile:"
_STANDING: Final = "nailed:"


def mobile_endpoint(number: str, *, nailed: bool) -> str:
    """Return the name of the phone behind a (checked) number."""
    return f"{_STANDING if nailed else _PER_CALL}{number}"


def mobile_number(endpoint: str) -> str:
    """Return the number of a mobile agent's phone; empty for a phone of the PBX."""
    for prefix in (_PER_CALL, _STANDING):
        if endpoint.startswith(prefix):
            return endpoint.removeprefix(prefix)
    return ""


def is_nailed(endpoint: str) -> bool:
    """Tell whether the phone is reached by a standing call."""
    return endpoint.startswith(_STANDING)


def shown_number(endpoint: str) -> str:
    """Return the number that stands for a phone as a caller's: an endpoint's own name is its extension."""
    return mobile_number(endpoint) or endpoint
