"""The demo: real calls through a real Asterisk, as a timeline with the protocol left and the PBX right."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connector.app import Connector
from connector.asterisk.wire import AmiMessage
from connector.bridge.messages import Kind, Message
from connector.config import LogLevel, LogSettings, Settings, load_settings
from connector.lab.configuration import connector_config
from connector.lab.phones.base import Phone, PhoneError
from connector.lab.phones.fleet import PhoneFleet
from connector.lab.phones.hearing import expect_hears, hears
from connector.lab.provider import LabError, LabInfo, choose_provider
from connector.observability import configure_logging
from connector.processor.desktop_model import ConversationView, InteractionView
from connector.processor.link import Direction
from connector.processor.server import ReferenceBridge
from connector.processor.timeline import content_of

if TYPE_CHECKING:
    from connector.processor.desktop_client import DesktopClient

_AGENT, _CUSTOMER, _OTHER = "1001", "2001", "2002"
_WAIT = 10.0
_LEFT = 66
_WIDTH = 130

_TOLD = {
    "AgentConnect": "queue {Queue} connected the caller",
    "DialBegin": "{DestChannel} is rung",
    "Hangup": "{Channel} is gone ({Cause-txt})",
    "Newchannel": "{Channel} appears",
    "QueueCallerJoin": "{Channel} waits in queue {Queue}",
    "QueueMemberAdded": "{Interface} joins queue {Queue}",
    "QueueMemberPause": "{Interface} in queue {Queue}: paused {Paused}",
    "QueueMemberRemoved": "{Interface} leaves queue {Queue}",
    "BridgeEnter": "{Channel} is joined",
}


class Timeline:
    """Prints what both sides do as it happens: the bridge's messages left, the PBX's events right."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def headline(self, text: str) -> None:
        """Print a heading between two scenes."""
        print(f"\n── {text} ".ljust(_WIDTH, "─"))

    def message(self, direction: Direction, message: Message) -> None:
        """Print a message of the protocol; responses that only say SUCCESS are left out."""
        if message.kind is Kind.RESPONSE and message.error_message is None:
            return
        arrow = "◀─" if direction is Direction.RECEIVED else "─▶"
        self._line(f"bridge {arrow} connector  {message.name} {content_of(message)}", "")

    def event(self, event: AmiMessage) -> None:
        """Print an event of the PBX if it is one that tells the story."""
        template = _TOLD.get(event.name)
        ends = (event.get("Channel") or "", event.get("DestChannel") or "")
        if template is None or any(one.startswith("Local/") for one in ends):
            return
        fields = dict(iter(event))
        self._line("", template.format_map(_Fields(fields)))

    def heard(self, text: str) -> None:
        """Print who hears whom."""
        self._line(f"   ♪ {text}", "")

    def desktop(self, text: str) -> None:
        """Print what the agent's desktop shows."""
        self._line(f"   ▣ the desktop {text}", "")

    def _line(self, left: str, right: str) -> None:
        at = time.monotonic() - self._began
        line = f"{at:7.2f}  {left:<{_LEFT}} {right}".rstrip()
        print(line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…", flush=True)


class _Fields(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


def demo(
    *, provider: Annotated[str | None, typer.Option("--provider", help="native or docker.")] = None
) -> None:
    """Make real calls through a real Asterisk: queue call, both talk, dial out, complete."""
    try:
        asyncio.run(_demo(provider))
    except LabError as problem:
        print(f"The laboratory could not be started: {problem}", file=sys.stderr)
        raise typer.Exit(1) from None
    except (AssertionError, TimeoutError, RuntimeError, OSError, PhoneError) as problem:
        print(f"\nVERDICT: FAILED: {problem}", file=sys.stderr)
        raise typer.Exit(1) from None


async def _demo(provider: str | None) -> None:
    print("Starting the laboratory (the first time it is built, which takes a minute or two) …", flush=True)
    lab = choose_provider(provider, "demo")
    info = await asyncio.to_thread(lab.up, broker=False)
    try:
        began = time.monotonic()
        timeline = Timeline()
        await _run(info, timeline)
        print(
            f"\nVERDICT: OK: 2 real calls through Asterisk ({info.provider} lab), "
            f"everybody heard the right party, no fault in the protocol ({time.monotonic() - began:.1f} s)."
        )
    finally:
        await asyncio.to_thread(lab.down)


async def _run(info: LabInfo, timeline: Timeline) -> None:
    # Packages that only the laboratory needs: the other commands do without them.
    from connector.processor.desktop_client import DesktopClient
    from connector.processor.service.door import DesktopDoor
    from connector.processor.service.processor import InteractionProcessor

    accounts = {number: account.password for number, account in info.sip.items()}
    async with (
        PhoneFleet(info.host, info.ports.sip, accounts) as phones,
        ReferenceBridge(processor="LAB", host=info.host, port=0) as bridge,
    ):
        bridge.on_message = timeline.message
        connector = Connector(_settings(info, bridge.port), on_event=timeline.event)
        stop = asyncio.Event()
        running = asyncio.create_task(connector.run(stop))
        try:
            timeline.headline("the connector finds its bridge and its PBX")
            await bridge.wait_in_service(_WAIT)
            async with (
                DesktopDoor(InteractionProcessor(bridge), info.host) as door,
                DesktopClient(door.url, timeout=_WAIT) as desktop,
            ):
                await _scenes(info, desktop, phones, timeline)
        finally:
            stop.set()
            await running


def _settings(info: LabInfo, port: int) -> Settings:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "connector.yaml"
        file.write_text(connector_config(info, bridge_port=port), encoding="utf-8")
        settings = load_settings(file, environ={})
    configure_logging(LogSettings(level=LogLevel.WARNING))
    return settings


async def _scenes(info: LabInfo, desktop: "DesktopClient", phones: PhoneFleet, timeline: Timeline) -> None:
    agent = await phones.phone(_AGENT)
    agent.honour_auto_answer = True
    customer = await phones.phone(_CUSTOMER)
    other = await phones.phone(_OTHER)

    timeline.headline(f"agent {_AGENT} logs in at a desktop and goes ready")
    account = info.agents[_AGENT]
    session = await desktop.login(_AGENT, account.password, extension=account.extension)
    await session.activate()
    await session.ready()

    timeline.headline(f"customer {_CUSTOMER} phones queue support, the agent answers")
    call = await customer.dial(info.queues["support"])
    interaction = await session.next_interaction("ALERTING")
    timeline.desktop(f"pops up a call from {interaction.data['ANI']}")
    ringing = await agent.next_call(_WAIT)
    await ringing.answer()
    await session.wait_state(_primary(interaction), "TALKING")
    await _hear(timeline, {agent: {_CUSTOMER}, customer: {_AGENT}})
    await call.hangup()
    await session.wait_state(interaction, "ENDED")
    await session.do(interaction, "interaction.request.complete")

    timeline.headline(f"the agent dials {_OTHER} at the desktop")
    other.answer_mode = "auto"
    interaction = await session.dial(_OTHER)
    await session.wait_state(_primary(interaction), "TALKING")
    await _hear(timeline, {agent: {_OTHER}, other: {_AGENT}})
    await session.do(_primary(interaction), "conversation.request.release")
    await session.wait_state(interaction, "ENDED")
    await session.do(interaction, "interaction.request.complete")

    timeline.headline("the agent logs out")
    await session.not_ready()
    await session.logout()


def _primary(interaction: InteractionView) -> ConversationView:
    found = interaction.conversation("primary")
    if found is None:
        raise RuntimeError(f"The call {interaction.nativeid} has no conversation.")
    return found


async def _hear(timeline: Timeline, expected: dict[Phone, set[str]]) -> None:
    await expect_hears(expected, timeout=_WAIT)
    said = ", ".join(f"{phone.extension} hears {' and '.join(sorted(hears(phone)))}" for phone in expected)
    timeline.heard(said)
