"""The door of a tree of destinations: messages in, messages out, on a model that tests feed."""

import asyncio
import itertools
from typing import Any

from fake_pbx import FakePbx
from one_agent import OneAgent
from telephony_script import AGENT, agent_rings, customer_waits

from connector.bridge.messages import Kind, Message, Result
from connector.destinations.control import Control
from connector.destinations.tree import Tree

SESSION = "desk.S1"
GROUP = f"{SESSION}.g1"
CHANNEL = f"{GROUP}.c1"
INTERACTION = f"{CHANNEL}.i1"
CONVERSATION = f"{INTERACTION}.v1"


class Wire:
    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def flush(self) -> None:
        pass


class Bridge:
    """Speaks to a tree directly and waits until it has nothing more to do."""

    def __init__(self) -> None:
        self.pbx = FakePbx()
        self.wire = Wire()
        self.tree = Tree("P", self.pbx, OneAgent(), self.wire)
        Control(self.tree)
        self._ids = itertools.count(1)

    def send(self, name: str, target: str = "P.CONTROL", /, **body: Any) -> str:
        request_id = f"r{next(self._ids)}"
        kind = Kind.QUERY if ".query." in name else Kind.REQUEST
        self.tree.received(Message(kind, name, target, body, request_id=request_id))
        return request_id

    async def ask(self, name: str, target: str = "P.CONTROL", /, **body: Any) -> Message:
        request_id = self.send(name, target, **body)
        await settle()
        (answer,) = [one for one in self.wire.sent if one.request_id == request_id]
        return answer

    async def must(self, name: str, target: str = "P.CONTROL", /, **body: Any) -> Message:
        answer = await self.ask(name, target, **body)
        assert answer.result is Result.SUCCESS, answer
        return answer

    def take_events(self) -> list[str]:
        taken = [
            " ".join([one.name, *(str(value) for value in one.body.values())])
            for one in self.wire.sent
            if one.kind is Kind.EVENT
        ]
        self.wire.sent.clear()
        return taken

    async def log_in(self) -> None:
        await self.must("cti.request.serverstatus")
        await self.must("cti.request.createsession", **credentials())
        await self.must("session.query.init", SESSION, name="x")
        await self.must("session.request.createchannelgroup", SESSION, name="group-1001", id="g1")
        await self.must("channelgroup.query.init", GROUP)
        await self.must(
            "channelgroup.request.createchannel", GROUP, id="c1", endpoint="1001", type="TELEPHONY"
        )
        await self.must("channel.query.init", CHANNEL)

    async def take_call(self) -> None:
        self.pbx.tell(*customer_waits(), *agent_rings())
        await self.must("channel.request.createinteraction", CHANNEL, id="i1", nativeid=AGENT)
        await self.must("interaction.query.init", INTERACTION)
        await self.must("interaction.request.createconversation", INTERACTION, id="v1", nativeid=f"{AGENT}-1")
        await self.must("conversation.query.init", CONVERSATION)


def credentials(**other: str) -> dict[str, str]:
    return {
        "agentId": "1001",
        "agentPassword": "right",
        "sessionId": "S1",
        "destination": SESSION,
    } | other


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)
