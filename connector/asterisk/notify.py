"""Telling a phone in words of SIP what to do: NOTIFY `talk` and `hold` within a call.

A phone that doesn't know them refuses, upon which Asterisk ends the call. So nothing here is used but for
phone models whose settings say so. It needs the AMI user with the class `system`.
"""

from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiLink, AmiRefused
from connector.asterisk.settings import DialSettings, HoldMethod
from connector.telephony.interactions import Interaction
from connector.telephony.pbx import Refused


class PhoneNotifier:
    """Sends NOTIFY to phones that obey it."""

    def __init__(
        self, exchange: Exchange, link: AmiLink, settings: DialSettings, system_link: AmiLink | None
    ) -> None:
        self._exchange = exchange
        self._link = link
        self._settings = settings
        self._system_link = system_link

    def can_hold(self, endpoint: str) -> bool:
        """Return whether the phone at that endpoint holds and resumes by request."""
        return self._settings.phone_at(endpoint).hold is HoldMethod.NOTIFY

    async def talk(self, leg: str) -> None:
        """Have the phone pick up or take its call off hold. Returns when the NOTIFY is sent.

        Raises:
            Refused: there is no user that may do this, or the leg is gone.

        """
        await self._send(leg, "talk")

    async def hold(self, leg: str) -> None:
        """Have the phone put its call on hold. Returns and raises as `talk` does."""
        await self._send(leg, "hold")

    async def resume(self, interaction: Interaction, leg: str) -> None:
        """Have the phone take its call off hold; done when it has told so.

        Raises:
            Refused: this phone must be resumed by hand.

        """
        if not self.can_hold(interaction.endpoint):
            raise Refused("The phone itself holds the call: take it back there first.")
        legs = self._exchange.model.legs
        await self.talk(leg)
        await self._exchange.until(
            lambda: (live := legs.get(leg)) is None or not live.phone_hold,
            f"resuming of phone {interaction.endpoint}",
        )

    async def _send(self, leg: str, event: str) -> None:
        if self._system_link is None:
            raise Refused(f"This needs NOTIFY {event} to the phone: no system AMI user is set up.")
        try:
            # Unlike other actions this one does not know a channel by its Uniqueid.
            named = await self._link.send("Getvar", {"Channel": leg, "Variable": "CHANNEL(name)"})
            await self._system_link.send(
                "PJSIPNotify", {"Channel": named["Value"], "Variable": [f"Event={event}"]}
            )
        except AmiRefused as refusal:
            raise Refused(f"The phone could not be told to {event}: {refusal}.") from refusal
