"""Words for errors: what was probably meant, and lists of names."""

import difflib
from collections.abc import Iterable


def listed(names: Iterable[str]) -> str:
    """Return names for an error: `a`, `b`."""
    return ", ".join(f"`{one}`" for one in names)


def closest(name: str, names: Iterable[str]) -> str:
    """Return the name that was probably meant, or ''."""
    by_lower = {one.lower().replace("-", "_"): one for one in names}
    near = difflib.get_close_matches(name.lower().replace("-", "_"), by_lower, n=1, cutoff=0.6)
    return by_lower[near[0]] if near else ""
