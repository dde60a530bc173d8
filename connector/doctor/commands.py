"""`connector doctor`."""

import asyncio
import logging
from typing import Annotated

import structlog
import typer

from connector.options import DEFAULT_CONFIG, ConfigOption, SiteOption

_USAGE = 2


def doctor(
    config: ConfigOption = DEFAULT_CONFIG,
    site: SiteOption = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False,
) -> None:
    """Look at PBX, broker and bridge as the connector will use them, and say what to mend.

    Exit status 0 if there is no fault, 1 if there is one, 2 if the configuration is wrong.
    """
    from connector.config import ConfigError, load_settings
    from connector.doctor.examine import examine
    from connector.doctor.findings import as_json, healthy, table

    try:
        settings = load_settings(config, site=site)
    except ConfigError as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(_USAGE) from None
    # The findings say it all; the link's own words would come between.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    findings = asyncio.run(examine(settings))
    typer.echo(as_json(findings) if json else table(findings), nl=json)
    raise typer.Exit(0 if healthy(findings) else 1)
