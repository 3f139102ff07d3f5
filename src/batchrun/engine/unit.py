"""Run one unit, the same way in a worker process and in process; every ending becomes a Report.

`guarded` holds the one blind `except` of the program: whatever foreign code raises is turned
into a value there, so that no caller has to fear it.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from batchrun.errors import OperationError, UnitStoppedError
from batchrun.model.operation import Context, Done, OperationTable
from batchrun.model.outcome import Cancelled, Failed, Outcome, Report, TimedOut
from batchrun.model.unit import Order, RunSettings

__all__ = [
    "ACKNOWLEDGE",
    "STOP",
    "Control",
    "Raised",
    "UnitContext",
    "Upward",
    "defect_text",
    "find_table",
    "guarded",
    "run_unit",
]

#: Kinds of control message. End the unit of this number.
STOP = 1
#: So many bytes of this unit's live output have been shown.
ACKNOWLEDGE = 2

#: Live output sent ahead of its acknowledgement, in bytes, before the operation is held up.
_WINDOW_BYTES = 1024 * 1024
#: Between two progress records of a unit, in seconds: more often nobody can read them.
_PROGRESS_S = 0.2
_MOST_WARNINGS = 20
_NO_KWDS: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Raised:
    """What `guarded` answers when the function raised."""

    error: BaseException


def guarded(
    function: Callable[..., Any],
    args: tuple[Any, ...] = (),
    kwds: Mapping[str, Any] = _NO_KWDS,
) -> Any:
    """Call foreign code; an exception of any kind comes back as `Raised`.

    SystemExit is caught too: a function that calls `sys.exit` ends itself, not its worker.
    """
    try:
        return function(*args, **kwds)
    except BaseException as error:
        return Raised(error)


@cache
def find_table(reference: str) -> OperationTable:
    """Import the table of operations named by `package.module:ATTRIBUTE`, once.

    Raises:
        ImportError, AttributeError: there is no such thing.
    """
    module, _, attribute = reference.partition(":")
    table: OperationTable = getattr(import_module(module), attribute)
    return table


def run_unit(order: Order, context: Context, table: OperationTable | str) -> Report:
    """Run one attempt of a unit; never raises.

    Args:
        order: Which.
        context: What its operation sees of the runner.
        table: The operations, or where to import them from (see `find_table`).
    """
    started_at = time.time()
    began = time.monotonic()
    result = guarded(_perform, (order, context, table))
    done = result if type(result) is Done else _ending_without_done(result, order)
    return Report(
        number=order.number,
        attempt=order.attempt,
        outcome=done.outcome,
        started_at=started_at,
        duration_s=time.monotonic() - began,
        output=done.output,
        warnings=done.warnings[:_MOST_WARNINGS],
        bytes_done=done.bytes_done,
    )


def _perform(order: Order, context: Context, table: OperationTable | str) -> Done:
    """Look the operation up, build its parameters, call it."""
    unit = order.unit
    operations = find_table(table) if isinstance(table, str) else table
    operation = operations.get(unit.operation)
    if operation is None:
        message = f"there is no operation `{unit.operation}` in the table of this run"
        raise OperationError(message, retryable=False)
    return operation.function(operation.params(**unit.params), context)


def _ending_without_done(result: object, order: Order) -> Done:
    """Say how a unit ended whose operation did not answer as it should."""
    if isinstance(result, Raised):
        return Done(outcome=_outcome_of(result.error, order))
    what = f"it answered with a {type(result).__name__} instead of a Done"
    return Done(outcome=Failed(message=_defect(order, what), retryable=False))


def _outcome_of(error: BaseException, order: Order) -> Outcome:
    """Turn an exception of an operation into the outcome it stands for."""
    match error:
        case UnitStoppedError(timed_out=True):
            return TimedOut(limit_s=order.unit.timeout_s or 0.0)
        case UnitStoppedError():
            return Cancelled(was_running=True)
        case OperationError():
            return Failed(message=str(error), errno=error.errno, retryable=error.retryable)
        case OSError():
            return Failed(message=_system_error(error), errno=error.errno)
        case _:
            what = guarded(_described, (error,))
            return Failed(
                message=_defect(order, what if isinstance(what, str) else type(error).__name__),
                traceback=defect_text(error),
                retryable=False,
            )


def _defect(order: Order, what: str) -> str:
    """Make the sentence about a defect of an operation."""
    return f"this is a defect of the operation `{order.unit.operation}`: {what}"


def _described(error: BaseException) -> str:
    """Return an exception as `Class: text`; its own `__str__` may raise."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def defect_text(error: BaseException) -> str:
    """Return an exception's traceback as text; empty when even that cannot be made."""
    import traceback  # noqa: PLC0415  # needed once in a blue moon, and workers start faster

    lines = guarded(traceback.format_exception, (error,))
    return "" if isinstance(lines, Raised) else "".join(lines)


