"""`connector replay --bridge`: plays the bridge's side of a recording and prints what differs."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import typer

from connector.bridge.wirelog import WireLogError, read_wire
from connector.processor.matching import VOLATILE
from connector.processor.options import read_dialect, read_password
from connector.processor.playback import Playback, PlaybackError, needs_password
from connector.processor.timeline import line_of

_DIFFERENT = 1
_USAGE = 2


def replay_bridge(
    file: Path,
    *,
    host: str,
    port: int,
    deadline: float,
    settle: float,
    ignore: Iterable[str],
    password_file: Path | None,
    dialect_file: Path | None,
) -> int:
    """Play a recording against the connector that connects; return the exit status."""
    try:
        records = read_wire(file)
        password = read_password(password_file, "The recording") if needs_password(records) else ""
        playback = Playback(
            records,
            host=host,
            port=port,
            dialect=read_dialect(dialect_file),
            password=password,
            deadline=deadline,
            settle=settle,
            ignore=VOLATILE | frozenset(ignore),
            on_entry=lambda entry: typer.echo(line_of(entry)),
            on_difference=lambda text: typer.echo(f"DIFFERENT: {text}"),
        )
    except (WireLogError, PlaybackError, OSError, ValueError) as problem:
        typer.echo(f"connector replay: {problem}", err=True)
        return _USAGE
    return asyncio.run(_play(playback))


async def _play(playback: Playback) -> int:
    try:
        await playback.start()
    except OSError as problem:
        text = f"cannot listen on {playback.host}:{playback.port}: {problem}"
        typer.echo(f"connector replay: {text}", err=True)
        return _USAGE
    typer.echo(f"The recorded bridge listens on {playback.host}:{playback.port}.")
    stopped = ""
    try:
        await playback.play()
    except PlaybackError as problem:
        stopped = str(problem)
    finally:
        await playback.stop()
    if stopped:
        typer.echo(f"STOPPED: {stopped}")
    found = len(playback.differences)
    typer.echo(f"{playback.sent} messages played, {playback.matched} came as recorded, {found} differences.")
    return _DIFFERENT if found or stopped else 0
