"""Tree operations that are spread over several workers, between the loop of a run and its runner.

    loop ──order──► TreeWork ──order──► Runner
                     │    ▲  ──chunks─►   │
                     │    └── answers ────┘ Queue
                     └── report of the whole attempt ──► Queue

An operation begins as any other does. When its first worker has done its slice and there is more,
it answers with a `Spread` instead of an ending; from then on its chunks go out as orders of their
own, with numbers above those of all units and steps, and what the loop hears at last is one Report
with the number that it knows.

Trees take turns, chunk by chunk. There are never more chunks with the runner than keep its workers
busy, so whatever else is submitted waits for one short chunk or two; and the scheduler keeps one
worker free of what may take long (`Scheduler.spread`), so that a tree always has one.

A chunk whose worker died is given out again. On a stop, and when a chunk ends badly, which only
happens when the rest would as well, the others are told to stop and the attempt ends when they
have.
"""

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from queue import SimpleQueue

from batchrun.engine.messages import Message
from batchrun.engine.unit import Raised, defect_text, find, guarded
from batchrun.model.around import Around
from batchrun.model.event import UnitProgress
from batchrun.model.operation import Done
from batchrun.model.outcome import Cancelled, Failed, Lost, Ok, Outcome, Report, TimedOut
from batchrun.model.ports import Returned, Runner, RunnerEvent
from batchrun.model.quantities import how_far
from batchrun.model.tree import Chunk, TreeOperation
from batchrun.model.unit import Order, Unit

__all__ = ["CHUNKS", "TreeWork"]

#: The numbers of chunks begin here: above those of all units and steps.
CHUNKS = 2**62
#: Chunks with the runner for each of its slots: one that is worked on, one that is next.
_PER_SLOT = 2
#: Between two words on how far a tree has come, in seconds.
_PROGRESS_S = 0.2