def _system_error(error: OSError) -> str:
    """Make a sentence of a system error: the paths it is about, then what the system says."""
    reason = error.strerror or str(error) or type(error).__name__
    names = [_shown(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' -> '.join(names)}: {reason}" if names else reason


def _shown(name: object) -> str:
    """Return a path as one line of text without control characters or lone surrogates."""
    text = os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else str(name)
    if text.isprintable():
        return text
    return "".join(
        char
        if char.isprintable()
        else f"\\x{ord(char) - 0xDC00:02x}"
        if "\udc80" <= char <= "\udcff"
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


class Upward(Protocol):
    """Where a context passes on what its unit has to say while it runs."""

    def command_started(self, pid: int) -> None:
        """A command runs now, in the process group led by `pid`."""

    def live_output(self, stream: str, data: bytes) -> None:
        """A piece of output; `stream` is `stdout` or `stderr`."""

    def progress(self, bytes_done: int) -> None:
        """So many bytes of file data are done in this attempt."""


class Control(Protocol):
    """Where stops and acknowledgements arrive.

    It outlives units: what was meant for one that has ended is read and dropped by the next.
    """

    #: The other end was closed: whoever would take an answer is dead.
    parent_gone: bool

    def fileno(self) -> int:
        """Return the descriptor that polls readable when there is a message."""

    def next(self) -> tuple[int, int, int] | None:
        """Read one message, as (kind, number, size); None when there is none now."""


class UnitContext:
    """The Context of one attempt, over a control socket and a way up."""

    __slots__ = (
        "_control",
        "_names",
        "_progress_due",
        "_stopped",
        "_unacknowledged",
        "_upward",
        "attempt",
        "control_fd",
        "deadline",
        "label",
        "number",
        "settings",
        "task_id",
    )

    control_fd: int | None
    deadline: float | None

    def __init__(
        self, order: Order, settings: RunSettings, control: Control, upward: Upward
    ) -> None:
        unit = order.unit
        self.settings = settings
        self.number = order.number
        self.attempt = order.attempt
        self.task_id = unit.task_id
        self.label = unit.label
        self.deadline = None if unit.timeout_s is None else time.monotonic() + unit.timeout_s
        self.control_fd = control.fileno()
        self._control = control
        self._upward = upward
        self._names = 0
        self._progress_due = 0.0
        self._stopped = False
        self._unacknowledged = 0

    def check(self) -> None:
        """Raise UnitStoppedError when the unit was told to stop or its time is over."""
        self._listen()
        if self._stopped or self._control.parent_gone:
            raise UnitStoppedError(timed_out=False)
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise UnitStoppedError(timed_out=True)

    def command_started(self, pid: int) -> None:
        """Pass on which process leads the command's group."""
        self._upward.command_started(pid)

    def live_output(self, stream: str, data: bytes) -> bool:
        """Pass on output; False when a window's worth of it is unacknowledged."""
        self._unacknowledged += len(data)
        self._upward.live_output(stream, data)
        if self._unacknowledged >= _WINDOW_BYTES:
            self._listen()
        return self._unacknowledged < _WINDOW_BYTES

    def progress(self, bytes_done: int) -> None:
        """Pass on the count of bytes, at most five times a second."""
        now = time.monotonic()
        if now >= self._progress_due:
            self._progress_due = now + _PROGRESS_S
            self._upward.progress(bytes_done)

    def temp_name(self) -> str:
        """Return a file name that no other attempt of any unit of any run uses."""
        self._names += 1
        return f".br-{self.settings.run_id}-{self.number}-{self.attempt}-{self._names}"

    def _listen(self) -> None:
        """Take in what has arrived on the control socket."""
        while (message := self._control.next()) is not None:
            kind, number, size = message
            if number != self.number:
                continue
            if kind == STOP:
                self._stopped = True
            elif kind == ACKNOWLEDGE:
                self._unacknowledged = max(0, self._unacknowledged - size)
