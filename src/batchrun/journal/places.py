"""Where everything is: the state directory, and in it one directory for each run.

    STATE/index.sqlite                 all runs, made again from the others when it is lost
    STATE/runs/RUN/journal.sqlite      the record of one run
    STATE/runs/RUN/lock                held by the kernel as long as that run goes on
    STATE/runs/RUN/turn                locked for a moment by a run that begins to go on with it
    STATE/runs/RUN/items/              items that could be read only once

Everything is for its owner only.
"""

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from batchrun.errors import JournalError
from batchrun.model.statedir import own_state_dir

__all__ = ["RunDir", "StateDir", "unusable"]

_PRIVATE_DIR = 0o700
#: What names begin with of records that are being thrown away.
_HIDDEN = "."
_DATABASE = "journal.sqlite"


@dataclass(frozen=True, slots=True)
class RunDir:
    """What is kept of one run."""

    path: Path

    @property
    def run_id(self) -> str:
        """The run's."""
        return self.path.name

    @property
    def database(self) -> Path:
        """Its record."""
        return self.path / _DATABASE

    @property
    def lock(self) -> Path:
        """What is locked while it goes on."""
        return self.path / "lock"

    @property
    def turn(self) -> Path:
        """What is locked by those who begin to go on with it, one after the other."""
        return self.path / "turn"

    @property
    def items(self) -> Path:
        """Items that could be read only once."""
        return self.path / "items"

    def keep(self) -> None:
        """Have its name and those of its files outlast a power cut, not only what is in them."""
        for directory in (self.path, self.path.parent):
            with suppress(OSError):  # some file systems cannot do that for directories
                descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def remove_beginning(self) -> None:
        """Remove what a run makes before its record is begun; anything else stays.

        Raises:
            OSError: it cannot be removed, or there is something else.
        """
        beside = ("-journal", "-wal", "-shm", "")
        for path in (self.lock, *(Path(f"{self.database}{end}") for end in beside)):
            path.unlink(missing_ok=True)
        self.path.rmdir()

    @property
    def size_bytes(self) -> int:
        """How much is kept of it; what vanishes meanwhile does not count."""
        return _size_bytes(os.fspath(self.path))


@dataclass(frozen=True, slots=True)
class StateDir:
    """The directory in which runs are recorded; it need not exist."""

    path: Path

    @classmethod
    def own(cls) -> Self:
        """Return that of whoever runs this process."""
        return cls(own_state_dir())

    @property
    def index(self) -> Path:
        """The database of all runs."""
        return self.path / "index.sqlite"

    @property
    def runs(self) -> Path:
        """The directory with one directory for each run."""
        return self.path / "runs"

    def run(self, run_id: str) -> RunDir:
        """Return where a run is recorded."""
        return RunDir(self.runs / run_id)

    def run_ids(self) -> list[str]:
        """Return the ids of all recorded runs, oldest first.

        A directory without a record is none of ours, or a run that is just beginning.

        Raises:
            JournalError: the state directory cannot be read.
        """
        runs = os.fspath(self.runs)
        return sorted(
            name
            for name in self._names()
            if not name.startswith(_HIDDEN) and os.path.exists(f"{runs}/{name}/{_DATABASE}")
        )

    def leftovers(self) -> list[Path]:
        """Return records that somebody had begun to throw away.

        Raises:
            JournalError: the state directory cannot be read.
        """
        return [self.runs / name for name in self._names() if name.startswith(_HIDDEN)]

    def others(self, run_ids: Collection[str]) -> list[RunDir]:
        """Return all directories of runs but these.

        Raises:
            JournalError: the state directory cannot be read.
        """
        names = (name for name in self._names() if not name.startswith(_HIDDEN))
        return [self.run(name) for name in names if name not in run_ids]

    def hidden(self, run_id: str) -> Path:
        """Return where a record is moved before it is thrown away, so that half of one is none."""
        return self.runs / f"{_HIDDEN}{run_id}"

    def _names(self) -> list[str]:
        try:
            with os.scandir(self.runs) as entries:
                return [one.name for one in entries if one.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []
        except OSError as error:
            message = f"the state directory {self.path} cannot be read: {error.strerror}"
            raise JournalError(message) from error

    def make(self, run_id: str) -> RunDir:
        """Make the directory of a new run.

        Raises:
            FileExistsError: there is one already.
            JournalError: it cannot be made.
        """
        run = self.run(run_id)
        try:
            self.path.mkdir(mode=_PRIVATE_DIR, parents=True, exist_ok=True)
            self.runs.mkdir(mode=_PRIVATE_DIR, exist_ok=True)
            run.path.mkdir(mode=_PRIVATE_DIR)
        except FileExistsError:
            if run.path.is_dir():
                raise
            message = unusable(self.path, "a file is in its place")
            raise JournalError(message) from None
        except OSError as error:
            raise JournalError(unusable(self.path, error.strerror)) from error
        return run


def unusable(path: Path, reason: str | None) -> str:
    """Say that runs cannot be recorded, and what to do."""
    return (
        f"the run cannot be recorded in {path}: {reason}; set BATCHRUN_STATE_DIR to another "
        "directory, or give --no-journal to run without a record"
    )


def _size_bytes(directory: str) -> int:
    total = 0
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with suppress(OSError):
                is_dir = entry.is_dir(follow_symlinks=False)
                stat = entry.stat(follow_symlinks=False)
                total += _size_bytes(entry.path) if is_dir else stat.st_size
    return total
