"""The load bench: 1,000 agents with sessions, and a stream of events as of a busy PBX.

    make bench-load                                  500 events a second for 5 minutes
    make bench-load LOAD="--seconds 20 --rate 800"
    make bench-load LOAD="--ceiling"                 then also: the highest rate before p99 exceeds 100 ms

The connector runs as `connector run` does, in a process of its own. This process plays both its neighbours:
the PBX sends the events of a recorded call, grown to as many calls at once as the rate needs, in bursts as
they were recorded; the bridge initialises, completes and disposes of every interaction. Timed is from the
write of a burst to the arrival of each message that it causes (`channel.interaction.added`,
`conversation.statechanged`, `interaction.ended` ...). Rate and processor time are those of the time in which
calls begin and end alike: from the first call's end to the last one's beginning.

A rate is too high when p99 exceeds 100 ms or the bench sends late. For whom, processor time tells: for the
connector, for the bench (that says nothing of the connector), or for neither. Then other work was in the way:
the next rate may do, but if that does not either, no higher one is tried.
"""

import argparse
import asyncio
import heapq
import itertools
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "unit")]

import yaml  # noqa: E402
from argon2 import PasswordHasher  # noqa: E402
from echo import PlainFrames  # noqa: E402
from grown_trace import Burst, bursts, fill, leg  # noqa: E402
from scripted_ami import SECRET, USERNAME, Peer, ScriptedAmi  # noqa: E402

from connector.asterisk.wire import AmiMessage  # noqa: E402

AGENTS = 1000
QUEUE = "support"
P50, P99, LOST = 0.002, 0.020, 0.100
"""Seconds: what is promised at 500 events a second, and where the rate is too high."""
GROWTH = 0.03
"""Part by which the connector's memory may grow after the first tenth of the time."""
_OTHERS = "machine, on which others work"
_STEP_SECONDS = 10.0
_STEPS = (1000, 2000, 4000, 6000, *range(8000, 24001, 2000))
"""Events a second. Above 25,000 a phone would get a call while it is on another."""
_SETTLE = 30.0
"""Seconds that a rate that was too high may take afterwards, until all its calls are completed."""
_LATE, _BUSY = 0.020, 0.85
"""Seconds by which one burst in a hundred may be late; part of a processor from which on a process limits."""


def agents() -> list[str]:
    """Return the extensions, which are the agents' ids."""
    return [str(10000 + number) for number in range(AGENTS)]


@dataclass
class Lags:
    """Seconds from the write of a burst to the messages that came of it."""

    written: dict[str, float] = field(default_factory=dict)
    """When the last burst of a call was written, by interaction."""
    seconds: list[float] = field(default_factory=list)
    counting: bool = False
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while no call is left."""

    def wrote(self, interaction: str) -> None:
        """Take note of a burst."""
        self.written[interaction] = time.perf_counter()
        self.settled.clear()

    def over(self, interaction: str) -> None:
        """Take note of a call's completion."""
        self.written.pop(interaction, None)
        if not self.written:
            self.settled.set()

    def told(self, interaction: str) -> None:
        """Take note of a message about an interaction."""
        if self.counting and interaction in self.written:
            self.seconds.append(time.perf_counter() - self.written[interaction])


def _p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


