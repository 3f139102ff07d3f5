"""What an operation is: a parameter class, a function, and what the engine must know of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from batchrun.model.outcome import NO_OUTPUT, Ok, Outcome, Output
from batchrun.model.tree import Spread
from batchrun.model.unit import RunSettings

if TYPE_CHECKING:
    from batchrun.model.secret import Mask

__all__ = [
    "NOT_KNOWN_YET",
    "Context",
    "Done",
    "Operation",
    "OperationTable",
    "PathUse",
    "Terms",
]

#: What `Operation.check` gets for a parameter that is given, but computed for each unit.
NOT_KNOWN_YET: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What only a command wants to know of its attempt."""

    #: Its place among the commands that run at the same time, from 1; no two share one.
    slot: int = 1
    #: Wall time that the attempt may take, in seconds; None: no limit.
    timeout_s: float | None = None
    #: Bytes of standard output kept whole, instead of the run's head and tail; None: these.
    capture_bytes: int | None = None
    #: Hides secrets in whatever the command writes; None: there are none.
    mask: "Mask | None" = None
    #: Niceness to add, of what runs on a host; None: as it comes. Here a thread has it already.
    nice: int | None = None
    #: Class and level of disk priority, likewise.
    ionice: tuple[str, int] | None = None


class Context(Protocol):
    """What an operation sees of the world that runs it; the same in a worker and in process.

    All members are for the one thread that runs the operation. None of them blocks.
    """

    @property
    def settings(self) -> RunSettings:
        """What is the same for the whole run."""

    @property
    def number(self) -> int:
        """The unit's number within the run."""

    @property
    def attempt(self) -> int:
        """Which try, from 1."""

    @property
    def task_id(self) -> str:
        """The task that the unit belongs to."""

    @property
    def label(self) -> str:
        """The unit's item as people see it; empty without `foreach`."""

    @property
    def deadline(self) -> float | None:
        """When this attempt must be over, by `time.monotonic()`; None: no limit."""

    @property
    def terms(self) -> Terms:
        """What only commands want to know."""

    @property
    def control_fd(self) -> int | None:
        """A descriptor that polls readable when `check()` may have something to raise.

        A command waits on it beside the command's own pipes. Never read it: call `check()`.
        """

    def check(self) -> None:
        """Return at once when all is well; called between files and between big reads.

        Raises:
            UnitStoppedError: the unit was told to stop, or its deadline has passed.
        """

    def command_started(self, pid: int) -> None:
        """Tell the parent which process leads the command's group, before waiting for it."""

    def live_output(self, stream: str, data: bytes) -> bool:
        """Pass on output while the command runs; `stream` is `stdout` or `stderr`.

        Returns:
            False when too much is unacknowledged: stop reading that command until
            `control_fd` polls readable and `check()` was called.
        """

    def progress(self, bytes_done: int) -> None:
        """Count bytes of file data done so far in this attempt (a total, not a step)."""

    def temp_name(self) -> str:
        """Return a file name, `.br-<run>-<n>`, that no other unit uses; no directory part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What an operation returns."""

    outcome: Outcome
    output: Output = NO_OUTPUT
    #: What could not be preserved or was noted, as sentences; at most 20 are kept.
    warnings: tuple[str, ...] = ()
    #: What went wrong with each of several files, when the outcome cannot say it all.
    errors: tuple[str, ...] = ()
    #: Bytes of file data read or written.
    bytes_done: int = 0
    #: What changed in a text file, or would, as a unified diff (`RunSettings.diff`).
    diff: str = ""
    #: The rest is for several workers; then `outcome` counts for nothing. Only where
    #: `RunSettings.slice_cost` asks for it.
    spread: Spread | None = None
    #: Of a chunk: what its TreeOperation is to know; standard types only.
    answer: object = None

    @classmethod
    def unchanged(cls, note: str = "") -> "Done":
        """Make the answer of an operation that found everything as asked."""
        return cls(outcome=Ok(changed=False, note=note))

    @classmethod
    def changed(cls, note: str = "") -> "Done":
        """Make the answer of an operation that changed something, or would in a dry run."""
        return cls(outcome=Ok(changed=True, note=note))


@dataclass(frozen=True, slots=True, kw_only=True)
class PathUse:
    """What an operation does to the path in one of its parameters."""

    #: The parameter.
    field: str
    effect: Literal["reads", "changes", "removes"]
    #: Everything below the path as well; False: the path itself only.
    whole: bool = True
    #: Parameter with the sources: a path that ends in `/` means their names inside it.
    into: str = ""
    #: Counts only when this parameter is given and true.
    only_if: str = ""
    #: Does not count when this parameter is given and true.
    unless: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row of a table of operations."""

    name: str
    #: One sentence for `ops` and the reference.
    summary: str
    #: Frozen standard-library dataclass, keyword-only; fields documented by `Annotated[T, Doc]`.
    params: type[Any]
    #: `function(params, context) -> Done`. Raises OperationError, OSError, UnitStoppedError.
    #: With `context.settings.dry_run` it looks, changes nothing, and answers as the run would.
    #: The context of one on hosts is a `HostContext`.
    function: Callable[[Any, Any], Done]
    #: The field that a string or a list instead of a mapping stands for.
    main: str
    #: Fields that may not be given together with anything else, or combinations: checked here.
    #: Gets the keyword arguments, `NOT_KNOWN_YET` for what each unit computes; returns sentences.
    check: Callable[[Mapping[str, Any]], list[str]] | None = None
    #: Runs a command: takes `env`, `cwd`, `stdin`, `shell`, `ok_codes`; never queued ahead.
    is_command: bool = False
    #: Doing it again after it was interrupted half-way gives the same end result.
    repeatable: bool = True
    #: Which parameters are paths that it uses, and how; for the check of tasks without order.
    uses: tuple[PathUse, ...] = ()
    #: An example for `ops NAME`, as YAML of one task.
    example: str = ""


OperationTable: TypeAlias = Mapping[str, Operation]
