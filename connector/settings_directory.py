"""Settings of where agents are looked up, besides the configuration itself."""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from connector.settings_fields import FilePath, Secret, Section, seconds, text
from connector.settings_links import TlsSettings


class AgentSource(StrEnum):
    """Where agents are looked up, besides the configuration itself."""

    NONE = "none"
    FILE = "file"
    SQL = "sql"


class DirectorySettings(Section, frozen=True, kw_only=True):
    """Where agents are, besides those of `agents`."""

    source: Annotated[
        AgentSource,
        Meta(
            description="`none`: only the agents of `agents`; `file`: a YAML file too; `sql`: a table of a "
            "database too. See docs/agents-directory.md."
        ),
    ] = AgentSource.NONE
    file: Annotated[
        FilePath,
        Meta(
            description="The YAML file, kept by `connector agents`. Relative to the folder of the "
            "configuration file."
        ),
    ] = "agents.yaml"
    url: Annotated[
        Secret | None,
        Meta(
            description="The database; empty: `agents.db`, an SQLite file in the folder of `file`. A path "
            "after sqlite:/// is relative to the folder of the configuration file.",
            extra={
                "pattern": r"^[a-z0-9]+(?:\+[a-z0-9_]+)?://\S+$",
                "expected": "a URL such as sqlite:///agents.db or postgresql://USER:PASSWORD@HOST/DATABASE",
                "example": "postgresql://connector:PASSWORD@db.example.com/harmony",
            },
        ),
    ] = None
    table: Annotated[
        str,
        text(
            "The table or view, with its schema if need be.",
            r"(?:[A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,62}",
            "the name of a table: NAME or SCHEMA.NAME (letters, digits, _)",
        ),
    ] = "agents"
    tls: Annotated[TlsSettings, Meta(description="TLS towards a PostgreSQL.")] = TlsSettings()
    refresh: Annotated[
        float,
        seconds("Pause between two readings of the source; 0: on SIGHUP only.", 0.0, 86400.0),
    ] = 0.0
