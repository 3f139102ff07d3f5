"""What travels between the pool and its workers: headers, frames, and records as plain tuples.

Two private pairs of sockets per worker, each message one packet:

    inbox   pool -> worker   CALL_HEAD + body, one per call; what is unread can be taken back
    link    worker -> pool   ANSWER_HEAD + body, in frames of at most 64 KiB
            pool -> worker   CONTROL messages

What nearly all calls have is no class instance when it is pickled: tuples of standard types cost a
third of dataclasses, and cannot fail to be read at the other end. Guards and references to
secrets, which few units have, travel as they are.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import fields
from operator import attrgetter
from typing import Any

from batchrun.model.outcome import (
    NO_OUTPUT,
    Aborted,
    Cancelled,
    Captured,
    Failed,
    Lost,
    Ok,
    Outcome,
    Output,
    Report,
    Skipped,
    TimedOut,
    Unreachable,
)
from batchrun.model.unit import Order, Unit

__all__ = [
    "ANSWER_HEAD",
    "CALL_HEAD",
    "COMMAND",
    "CONTROL",
    "ERROR",
    "FRAME_BYTES",
    "FUNCTION",
    "NONE",
    "PART",
    "PICKLE_PROTOCOL",
    "PROGRESS",
    "READY",
    "REPORT",
    "SPILLED",
    "SPILL_BYTES",
    "STDERR",
    "STDOUT",
    "TASK_ERROR",
    "U64",
    "UNIT",
    "VALUE",
    "frames",
    "order_from_tuple",
    "order_to_tuple",
    "report_from_tuple",
    "report_to_tuple",
]

#: Both ends are the same interpreter, so the newest protocol is always understood.
PICKLE_PROTOCOL = 5

#: Calls: kind, length of the pickled function in front of the arguments, id of the call.
CALL_HEAD = struct.Struct("<BxHQ")
FUNCTION = 1
UNIT = 2
#: The whole message, its own head included, is in the memory that came with the packet.
SPILLED = 3
#: Longer messages go by a file in memory: a packet of 300 kB fails with EMSGSIZE.
SPILL_BYTES = 100 * 1024

#: Control messages: kind (`STOP` or `ACKNOWLEDGE` of `context`), number of the unit, size in bytes.
CONTROL = struct.Struct("<BQQ")

#: Answers: kind, seconds that the call took (for those that end one), id of the call.
ANSWER_HEAD = struct.Struct("<BxxxfQ")
#: The worker has started and reads its inbox.
READY = 1
#: A piece of a long body; the rest follows before anything else does.
PART = 2
#: A command's pid, live output, bytes done: said while the call runs.
COMMAND = 3
STDOUT = 4
STDERR = 5
PROGRESS = 6
#: The rest end a call: a pickled value, None, an exception with its text, texts only, a report.
VALUE = 7
NONE = 8
ERROR = 9
TASK_ERROR = 10
REPORT = 11
#: Packets of one frame fit a socket's default buffer three times over.
FRAME_BYTES = 64 * 1024
#: Body of COMMAND and PROGRESS.
U64 = struct.Struct("<Q")

_BODY_BYTES = FRAME_BYTES - ANSWER_HEAD.size


def frames(kind: int, elapsed_s: float, call_id: int, body: bytes) -> Iterator[bytes]:
    """Cut an answer into packets: PARTs, then the one that carries its kind."""
    last = 0
    if len(body) > _BODY_BYTES:
        head = ANSWER_HEAD.pack(PART, 0.0, call_id)
        view = memoryview(body)
        last = (len(body) - 1) // _BODY_BYTES * _BODY_BYTES
        for start in range(0, last, _BODY_BYTES):
            yield head + view[start : start + _BODY_BYTES]
    yield ANSWER_HEAD.pack(kind, elapsed_s, call_id) + body[last:]


def order_to_tuple(order: Order) -> tuple[Any, ...]:
    """Reduce an order to what a worker needs of it; what most have none of comes last, or not."""
    unit = order.unit
    values = (
        order.number,
        order.attempt,
        unit.task_id,
        unit.index,
        unit.label,
        unit.operation,
        dict(unit.params),
        unit.timeout_s,
    )
    if (
        unit.around is None
        and unit.capture_bytes is None
        and not order.secrets
        and order.chunk is None
    ):
        return values
    return (*values, unit.around, unit.capture_bytes, dict(order.secrets), order.chunk)


def order_from_tuple(values: tuple[Any, ...]) -> Order:
    """Make the order again; limits and locks, which a worker has no use for, are empty."""
    number, attempt, task_id, index, label, operation, params, timeout_s, *rest = values
    around, capture_bytes, secrets, chunk = rest or (None, None, {}, None)
    unit = Unit(
        task_id=task_id,
        index=index,
        label=label,
        operation=operation,
        params=params,
        timeout_s=timeout_s,
        around=around,
        capture_bytes=capture_bytes,
    )
    return Order(number=number, attempt=attempt, unit=unit, secrets=secrets, chunk=chunk)


_OUTCOMES: tuple[type[Outcome], ...] = (
    Ok,
    Failed,
    TimedOut,
    Unreachable,
    Lost,
    Cancelled,
    Aborted,
    Skipped,
)
_BY_KIND = {cls.kind: (cls, tuple(field.name for field in fields(cls))) for cls in _OUTCOMES}


def _values_getter(names: tuple[str, ...]) -> Callable[[Outcome], tuple[Any, ...]]:
    """Make a function that reads these attributes as a tuple, also when there is one only."""
    if len(names) > 1:
        return attrgetter(*names)
    name = names[0]
    return lambda outcome: (getattr(outcome, name),)


_VALUES = {cls: _values_getter(names) for cls, names in _BY_KIND.values()}


#: The answers of nearly all short units; making one anew takes as long as reading its packet.
_COMMON = {
    _VALUES[Ok](outcome): outcome
    for outcome in (Ok(changed=False), Ok(changed=True), Ok(changed=True, exit_status=0))
}


def _outcome_from_tuple(kind: str, values: tuple[Any, ...]) -> Outcome:
    if kind == Ok.kind and values in _COMMON:
        return _COMMON[values]
    cls, names = _BY_KIND[kind]
    return cls(**dict(zip(names, values, strict=True)))


#: What a report says after its bytes, when it says nothing.
_REST = ("", (), None, None)


def _captured_to_tuple(captured: Captured) -> tuple[Any, ...]:
    return captured.head, captured.tail, captured.omitted_bytes, captured.spool


def _captured_from_tuple(values: tuple[bytes, bytes, int, str]) -> Captured:
    head, tail, omitted_bytes, spool = values
    return Captured(head=head, tail=tail, omitted_bytes=omitted_bytes, spool=spool)


def report_to_tuple(report: Report) -> tuple[Any, ...]:
    """Reduce a report to a tuple of standard types; `worker` is left to the receiver."""
    outcome, output = report.outcome, report.output
    values = (
        report.number,
        report.attempt,
        outcome.kind,
        _VALUES[type(outcome)](outcome),
        report.started_at,
        report.duration_s,
        None
        if output is NO_OUTPUT
        else (_captured_to_tuple(output.stdout), _captured_to_tuple(output.stderr)),
        report.warnings,
        report.bytes_done,
    )
    # What few reports have is left out of the others.
    if report.spread is not None or report.answer is not None:
        return (*values, report.diff, report.errors, report.spread, report.answer)
    return (*values, report.diff, report.errors) if report.diff or report.errors else values


def report_from_tuple(values: tuple[Any, ...], worker: str) -> Report:
    """Make the report again, as said by this worker."""
    number, attempt, kind, outcome, started_at, duration_s, streams, warnings, *rest = values
    said: list[Any] = [*rest, *_REST[len(rest) - 1 :]]
    bytes_done, diff, errors, spread, answer = said
    return Report(
        number=number,
        attempt=attempt,
        outcome=_outcome_from_tuple(kind, outcome),
        started_at=started_at,
        duration_s=duration_s,
        output=NO_OUTPUT
        if streams is None
        else Output(
            stdout=_captured_from_tuple(streams[0]), stderr=_captured_from_tuple(streams[1])
        ),
        warnings=warnings,
        bytes_done=bytes_done,
        diff=diff,
        errors=errors,
        worker=worker,
        spread=spread,
        answer=answer,
    )
