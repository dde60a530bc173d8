"""The agent directory: who the agents are, and whether a password is theirs.

Passwords are checked with argon2 in worker threads, so the event loop never waits for them. An agent that
doesn't exist takes the same work as one that does. A password that was right is right again without that
work, for as long as the process lives and the hash is the same: after an outage all agents log in at once.
Wrong passwords never lock an agent out, they
make the answers slower: those about the same name first (`limits.password_free_failures`), then all answers
to the bridge, when passwords are tried with one name after the other
(`limits.password_failures_per_minute`).
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError, VerifyMismatchError

from connector.config import AgentSettings, Settings
from connector.destinations.directory import TooManyChecks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 2
_LONGEST_PASSWORD: Final = 1024
_FIRST_DELAY: Final = 0.5
"""Seconds; doubles with every further failure."""
_FORGIVEN_AFTER: Final = 600.0
"""Seconds without a failure after which failures are forgotten."""
_WAITING_AT_MOST: Final = 4
"""Checks of one name that may be under way or wait; more are refused at once."""
_DELAYED_AT_MOST: Final = 32
"""Checks that may wait at once because of wrong passwords of all names together; more are refused."""
_CHECKS_BESIDE: Final = 64
"""Checks that may be under way or wait at once, besides two for each agent; more are refused at once."""
_STRANGERS_AT_MOST: Final = 1000
"""Names of no agent for which failures are counted."""


_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""What hashes are made with (OWASP's advice for argon2id); they are checked with what they were made with."""


@dataclass(frozen=True, slots=True)
class AgentRecord:
    """One agent, without the password's hash."""

    agent_id: str
    login: str
    first_name: str
    last_name: str
    extension: str
    queues: tuple[str, ...]
    team: str
    penalty: int
    supervises: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        """First and last name, or the id of an agent without names."""
        return f"{self.first_name} {self.last_name}".strip() or self.agent_id


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    waiting: int = 0
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class _Spray:
    """Counts the wrong passwords of all names together: the bridge's allowance, so many a minute."""

    def __init__(self, per_minute: int, delay_max: float) -> None:
        self._full = float(per_minute)
        self._per_second = per_minute / 60
        self._delay_max = delay_max
        self._left = self._full
        self._at = 0.0
        self.waiting = 0
        """Checks that wait now."""

    def delay(self, now: float) -> float:
        """Return the seconds that a check has to wait; 0 while the allowance lasts."""
        self._fill(now)
        return min(self._delay_max, max(0.0, -self._left / self._per_second))

    def failed(self, now: float) -> None:
        """Take a wrong password off the allowance; the debt is bounded, so that it ends soon after."""
        self._fill(now)
        self._left = max(self._left - 1, -self._delay_max * self._per_second)

    def _fill(self, now: float) -> None:
        self._left = min(self._full, self._left + (now - self._at) * self._per_second)
        self._at = now


