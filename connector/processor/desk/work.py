"""What each key of the desk does with a call, in the state that it is in. Nothing of a terminal in here."""

from dataclasses import dataclass

from connector.processor.desktop_client import DesktopSession
from connector.processor.desktop_model import ConversationView, InteractionView


class CannotDo(Exception):
    """The key means nothing at the moment. One sentence for the agent."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen call, and the conversation if one of its lines is chosen."""

    interaction: InteractionView
    conversation: ConversationView | None = None

    def in_state(self, *states: str) -> ConversationView | None:
        """Return the conversation in one of the states: the chosen one, or the first if none is chosen."""
        if self.conversation is not None:
            return self.conversation if self.conversation.state in states else None
        return next((one for one in self.interaction.conversations.values() if one.state in states), None)

    @property
    def consult(self) -> ConversationView | None:
        """The consult conversation, if there is one that is not over."""
        found = self.interaction.conversation("consult")
        return found if found is not None and found.state != "RELEASED" else None


async def hold_or_retrieve(session: DesktopSession, chosen: Selection) -> None:
    """Hold whom the agent talks to; else take back who is held."""
    if (talks := chosen.in_state("TALKING")) is not None:
        await session.do(talks, "conversation.request.hold")
    elif (held := chosen.in_state("HELD")) is not None:
        await session.do(held, "conversation.request.retrieve")
    else:
        raise CannotDo("Nobody is on the phone who could be held.")


async def answer(session: DesktopSession, chosen: Selection) -> None:
    """Pick the offered call up."""
    await session.do(chosen.interaction, "interaction.request.accept")


async def reject(session: DesktopSession, chosen: Selection) -> None:
    """Decline the offered call."""
    await session.do(chosen.interaction, "interaction.request.reject")


async def release(session: DesktopSession, chosen: Selection) -> None:
    """Hang up: the chosen conversation, else the one that the agent talks or rings in, else a held one."""
    for states in (("TALKING",), ("DIALING", "ALERTING"), ("HELD",)):
        if (found := chosen.in_state(*states)) is not None:
            await session.do(found, "conversation.request.release")
            return
    raise CannotDo("There is nothing to hang up.")


async def complete(session: DesktopSession, chosen: Selection) -> None:
    """End the wrap-up."""
    await session.do(chosen.interaction, "interaction.request.complete")


async def consult(session: DesktopSession, chosen: Selection, number: str) -> None:
    """Hold the customer and call somebody."""
    await session.do(chosen.interaction, "interaction.request.consult", destination=number)


async def alternate(session: DesktopSession, chosen: Selection) -> None:
    """Swap customer and consulted party."""
    await session.do(chosen.interaction, "interaction.request.alternate")


async def transfer(session: DesktopSession, chosen: Selection, number: str = "") -> None:
    """Connect customer and consulted party; with a number, send the customer there."""
    if number:
        await session.do(_talking(chosen), "conversation.request.blindtransfer", destination=number)
    else:
        await session.do(chosen.interaction, "interaction.request.consulttransfer")


async def conference(session: DesktopSession, chosen: Selection, number: str = "") -> None:
    """Bring everybody together; with a number, call it into the conversation."""
    if number:
        await session.do(_talking(chosen), "conversation.request.blindconference", destination=number)
    else:
        await session.do(chosen.interaction, "interaction.request.consultconference")


async def tones(session: DesktopSession, chosen: Selection, digits: str) -> None:
    """Send tones to whom the agent talks to."""
    await session.do(_talking(chosen), "conversation.request.senddtmf", tones=digits)


async def mute_or_unmute(session: DesktopSession, chosen: Selection) -> None:
    """Let nobody hear the agent; or everybody again."""
    verb = "x-unmute" if chosen.interaction.muted else "x-mute"
    await session.do(chosen.interaction, f"interaction.request.{verb}")


async def record_or_stop(session: DesktopSession, chosen: Selection) -> None:
    """Begin a recording; or end it."""
    verb = "x-startrecording" if chosen.interaction.recording == "OFF" else "x-stoprecording"
    await session.do(chosen.interaction, f"interaction.request.{verb}")


def _talking(chosen: Selection) -> ConversationView:
    found = chosen.in_state("TALKING", "HELD")
    if found is None:
        raise CannotDo("Nobody is on the phone.")
    return found
