"""The fault campaign: faults at random moments of random operations, on the real PBX, broker and phones.

    make test-faults                          200 faults, a seed of its own
    make test-faults FAULTS=60 SEED=7 BRIDGE=tcp

One fault after the other, each an episode: people work; something breaks and is mended; people go on; then
they pause, and all must be as it should: the bridge's view is what the PBX's own lists say, everybody hears
whom the PBX has joined, no request is unanswered, no number was called twice for one. Then all calls but the
witnesses' are ended, and nothing may be left: no channel, no room, no interaction, no task, no open file.
"""

import argparse
import asyncio
import gc
import os
import random
import re
import secrets
import statistics
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e"), str(HERE.parent / "unit")]

from kinds import OF, OUTLIVED, Fault, asterisk_restarted, new_connector_is_known  # noqa: E402
from people import Cast, People  # noqa: E402
from repertoire import OPERATIONS  # noqa: E402
from resting import RestingCall  # noqa: E402
from survival import Standing, standing  # noqa: E402
from truth import all_hear, read, rooms  # noqa: E402
from witness import AGENTS, Witnesses, hang_up  # noqa: E402
from world import START, World, world  # noqa: E402

from connector.bridge.catalogue.conversation import ConversationState  # noqa: E402
from connector.lab.provider import LabInfo, LabProvider, choose_provider  # noqa: E402
from connector.processor.link import Direction  # noqa: E402
from connector.telephony.presence import WRAP_UP  # noqa: E402

_PATIENCE = 10.0
_HOPELESS = 3
"""Failures in a row that end a campaign."""
_LIVE_AT_LEAST = 2
"""Calls that should be under way when something breaks."""
_CAME = ("done", "refused", "over", "connection gone")
"""What may come of an operation; `over`: what it was about had ended."""


