"""Our own extension on Asterisk, put together: recording, muting, supervision."""

from collections.abc import Awaitable, Callable

from connector.asterisk.exchange import Exchange
from connector.asterisk.link import AmiLink
from connector.asterisk.muting import Muting
from connector.asterisk.phonecalls import PhoneCalls
from connector.asterisk.recorder_renewal import RecorderRenewal
from connector.asterisk.recording import Recorder
from connector.asterisk.settings import RecordingSettings
from connector.asterisk.supervision import Supervisors
from connector.asterisk.system_user import SystemUser
from connector.asterisk.turns import Turns


class Extensions:
    """All that the second AMI user is for. `ready_for_listeners` is that of `CallHandling`, in turn."""

    def __init__(
        self,
        exchange: Exchange,
        link: AmiLink,
        system_link: AmiLink | None,
        *,
        recording: RecordingSettings | None,
        phones: PhoneCalls,
        ready_for_listeners: Callable[[str], Awaitable[None]],
    ) -> None:
        user, recorded = SystemUser(link, system_link, ready_for_listeners), Turns()
        self.recorder = Recorder(exchange, user, recording or RecordingSettings(), recorded)
        self._renewal = RecorderRenewal(exchange, user, recorded)
        self.muting = Muting(exchange, user)
        self.supervisors = Supervisors(exchange, link, user, phones)

    async def close(self) -> None:
        """Let go of what is under way; recordings, muting and supervisions stay."""
        self._renewal.close()
        self.muting.close()
        await self.supervisors.close()
