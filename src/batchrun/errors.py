"""Every exception of the program; each class owns its exit code.

    BatchrunError                    1   batchrun itself failed
    ├── UsageError                  64   the command line is wrong
    ├── JobFileError                65   the job file is wrong; nothing was run
    ├── PluginError                 65   an installed package's operation cannot be used
    ├── LockHeldError               75   another run of this job is going on
    ├── JournalError                 1   a run cannot be recorded, or its record cannot be read
    │   └── RecordNotBegunError      1   a run was killed before its record was begun
    ├── NodeSetError                65   a node set cannot be read, or names what there is not
    ├── SourceError                      a `foreach` source could not be read to its end
    ├── OperationError                   an operation on files could not do its work
    ├── UnreachableError                 there is no session with a host
    ├── UnitStoppedError                 a unit was asked to stop, or ran out of time
    ├── WorkerTaskError                  a pool function's error or result cannot be pickled
    └── WorkerLostError                  the process that ran a function given to the pool died

The last six never leave the engine as exceptions: they become outcomes (data).
"""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "BatchrunError",
    "JobFileError",
    "JournalError",
    "LockHeldError",
    "NodeSetError",
    "OperationError",
    "PluginError",
    "Problem",
    "RecordNotBegunError",
    "SourceError",
    "UnitStoppedError",
    "UnreachableError",
    "UsageError",
    "WorkerLostError",
    "WorkerTaskError",
]


class BatchrunError(Exception):
    """The root: whatever the program raises on purpose is one of these."""

    exit_code = 1


class UsageError(BatchrunError):
    """The command line asks for something that does not exist or contradicts itself."""

    exit_code = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a job file."""

    #: The file as the user named it.
    file: str
    #: Line of the mistake, counted from 1; None when the file as a whole is meant.
    line: int | None
    #: Where in the structure, such as `tasks[3].copy.mode`; empty for the whole file.
    path: str
    #: One sentence: what is wrong; what to write instead.
    message: str

    def __str__(self) -> str:
        """Format as `FILE:LINE: PATH: MESSAGE`, leaving out what is not known."""
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (where, self.path, self.message) if part)


class JobFileError(BatchrunError):
    """A job file has mistakes; carries all of them, in the order of their lines."""

    exit_code = 65

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class PluginError(BatchrunError):
    """An operation that another installed package adds cannot be used; the message says why."""

    exit_code = 65


class NodeSetError(BatchrunError):
    """A node set cannot be read, or names what there is not; the message says what to write."""

    exit_code = 65


class LockHeldError(BatchrunError):
    """Another run holds the lock of this job."""

    exit_code = 75


class JournalError(BatchrunError):
    """A run cannot be recorded, or its record cannot be read.

    Args:
        message: One sentence that names the place and the reason.
        reason: The reason alone, in a few words; empty: there is none that is worth a table.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class RecordNotBegunError(JournalError):
    """There is a record, but nothing is in it: its run is just beginning, or never began."""


class SourceError(BatchrunError):
    """A `foreach` source failed while it was read; the message says which and why."""


class OperationError(BatchrunError):
    """An operation could not do its work.

    Args:
        message: One sentence that names the path and the reason.
        errno: The number of the system error behind it, if there was one.
        retryable: False when the same attempt would fail again for certain (a refusal).
    """

    def __init__(self, message: str, *, errno: int | None = None, retryable: bool = True) -> None:
        super().__init__(message)
        self.errno = errno
        self.retryable = retryable


class UnreachableError(BatchrunError):
    """There is no session with a host: nothing was done there.

    Args:
        message: One sentence with the stage that failed, the reason, and what to do.
        retryable: False when another attempt would fail again for certain (a wrong host key).
    """

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class UnitStoppedError(BatchrunError):
    """Raised inside an operation at its next check after a stop or its deadline.

    Args:
        timed_out: True when the unit's own time is over, False when it was told to stop.
    """

    def __init__(self, *, timed_out: bool) -> None:
        super().__init__("out of time" if timed_out else "stopped")
        self.timed_out = timed_out


class WorkerTaskError(BatchrunError):
    """A function given to the pool raised an error, or returned a value, that cannot be pickled.

    The message holds the text of the original, `traceback_text` where it came from.
    """

    def __init__(self, message: str, traceback_text: str = "") -> None:
        super().__init__(message)
        self.traceback_text = traceback_text

    def __reduce__(self) -> tuple[type["WorkerTaskError"], tuple[str, str]]:
        """Survive pickling with both arguments."""
        return type(self), (str(self), self.traceback_text)


class WorkerLostError(BatchrunError):
    """The worker process died while it ran this function; the message says how."""
