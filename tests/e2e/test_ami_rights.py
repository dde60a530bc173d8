"""The rights of our manager users on a real PBX: what they need, and nothing beyond that."""

import ast
import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from desk import WAIT

import connector.asterisk
from connector.asterisk.link import AmiLink, AmiRefused, AmiSettings
from connector.lab.provider import LabInfo, LabProvider

CLASSES = re.compile(r"Priv: ([a-z,]+|<none>)\)")


@asynccontextmanager
async def logged_in(lab: LabInfo, user: str) -> AsyncIterator[AmiLink]:
    account = lab.ami[user]
    link = AmiLink(
        AmiSettings(lab.host, lab.ports.ami, account.username, account.secret),
        on_event=lambda _event: None,
    )
    running = asyncio.create_task(link.run())
    try:
        await link.wait_up(WAIT)
        yield link
    finally:
        await link.close()
        await running


async def actions_of(link: AmiLink) -> dict[str, frozenset[str]]:
    """Return the actions that a user may send, each with the classes of which one is enough."""
    reply = await link.send("ListCommands")
    found = {}
    for name, about in reply:
        if (match := CLASSES.search(about)) is not None:
            found[name] = frozenset(match[1].split(",")) - {"<none>", "all"}
    return found


def texts_in_the_code() -> Iterator[str]:
    """Iterate over all texts of the PBX's side of the connector: names of actions are among them."""
    for file in Path(connector.asterisk.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


async def test_the_users_may_do_what_the_code_asks_and_have_no_class_beyond(
    lab: LabInfo,
) -> None:
    async with logged_in(lab, "observer") as all_rights:
        known = await actions_of(all_rights)
    async with logged_in(lab, "harmony") as link:
        ours = await actions_of(link)
    async with logged_in(lab, "harmony-system") as link:
        seconds = await actions_of(link)
    # That one is the name of an event there.
    used = set(texts_in_the_code()) & known.keys() - {"UserEvent"}
    assert {"Originate", "Redirect", "QueuePause", "CoreShowChannels", "MixMonitor"} <= used
    assert used <= ours.keys() | seconds.keys()
    assert used - ours.keys() == {"MixMonitor", "MuteAudio", "PJSIPNotify"}

    granted = {next(iter(classes)) for classes in ours.values() if len(classes) == 1}
    assert granted == {"call", "originate", "agent", "reporting"}
    for each in granted:
        assert [name for name in used if ours.get(name, set()) & granted == {each}], f"nothing needs {each}"
    assert {next(iter(classes)) for classes in seconds.values() if len(classes) == 1} == {"system"}


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("Command", {"Command": "core show version"}),
        ("GetConfig", {"Filename": "manager.conf"}),
        ("UpdateConfig", {"SrcFilename": "manager.conf", "DstFilename": "manager.conf"}),
        ("Reload", {}),
        ("ModuleLoad", {"LoadType": "reload"}),
        ("DBPut", {"Family": "x", "Key": "y", "Val": "z"}),
        ("UserEvent", {"UserEvent": "x"}),
        ("PJSIPNotify", {"Endpoint": "1001", "Variable": "Event=talk"}),
        ("MixMonitor", {"Channel": "x", "Command": "id"}),
        (
            "Originate",
            {"Channel": "Local/s@harmony-bye", "Application": "System", "Data": "id", "Async": "true"},
        ),
        ("Originate", {"Channel": "Local/s@harmony-bye", "Application": "TrySystem", "Data": "id"}),
        ("Originate", {"Channel": "Local/s@harmony-bye", "Application": "AGI", "Data": "agi:async"}),
        ("Getvar", {"Variable": "SHELL(id)"}),
        ("Setvar", {"Variable": "FILE(/nowhere/else,0,1)", "Value": "x"}),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value.values()),
)
async def test_what_the_user_may_not_do_is_refused(lab: LabInfo, action: str, fields: dict[str, str]) -> None:
    async with logged_in(lab, "harmony") as link:
        with pytest.raises(AmiRefused):
            await link.send(action, fields)


async def test_our_users_are_let_in_from_this_machine_only(provider: LabProvider, lab: LabInfo) -> None:
    for user in ("harmony", "harmony-system"):
        show = f"manager show user {lab.ami[user].username}"
        shown = await asyncio.to_thread(provider.asterisk_cli, show)
        rules = re.findall(r"(deny|allow) - (\S+)", shown)
        assert rules == [
            ("deny", "0.0.0.0/0.0.0.0"),
            ("deny", "::/::"),
            ("allow", "127.0.0.1/255.255.255.255"),
        ]