class AgentDirectory:
    """Finds agents by id or login name and checks their passwords. `close` it when done."""

    def __init__(
        self, settings: Settings, *, sleep: "Callable[[float], Awaitable[None]]" = asyncio.sleep
    ) -> None:
        self._sleep = sleep
        self._records: dict[str, AgentRecord] = {}
        self._hashes: dict[str, str] = {}
        self._by_login: dict[str, str] = {}
        self._nobody = ""
        self._free_failures = settings.limits.password_free_failures
        self._delay_max = settings.limits.password_delay_max
        self.failed = 0
        """Wrong passwords since the start, those for names of nobody included."""
        self._spray = _Spray(settings.limits.password_failures_per_minute, self._delay_max)
        self._failures: dict[str, _Failures] = {}
        self._strangers: OrderedDict[str, _Failures] = OrderedDict()
        self._hasher = _HASHER
        self._checks = 0
        self._key = secrets.token_bytes(32)
        self._right: dict[str, tuple[str, bytes]] = {}
        """By agent: the hash, and what the password that fitted it looks like under a key of this process."""
        self._workers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="password")
        self.replace(settings.agents)

    def replace(self, agents: Mapping[str, AgentSettings]) -> None:
        """Have these agents, and no others, from now on. Failures that were counted stay counted."""
        records = {agent_id: _record(agent_id, agent) for agent_id, agent in agents.items()}
        self._hashes = {agent_id: agent.password_hash.reveal() for agent_id, agent in agents.items()}
        self._by_login = {record.login: agent_id for agent_id, record in records.items()}
        self._records = records
        self._nobody = _hash_of_nobody(self._hashes)
        self._right = {
            agent_id: known
            for agent_id, known in self._right.items()
            if self._hashes.get(agent_id) == known[0]
        }
        self._failures = {agent_id: self._failures.get(agent_id) or _Failures() for agent_id in records}

    def __repr__(self) -> str:
        return f"<AgentDirectory of {len(self._records)} agents>"

    def get(self, agent_id: str) -> AgentRecord | None:
        """Return the agent of that id or login name."""
        return self._records.get(agent_id) or self._records.get(self._by_login.get(agent_id, ""))

    def agents(self) -> tuple[AgentRecord, ...]:
        """Return all agents, in the order of their source."""
        return tuple(self._records.values())

    async def verify(self, agent_id: str, password: str) -> bool:
        """Return whether this is the password of the agent with that id or login name.

        Takes some 100 ms, and up to `limits.password_delay_max` seconds more after several failures in a row;
        checks of one name wait for each other.

        Raises:
            TooManyChecks: too many wait already; the password was not looked at.

        """
        record = self.get(agent_id)
        failures = self._failures_of(record, agent_id)
        beyond_all = self._checks >= 2 * len(self._records) + _CHECKS_BESIDE
        if beyond_all or failures.waiting >= _WAITING_AT_MOST:
            log.warning("password check refused: too many at once", agent=_shown(record))
            raise TooManyChecks
        async with _turn(failures):
            now = asyncio.get_running_loop().time
            delay = max(self._delay(failures, now()), self._spray.delay(now()))
            if delay and self._spray.waiting >= _DELAYED_AT_MOST:
                log.warning("password check refused: too many wait after wrong ones", agent=_shown(record))
                raise TooManyChecks
            if delay:
                self._spray.waiting += 1
                try:
                    await self._sleep(delay)
                finally:
                    self._spray.waiting -= 1
            known = record is not None and len(password) <= _LONGEST_PASSWORD
            self._checks += 1
            try:
                right = await self._check(record, password if known else "")
            finally:
                self._checks -= 1
            if right:
                failures.count = 0
                return True
            self.failed += 1
            failures.count += 1
            failures.last = now()
            self._spray.failed(now())
            log.warning("wrong agent id or password", agent=_shown(record), failures=failures.count)
            return False

    async def close(self) -> None:
        """Let go of the worker threads; a check that runs is finished, those that wait are dropped."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    async def _check(self, record: AgentRecord | None, password: str) -> bool:
        # An agent may have been taken out of the directory while its check waited.
        encoded = self._hashes.get(record.agent_id, self._nobody) if record is not None else self._nobody
        typed = _encode(password)
        looks = hmac.digest(self._key, typed, hashlib.sha256)
        if record is not None:
            for_hash, before = self._right.get(record.agent_id, ("", b""))
            if for_hash == encoded and hmac.compare_digest(before, looks):
                return True
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._workers, self._hasher.verify, encoded, typed)
        except VerifyMismatchError:
            return False
        except (Argon2Error, InvalidHashError) as error:
            log.error(  # noqa: TRY400 - the traceback would show nothing more
                "password_hash of an agent cannot be used", agent=_shown(record), problem=type(error).__name__
            )
            return False
        if record is None:
            return False
        self._right[record.agent_id] = (encoded, looks)
        return True

    def _failures_of(self, record: AgentRecord | None, name: str) -> _Failures:
        if record is not None:
            return self._failures[record.agent_id]
        found = self._strangers.pop(name[:_LONGEST_PASSWORD], None) or _Failures()
        self._strangers[name[:_LONGEST_PASSWORD]] = found
        if len(self._strangers) > _STRANGERS_AT_MOST:
            self._strangers.popitem(last=False)
        return found

    def _delay(self, failures: _Failures, now: float) -> float:
        if failures.count and now - failures.last > _FORGIVEN_AFTER:
            failures.count = 0
        beyond = failures.count - self._free_failures
        # The exponent is bounded: the count is not.
        return (
            min(self._delay_max, _FIRST_DELAY * 2 ** min(beyond, 16))
            if beyond >= 0 and failures.count
            else 0.0
        )


@asynccontextmanager
async def _turn(failures: _Failures) -> "AsyncIterator[None]":
    """One check of a name at a time, so that the delay can't be dodged by asking in parallel."""
    failures.waiting += 1
    try:
        async with failures.turn:
            yield
    finally:
        failures.waiting -= 1


def _record(agent_id: str, agent: AgentSettings) -> AgentRecord:
    return AgentRecord(
        agent_id=agent_id,
        login=agent.login or agent_id,
        first_name=agent.first_name,
        last_name=agent.last_name,
        extension=agent.extension,
        queues=agent.queues,
        team=agent.team,
        penalty=agent.penalty,
        supervises=agent.supervises,
    )


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password, as `agents.<id>.password_hash` takes it.

    Raises:
        ValueError: the password is empty or longer than 1024 characters.

    """
    if not 0 < len(password) <= _LONGEST_PASSWORD:
        raise ValueError(f"expected a password of 1 to {_LONGEST_PASSWORD} characters")
    return _HASHER.hash(_encode(password))


def _encode(password: str) -> bytes:
    # JSON can carry lone surrogates: a wrong password then, not an error.
    return password.encode(errors="surrogatepass")


def _hash_of_nobody(hashes: Mapping[str, str]) -> str:
    """Return a hash that no password fits, of the same cost as the agents' own."""
    sample = next(iter(hashes.values()), None)
    if sample is None:
        cost = f"m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
        sample = f"$argon2id$v=19${cost}${_random(16)}${_random(32)}"
    head, _, digest = sample.rpartition("$")
    return f"{head}${_random(len(digest) * 3 // 4)}"


def _random(size: int) -> str:
    return base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")


def _shown(record: AgentRecord | None) -> str:
    # What was typed as a name may be a password in the wrong field.
    return "(unknown)" if record is None else record.agent_id