class Bridge(PlainFrames):
    """A quick bridge: logs agents in, gives each interaction its chain, trusts all that it is told."""

    def __init__(self, lags: Lags) -> None:
        super().__init__()
        self.on_document = self._take
        self.in_service = asyncio.Event()
        self._lags = lags
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._named: dict[str, str] = {}
        self._ids = itertools.count()
        self._work: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the control initialisation."""
        super().connection_made(transport)
        self._start(self.must("cti.request.serverstatus"))

    async def must(self, name: str, target: str = "P.CONTROL", /, **body: Any) -> dict[str, Any]:
        """Ask, and return the body of the answer, which must be SUCCESS."""
        request = uuid.uuid4().hex
        answer = self._answers[request] = asyncio.get_running_loop().create_future()
        kind = "cti.query" if ".query." in name else "cti.request"
        self.send(
            {"header": {"type": kind, "name": name, "target": target, "requestId": request}, "body": body}
        )
        document = await answer
        assert document["header"]["result"] == "SUCCESS", document
        told: dict[str, Any] = document["body"]
        return told

    async def log_in(self, agent: str) -> None:
        """Log an agent in, who is at work in the queue already."""
        session = f"desk.{agent}"
        asked = {"agentId": agent, "agentPassword": "right", "sessionId": agent, "destination": session}
        await self.must("cti.request.createsession", **asked)
        await self.must("session.query.init", session, name="x")
        group = {"name": f"group-{agent}", "id": "g", "extension": agent}
        await self.must("session.request.createchannelgroup", session, **group)
        await self.must("channelgroup.query.init", f"{session}.g")
        channel = {"id": "c", "endpoint": agent, "type": "TELEPHONY"}
        await self.must("channelgroup.request.createchannel", f"{session}.g", **channel)
        found = await self.must("channel.query.init", f"{session}.g.c")
        assert (found["channel-state"], found["agent-state"]) == ("ACTIVE", "READY"), found

    def _start(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._work.discard(task)
        if not task.cancelled() and task.exception() is not None:
            raise SystemExit(f"the bridge failed: {task.exception()!r}")

    def _take(self, document: dict[str, Any]) -> None:
        header = document["header"]
        if header["type"] == "cti.response":
            self._answers.pop(header["requestId"]).set_result(document)
            return
        name, target = header["name"], header["target"]
        if name == "cti.serverstatuschanged" and document["body"]["status"] == "in-service":
            self.in_service.set()
        elif name == "channel.interaction.added":
            nativeid = document["body"]["nativeid"]
            self._lags.told(nativeid)
            self._start(self._adopt(target, nativeid))
        elif (interaction := self._named.get(".".join(target.split(".")[:5]))) is not None:
            if name != "interaction.completed":  # nothing of the PBX causes it
                self._lags.told(interaction)
            if name == "interaction.ended":
                self._start(self._complete(target))

    async def _adopt(self, channel: str, nativeid: str) -> None:
        number = f"i{next(self._ids)}"
        target = f"{channel}.{number}"
        self._named[target] = nativeid
        await self.must("channel.request.createinteraction", channel, id=number, nativeid=nativeid)
        found = await self.must("interaction.query.init", target)
        primary = found["conversations"].get("primary")
        if primary is not None:
            await self.must("interaction.request.createconversation", target, id="v", nativeid=primary["id"])
            await self.must("conversation.query.init", f"{target}.v")
        if found["interaction-state"] == "ENDED":
            await self._complete(target)

    async def _complete(self, target: str) -> None:
        await self.must("interaction.request.complete", target)
        await self.must("interaction.request.dispose", target)
        self._lags.over(self._named.pop(target))


class Pbx:
    """Answers the connector's actions, and sends the stream."""

    def __init__(self, lags: Lags) -> None:
        self.peer: Peer | None = None
        self.sent = 0
        """Events of the stream so far."""
        self.late: list[float] = []
        """Seconds by which each burst was written too late: then this process was too slow."""
        self._lags = lags
        self._calls = itertools.count()
        self._bursts = bursts()
        self._free = itertools.cycle(agents())

    @property
    def call_lasts(self) -> float:
        """Seconds from a call's first burst to its last."""
        return self._bursts[-1].at

    async def serve(self, peer: Peer) -> None:
        """Answer until the connector leaves."""
        await peer.log_in()
        self.peer = peer
        while True:
            asked = await peer._next(None)
            if asked["Action"] in {"Status", "QueueStatus", "DeviceStateList"}:
                await self._list(peer, asked)
            elif asked["Action"] == "QueuePause":
                await peer.reply(asked)
                await self._paused(peer, asked)
            else:
                await peer.reply(asked, Variable=asked.get("Variable") or "", Value="")

    async def stream(self, rate: float, seconds: float) -> None:
        """Send so many events a second for so long, and the rest of the calls that began."""
        peer, loop = self.peer, asyncio.get_running_loop()
        assert peer is not None
        pause = sum(one.events for one in self._bursts) / rate
        began = loop.time()
        due: list[tuple[float, int, int, str]] = []
        begun = 0
        while True:
            now = loop.time() - began
            while begun * pause <= now and begun * pause < seconds:
                heapq.heappush(due, (begun * pause, next(self._calls), 0, next(self._free)))
                begun += 1
            while due and due[0][0] <= now:
                at, number, place, agent = heapq.heappop(due)
                self.late.append(now - at)
                self._write(peer, self._bursts[place], number, agent)
                if place + 1 < len(self._bursts):
                    following = at + self._bursts[place + 1].at - self._bursts[place].at
                    heapq.heappush(due, (following, number, place + 1, agent))
            if not due and begun * pause >= seconds:
                return
            soon = min([begun * pause] + [due[0][0]] * bool(due)) if begun * pause < seconds else due[0][0]
            await asyncio.sleep(max(0.0, soon - (loop.time() - began)))

    def _write(self, peer: Peer, burst: Burst, number: int, agent: str) -> None:
        self._lags.wrote(leg(number))
        peer._writer.write(fill(burst, number, agent))
        self.sent += burst.events

    async def _list(self, peer: Peer, asked: AmiMessage) -> None:
        await peer.reply(asked, EventList="start")
        if asked["Action"] == "QueueStatus":
            tail = f"\r\nActionID: {asked['ActionID']}\r\n\r\n"
            await peer.raw("".join("\r\n".join(_member(agent)) + tail for agent in agents()).encode())
        await peer.emit(f"{asked['Action']}Complete", ActionID=asked["ActionID"], EventList="Complete")

    async def _paused(self, peer: Peer, asked: AmiMessage) -> None:
        agent = asked["Interface"].removeprefix("PJSIP/")
        told = _member(
            agent, paused="1" if asked["Paused"] == "true" else "0", reason=asked.get("Reason") or ""
        )
        text = "\r\n".join(["Event: QueueMemberPause", *told[1:]]) + "\r\n\r\n"
        await peer.raw(
            text.replace("Location:", "Interface:").replace("\r\nName:", "\r\nMemberName:").encode()
        )


