"""The variables with which connector and dialplan speak to one another on a leg.

The PBX tells each change of them, whoever makes it, so what is there already need not be set again: most
operations are then one action.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import Protocol

from connector.asterisk.link import AmiLink, AmiRefused
from connector.asterisk.variable_names import RESERVED_VARIABLES
from connector.asterisk.wire import AmiFieldMissing, AmiMessage
from connector.telephony.pbx import Refused

VARIABLE_EVENTS = frozenset({"VarSet", "Hangup"})
"""Names of the events that tell of variables or of the end of a leg that had them."""


class ReadVariable(Protocol):
    """Reads a variable of a leg (Getvar)."""

    def __call__(self, leg: str, variable: str) -> Awaitable[str]:
        """Return the value, empty if there is none; raise `Refused` if the leg is gone."""
        ...


class LegVariables:
    """What the PBX told of our variables on the legs that live; `on_event` sees all `VARIABLE_EVENTS`."""

    def __init__(self, link: AmiLink) -> None:
        self._link = link
        self._known: dict[str, dict[str, str]] = {}

    def on_event(self, event: AmiMessage) -> None:
        """Note a variable that was set, and forget legs that ended."""
        try:
            if event.name == "VarSet" and (name := event["Variable"]) in RESERVED_VARIABLES:
                self._known.setdefault(event["Uniqueid"], {})[name] = event["Value"]
            elif event.name == "Hangup":
                self._known.pop(event["Uniqueid"], None)
        except AmiFieldMissing:
            return

    def forget(self) -> None:
        """Events were missed: nothing is known any more."""
        self._known.clear()

    def legs_with(self, name: str, value: str) -> list[str]:
        """Return the legs of which the PBX told that a variable is so."""
        return [leg for leg, known in self._known.items() if known.get(name) == value]

    async def set(self, leg: str, **variables: str) -> None:
        """Set what is not so already, by one action. Values hold no commas.

        Raises:
            Refused: the leg is gone.

        """
        new = self._new(leg, variables)
        if new:
            await self._send(leg, new)

    async def set_all(self, wanted: Mapping[str, Mapping[str, str]]) -> None:
        """Set variables of several legs at once, by leg and name; otherwise as `set`."""
        if under_way := self.begin(wanted):
            await asyncio.gather(*under_way)

    def begin(self, wanted: Mapping[str, Mapping[str, str]]) -> list[asyncio.Task[None]]:
        """Begin to set variables as `set_all` does; what is sent from the loop's next turn on comes after."""
        new = {leg: found for leg, variables in wanted.items() if (found := self._new(leg, variables))}
        if not new:
            return []
        loop = asyncio.get_running_loop()
        return [loop.create_task(self._send(leg, variables)) for leg, variables in new.items()]

    async def tell(self, wanted: Mapping[str, Mapping[str, str]]) -> None:
        """Set variables of several legs at once; who is gone meanwhile needs no telling."""

        async def tell_one(leg: str, variables: Mapping[str, str]) -> None:
            with suppress(Refused):
                await self.set_all({leg: variables})

        await asyncio.gather(*(tell_one(leg, variables) for leg, variables in wanted.items()))

    def _new(self, leg: str, variables: Mapping[str, str]) -> dict[str, str]:
        known = self._known.get(leg)
        if not known:
            return dict(variables)
        # Mostly nothing is new, and that is seen at one glance.
        if variables.items() <= known.items():
            return {}
        return {name: value for name, value in variables.items() if known.get(name) != value}

    async def _send(self, leg: str, variables: Mapping[str, str]) -> None:
        names = ",".join(variables)
        fields = {
            "Channel": leg,
            "Variable": names if len(variables) == 1 else f"ARRAY({names})",
            "Value": ",".join(variables.values()),
        }
        try:
            await self._link.send("Setvar", fields)
        except AmiRefused as refusal:
            raise Refused("The call ended at this moment.") from refusal
        # Its event may be still to come; until then the old value must not pass for the present one.
        if (known := self._known.get(leg)) is not None:
            known.update(variables)
