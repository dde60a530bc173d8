"""Interaction data on channel variables: what the bridge sets travels with the call."""

from collections.abc import Mapping

from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiLink, AmiRefused
from connector.asterisk.variable_names import DIALPLANS_DATA, VARIABLE_PREFIX, data_key
from connector.telephony.data import check_data
from connector.telephony.interactions import Interaction
from connector.telephony.pbx import Refused


class CallData:
    """Writes interaction data to the legs of a call (Setvar), where transfers and consults inherit it."""

    def __init__(self, exchange: Exchange, link: AmiLink) -> None:
        self._exchange = exchange
        self._link = link

    async def set(self, interaction_id: str, values: Mapping[str, str]) -> None:
        """Set keys; an empty value removes the key. Done when the PBX has shown every value."""
        self._exchange.require_available()
        interaction = self._exchange.model.interaction(interaction_id)
        if interaction is None:
            raise Refused("The call is over already.")
        check_data(values, interaction.data)
        for key in values:
            if key in DIALPLANS_DATA:
                raise Refused(f"The data key {key} is set by the telephone system only.")
            if not data_key(VARIABLE_PREFIX + key):
                raise Refused(f"The data key {key} is the connector's own and cannot be set.")
        legs = [leg for leg in self._legs(interaction) if self._exchange.model.legs.get(leg) is not None]
        if not legs:
            raise Refused("The call is over: its data can no longer be changed.")
        for leg in legs:
            for key, value in values.items():
                try:
                    await self._link.send(
                        "Setvar", {"Channel": leg, "Variable": f"__{VARIABLE_PREFIX}{key}", "Value": value}
                    )
                except AmiRefused as refusal:
                    raise Refused("The call ended at this moment.") from refusal
        await self._shown(interaction, values)

    async def _shown(self, interaction: Interaction, values: Mapping[str, str]) -> None:
        """Wait until the call has these values; Refused if it ends before."""

        def shown() -> bool:
            return all(interaction.data.get(key, "") == value for key, value in values.items())

        await self._exchange.until(lambda: interaction.over or shown(), "interaction data")
        if not shown():
            raise Refused("The call ended at this moment.")

    def _legs(self, interaction: Interaction) -> list[str]:
        return [*interaction.legs, *interaction.contacts]
