"""What a recorded leg says of its recording after the link was gone."""

from connector.asterisk.exchange import Exchange
from connector.asterisk.recording import RECORDER, Recorder
from connector.asterisk.settings import RecordingSettings
from connector.asterisk.turns import Turns
from connector.telephony import facts
from connector.telephony.pbx import Refused
from connector.telephony.states import Recording

OURS, THEIRS, SILENT, GONE = "o-leg", "t-leg", "s-leg", "g-leg"


class User:
    """Knows which legs have a recorder of ours."""

    def __init__(self) -> None:
        self.marked: list[tuple[str, str, str]] = []

    async def read(self, leg: str, name: str) -> str:
        assert name == RECORDER
        if leg == GONE:
            raise Refused("The telephone system refused: No such channel.")
        return "0x7f" if leg in {OURS, SILENT} else ""

    async def mark(self, leg: str, name: str, value: str) -> None:
        self.marked.append((leg, name, value))


async def test_what_the_broken_link_kept_from_being_written_is_written_after_it() -> None:
    """Asterisk records already; whoever comes next would not know. A recording of the site's is its own."""
    exchange, user = Exchange(proof_timeout=0.2), User()
    states = {OURS: Recording.PAUSED, THEIRS: Recording.ON, GONE: Recording.ON, SILENT: None}
    for leg, state in states.items():
        exchange.apply(facts.LegCreated(leg, "", leg, placed=True))
        if state is not None:
            exchange.apply(facts.LegRecorded(leg, state))
    recorder = Recorder(exchange, user, RecordingSettings(), Turns())  # type: ignore[arg-type]
    await recorder.mark_anew()
    assert user.marked == [(OURS, "HARMONY_X_RECORDING", "PAUSED")]
