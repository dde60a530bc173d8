"""What all kinds of laboratories have alike: a name, a folder of their own, and one command at a time."""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import ClassVar, Self

from connector.lab import debian_root, files
from connector.lab.provider import NO_FILES, LabError, LabInfo

_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,30}$")


class NamedLab(ABC):
    """The part of a `LabProvider` that is the same however things are run."""

    _LABS: ClassVar[str]
    """The folder of all labs of this kind, in the cache folder."""

    def __init__(
        self,
        name: str = "default",
        *,
        overlay: Mapping[str, str] = NO_FILES,
        say: debian_root.Say = debian_root.say_on_stderr,
    ) -> None:
        if not _NAME.match(name):
            raise LabError("A laboratory's name has 1 to 31 lower-case letters, digits and hyphens.")
        self.name = name
        self._overlay = overlay
        self._say = say
        self._labs = debian_root.cache_folder() / self._LABS
        self._folder = self._labs / name
        self._state_file = self._folder / files.STATE_FILE

    @abstractmethod
    def up(self, *, broker: bool = True) -> LabInfo:
        """See `LabProvider.up`."""

    @abstractmethod
    def down(self) -> None:
        """See `LabProvider.down`."""

    @abstractmethod
    def asterisk_stop(self, *, kill: bool = False) -> None:
        """Stop Asterisk: orderly, or (`kill`) as a crash would."""

    @abstractmethod
    def asterisk_start(self) -> None:
        """Start Asterisk on the ports that it had, and wait until it is fully booted."""

    def asterisk_restart(self, *, kill: bool = False) -> None:
        """Stop and start Asterisk; calls are lost, accounts and ports stay."""
        before = int(time.time())
        self.asterisk_stop(kill=kill)
        # Asterisk tells the whole second of its start only, which is how a restarted one is known.
        time.sleep(max(0.0, before + 1 - time.time()))
        self.asterisk_start()

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with debian_root.locked(
            self._labs / f"{self.name}.lock",
            waiting=lambda: self._say(f"Another command is at work on laboratory {self.name!r}: waiting …"),
        ):
            yield
