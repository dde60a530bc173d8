"""What the connector's commands take from their command lines alike."""

from pathlib import Path
from typing import Annotated, Final

import typer

ConfigOption = Annotated[
    Path,
    typer.Option("--config", help="Configuration file (YAML).", show_default=True, envvar="CONNECTOR_CONFIG"),
]
SiteOption = Annotated[
    str | None,
    typer.Option("--site", help="Site: config/sites/NAME.yaml goes on top.", envvar="CONNECTOR_SITE"),
]
DEFAULT_CONFIG: Final = Path("config/connector.yaml")
