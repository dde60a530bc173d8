"""What all destinations share: life cycle, event gate, and how a request finds its handler."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from connector.bridge.targets import child

if TYPE_CHECKING:
    from connector.bridge.messages import Body
    from connector.destinations.tree import Tree
    from connector.telephony.changes import Change

Handler = Callable[[Any, Any], "Awaitable[Body | None]"]
_H = TypeVar("_H", bound=Callable[..., Any])


class Refusal(Exception):
    """A request that is answered with FAILURE. The text is one sentence that an agent may read."""


def handles(*bodies: type[Body]) -> Callable[[_H], _H]:
    """Mark the method of a destination that carries out the requests with these bodies."""

    def mark(method: _H) -> _H:
        method.__dict__["handled_bodies"] = bodies
        return method

    return mark


class Destination:
    """One object of the protocol's tree.

    It is *open* from the moment its init query is answered until it is disposed: events before and after are
    not sent, for what happened before is part of the init answer. It is *closed* by its last event
    (`session.closed`, say): nothing more is said or done in its branch, it waits to be disposed.
    """

    handlers: ClassVar[dict[type, str]] = {}
    kind: ClassVar[str] = "destination"
    log_key: ClassVar[str] = ""
    """Under which name the log has its CTI id; empty: not at all."""

    def __init__(self, tree: Tree, target: str, parent: Destination | None) -> None:
        """Join the tree. Raises Refusal if the target is taken or too long for a message."""
        self.tree = tree
        self.target = target
        self.parent = parent
        self.cti_id = ""
        """What it stands for below its parent (phone, native id), once its constructor has set it."""
        self.children: dict[str, Destination] = {}
        self.topics: list[str] = []
        self.open = False
        self.closed = False
        self.disposed = False
        self.told: dict[str, Any] = {}
        """What the bridge was told of it (`told.py`); kept only where the tree outlives the process."""
        # The tree first: it refuses a target that is taken, and the parent must keep the child it has.
        tree.add(self)
        if parent is not None:
            parent.children[target] = self

    def __init_subclass__(cls) -> None:
        cls.handlers = {
            body: name
            for name, method in inspect.getmembers(cls, inspect.isfunction)
            for body in method.__dict__.get("handled_bodies", ())
        }

    def asks_of_pbx(self, _name: str) -> bool:
        """Whether a query or request to this destination is answered by what is known of phones and calls."""
        return False

    def lane_for(self, _name: str, _body: Mapping[str, Any]) -> str:
        """Return the lane in which a request to this destination runs."""
        return self.target

    def comes_after(self, _name: str) -> str | None:
        """Return the lane whose earlier requests such a request comes after, if it has one of its own."""
        return None

    def handler_for(self, body: Body) -> Callable[[Body], Awaitable[Body | None]] | None:
        """Return the bound method for a request, or None if this destination has none."""
        name = self.handlers.get(type(body))
        return getattr(self, name) if name is not None else None

    def emit(self, body: Body) -> None:
        """Send an event if the destination is open."""
        if self.open and not self.disposed:
            self.tree.emit(self, body)

    @property
    def ids(self) -> dict[str, str]:
        """What tells in a log whom this is about: its own id, and those of what it belongs to."""
        above = self.parent.ids if self.parent is not None else {}
        return {**above, self.log_key: self.cti_id} if self.log_key else above

    @property
    def over(self) -> bool:
        """Whether the destination, or one above it, has sent its last event."""
        one: Destination | None = self
        while one is not None:
            if one.closed:
                return True
            one = one.parent
        return False

    @property
    def wraps_up(self) -> bool:
        """Whether the ended calls of the phone it listens to are completed through this destination."""
        return True

    def require_no_child_for(self, cti_id: str) -> None:
        """See to it that no second destination comes to stand for the same thing.

        Raises:
            Refusal: a child stands for that CTI id and has not sent its last event.

        """
        for one in self.children.values():
            if one.cti_id == cti_id and not one.closed:
                raise Refusal(f"There is a destination for {cti_id} here already: {one.target}.")

    def target_of_child(self, bridge_id: str) -> str:
        """Return the target of a child with that bridge id.

        Raises:
            Refusal: the id cannot stand in a target.

        """
        try:
            return child(self.target, bridge_id)
        except ValueError as unfit:
            raise Refusal(str(unfit)) from unfit

    def on_change(self, change: Change) -> None:
        """React to a change of the telephony model."""

    def before_telling(self, body: Body) -> None:
        """Tell what must come before an event that leaves now; it may have been kept back for a while."""

    def answered(self, name: str) -> None:
        """Go on after the SUCCESS of a request has left: the place for events that must follow it."""

    def dispose(self) -> None:
        """Leave the tree, children first. The PBX is not touched."""
        for one in tuple(self.children.values()):
            one.dispose()
        if self.disposed:
            return
        self.disposed = True
        self.on_disposed()
        if self.parent is not None:
            self.parent.children.pop(self.target, None)
        self.tree.forget(self)

    def on_disposed(self) -> None:
        """Release what this destination alone holds."""
