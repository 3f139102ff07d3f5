"""Where everything is: the state directory, and in it one directory for each run.

    STATE/index.sqlite                 all runs, made again from the others when it is lost
    STATE/runs/RUN/journal.sqlite      the record of one run
    STATE/runs/RUN/lock                held by the kernel as long as that run goes on
    STATE/runs/RUN/items/              items that could be read only once

Everything is for its owner only.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from batchrun.errors import JournalError

__all__ = ["RunDir", "StateDir"]

_PRIVATE_DIR = 0o700


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
        return self.path / "journal.sqlite"

    @property
    def lock(self) -> Path:
        """What is locked while it goes on."""
        return self.path / "lock"

    @property
    def items(self) -> Path:
        """Items that could be read only once."""
        return self.path / "items"


@dataclass(frozen=True, slots=True)
class StateDir:
    """The directory in which runs are recorded; it need not exist."""

    path: Path

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
        """Return the ids of all recorded runs, oldest first."""
        try:
            with os.scandir(self.runs) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir())
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
