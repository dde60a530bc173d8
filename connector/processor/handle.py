"""What handles of conversations and interactions share: the states told so far, waiting for one, asking."""

from collections.abc import Iterable
from typing import ClassVar, Generic, TypeVar

from connector.bridge.messages import Body
from connector.bridge.messages import conversation as conversation_wire
from connector.processor.link import Link
from connector.processor.nodes import ConversationNode, InteractionNode
from connector.processor.problems import Reply, StateUnreachable

N = TypeVar("N", bound=ConversationNode | InteractionNode)
S = TypeVar("S")


class CallHandle(Generic[N, S]):
    """A destination that has a CTI id and goes through states `S`; subclasses add the verbs."""

    final: ClassVar[frozenset[object]]
    """The states that none but these follows."""

    def __init__(self, link: Link, node: N) -> None:
        self.link = link
        self.node = node
        self.states: list[S] = []

    @property
    def target(self) -> str:
        """Its address."""
        return self.node.target

    @property
    def nativeid(self) -> str:
        """Its CTI id."""
        return self.node.nativeid

    @property
    def state(self) -> S | None:
        """The state last told."""
        raise NotImplementedError

    @property
    def cause(self) -> conversation_wire.Cause | None:
        """Why it ended, if that was told; None before."""
        return self.node.cause

    def note(self) -> None:
        """Remember the state if it is another one, so that a wait misses none."""
        if self.state is not None and (not self.states or self.states[-1] is not self.state):
            self.states.append(self.state)

    async def wait_state(self, *wanted: S, timeout: float | None = None) -> S:
        """Wait for one of the states, however briefly it lasts.

        Raises:
            StateUnreachable: it is over, and only earlier states are wanted.

        """
        start = max(0, len(self.states) - 1)

        def reached() -> S | None:
            found = next((each for each in self.states[start:] if each in wanted), None)
            if found is None and self.state in self.final and self.final.isdisjoint(wanted):
                raise StateUnreachable(
                    f"{self.target} is {self.state} ({self.cause}), never {_either(wanted)}."
                )
            return found

        return await self.link.until(
            reached, timeout, lambda: f"{self.target} in {_either(wanted)} (it is {self.state})"
        )

    async def _do(self, body: Body, timeout: float | None) -> Reply:
        return await self.link.perform(self.target, body, timeout=timeout)


def _either(states: Iterable[object]) -> str:
    return " or ".join(str(each) for each in states)
