"""How a unit ended, for good or in one attempt: eight kinds, each with its own data."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from batchrun.model.tree import Spread

__all__ = [
    "KINDS",
    "NO_OUTPUT",
    "NO_STREAM",
    "Aborted",
    "Cancelled",
    "Captured",
    "Failed",
    "Lost",
    "Ok",
    "Outcome",
    "Output",
    "Report",
    "Skipped",
    "TimedOut",
    "Unreachable",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ok:
    """It did what was asked, or had nothing to do."""

    kind: ClassVar[str] = "ok"
    #: The world is different now; in a dry run: would be different.
    changed: bool
    #: One short sentence for people when there is something to say; mostly empty.
    note: str = ""
    #: Exit status of a command (non-zero when `ok_codes` allows it); None for file operations.
    exit_status: int | None = None
    #: A pattern in its parameters matched nothing: a dry run may only be too early for it.
    found_nothing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """It ran and said no."""

    kind: ClassVar[str] = "failed"
    #: One sentence: what failed and why, naming the path.
    message: str
    #: Exit status of a command that ended by itself, else None.
    exit_status: int | None = None
    #: Number of the signal that ended a command, else None.
    signal: int | None = None
    #: Number of the system error of a file operation, else None.
    errno: int | None = None
    #: False when trying again cannot help (a refusal, a parameter that is wrong).
    retryable: bool = True
    #: What it has looked at is not as it should be, and nothing else was wrong; in a dry run, a
    #: task before may be about to mend that.
    finding: bool = False
    #: Traceback text when the failure is a defect of an operation; shown with `--debug` only.
    traceback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut:
    """It ran longer than it may."""

    kind: ClassVar[str] = "timed_out"
    #: The limit that was passed, in seconds.
    limit_s: float
    #: It could not even be killed (blocked in the kernel) and was left behind.
    stuck: bool = False
    #: The limit was for silence (`idle_timeout`): it wrote nothing for so long.
    idle: bool = False
    #: What else is to be said: which step it was, what came of `rescue`; mostly empty.
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """There was no session with the host."""

    kind: ClassVar[str] = "unreachable"
    #: One sentence with the stage that failed and the reason.
    message: str
    #: False when trying again cannot help (a wrong host key).
    retryable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The process or connection that ran it died; how far it got is not known."""

    kind: ClassVar[str] = "lost"
    #: One sentence: what died, by which signal or exit status.
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The user stopped it (a signal)."""

    kind: ClassVar[str] = "cancelled"
    #: It was running when it was stopped; False: it had not started.
    was_running: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Aborted:
    """We stopped it, or never started it: fail limit, failed dependency, deadline."""

    kind: ClassVar[str] = "aborted"
    #: One sentence fragment: because of what.
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """There was nothing to do: `when` was false, a guard held."""

    kind: ClassVar[str] = "skipped"
    #: One sentence fragment: because of what.
    because: str
    #: A dry run cannot know what the unit would do.
    is_unknown: bool = False


Outcome: TypeAlias = Ok | Failed | TimedOut | Unreachable | Lost | Cancelled | Aborted | Skipped

#: The kinds, in the order in which people read them.
KINDS: tuple[str, ...] = (
    "ok",
    "failed",
    "timed_out",
    "unreachable",
    "lost",
    "cancelled",
    "aborted",
    "skipped",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """What a command wrote to one stream: its beginning and its end."""

    #: The first bytes; everything when `omitted_bytes` is 0 and `tail` is empty.
    head: bytes = b""
    #: The last bytes, when head alone could not hold all.
    tail: bytes = b""
    #: Bytes between head and tail that were not kept.
    omitted_bytes: int = 0
    #: File with everything, when head and tail are not (`RunSettings.spool_dir`); else empty.
    spool: str = ""
    #: The streams of several steps, one after the other, when they hold more than head and tail:
    #: those of the last attempt of each step that was run. Else empty.
    parts: "tuple[Captured, ...]" = ()

    @property
    def size_bytes(self) -> int:
        """How much the command wrote in all."""
        return len(self.head) + self.omitted_bytes + len(self.tail)

    def __bool__(self) -> bool:
        """Whether anything was written."""
        return bool(self.head) or bool(self.tail) or self.omitted_bytes > 0


NO_STREAM = Captured()


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Both streams of one attempt."""

    stdout: Captured = NO_STREAM
    stderr: Captured = NO_STREAM

    def __bool__(self) -> bool:
        """Whether anything was written."""
        return bool(self.stdout) or bool(self.stderr)


NO_OUTPUT = Output()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a runner says when an attempt has ended."""

    #: The unit's number within the run.
    number: int
    #: Which try, counted from 1.
    attempt: int
    outcome: Outcome
    #: When the attempt began, seconds since the epoch (UTC); 0.0 when it never began.
    started_at: float
    #: How long it took, in seconds, by the monotonic clock.
    duration_s: float
    output: Output = NO_OUTPUT
    #: Counted warnings: what could not be preserved, what was noted. At most 20 sentences.
    warnings: tuple[str, ...] = ()
    #: What went wrong with each of several files, as sentences, when the outcome's own sentence
    #: cannot hold them all; at most 10 000.
    errors: tuple[str, ...] = ()
    #: Bytes of file data read or written, for progress; 0 where it means nothing.
    bytes_done: int = 0
    #: What changed in a text file, as a unified diff; only with `--diff`.
    diff: str = ""
    #: Who ran it, such as `worker-2`.
    worker: str = ""
    #: The rest of the operation is for several workers; the attempt has not ended.
    spread: Spread | None = None
    #: Of a chunk of a tree operation: what came of it.
    answer: object = None