def _member(agent: str, *, paused: str = "0", reason: str = "") -> list[str]:
    return [
        "Event: QueueMember",
        f"Queue: {QUEUE}",
        f"Name: {agent}",
        f"Location: PJSIP/{agent}",
        f"StateInterface: PJSIP/{agent}",
        "Membership: dynamic",
        "Penalty: 0",
        "CallsTaken: 0",
        "LastCall: 0",
        "LastPause: 0",
        "LoginTime: 1795270825",
        "InCall: 0",
        "Status: 1",
        f"Paused: {paused}",
        f"PausedReason: {reason}",
        "Wrapuptime: 0",
    ]


def _settings(bridge_port: int, ami_port: int) -> str:
    # A password that is quick to check: not the passwords are measured.
    known = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("right")
    return yaml.safe_dump(
        {
            "processor": "P",
            "bridge": {"host": "127.0.0.1", "port": bridge_port},
            "asterisk": {"host": "127.0.0.1", "port": ami_port, "username": USERNAME, "secret": SECRET},
            "dial": {"context": "from-internal"},
            "limits": {"drain": 0},
            "queues": {QUEUE: {"extension": "7000", "label": "Support"}},
            "log": {"level": "warning"},
            "agents": {
                agent: {
                    "password_hash": known,
                    "extension": agent,
                    "first_name": "Ada",
                    "last_name": "Ashdown",
                    "queues": [QUEUE],
                }
                for agent in agents()
            },
        }
    )


