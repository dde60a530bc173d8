"""The interactions that are known, which legs they are about, and the changes that nobody was told of yet.

The parts of the model share it: each of them is functions that read and change what is here.
"""

from connector.telephony.changes import Change, MemberType
from connector.telephony.interactions import Conversation, Interaction
from connector.telephony.legs import Leg, LegGraph
from connector.telephony.states import ENDED_STATES, InteractionState, Role


class Calls:
    """What the model knows of the calls of the phones that are watched."""

    def __init__(self) -> None:
        self.legs = LegGraph()
        self.watched: set[str] = set()
        """The phones whose calls are followed."""
        self.interactions: dict[str, Interaction] = {}
        """By id, ended ones included until they are forgotten."""
        self.destinations: dict[str, str] = {}
        """What legs that an agent dials from the desktop were announced to call, by leg."""
        self._by_leg: dict[str, set[str]] = {}
        self._changes: list[Change] = []

    # -- changes -------------------------------------------------------------------------------------

    def emit(self, change: Change) -> None:
        """Note what changed on a desk."""
        self._changes.append(change)

    def take(self) -> list[Change]:
        """Return the changes since the last time, in order."""
        taken, self._changes = self._changes, []
        return taken

    # -- legs and interactions -----------------------------------------------------------------------

    def link(self, leg: str, interaction: Interaction) -> None:
        """Note that an interaction is about a leg: the agent's own, a party's or one that is rung."""
        self._by_leg.setdefault(leg, set()).add(interaction.id)

    def unlink(self, leg: str, interaction: Interaction) -> None:
        """Note that an interaction is not about a leg any more."""
        self._by_leg.get(leg, set()).discard(interaction.id)

    def unlink_all(self, interaction: Interaction) -> None:
        """Note that an interaction is about no leg any more."""
        for leg in [leg for leg, known in self._by_leg.items() if interaction.id in known]:
            self._by_leg[leg].discard(interaction.id)
            if not self._by_leg[leg]:
                del self._by_leg[leg]

    def forget_leg(self, leg: str) -> None:
        """Note that a leg is gone."""
        self._by_leg.pop(leg, None)

    def knows(self, leg: str) -> bool:
        """Whether any interaction is about a leg."""
        return leg in self._by_leg

    def is_about(self, interaction: Interaction, leg: str) -> bool:
        """Whether an interaction is about a leg."""
        return interaction.id in self._by_leg.get(leg, ())

    def about(self, *legs: str) -> list[Interaction]:
        """Return the interactions that are about any of these legs, over or not."""
        found: dict[str, Interaction] = {}
        for leg in sorted(legs):
            for interaction_id in sorted(self._by_leg.get(leg, ())):
                interaction = self.interactions.get(interaction_id)
                if interaction is not None:
                    found[interaction_id] = interaction
        return list(found.values())

    def on_agents_leg(self, leg: str) -> list[Interaction]:
        """Return the interactions, not over, that one of the agent's legs belongs to."""
        return [one for one in self.about(leg) if not one.over and one.has_leg(leg)]

    def interaction_on(self, leg: str) -> Interaction | None:
        """Return the interaction, not over, that one of the agent's legs belongs to."""
        # Asked for several times with every event and request.
        known = self._by_leg.get(leg)
        if known is None:
            return None
        for interaction_id in sorted(known) if len(known) > 1 else known:
            interaction = self.interactions.get(interaction_id)
            if interaction is None or interaction.state in ENDED_STATES:
                continue
            if interaction.leg == leg or interaction.has_leg(leg):
                return interaction
        return None

    def is_party(self, leg: str) -> bool:
        """Whether a leg is the far end of some agent's conversation."""
        talks = [talk for one in self.about(leg) if not one.over for talk in one.live_conversations]
        return any(leg in talk.parties for talk in talks)

    def on_phone(self, endpoint: str) -> list[Interaction]:
        """Return the interactions on a phone that are not completed, oldest first."""
        return [
            one
            for one in self.interactions.values()
            if one.endpoint == endpoint and one.state is not InteractionState.COMPLETED
        ]

    # -- who is who ----------------------------------------------------------------------------------

    def among_agents(self, conversation: Conversation) -> bool:
        """Whether all parties of a conversation are legs of agents who have an interaction with them."""
        if not conversation.parties:
            return False
        for party in conversation.parties:  # noqa: SIM110 - asked with every event of a call, and a loop is quicker
            if self.interaction_on(party) is None:
                return False
        return True

    def type_of(self, leg: Leg, role: Role) -> MemberType:
        """Return what a leg is as a party of a conversation of that role."""
        if leg.endpoint in self.watched:
            return MemberType.AGENT
        return MemberType.CUSTOMER if role is Role.PRIMARY else MemberType.OTHER

    def type_of_number(self, number: str) -> MemberType:
        """Return what stands behind a number that is dialled."""
        return MemberType.AGENT if number in self.watched else MemberType.OTHER
