"""Names of channel variables: which are interaction data, and which are between connector and dialplan."""

VARIABLE_PREFIX = "HARMONY_"
"""Channel variables of this prefix are interaction data, but for the connector's own."""

RESERVED_VARIABLES = frozenset(
    {
        "HARMONY_AGENT",
        "HARMONY_BACK",
        "HARMONY_BESIDE",
        "HARMONY_CALLERID",
        "HARMONY_CAUSE",
        "HARMONY_CONSULT",
        "HARMONY_CONSULTS",
        "HARMONY_CTX",
        "HARMONY_CUR",
        "HARMONY_DEST",
        "HARMONY_DIALLED",
        "HARMONY_FALLBACK_QUEUE",
        "HARMONY_HOLD_LIMIT",
        "HARMONY_ID",
        "HARMONY_LEFT",
        "HARMONY_MOBILE_CTX",
        "HARMONY_SIDE",
        "HARMONY_NUMBER",
        "HARMONY_ORPHANS",
        "HARMONY_ORPHAN_QUEUE",
        "HARMONY_P1",
        "HARMONY_P2",
        "HARMONY_QUEUED_FOR",
        "HARMONY_QUEUED_IN",
        "HARMONY_REFER",
        "HARMONY_RESUME",
        "HARMONY_ROLE",
        "HARMONY_STATUS",
        "HARMONY_TIMEOUT",
        "HARMONY_X_FILE",
        "HARMONY_X_HEARD",
        "HARMONY_X_MUTED",
        "HARMONY_X_RECORDER",
        "HARMONY_X_RECORDING",
        "HARMONY_X_SPEAKER",
        "HARMONY_X_SPIED",
        "HARMONY_PATIENCE",
        "HARMONY_RETURN",
        "HARMONY_TRIED",
        "HARMONY_UNTIL",
        "HARMONY_WAIT",
        "HARMONY_WAYS",
    }
)
"""Variables with which connector and dialplan speak to one another: never interaction data."""

DIALPLANS_DATA = frozenset({"RETURNED_BECAUSE", "RETURNED_FROM"})
"""Interaction data that the dialplan alone sets: it works with them."""


def data_key(variable: str) -> str:
    """Return the interaction data key of a channel variable, or an empty string if it is none."""
    bare = variable.lstrip("_")
    if not bare.startswith(VARIABLE_PREFIX) or bare in RESERVED_VARIABLES:
        return ""
    return bare[len(VARIABLE_PREFIX) :]