@dataclass
class Bench:
    """The connector between its two neighbours."""

    lags: Lags
    bridge: Bridge
    pbx: Pbx
    process: asyncio.subprocess.Process

    def kib(self) -> int:
        """Return the connector's memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 1024

    def processor_time(self) -> float:
        """Return the seconds of processor time that the connector has had."""
        words = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """Run a connector with all agents logged in."""
    lags = Lags()
    pbx, bridge = Pbx(lags), Bridge(lags)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: bridge, "127.0.0.1", 0)
    async with server, ScriptedAmi(pbx.serve) as ami:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "connector.yaml")
            text = _settings(server.sockets[0].getsockname()[1], ami.port)
            await asyncio.to_thread(file.write_text, text, "utf-8")
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "connector", "run", "--config", str(file))
            )
            try:
                async with asyncio.timeout(120):
                    await bridge.in_service.wait()
                    for agent in agents():
                        await bridge.log_in(agent)
                yield Bench(lags, bridge, pbx, process)
            finally:
                bridge.close()
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


@dataclass(frozen=True)
class Steady:
    """While calls begin and end alike: events a second, and parts of a processor."""

    rate: float
    connector: float
    bench: float


async def _steady(at: Bench, seconds: float) -> Steady:
    """Measure from the end of the first call until so many seconds after its beginning."""
    await asyncio.sleep(at.pbx.call_lasts)
    began, sent, worked, own = time.monotonic(), at.pbx.sent, at.processor_time(), time.process_time()
    await asyncio.sleep(max(0.1, seconds - at.pbx.call_lasts))
    took = time.monotonic() - began
    busy = (at.processor_time() - worked) / took, (time.process_time() - own) / took
    return Steady((at.pbx.sent - sent) / took, *busy)


@dataclass(frozen=True)
class Measured:
    """What a rate led to: median and p99 of the lag, p99 of the lateness of the bench; seconds."""

    median: float
    p99: float
    late: float
    steady: Steady

    def limit(self) -> str:
        """Return what the rate was too high for; empty: it was not."""
        if self.p99 <= LOST and self.late <= _LATE:
            return ""
        if self.steady.bench > _BUSY:
            return "bench"
        return "connector" if self.steady.connector > _BUSY else _OTHERS


async def measure(at: Bench, rate: float, seconds: float) -> Measured:
    """Stream at one rate; print and return what came of it."""
    at.lags.seconds.clear()
    at.pbx.late.clear()
    at.lags.counting = True
    watching = asyncio.create_task(_steady(at, seconds))
    await at.pbx.stream(rate, seconds)
    steady = await watching
    with suppress(TimeoutError):
        async with asyncio.timeout(_SETTLE):
            await at.lags.settled.wait()
    at.lags.counting = False
    found = Measured(statistics.median(at.lags.seconds), _p99(at.lags.seconds), _p99(at.pbx.late), steady)
    told = {
        "asked": f"{rate:.0f}",
        "events/s": f"{steady.rate:.0f}",
        "median": f"{1000 * found.median:.2f} ms",
        "p99": f"{1000 * found.p99:.2f} ms",
        "worst": f"{1000 * max(at.lags.seconds):.2f} ms",
        "n": str(len(at.lags.seconds)),
        "connector": f"{100 * steady.connector:.0f} % of a processor",
        "bench": f"{100 * steady.bench:.0f} %",
        "sent late by": f"{1000 * found.late:.1f} ms (p99), {1000 * max(at.pbx.late):.0f} ms at worst",
        "load": f"{os.getloadavg()[0]:.1f}",
    }
    print_line("   ".join(f"{what} {value}" for what, value in told.items()))
    return found


async def find_ceiling(at: Bench) -> None:
    """Raise the rate until it is too high, and print for whom it is."""
    best, before = 0.0, ""
    for step in _STEPS:
        found = await measure(at, step, _STEP_SECONDS)
        limit = found.limit()
        if not limit:
            best = found.steady.rate
        else:
            print_line(f"{step} events/s are too many for the {limit}")
            if limit != _OTHERS or before:
                break
        before = limit
    else:
        print_line("no higher rate was tried")
    print_line(f"highest rate with a p99 of at most {1000 * LOST:g} ms: {best:.0f} events/s")


async def memory(at: Bench, seconds: float, kib: list[int]) -> None:
    """Note the connector's memory ten times."""
    for _ in range(10):
        await asyncio.sleep(seconds / 10)
        kib.append(at.kib())


def print_line(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def run(rate: float, seconds: float, *, ceiling: bool) -> Iterator[str]:
    """Measure; return in what the promises are not held."""
    kib: list[int] = []
    async with bench() as at:
        print_line(f"{AGENTS} agents with sessions")
        await measure(at, rate, min(5.0, seconds))
        watching = asyncio.create_task(memory(at, seconds, kib))
        found = await measure(at, rate, seconds)
        await watching
        growth = kib[-1] / kib[0] - 1
        print_line(f"memory of the connector after each tenth: {kib} KiB ({100 * growth:+.1f} %)")
        if ceiling:
            await find_ceiling(at)
    broken = {
        f"median above {1000 * P50:g} ms": found.median > P50,
        f"p99 above {1000 * P99:g} ms": found.p99 > P99,
        f"memory grew by more than {100 * GROWTH:g} %": growth > GROWTH,
    }
    return iter([what for what, so in broken.items() if so])


def main() -> int:
    """Run what the command line asks for; 1 if a promise is not held."""
    parser = argparse.ArgumentParser(
        description="Events in, messages out: how long it takes, how much it bears."
    )
    parser.add_argument("--rate", type=float, default=500.0, help="events a second")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--ceiling", action="store_true", help="then raise the rate until it is too high")
    asked = parser.parse_args()
    failures = list(asyncio.run(run(asked.rate, asked.seconds, ceiling=asked.ceiling)))
    for failure in failures:
        print_line(f"NOT HELD: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
