"""Secrets on their way: read when first needed, kept from whoever looks on.

A unit that needs a secret waits here until it was read, which may take as long as a password
manager takes; it holds its slot and its locks meanwhile, and the loop goes on answering signals,
because a thread of its own does the reading, one secret after the other. Orders carry the values
of all secrets read so far, so that workers can hide them in the output of any unit. Whatever the
loop tells the sinks goes through `masked_event`.
"""

import threading
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from queue import SimpleQueue
from typing import Any

from batchrun.engine.messages import Message, SecretRead
from batchrun.engine.unit import Raised, guarded
from batchrun.errors import SourceError
from batchrun.model.event import Event, RunStarted, UnitEnded
from batchrun.model.outcome import Cancelled, Failed, Outcome, Report
from batchrun.model.ports import Returned, Runner, SecretSource
from batchrun.model.secret import Mask
from batchrun.model.unit import Order

__all__ = ["Secretive", "masked", "masked_event"]

#: Names by which sinks and counts find things again, and what is no data at all: a secret that
#: happens to be spelled like a task must not make one task two.
_KEPT = frozenset({"run_id", "task_id", "operation", "stream", "level", "worker", "program"})

#: Where the records are whose fields sinks look at.
_OURS = ("batchrun.model.", "batchrun.engine.")


class Secretive:
    """Stands before the runner of a job with secrets; only for the loop's thread.

    Args:
        source: Where the values come from.
        runner: Who gets the orders.
        queue: Where the reader's words go, and the reports of units that cannot have theirs.
    """

    def __init__(self, source: SecretSource, runner: Runner, queue: "SimpleQueue[Message]") -> None:
        self._source = source
        self._runner = runner
        self._queue = queue
        #: Hides what was read so far.
        self.mask = Mask(())
        # A new mapping for each secret: orders that carry the old one may be with another thread.
        self._values: Mapping[str, str] = {}
        self._errors: dict[str, str] = {}
        self._waiting: dict[int, Order] = {}
        self._asked: set[str] = set()
        self._wanted: SimpleQueue[str | None] = SimpleQueue()
        self._reader: threading.Thread | None = None

    def submit(self, order: Order) -> None:
        """Pass an order on as soon as its secrets were read."""
        names = order.unit.secrets
        error = next((self._errors[name] for name in names if name in self._errors), None)
        missing = [name for name in names if name not in self._values]
        if error is not None:
            self._end(order, Failed(message=error, retryable=False))
        elif missing:
            self._waiting[order.number] = order
            for name in missing:
                self._ask(name)
        else:
            self._runner.submit(replace(order, secrets=self._values))

    def stop(self, number: int) -> None:
        """End an order, whether it waits here or was passed on."""
        order = self._waiting.pop(number, None)
        if order is None:
            self._runner.stop(number)
        else:
            self._end(order, Cancelled(was_running=False))

    def withdraw(self) -> None:
        """Give back what waits here."""
        waiting, self._waiting = self._waiting, {}
        for order in waiting.values():
            self._queue.put(Returned(number=order.number, attempt=order.attempt))

    def read(self, message: SecretRead) -> None:
        """Take in a secret, or why there is none, and let those go that waited for it."""
        if message.error:
            self._errors[message.name] = message.error
        else:
            self._values = {**self._values, message.name: message.value}
            self.mask = Mask(self._values.values())
        waiting, self._waiting = self._waiting, {}
        for order in waiting.values():
            self.submit(order)

    def close(self) -> None:
        """Let the reader end; one that is stuck in a program ends with the process."""
        self._wanted.put(None)

    def _ask(self, name: str) -> None:
        """Have a secret read, once."""
        if name in self._asked:
            return
        self._asked.add(name)
        self._wanted.put(name)
        if self._reader is None:
            self._reader = threading.Thread(
                target=self._read_all, name="batchrun-secrets", daemon=True
            )
            self._reader.start()

    def _read_all(self) -> None:
        """Read what is wanted, in the reader's thread."""
        while (name := self._wanted.get()) is not None:
            found = guarded(self._source.read, (name,))
            if not isinstance(found, Raised):
                self._queue.put(SecretRead(name=name, value=found))
            elif isinstance(found.error, SourceError):
                self._queue.put(SecretRead(name=name, error=str(found.error)))
            else:  # its text may hold what was read: only its kind is told
                what = type(found.error).__name__
                message = f"the secret `{name}` cannot be read, by a defect of batchrun: {what}"
                self._queue.put(SecretRead(name=name, error=message))

    def _end(self, order: Order, outcome: Outcome) -> None:
        """Report an order that no runner had."""
        self._queue.put(
            Report(
                number=order.number,
                attempt=order.attempt,
                outcome=outcome,
                started_at=0.0,
                duration_s=0.0,
            )
        )


def masked_event(event: Event, mask: Mask) -> Event:
    """Return an event without secrets in any of its texts.

    Names that events are known by (run, task, operation, worker) are kept, and so is RunStarted:
    nothing was read before it, and everybody knows the tasks from there.
    """
    if type(event) is RunStarted:
        return event
    hidden: Event = masked(event, mask)
    if isinstance(event, UnitEnded) and isinstance(hidden, UnitEnded) and event.kept:
        pairs = zip(event.kept, hidden.kept, strict=True)
        kept = tuple(replace(new, hidden=new is not old) for old, new in pairs)
        return replace(hidden, kept=kept)
    return hidden


def masked(value: Any, mask: Mask) -> Any:
    """Return a value, or a record of values, without secrets; one that has none as it is."""
    if isinstance(value, str):
        return mask.text(value)
    if isinstance(value, bytes):
        return mask.data(value)
    if isinstance(value, tuple | list):
        return _masked_items(value, mask)
    if isinstance(value, Mapping):
        hidden = {masked(key, mask): masked(one, mask) for key, one in value.items()}
        return value if hidden == value else hidden
    if is_dataclass(value) and not isinstance(value, type):
        return _masked_fields(value, mask)
    return value


def _masked_items(value: tuple[Any, ...] | list[Any], mask: Mask) -> Any:
    hidden = [masked(one, mask) for one in value]
    if all(one is other for one, other in zip(hidden, value, strict=True)):
        return value
    # A named tuple takes its fields one by one.
    return type(value)(*hidden) if hasattr(value, "_fields") else type(value)(hidden)


def _masked_fields(value: Any, mask: Mask) -> Any:
    changed = {}
    for name in _texts_of(value.__class__):
        before = getattr(value, name)
        after = masked(before, mask)
        if after is not before:
            changed[name] = after
    return replace(value, **changed) if changed else value


@cache
def _texts_of(kind: type[Any]) -> tuple[str, ...]:
    """Name the fields of a record that may hold text of others."""
    # Of a planner's own kind of unit, what the planner added is for nobody else.
    ours = next((one for one in kind.__mro__ if one.__module__.startswith(_OURS)), None)
    if ours is None or not is_dataclass(ours):
        return ()
    return tuple(one.name for one in fields(ours) if one.init and one.name not in _KEPT)
