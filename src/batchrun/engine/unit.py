"""Run one unit, the same way in a worker process and in process; every ending becomes a Report.

`guarded` holds the one blind `except` of the program: whatever foreign code raises is turned
into a value there, so that no caller has to fear it.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any, TypeAlias

from batchrun.errors import OperationError, UnitStoppedError, UnreachableError
from batchrun.model.around import Around
from batchrun.model.operation import Context, Done, Operation, OperationTable
from batchrun.model.outcome import Cancelled, Failed, Outcome, Report, TimedOut, Unreachable
from batchrun.model.tree import Chunk
from batchrun.model.unit import Order

__all__ = ["Raised", "Within", "defect_text", "find", "find_table", "guarded", "run_unit"]

_MOST_WARNINGS = 20
_NO_KWDS: Mapping[str, Any] = {}

#: Runs an operation if its guards let it, and sees to its output file.
Within: TypeAlias = Callable[[Around, Callable[[], Done], Any], Done]


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
def find(reference: str) -> Any:
    """Import what `package.module:ATTRIBUTE` names, once.

    Raises:
        ImportError, AttributeError: there is no such thing.
    """
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)


def find_table(reference: str) -> OperationTable:
    """Import the table of operations that a reference names (see `find`)."""
    table: OperationTable = find(reference)
    return table


def run_unit(
    order: Order,
    context: Context,
    table: OperationTable | str,
    within: str = "batchrun.ops.around:within",
) -> Report:
    """Run one attempt of a unit; never raises.

    Args:
        order: Which.
        context: What its operation sees of the runner.
        table: The operations, or where to import them from (see `find`).
        within: Where to import the `Within` from that guards the operation.
    """
    started_at = time.time()
    began = time.monotonic()
    result = guarded(_perform, (order, context, table, within))
    done = result if type(result) is Done else _ending_without_done(result, order)
    if order.secrets:
        done = _masked(done, order.secrets)
    return Report(
        number=order.number,
        attempt=order.attempt,
        outcome=done.outcome,
        started_at=started_at,
        duration_s=time.monotonic() - began,
        output=done.output,
        warnings=done.warnings[:_MOST_WARNINGS],
        errors=done.errors,
        bytes_done=done.bytes_done,
        diff=done.diff,
        spread=done.spread,
        answer=done.answer,
    )


def _masked(done: Done, secrets: Mapping[str, str]) -> Done:
    """Hide secrets in everything that an operation has said, whatever it put where."""
    from batchrun.engine.hiding import masked, the_mask  # noqa: PLC0415 - see there

    hidden = guarded(masked, (done, the_mask(secrets)))
    if isinstance(hidden, Done):
        return hidden
    message = "this is a defect of the operation: its answer cannot be searched for secrets"
    return Done(outcome=Failed(message=message, retryable=False))


def _perform(order: Order, context: Context, table: OperationTable | str, within: str) -> Done:
    """Look the operation up, build its parameters, call it."""
    unit = order.unit
    if order.chunk is not None:
        return _perform_chunk(order.chunk, unit.around, context)
    operations: OperationTable = find(table) if isinstance(table, str) else table
    operation = operations.get(unit.operation)
    if operation is None:
        message = f"there is no operation `{unit.operation}` in the table of this run"
        raise OperationError(message, retryable=False)
    if unit.around is None and not order.secrets:
        return operation.function(operation.params(**unit.params), context)
    return _perform_within(order, context, operation, within)


def _perform_chunk(chunk: Chunk, around: Around | None, context: Context) -> Done:
    """Work on a piece of an operation that was spread; its guards were asked before."""

    def call() -> Done:
        return find(chunk.function)(chunk.payload, context)  # type: ignore[no-any-return]  # see Chunk

    if around is None or (around.nice is None and around.ionice is None):
        return call()
    return _at_priority(around, call)


def _perform_within(order: Order, context: Context, operation: Operation, within: str) -> Done:
    """Fill secrets in, ask the guards, set priorities, then call the operation."""
    params, around = order.unit.params, order.unit.around
    if order.secrets:
        from batchrun.engine.hiding import filled_in  # noqa: PLC0415 - see there

        params, around = filled_in(params, around, order.secrets)

    def call() -> Done:
        return operation.function(operation.params(**params), context)

    if around is None:
        return call()
    guard: Within = find(within)  # most units have nothing around them
    # On a host it is the host's process that has a priority, not a thread of ours.
    if order.unit.place is not None or (around.nice is None and around.ionice is None):
        return guard(around, call, context)
    return _at_priority(around, partial(guard, around, call, context))


def _at_priority(around: Around, function: Callable[[], Done]) -> Done:
    """Call a function in a thread of its own, which has the priorities of the unit."""
    import threading  # noqa: PLC0415 - as rare as priorities

    answers: list[Any] = []

    def body() -> None:
        answers.append(guarded(_with_priority, (around, function)))

    thread = threading.Thread(target=body, name="at-priority", daemon=True)
    thread.start()
    thread.join()
    (answer,) = answers
    if isinstance(answer, Raised):
        raise answer.error
    return answer  # type: ignore[no-any-return]  # whatever it is, the caller looks


def _with_priority(around: Around, function: Callable[[], Done]) -> Done:
    from batchrun.ops.priority import set_priority  # noqa: PLC0415 - rarely needed

    set_priority(around.nice, around.ionice)
    return function()


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
        case UnreachableError():
            return Unreachable(message=str(error), retryable=error.retryable)
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
