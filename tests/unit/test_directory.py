"""The agent directory: who is who, passwords off the loop, guessing made slow."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import msgspec
import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError
from structlog.testing import capture_logs

from connector.config import AgentSettings, AsteriskSettings, LimitSettings, QueueSettings, Secret, Settings
from connector.destinations.directory import TooManyChecks
from connector.directory import AgentDirectory, _Spray, hash_password

if TYPE_CHECKING:
    from connector.destinations.directory import Directory

LIGHT = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
PASSWORDS = {"1001": "correct horse", "1002": "gr\u00fcn \u2713", "1003": "x"}


def settings(**agents: str) -> Settings:
    return Settings(
        processor="LAB",
        asterisk=AsteriskSettings(username="u", secret=Secret("s")),
        queues={"support": QueueSettings()},
        agents={
            one: AgentSettings(
                password_hash=Secret(LIGHT.hash(password)),
                extension=f"9{one}",
                login=f"login{one}",
                first_name="Ada",
                queues=("support",),
                penalty=3,
            )
            for one, password in (agents or PASSWORDS).items()
        },
        limits=LimitSettings(password_free_failures=2, password_delay_max=3.0),
    )


class Sleeps:
    """Records delays instead of waiting for them."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
async def directory(sleeps: Sleeps) -> AsyncIterator[AgentDirectory]:
    made = AgentDirectory(settings(), sleep=sleeps)
    yield made
    await made.close()


def test_fills_the_port_of_the_destinations() -> None:
    port: Directory = AgentDirectory(settings())
    agent = port.get("1001")
    assert agent is not None
    assert (agent.agent_id, agent.login, agent.extension) == ("1001", "login1001", "91001")
    assert (agent.first_name, agent.last_name, agent.queues, agent.penalty) == (
        "Ada",
        "",
        ("support",),
        3,
    )


async def test_finds_by_id_and_login(directory: AgentDirectory) -> None:
    by_id, by_login = directory.get("1002"), directory.get("login1002")
    assert by_id is by_login
    assert by_id is not None
    assert by_id.full_name == "Ada"
    assert directory.get("") is None
    assert directory.get("1009") is None
    assert [one.agent_id for one in directory.agents()] == list(PASSWORDS)


async def test_right_and_wrong_passwords(directory: AgentDirectory) -> None:
    for agent_id, password in PASSWORDS.items():
        assert await directory.verify(agent_id, password)
        assert await directory.verify(f"login{agent_id}", password)
        assert not await directory.verify(agent_id, f"{password} ")
    assert not await directory.verify("1009", "correct horse")


@pytest.mark.parametrize("password", ["", "\0", "\ud800", "x" * 2000, "correct horse\n"])
async def test_odd_passwords_are_wrong_and_nothing_else(directory: AgentDirectory, password: str) -> None:
    assert not await directory.verify("1001", password)


async def test_guessing_becomes_slow_and_bounded_but_never_locks_out(
    directory: AgentDirectory, sleeps: Sleeps
) -> None:
    for _ in range(7):
        assert not await directory.verify("1001", "guess")
    assert sleeps.asked == [0.5, 1.0, 2.0, 3.0, 3.0]
    # Another agent is not slowed, and neither name of the guessed one dodges the delay.
    assert await directory.verify("1002", PASSWORDS["1002"])
    assert len(sleeps.asked) == 5
    assert await directory.verify("login1001", PASSWORDS["1001"])
    assert sleeps.asked[5:] == [3.0]
    # The right password ends it.
    assert await directory.verify("1001", PASSWORDS["1001"])
    assert len(sleeps.asked) == 6


async def test_names_of_nobody_are_slowed_alike(directory: AgentDirectory, sleeps: Sleeps) -> None:
    for _ in range(4):
        assert not await directory.verify("nobody", "guess")
    assert sleeps.asked == [0.5, 1.0]


async def test_strangers_do_not_fill_the_memory(directory: AgentDirectory) -> None:
    for number in range(1100):
        directory._failures_of(None, f"nobody{number}")
    assert len(directory._strangers) == 1000


async def test_failures_are_forgotten_after_a_while(directory: AgentDirectory) -> None:
    failures = directory._failures["1001"]
    failures.count, failures.last = 50, 1000.0
    assert directory._delay(failures, 1599.0) == 3.0
    assert directory._delay(failures, 1601.0) == 0.0
    assert failures.count == 0


