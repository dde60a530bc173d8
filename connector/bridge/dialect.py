"""Where a site's own spelling of names and keys is translated. One dialect so far: the catalogue's."""

from collections.abc import Mapping
from typing import Any


class Dialect:
    """Translates between the catalogue's spelling and a bridge's own. This one leaves everything as it is."""

    def name_out(self, name: str) -> str:
        """Return the bridge's word for a message of the catalogue."""
        return name

    def name_in(self, name: str) -> str:
        """Return the catalogue's word for a message of the bridge."""
        return name

    def body_out(self, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a body with the bridge's keys; `name` is the catalogue's."""
        del name
        return body

    def body_in(self, name: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a body with the catalogue's keys; `name` is the catalogue's."""
        del name
        return body


IDENTITY = Dialect()
"""The catalogue's own spelling."""