class TreeWork:
    """A Runner for orders, and for what becomes of them; only for the loop's thread.

    Args:
        below: Who runs orders and chunks.
        queue: Where the report of a whole attempt goes, as if it came from the runner.
        spread: Told of each order that is spread, by its number.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self,
        below: Runner,
        queue: "SimpleQueue[Message]",
        spread: Callable[[int], None],
        clock: Callable[[], float],
    ) -> None:
        self._below = below
        self._queue = queue
        self._spread = spread
        self._now = clock
        self._serials = itertools.count(CHUNKS + 1)
        #: Orders without a report, and which of them were told to stop.
        self._orders: dict[int, Order] = {}
        self._stopped: set[int] = set()
        self._trees: dict[int, _Tree] = {}
        #: Those that take turns, the next first.
        self._turns: deque[_Tree] = deque()
        self._out: dict[int, tuple[_Tree, Chunk]] = {}

    # ---- the Runner -----------------------------------------------------------------------

    @property
    def slots(self) -> int:
        """How many units it can run at the same time."""
        return self._below.slots

    def submit(self, order: Order) -> None:
        """Take an order."""
        self._orders[order.number] = order
        self._below.submit(order)

    def stop(self, number: int) -> None:
        """End an order, spread or not; the second time at once."""
        tree = self._trees.get(number)
        if tree is None:
            self._stopped.add(number)
            self._below.stop(number)
        else:
            self._end(tree, Cancelled(was_running=True))
            self._pump()

    def withdraw(self) -> None:
        """Give back what was not begun; chunks of what was are given out again."""
        self._below.withdraw()

    def acknowledge(self, number: int, size_bytes: int) -> None:
        """Say that this much live output of a unit has been shown."""
        self._below.acknowledge(number, size_bytes)

    def close(self) -> None:
        """Let idle workers end."""
        self._below.close()

    def kill(self) -> None:
        """End everything now."""
        self._below.kill()

    # ---- what the runner says -------------------------------------------------------------

    def absorbs(self, message: RunnerEvent) -> bool:
        """Take what is not meant for the loop; False: it is."""
        number = message.number
        if number < CHUNKS:
            if not isinstance(message, Report | Returned):
                return False
            order = self._orders.pop(number, None)
            stopped = number in self._stopped
            self._stopped.discard(number)
            if order is None or not isinstance(message, Report) or message.spread is None:
                return False
            self._plant(order, message, stopped=stopped)
        elif (out := self._out.get(number)) is not None:
            self._hear(message, *out)
        self._pump()
        return True

    def _plant(self, order: Order, report: Report, *, stopped: bool) -> None:
        """Go on with an operation that is to be spread."""
        made = guarded(_coordinator, (report,))
        if isinstance(made, Raised):
            message = f"this is a defect of the operation `{order.unit.operation}`: {made.error!r}"
            failed = Failed(message=message, traceback=defect_text(made.error), retryable=False)
            self._queue.put(replace(report, outcome=failed, spread=None))
            return
        tree = self._trees[order.number] = _Tree(order, report, made, self._now())
        self._turns.append(tree)
        if stopped:
            self._end(tree, Cancelled(was_running=True))
        elif tree.operation.over:
            self._harvest(tree)
        else:
            self._spread(order.number)

    def _hear(
        self,
        message: RunnerEvent,
        tree: "_Tree",
        chunk: Chunk,
    ) -> None:
        """Take a word of a chunk."""
        match message:
            case Report():
                self._landed(message.number, tree)
                self._answered(message, tree, chunk)
            case Returned():
                self._landed(message.number, tree)
                tree.operation.give_back(chunk)
            case UnitProgress(bytes_done=size_bytes):
                tree.under_way[message.number] = size_bytes
            case _:
                return
        if tree.operation.over:
            self._harvest(tree)
        else:
            self._tell(tree)

    def _tell(self, tree: "_Tree") -> None:
        """Say how far a tree has come, not more often than somebody can read it."""
        now = self._now()
        if now >= tree.tell_at and tree.ending is None:
            tree.tell_at = now + _PROGRESS_S
            self._queue.put(tree.progress())

    def _landed(self, number: int, tree: "_Tree") -> None:
        del self._out[number]
        tree.out.remove(number)
        tree.under_way.pop(number, None)

    def _answered(self, report: Report, tree: "_Tree", chunk: Chunk) -> None:
        """Take in how a chunk ended."""
        operation, outcome = tree.operation, report.outcome
        if isinstance(outcome, Ok):
            tree.settled_bytes += report.bytes_done
            problem = guarded(operation.absorb, (chunk, _done_of(report)))
            if not isinstance(problem, Raised):
                return
            message = f"this is a defect of the operation: {problem.error!r}"
            outcome = Failed(message=message, traceback=defect_text(problem.error), retryable=False)
            operation.stop()
        elif isinstance(outcome, Lost) and tree.ending is None:
            operation.lose(chunk, report.number, outcome.message)
            return
        else:
            operation.drop(chunk)
        self._end(tree, outcome)

    # ---- what the runner gets -------------------------------------------------------------

    def _pump(self) -> None:
        """Give out chunks, each tree one after the other, while the workers can use them."""
        most = _PER_SLOT * self._below.slots
        idle = 0
        while len(self._out) < most and idle < len(self._turns):
            tree = self._turns[0]
            self._turns.rotate(-1)
            if self._give_out(tree):
                idle = 0
            else:
                idle += 1

    def _give_out(self, tree: "_Tree") -> bool:
        """Give out a chunk of a tree; False: it has none now."""
        chunk = tree.operation.take()
        if chunk is None:
            return False
        number = next(self._serials)
        self._out[number] = tree, chunk
        tree.out.append(number)
        self._below.submit(
            Order(number=number, attempt=1, unit=tree.unit_at(self._now()), chunk=chunk)
        )
        return True

    def _end(self, tree: "_Tree", outcome: Outcome) -> None:
        """End a tree before its time."""
        if tree.ending is None:
            limit_s = tree.order.unit.timeout_s
            if isinstance(outcome, TimedOut) and limit_s is not None:
                outcome = TimedOut(limit_s=limit_s, stuck=outcome.stuck)
            tree.ending = outcome
            tree.operation.stop()
        for number in tree.out:
            self._below.stop(number)
        if tree.operation.over:
            self._harvest(tree)

    def _harvest(self, tree: "_Tree") -> None:
        """Report a whole attempt."""
        if self._trees.pop(tree.order.number, None) is None:
            return
        self._turns.remove(tree)
        self._queue.put(tree.report(self._now()))


def _coordinator(report: Report) -> TreeOperation:
    """Make what the report of the first worker asks for."""
    spread = report.spread
    if spread is None:
        message = "there is nothing to spread"
        raise TypeError(message)
    made: TreeOperation = find(spread.coordinator)(spread.seed)
    return made


def _done_of(report: Report) -> Done:
    return Done(outcome=report.outcome, answer=report.answer, bytes_done=report.bytes_done)


class _Tree:
    """One attempt that is spread."""

    def __init__(self, order: Order, report: Report, operation: TreeOperation, now: float) -> None:
        self.order = order
        self.operation = operation
        #: How it ends, when that is decided before its time.
        self.ending: Outcome | None = None
        #: Numbers of its chunks that are with the runner, and bytes done in those.
        self.out: list[int] = []
        self.under_way: dict[int, int] = {}
        #: Bytes done in chunks that have ended.
        self.settled_bytes = report.bytes_done
        #: When it is next to be said how far it has come: at once, then again and again.
        self.tell_at = now
        self._first = report
        self._began = now - report.duration_s
        # What is asked before an operation begins was asked; its parameters are in the chunks.
        around = order.unit.around
        if around is not None:
            around = Around(nice=around.nice, ionice=around.ionice)
        self._unit = replace(order.unit, params={}, around=around)

    @property
    def bytes_done(self) -> int:
        """Bytes of file data read or written so far."""
        return self.settled_bytes + sum(self.under_way.values())

    def progress(self) -> UnitProgress:
        """Say how far it has come."""
        so_far = self.operation.progress
        return UnitProgress(
            number=self.order.number,
            bytes_done=self.bytes_done,
            files_done=so_far.files_done,
            share=so_far.share,
        )

    def unit_at(self, now: float) -> Unit:
        """Return the unit for a chunk: it may take what is left of the time."""
        limit_s = self._unit.timeout_s
        if limit_s is None:
            return self._unit
        return replace(self._unit, timeout_s=max(0.0, self._began + limit_s - now))

    def report(self, now: float) -> Report:
        """Return the report of the attempt; of one that was ended, how far it got."""
        done = self.operation.result()
        outcome, warnings = self.ending or done.outcome, done.warnings
        if self.ending is not None:
            got = how_far(self.operation.progress.files_done, self.settled_bytes)
            if isinstance(outcome, Failed):
                outcome = replace(outcome, message=f"{outcome.message}; {got}")
            else:
                warnings = (*warnings, got)
        return replace(
            self._first,
            outcome=outcome,
            duration_s=now - self._began,
            output=done.output,
            warnings=warnings,
            errors=done.errors,
            bytes_done=self.settled_bytes,
            diff=done.diff,
            spread=None,
        )