class Gate:
    """A hasher whose checks wait until they are let go; counts how many run at once."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[bytes] = asyncio.Queue()
        self.loop = asyncio.get_running_loop()
        self.go = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.now = self.peak = 0
        self.hashes: list[str] = []

    def verify(self, encoded: str, password: bytes) -> bool:
        with self.lock:
            self.hashes.append(encoded)
            self.now += 1
            self.peak = max(self.peak, self.now)
        self.loop.call_soon_threadsafe(self.started.put_nowait, password)
        assert self.go.acquire(timeout=10)
        with self.lock:
            self.now -= 1
        if password == b"right":
            return True
        raise VerifyMismatchError


async def test_two_checks_at_once_off_the_loop() -> None:
    directory = AgentDirectory(settings(**{str(one): "x" for one in range(1001, 1007)}))
    gate = Gate()
    directory._hasher = gate  # type: ignore[assignment]
    checks = [asyncio.create_task(directory.verify(str(one), "right")) for one in range(1001, 1007)]
    async with asyncio.timeout(10):
        for _ in range(2):
            await gate.started.get()
        # The loop is free while both threads are busy.
        assert not any(check.done() for check in checks)
        gate.go.release(len(checks))
        assert await asyncio.gather(*checks) == [True] * len(checks)
    assert gate.peak == 2
    await directory.close()


async def test_a_password_that_was_right_is_right_again_without_the_work() -> None:
    known = settings()
    directory = AgentDirectory(known)
    gate = Gate()
    directory._hasher = gate  # type: ignore[assignment]
    gate.go.release(100)
    assert await directory.verify("1001", "right")
    assert await directory.verify("login1001", "right")
    assert len(gate.hashes) == 1
    # Another password, another agent and another hash are looked at.
    assert not await directory.verify("1001", "wrong")
    assert await directory.verify("1002", "right")
    assert len(gate.hashes) == 3
    directory.replace(settings().agents)
    assert await directory.verify("1001", "right")
    assert len(gate.hashes) == 4
    await directory.close()


async def test_a_burst_of_many_names_is_bounded_too(sleeps: Sleeps) -> None:
    directory = AgentDirectory(settings(), sleep=sleeps)
    gate = Gate()
    directory._hasher = gate  # type: ignore[assignment]
    burst = [asyncio.create_task(directory.verify(f"nobody{one}", "guess")) for one in range(200)]
    await gate.started.get()
    gate.go.release(len(burst))
    answers = await asyncio.gather(*burst, return_exceptions=True)
    # Two for each of three agents, and 64.
    assert sum(isinstance(answer, TooManyChecks) for answer in answers) == 200 - 70
    assert [answer for answer in answers if not isinstance(answer, TooManyChecks)] == [False] * 70
    await directory.close()


async def test_parallel_guesses_of_one_name_take_turns_and_are_bounded(sleeps: Sleeps) -> None:
    directory = AgentDirectory(settings(), sleep=sleeps)
    gate = Gate()
    directory._hasher = gate  # type: ignore[assignment]
    gate.go.release(100)
    guesses = (directory.verify("1001", "guess") for _ in range(20))
    answers = await asyncio.gather(*guesses, return_exceptions=True)
    # Those that were not looked at are not told as wrong.
    assert sum(isinstance(answer, TooManyChecks) for answer in answers) == 16
    assert [answer for answer in answers if not isinstance(answer, TooManyChecks)] == [False] * 4
    assert gate.peak == 1
    assert len(gate.hashes) == 4
    assert sleeps.asked == [0.5, 1.0]
    await directory.close()


async def test_nobody_takes_the_same_work_as_an_agent(directory: AgentDirectory) -> None:
    gate = Gate()
    directory._hasher = gate  # type: ignore[assignment]
    gate.go.release(3)
    assert not await directory.verify("nobody", "guess")
    # Even if the check succeeded by chance.
    assert not await directory.verify("nobody", "right")
    nobody = gate.hashes[0]
    assert extract_parameters(nobody) == extract_parameters(directory._hashes["1001"])
    with pytest.raises(VerifyMismatchError):
        LIGHT.verify(nobody, "guess")


async def test_without_agents_there_is_work_too() -> None:
    directory = AgentDirectory(
        Settings(processor="LAB", asterisk=AsteriskSettings(username="u", secret=Secret("s")))
    )
    with pytest.raises(VerifyMismatchError):
        PasswordHasher().verify(directory._nobody, "guess")
    assert not await directory.verify("1001", "x")
    await directory.close()


async def test_a_hash_that_argon2_refuses_is_told_and_wrong() -> None:
    broken = settings()
    agent = AgentSettings(
        password_hash=Secret("$argon2id$v=19$m=1,t=1,p=9$c2FsdHNhbHQ$aGFzaA"), extension="1"
    )
    broken.agents["1001"] = agent
    directory = AgentDirectory(broken)
    with capture_logs() as records:
        assert not await directory.verify("1001", "x")
    assert records[0]["event"] == "password_hash of an agent cannot be used"
    assert records[0]["agent"] == "1001"
    await directory.close()


async def test_nothing_tells_a_password_or_hash(directory: AgentDirectory) -> None:
    with capture_logs() as records:
        await directory.verify("1001", "hunter2")
        await directory.verify("hunter2", "1001")
    assert len(records) == 2
    shown = f"{records}{directory!r}{directory.get('1001')!r}{directory.agents()!r}"
    assert "hunter2" not in shown
    assert "argon2" not in shown


async def test_one_password_tried_with_many_names_slows_all_answers(sleeps: Sleeps) -> None:
    plain = settings(**{str(one): "x" for one in range(1001, 1011)})
    limited = msgspec.structs.replace(
        plain, limits=LimitSettings(password_failures_per_minute=6, password_delay_max=8.0)
    )
    directory = AgentDirectory(limited, sleep=sleeps)
    for agent in range(1001, 1008):
        assert not await directory.verify(str(agent), "guess")
    assert sleeps.asked == []
    # The allowance is gone: the right password waits too, but is right.
    assert await directory.verify("1010", "x")
    (asked,) = sleeps.asked
    assert 0 < asked <= 8.0
    await directory.close()


def test_the_allowance_of_wrong_passwords_fills_up_again() -> None:
    spray = _Spray(per_minute=60, delay_max=8.0)
    assert spray.delay(1000.0) == 0.0
    for _ in range(1000):
        spray.failed(1000.0)
    assert spray.delay(1000.0) == 8.0
    assert spray.delay(1005.0) == 3.0
    assert spray.delay(1008.0) == 0.0


async def test_checks_that_wait_because_of_wrong_passwords_are_bounded() -> None:
    go = asyncio.Event()
    delayed = 0

    async def wait(_seconds: float) -> None:
        nonlocal delayed
        delayed += 1
        await go.wait()

    plain = settings(**{str(one): "x" for one in range(1001, 1041)})
    directory = AgentDirectory(plain, sleep=wait)
    directory._spray._left, directory._spray._at = -8.0, asyncio.get_running_loop().time()
    checks = [asyncio.create_task(directory.verify(str(one), "x")) for one in range(1001, 1041)]
    async with asyncio.timeout(10):
        done, _ = await asyncio.wait(checks, return_when=asyncio.FIRST_COMPLETED)
        assert all(isinstance(check.exception(), TooManyChecks) for check in done)
        go.set()
        answers = await asyncio.gather(*checks, return_exceptions=True)
    assert (delayed, answers.count(True)) == (32, 32)
    await directory.close()


async def test_agents_are_replaced_while_failures_stay(directory: AgentDirectory) -> None:
    for _ in range(3):
        await directory.verify("1001", "guess")
    agents = settings(**{"1001": "new", "1009": "y"}).agents
    directory.replace(agents)
    assert [one.agent_id for one in directory.agents()] == ["1001", "1009"]
    assert directory._failures["1001"].count == 3
    assert await directory.verify("1001", "new")
    assert directory.get("login1002") is None


def test_hash_password() -> None:
    hashed = hash_password("hunter2")
    assert hashed.startswith("$argon2id$")
    assert hashed != hash_password("hunter2")
    assert PasswordHasher().verify(hashed, "hunter2")
    for wrong in ("", "x" * 1025):
        with pytest.raises(ValueError, match="1 to 1024"):
            hash_password(wrong)
