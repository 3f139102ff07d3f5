"""Units with steps, between the loop of a run and its runner.

    loop ──submit, stop──► Sequencer ──an order per step──► Secretive or Runner
      ▲                       │  ▲                                   │
      └── report of the unit ─┘  └──── reports of steps ── Queue ◄───┘

The scheduler sees one unit in flight from the first step to the last, with its slot, limits and
locks held throughout; the runner sees one order per step. The orders of steps have numbers of
their own, above every unit's: a stop that comes too late for one step cannot hit the next, and
temporary names and the mark on a command's processes are never shared by two steps.

Not promised: that an idle worker is found at once for the next step. The scheduler sees to that,
by handing over no more units than there are workers while a job has units with steps.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import SimpleQueue
from typing import Protocol, TypeAlias

from batchrun.engine.messages import Message
from batchrun.engine.steps import Move, RunStep, StepRules, Steps, StopStep
from batchrun.model.event import UnitOutput, UnitProgress, UnitStaged
from batchrun.model.outcome import Report
from batchrun.model.ports import Returned, Silent, Started
from batchrun.model.unit import Order

__all__ = ["STRIDE", "Sequencer", "Submitter", "UnitNews"]

#: More than any run has units. A step's number is its unit's plus a multiple of this.
STRIDE = 10**10

#: What a runner says of a unit, or of a step of one, while it runs.
UnitNews: TypeAlias = Started | Silent | UnitOutput | UnitProgress | UnitStaged


class Submitter(Protocol):
    """Who takes the orders of steps."""

    def submit(self, order: Order) -> None:
        """Take an order."""

    def stop(self, number: int) -> None:
        """End an order; the second time at once."""


class Sequencer:
    """All units with steps that are in flight; only for the loop's thread.

    Args:
        below: Who runs steps.
        queue: Where the report of a whole unit goes, as if it came from a runner.
        rules: What is the same for all units.
        clock: Monotonic, in seconds.
    """

    def __init__(
        self,
        below: Submitter,
        queue: "SimpleQueue[Message]",
        rules: StepRules,
        clock: Callable[[], float],
    ) -> None:
        self._below = below
        self._queue = queue
        self._rules = rules
        self._now = clock
        self._serials = itertools.count(1)
        self._active: dict[int, Steps] = {}
        # The number under which the runner knows the current step of each unit.
        self._known_as: dict[int, int] = {}
        #: Units whose `always` was left out or cut short, by reason.
        self.always_cut: Counter[str] = Counter()

    def __contains__(self, number: int) -> bool:
        """Whether this unit is in flight and has steps."""
        return number in self._active

    def submit(self, order: Order) -> None:
        """Take an order; one without steps goes on as it is.

        Emits:
            One Report or Returned with the order's own number, on the Queue.
        """
        program = order.unit.program
        if program is None:
            self._below.submit(order)
            return
        now = self._now()
        steps = Steps(order, program, self._rules, now)
        self._active[order.number] = steps
        self._do(steps, steps.begin(now))

    def stop(self, number: int, *, urgent: str = "") -> None:
        """End a unit: the running step, then `always` runs.

        Args:
            number: The unit's.
            urgent: Why `always` is left out or ended too; empty: it runs.
        """
        steps = self._active.get(number)
        if steps is None:
            self._below.stop(number)
        else:
            self._do(steps, steps.stop(self._now(), urgent))

    def taken(self, report: Report) -> None:
        """Take the report of a step, and do what comes next in its unit."""
        steps = self._of(report.number)
        if steps is not None:
            self._do(steps, steps.ended(report, self._now()))

    def returned(self, message: Returned) -> None:
        """Take back the order of a step."""
        steps = self._of(message.number)
        if steps is None:
            return
        move = steps.returned(self._now())
        if move is None:
            self._forget(steps)
            order = steps.order
            self._queue.put(Returned(number=order.number, attempt=order.attempt))
        else:
            self._do(steps, move)

    def told(self, message: UnitNews) -> Iterator[UnitNews]:
        """Turn what a runner says of a step into what is to be said of its unit."""
        steps = self._of(message.number)
        if steps is None:
            return
        number, done = steps.order.number, steps.ledger.bytes_done
        match message:
            case Started():
                if steps.started(self._now()):
                    yield replace(message, number=number)
                yield UnitProgress(number=number, bytes_done=done, step=steps.step.name)
            case UnitOutput():
                yield replace(message, number=number, unit=steps.order.unit)
            case UnitProgress(bytes_done=more):
                yield replace(message, number=number, bytes_done=done + more)
            case Silent() | UnitStaged():
                yield replace(message, number=number)

    def next_wakeup(self) -> float | None:
        """Tell when `tick` must be called at the latest; None: only after another message."""
        times = [steps.wake_at for steps in self._active.values()]
        return min((at for at in times if at is not None), default=None)

    def tick(self, now: float) -> None:
        """Let time pass."""
        for steps in tuple(self._active.values()):
            if steps.wake_at is not None and steps.wake_at <= now:
                self._do(steps, steps.due(now))

    def _of(self, number: int) -> Steps | None:
        """Return the unit whose current step has this number; None: that step is history."""
        unit_number = number % STRIDE
        return self._active.get(unit_number) if self._known_as.get(unit_number) == number else None

    def _do(self, steps: Steps, move: Move) -> None:
        """Carry out what a unit wants."""
        order = steps.order
        match move:
            case RunStep(unit=unit):
                number = order.number + next(self._serials) * STRIDE
                self._known_as[order.number] = number
                # Short units may be queued ahead at a worker; what another step follows must not.
                expected_s = order.expected_s if steps.is_single else None
                self._below.submit(
                    Order(number=number, attempt=order.attempt, unit=unit, expected_s=expected_s)
                )
            case StopStep():
                self._below.stop(self._known_as[order.number])
            case Report():
                self._forget(steps)
                if steps.always_cut:
                    self.always_cut[steps.always_cut] += 1
                self._queue.put(move)
            case _:
                pass

    def _forget(self, steps: Steps) -> None:
        number = steps.order.number
        del self._active[number]
        self._known_as.pop(number, None)