@dataclass
class Figures:
    """What came of a campaign."""

    faults: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    back: dict[str, list[float]] = field(default_factory=dict)
    """Seconds from a fault's end until every agent could work again."""
    anew: Counter[str] = field(default_factory=Counter)
    """Sessions that agents had to begin anew, by the kind of fault."""
    survived: int = 0
    """Calls that were up before a fault, and after it."""
    ended: int = 0
    """Calls that were up before a fault, and that somebody may have ended."""
    rested: Counter[str] = field(default_factory=Counter)
    """Calls that people work on and that were listened to during a fault, by what they were."""
    listened: int = 0
    longest_gap: float = 0.0
    longest_control: float = 0.0
    longest_rested: float = 0.0
    tasks: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    kib: list[int] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def never_done(self) -> list[str]:
        """The operations of which none was carried out."""
        return [what for what in OPERATIONS if not self.outcomes[what, "done"]]

    def show(self) -> None:
        """Print it."""
        say(f"{self.faults.total()} faults in {self.seconds:.0f} s, {len(self.failures)} failures")
        for kind, number in sorted(self.faults.items()):
            back = self.back.get(kind, [])
            worst = (
                f"back after median {statistics.median(back):.2f} s, worst {max(back):.2f} s" if back else ""
            )
            say(f"  {kind:<26} {number:>4}  {self.anew[kind]:>4} sessions anew  {worst}")
        done = sum(number for (_, came), number in self.outcomes.items() if came == "done")
        say(f"operations: {self.outcomes.total()}, carried out {done}")
        say(f"  {'':<26}" + "".join(f"{came:>16}" for came in _CAME))
        for what in OPERATIONS:
            say(f"  {what:<26}" + "".join(f"{self.outcomes[what, came]:>16}" for came in _CAME))
        for text, number in self.refusals.most_common():
            say(f"  refused {number:>4} x {text}")
        say(f"calls that survived: {self.survived}; ended by somebody meanwhile: {self.ended}")
        say(f"phones listened to: {self.listened}")
        control = f"{self.longest_control:.2f} s in a call that is not the connector's"
        say(f"longest gap in a witness' ear: {self.longest_gap:.2f} s ({control})")
        shapes = ", ".join(f"{number} {shape}" for shape, number in sorted(self.rested.items()))
        say(f"in that of a call that rested: {self.longest_rested:.2f} s ({shapes or 'there was none'})")
        for what, values in (("tasks", self.tasks), ("files", self.files), ("KiB", self.kib)):
            if values:
                course = " ".join(str(value) for value in values[:: max(1, len(values) // 20)])
                say(f"{what}: first {values[0]}, last {values[-1]}, most {max(values)}; course: {course}")
        for text in self.failures:
            say(f"FAILURE {text}")


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Campaign:
    """One world and its episodes."""

    def __init__(
        self, at: World, figures: Figures, cast: Cast | None = None, *, listens: bool = True
    ) -> None:
        """Prepare; `listens` if in each episode a call that people work on rests, and is listened to."""
        self.world = at
        self._listens = listens
        self.figures = figures
        cast = cast or Cast()
        self.people = People(at, cast)
        self.witnesses = Witnesses(at, self.people.agents, cast.control)
        self._base: dict[str, Any] = {}

    async def begin(self) -> None:
        """Have everybody arrive; take the measure of a connector at rest."""
        await self.people.arrive(AGENTS)
        await self.people.all_here()
        await self.witnesses.call()
        await asyncio.sleep(0)
        self._base = await self.world.held()

    async def end(self) -> None:
        """Have everybody leave."""
        await self.witnesses.stop()
        self.people.go.clear()
        await hang_up(self.world, but=set())
        await self.people.leave()
        self.figures.outcomes += self.people.outcomes
        self.figures.refusals += self.people.refusals
        self._note_gaps()

    def _note_gaps(self) -> None:
        figures, witnesses = self.figures, self.witnesses
        figures.longest_gap = max(figures.longest_gap, witnesses.heard.longest)
        figures.longest_control = max(figures.longest_control, witnesses.control.longest)
        witnesses.heard.longest = witnesses.control.longest = 0.0

    async def episode(self, fault: Fault) -> None:
        """Break one thing; raise AssertionError if anything is not as it should be."""
        people = self.people
        self.world.rung.times.clear()
        people.asked.clear()
        people.tones.clear()
        people.go.set()
        survives = fault is not asterisk_restarted
        resting = RestingCall(self.world, people) if survives and self._listens else None
        if resting is not None:
            await resting.begin()
        try:
            await self._break(fault, resting)
        finally:
            if resting is not None:
                await resting.end()
        await self._obeys()
        self._nothing_twice()
        await self._all_over()
        await people.finish()
        self._no_complaints()

    async def _break(self, fault: Fault, resting: RestingCall | None) -> None:
        """Have it break in the middle of work, and see that all is right and every call still there."""
        chance, people = self.world.chance, self.people
        at_least = _LIVE_AT_LEAST + (resting is not None)
        await self._until(lambda: self._live() >= at_least, "calls under way", 20)
        await asyncio.sleep(chance.uniform(0, 1))
        before = await standing(self.world, people)
        sessions = people.sessions
        if fault is asterisk_restarted:
            await self.witnesses.stop()
        await fault(self.world)
        mended = time.monotonic()
        await people.all_here()
        took = time.monotonic() - mended
        self.figures.back.setdefault(fault.__name__, []).append(took)
        await asyncio.sleep(chance.uniform(0, 0.6))
        people.go.clear()
        await self.world.bridge.wait_in_service(START)
        await people.all_here()
        anew = people.sessions - sessions
        self.figures.anew[fault.__name__] += len(anew)
        if self.world.transport == "amqp" and fault in OUTLIVED:
            assert not anew, f"agents had to begin their sessions anew: {sorted(anew)}"
        await people.finish()
        heard = await all_hear(self.world, people.agents)
        self.figures.listened += len(heard)
        if fault is asterisk_restarted:
            await self.witnesses.call()
        else:
            self._survived(before, heard, resting)

    def _survived(self, before: Standing, heard: set[str], resting: RestingCall | None) -> None:
        """See that no call was lost, and that those who rested and those who came through are heard."""
        survived, ended, lost = before.outcome()
        assert not lost, f"calls that nobody ended are gone: {lost}"
        # Of a phone's two calls one may be on its way to a number that rings: then nobody listens to it.
        several = {phone.extension for phone in self.world.phones.phones if len(phone.calls) > 1}
        deaf = survived - heard - several - self.people.recent(before.since) - {self.people.cast.control}
        assert not deaf, f"calls that survived, and were not listened to: {deaf}"
        self.figures.survived += len(survived)
        self.figures.ended += ended
        if resting is not None:
            figures, listening = self.figures, resting.listening
            assert not listening.broken, f"broken audio in a call {resting.shape}: {listening.broken}"
            figures.rested[resting.shape] += 1
            figures.longest_rested = max(figures.longest_rested, listening.longest)

    async def heal(self) -> None:
        """Begin with a new connector and no calls after a failure: the next fault counts by itself."""
        self.people.go.clear()
        for wire in (self.world.pbx_wire, self.world.bridge_wire):
            wire.thaw()
        self.world.bridge_wire.doubling = self.world.bridge_wire.shuffling = False
        await self.witnesses.stop()
        await self.world.kill_all()
        await hang_up(self.world, but=set())
        for leg in await self.world.rows():
            await asyncio.to_thread(self.world.lab.asterisk_cli, f"channel request hangup {leg['Channel']}")
        self.people.faults.clear()
        self.world.bridge.violations.clear()
        self.witnesses.heard.broken.clear()
        self._note_gaps()
        if self.world.transport == "tcp":
            await self.world.bridge.wait_disconnected(START)
        await self.world.start()
        await new_connector_is_known(self.world)
        await self.people.all_here()
        await self.witnesses.call()

    # -- what must be so ---------------------------------------------------------------------------------

    def _live(self) -> int:
        working = [agent for number, agent in self.people.agents.items() if number not in AGENTS]
        return sum(len(agent.interactions) for agent in working)

    async def _obeys(self) -> None:
        """See that a call that came through it can be held and taken back."""
        free = [
            one
            for number, agent in self.people.agents.items()
            for one in agent.interactions
            if number not in AGENTS
            and one.primary.state is ConversationState.TALKING
            and one.consult_conversation is None
        ]
        for one in free[:1]:
            await one.primary.hold()
            await one.primary.retrieve()
            await all_hear(self.world, self.people.agents)

    def _targets(self) -> set[str]:
        """Return the destinations that the bridge has."""
        rules = self.world.bridge.link.rules
        roots = [agent.session.node for agent in self.people.agents.values() if agent.session is not None]
        return {rules.control.target, *(node.target for root in roots for node in root.branch())}

    def _nothing_twice(self) -> None:
        others = self.world.rung.times.keys() - self.witnesses.numbers
        rung = {number: self.world.rung.times[number] for number in others if number.startswith("2")}
        more = {number: times for number, times in rung.items() if times > self.people.asked[number]}
        assert not more, f"called more often than asked for: {more}, asked {dict(self.people.asked)}"
        for phone in self.world.phones.phones:
            heard = sum(len(call.dtmf_received) for call in phone.calls)
            asked = self._tones_for(phone.extension)
            assert heard <= asked, f"{phone.extension} got {heard} tones, {asked} were asked for"

    def _tones_for(self, number: str) -> int:
        """Count those that were asked for, also where somebody was only while they were being sent."""
        sent, joined = Counter[str](), set[str]()
        for entry in self.world.bridge.log:
            message = entry.message
            if message.name == "conversation.member.added" and message.body["address"] == number:
                joined.add(message.target)
            elif message.name == "conversation.request.senddtmf" and entry.direction is Direction.SENT:
                sent[message.target] += len(str(message.body["tones"]))
        return self.people.tones[number] + sum(sent[target] for target in joined)

    def _no_complaints(self) -> None:
        bridge = self.world.bridge
        unanswered = [message.name for message in bridge.link.rules.outstanding()]
        assert not unanswered, f"unanswered: {unanswered}"
        owed = [one.request.name for one in bridge.link.rules.owed()]
        assert not owed, f"events that were promised did not come after {owed}"
        broken = [text for text in bridge.violations if not self._of_a_former_session(text)]
        assert not broken, f"rules broken: {broken}"
        assert not self.people.faults, f"waited in vain: {self.people.faults}"
        control = f"the call that is not the connector's: {self.witnesses.control.longest:.2f} s at most"
        assert not self.witnesses.heard.broken, f"broken audio ({control}): {self.witnesses.heard.broken}"
        different = self.world.bridge_wire.different
        assert not different, f"another answer to the same request: {different}"
        log = self.world.log.read_bytes() if self.world.log.exists() else b""
        assert b"traceback" not in log.lower(), f"traceback in the connector's log: {log[-3000:]!r}"

    def _of_a_former_session(self, violation: str) -> bool:
        """Tell whether the bridge has initialised something in a session that it ended meanwhile.

        It ends its sessions when the service goes away; what it is told of them until then is in vain.
        """
        missing = re.search(r"There is no destination (LAB\.SESSION\.[^.]+)\.", violation)
        sessions = {
            agent.session.target for agent in self.people.agents.values() if agent.session is not None
        }
        return missing is not None and missing.group(1) not in sessions

    async def _all_over(self) -> None:
        """End all calls but the witnesses', and see that nothing is left of them."""
        await hang_up(self.world, but=self.witnesses.numbers)
        found: list[str] = []
        try:
            async with asyncio.timeout(_PATIENCE):
                while found := await self._left_over():  # noqa: ASYNC110 - lists tell nobody
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"left over: {'; '.join(found)}") from None

    async def _left_over(self) -> list[str]:
        truth, held = await read(self.world), await self.world.held()
        # The guest of a conference is in it by a Local channel.
        ours = [row for row in truth.rows.values() if truth.number(row) not in self.witnesses.numbers]
        known = {one.nativeid for agent in self.people.agents.values() for one in agent.interactions}
        targets = self._targets()
        left = {
            "channels": [row["Channel"] for row in ours if not row["Channel"].startswith("Local/2007@")],
            "pauses for wrap-up": {row["Name"] for row in truth.members if row["PausedReason"] == WRAP_UP}
            - set(AGENTS),
            "rooms": await rooms(self.world) - truth.rows.keys(),
            "interactions, here or there only": set(held["interactions"]) ^ known,
            "legs, here or there only": set(held["legs"]) ^ truth.rows.keys(),
            "tasks": _more(held["tasks"], self._base["tasks"]),
            "waiters": held["waiters"],
            "files": max(0, held["files"] - self._base["files"]),
            "destinations, here or there only": set(held["destinations"]) ^ targets,
        }
        found = [f"{what} {value}" for what, value in left.items() if value]
        if not found:
            self.figures.tasks.append(sum(held["tasks"].values()))
            self.figures.files.append(held["files"])
            self.figures.kib.append(held["kib"])
        return found

    @staticmethod
    async def _until(ready: Any, what: str, seconds: float = _PATIENCE) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not ready():  # noqa: ASYNC110 - phones and bridge both tell; whoever comes first
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not within {seconds} s: {what}") from None


def _more(now: Mapping[str, int], base: Mapping[str, int]) -> dict[str, int]:
    return {name: number for name, number in now.items() if number > base.get(name, 0)}


async def _report(at: World, told: str, mark: int) -> str:
    """Return all that may explain a failure: what was wrong, the PBX's channels, log and messages since."""
    lines = [told, "", "== channels"]
    for row in await at.rows():
        variables = [value for value in row.all("Variable") if value.startswith("HARMONY_")]
        shown = [row[name] for name in ("Uniqueid", "Channel", "ChannelStateDesc", "BridgeID", "Application")]
        lines.append(" ".join([*shown, row["Context"], row["Exten"], row["Data"], *variables]))
    lines += ["", "== connector", at.log.read_bytes()[mark:].decode(errors="replace"), "== events"]
    lines += [*at.rung.told(), "", "== bridge"]
    lines += [f"{one.at:%H:%M:%S.%f} {one.direction:<3} {one.message!r}" for one in at.bridge.log]
    return "\n".join(lines)


def plan(faults: int, chance: random.Random, transport: str) -> list[Fault]:
    """Return which faults come: each kind in its proportion, in a random order."""
    kinds = OF[transport]
    total = sum(kinds.values())
    chosen = [kind for kind, weight in kinds.items() for _ in range(faults * weight // total)]
    chosen += chance.choices(list(kinds), list(kinds.values()), k=faults - len(chosen))
    chance.shuffle(chosen)
    return chosen


async def run(lab: LabProvider, info: LabInfo, faults: list[Fault], seed: int, transport: str) -> Figures:
    """Run the campaign and return its figures."""
    figures, began = Figures(), time.monotonic()
    async with world(lab, info, random.Random(f"{seed} {transport}"), transport) as at:  # noqa: S311
        campaign = Campaign(at, figures)
        await campaign.begin()
        await run_episodes(campaign, faults, f"{transport}, seed {seed}")
        await campaign.end()
    figures.seconds = time.monotonic() - began
    return figures


def _write(report: Path, text: str) -> None:
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(text, "utf-8")


async def run_episodes(campaign: Campaign, faults: list[Fault], what: str) -> None:
    """Run one episode after the other; a failure doesn't end it, but three in a row do."""
    figures, at, in_a_row = campaign.figures, campaign.world, 0
    for place, fault in enumerate(faults):
        figures.faults[fault.__name__] += 1
        started, mark = time.monotonic(), at.log.stat().st_size
        at.bridge.log.clear()
        at.rung.events.clear()
        # Else Python looks through ever more objects for garbage, and the phones stand still meanwhile.
        gc.freeze()
        try:
            await campaign.episode(fault)
        except Exception as problem:  # noqa: BLE001 - told at the end, the campaign goes on
            text = str(problem) if isinstance(problem, AssertionError) else traceback.format_exc()
            told = f"fault {place} ({fault.__name__}, {what}): {text}"
            figures.failures.append(told)
            say(f"FAILURE {told}")
            if folder := os.environ.get("FAULTS_LOG"):
                report = Path(folder) / f"{what}, {place}.txt"
                await asyncio.to_thread(_write, report, await _report(at, told, mark))
            in_a_row += 1
            if in_a_row == _HOPELESS:
                return
            await campaign.heal()
        else:
            in_a_row = 0
            say(f"{place:>4} {fault.__name__:<20} {time.monotonic() - started:5.1f} s   ({what})")


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--bridge", choices=["tcp", "amqp", "both"], default="both")
    parser.add_argument("--only", help="a kind of fault, and no other")
    asked = parser.parse_args()
    seed = secrets.randbelow(10**6) if asked.seed is None else asked.seed
    share = {"both": {"tcp": asked.faults - asked.faults // 3, "amqp": asked.faults // 3}}
    parts = share.get(asked.bridge, {asked.bridge: asked.faults})
    say(f"seed {seed}")
    lab = choose_provider(os.environ.get("LAB") or None, f"faults-{os.getpid()}")
    failed = False
    try:
        info = lab.up()
        for transport, number in parts.items():
            faults = plan(number, random.Random(seed), transport)  # noqa: S311
            if asked.only:
                faults = [kind for kind in OF[transport] if kind.__name__ == asked.only] * number
            figures = asyncio.run(run(lab, info, faults, seed, transport))
            figures.show()
            failed = failed or bool(figures.failures)
    finally:
        lab.down()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
