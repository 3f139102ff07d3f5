"""The steps of one attempt of a unit: a pure machine, endings and times in, moves out.

    steps ──all ended well──────────────────────────────► always ──► report
      └─one failed──► rescue ──ended, or failed itself──►──┘

A step is planned when it is due, run by the runner like any unit, and reviewed by the program
before its ending counts. What waits for a step's retry keeps the unit's place and its locks:
whoever drains a host, fails to restart it and tries again must not let another one in between.

On a stop the running step is ended and `always` runs, for at most FINALLY_LIMIT_S in all; an
urgent stop ends `always` too. When the unit's time is over, `rescue` is not run (it counts
against the same time), `always` is. In a dry run no step really fails, so `rescue` is left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from batchrun.engine.ledger import Ledger
from batchrun.engine.retry import repeated_for_free, retry_delay
from batchrun.engine.stops import FINALLY_LIMIT_S
from batchrun.model.outcome import Cancelled, Ok, Outcome, Report, TimedOut
from batchrun.model.steps import PlannedStep, Section, UnitProgram
from batchrun.model.unit import Order, Unit

__all__ = ["CONNECT", "Move", "RunStep", "StepRules", "Steps", "StopStep", "Wait"]

#: The operation that a unit with steps for a host begins with, so that a host that cannot be
#: reached is never drained; the runner's own, not one of the table.
CONNECT = "connect to host"

_ENDS_WELL = frozenset({"ok", "skipped"})


@dataclass(frozen=True, slots=True)
class RunStep:
    """Have this unit run."""

    unit: Unit


@dataclass(frozen=True, slots=True)
class StopStep:
    """End the step that runs."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before something happens, or `wake_at`."""


#: A Report is that of the whole unit: its last move.
Move: TypeAlias = RunStep | StopStep | Wait | Report


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRules:
    """What is the same for all units."""

    #: Gives numbers between 0 and 1, for the jitter of retries.
    random: Callable[[], float]
    #: Judges what a dry run says of a step, and whether a step before it would change something;
    #: None: this is no dry run.
    judge: Callable[[str, Report, bool], Report] | None = None


class Steps:
    """One attempt of a unit with steps; every method returns what to do next.

    Args:
        order: The attempt.
        program: The unit's steps.
        rules: What is the same for all units.
        now: The time, on the clock of all `now` arguments, in seconds.
    """

    def __init__(self, order: Order, program: UnitProgram, rules: StepRules, now: float) -> None:
        self.order = order
        self.program = program
        #: Why `always` was cut short or left out; empty: it was not.
        self.always_cut = ""
        #: The step that is with the runner, or was last; at first none, without a name.
        self.step = PlannedStep(name="", unit=order.unit)
        #: A runner has begun a step.
        self.begun = False
        self.ledger = Ledger(is_rehearsal=rules.judge is not None)
        self._rules = rules
        self._section = Section.STEPS
        self._at = 0
        self._tries = 0
        self._losses = 0
        self._began = now
        self._retry: tuple[float, Report] | None = None
        self._stopping = False
        self._urgent = ""
        # When `always` must be over, once the unit was stopped.
        self._always_until: float | None = None
        # The step of `always` that runs was told to end; the last one did not get to its end.
        self._cut_always = self._cut_off = False
        # The limit of the step that runs is what was left of the unit's time.
        self._is_bound = False
        # Before the first of several steps; one alone connects by itself.
        self._is_connecting = order.unit.place is not None and not self.is_single

    @property
    def is_single(self) -> bool:
        """Whether one operation is all there is."""
        counts = [self.program.count(section) for section in Section]
        return counts == [1, 0, 0]

    @property
    def wake_at(self) -> float | None:
        """When `due` must be called at the latest; None: not before something happens."""
        if self._retry is not None:
            over = self._deadline
            return self._retry[0] if over is None else min(self._retry[0], over)
        if self._section is Section.ALWAYS and not self._cut_always:
            return self._always_until
        return None

    # ---- what happens ---------------------------------------------------------------------

    def begin(self, now: float) -> Move:
        """Start with the first step, or by connecting to the unit's host."""
        self.program.restart()
        if not self._is_connecting:
            return self._go_on(now)
        unit = _connection(self.order.unit)
        self.step = PlannedStep(name="connect", unit=unit)
        return RunStep(unit)

    def started(self, now: float) -> bool:
        """Take note that the runner has begun a step; True for the first one."""
        first, self.begun = not self.begun, True
        if first:
            self._began = now  # waiting for a worker is not the unit's time
        return first

    def ended(self, report: Report, now: float) -> Move:
        """Take the end of an attempt of the step that runs."""
        step = self.step
        outcome = report.outcome
        if isinstance(outcome, Cancelled) and not outcome.was_running and not self.begun:
            return replace(report, number=self.order.number)
        self.begun = True
        report = replace(report, number=self.order.number)
        if self._is_connecting:
            return self._connected(report, now)
        self.ledger.attempt(report)
        if self._rules.judge is not None:
            report = self._rules.judge(self.order.unit.task_id, report, self.ledger.changed)
        report = self.program.review(self._section, self._at, report)
        delay_s = self._delay_of_retry(step, report.outcome)
        if delay_s is None:
            self._settle(step, report)
            return self._go_on(now)
        if not delay_s:
            return self._submit(step, now)
        self._retry = (now + delay_s, report)
        return Wait()

    def _connected(self, report: Report, now: float) -> Move:
        """Begin with the first step, unless there is no connection: then nothing was done."""
        if not isinstance(report.outcome, Ok):
            return report
        if self._stopping:
            return replace(report, outcome=Cancelled(was_running=True))
        self._is_connecting = False
        self._began = now  # neither is connecting the unit's time
        return self._go_on(now)

    def returned(self, now: float) -> Move | None:
        """Take back a step that the runner has not begun; None: so is the whole unit.

        One in the middle goes to the runner again: the unit has begun, and what runs may finish.
        """
        if not self.begun:
            return None
        if not self._stopping:
            return self._submit(self.step, now)
        self._settle(self.step, self._unbegun(Cancelled(was_running=False)))
        return self._go_on(now)

    def due(self, now: float) -> Move:
        """Let time pass: a retry is due, the unit's time is over, or that of `always` is."""
        if self._retry is not None:
            at, report = self._retry
            self._retry = None
            if now >= at and not self._over(now):
                return self._submit(self.step, now)
            self._run_out(self.step, report)
            return self._go_on(now)
        self._cut_always = True
        return StopStep()

    def stop(self, now: float, urgent: str = "") -> Move:
        """End the unit; `always` still runs, unless it is urgent.

        Args:
            now: The time.
            urgent: Why even `always` is left out; empty: it is not.
        """
        self._stopping = True
        self._urgent = self._urgent or urgent
        if self._always_until is None:
            self._always_until = now + FINALLY_LIMIT_S
        if self._retry is not None:
            self._retry = None
            self._settle(self.step, self._unbegun(Cancelled(was_running=False)))
            return self._go_on(now)
        if self._section is Section.ALWAYS and not self._urgent:
            return Wait()
        return StopStep()

    # ---- what to do next ------------------------------------------------------------------

    @property
    def _deadline(self) -> float | None:
        """When the time for `steps` and `rescue` is over; None: never, or they are done."""
        limit_s = self.order.unit.timeout_s
        if limit_s is None or self._section is Section.ALWAYS:
            return None
        return self._began + limit_s

    def _over(self, now: float) -> bool:
        return self._deadline is not None and now >= self._deadline

    def _go_on(self, now: float) -> Move:
        """Plan steps from here on until one has to be run, or none is left."""
        while True:
            if self._section is Section.ALWAYS and self._urgent:
                return self._leave_out_always(now)
            if self._at >= self.program.count(self._section):
                if self._section is Section.ALWAYS:
                    return self._result(now)
                self.ledger.rescued = self._section is Section.RESCUE
                self._enter(Section.ALWAYS)
                continue
            if self._stopping and self._section is not Section.ALWAYS:
                self.ledger.stopped = self._section is Section.STEPS
                self._enter(Section.ALWAYS)
                continue
            step = self.program.plan(self._section, self._at, self.ledger.failure)
            self.step = step
            self._tries = self._losses = 0
            self._is_bound = False
            verdict = step.unit.verdict
            if verdict is not None:
                self._settle(step, self._unbegun(verdict))
            elif self._over(now):
                self._run_out(step, self._unbegun(TimedOut(limit_s=0.0)))
            elif self._always_is_over(now):
                self._settle(step, self._unbegun(TimedOut(limit_s=FINALLY_LIMIT_S)))
            else:
                return self._submit(step, now)

    def _enter(self, section: Section) -> None:
        self._section = section
        self._at = 0

    def _submit(self, step: PlannedStep, now: float) -> RunStep:
        """Give a step to the runner, with what is left of the time."""
        unit = step.unit
        limit_s = self._limit(unit.timeout_s, now)
        secrets = tuple(sorted({*unit.secrets, *self.order.unit.secrets}))
        if limit_s != unit.timeout_s or secrets != unit.secrets:
            unit = replace(unit, timeout_s=limit_s, secrets=secrets)
        return RunStep(unit)

    def _limit(self, own_s: float | None, now: float) -> float | None:
        """How long a step may take, in seconds; None: as long as it likes."""
        self._is_bound = False
        if self._section is Section.ALWAYS:
            if self._always_until is not None:
                left_s = self._always_until - now
                return left_s if own_s is None else min(own_s, left_s)
            limit_s = self.order.unit.timeout_s
            if own_s is not None or limit_s is None:
                return own_s
            return max(self._began + limit_s - now, FINALLY_LIMIT_S)
        if self._deadline is None:
            return own_s
        left_s = self._deadline - now
        self._is_bound = own_s is None or left_s <= own_s
        return left_s if self._is_bound else own_s

    def _always_is_over(self, now: float) -> bool:
        until = self._always_until
        return self._section is Section.ALWAYS and until is not None and now >= until

    # ---- what an ending means -------------------------------------------------------------

    def _delay_of_retry(self, step: PlannedStep, outcome: Outcome) -> float | None:
        """Tell how long a step waits for its next attempt; None: there is none."""
        if self._stopping or outcome.kind in _ENDS_WELL or self._is_time_over(outcome):
            return None
        if repeated_for_free(step.retry, outcome, losses=self._losses):
            self._losses += 1
            return 0.0
        self._tries += 1
        return retry_delay(step.retry, outcome, tries=self._tries, random=self._rules.random())

    def _is_time_over(self, outcome: Outcome) -> bool:
        """Whether a step ended because the unit's time was over, not its own."""
        return self._is_bound and isinstance(outcome, TimedOut) and not outcome.idle

    def _settle(self, step: PlannedStep, report: Report) -> None:
        """Take the last word of a step, and move on to what comes after it."""
        ledger, outcome = self.ledger, report.outcome
        cancelled = isinstance(outcome, Cancelled)
        if outcome.kind in _ENDS_WELL:
            ledger.went_well(step.name, report)
            self._at += 1
        elif self._is_time_over(outcome):
            self._run_out(step, report)
        elif step.ignore_errors and not cancelled:
            ledger.ignored(step.name, report)
            self._at += 1
        elif self._section is Section.ALWAYS:
            self._cut_off = cancelled
            ledger.always_failed(step.name, report)
            self._at += 1
        elif self._section is Section.RESCUE:
            ledger.rescue_failed(step.name, report)
            self._enter(Section.ALWAYS)
        else:
            ledger.failed(step.name, report)
            rescued = self._has_rescue and not cancelled and not self._stopping
            self._enter(Section.RESCUE if rescued else Section.ALWAYS)

    @property
    def _has_rescue(self) -> bool:
        return self._rules.judge is None and self.program.count(Section.RESCUE) > 0

    def _run_out(self, step: PlannedStep, report: Report) -> None:
        """Take note that the unit's time was over at this step."""
        limit_s = self.order.unit.timeout_s or 0.0
        self.ledger.ran_out_of_time(step.name, report, limit_s)
        self._enter(Section.ALWAYS)

    def _leave_out_always(self, now: float) -> Report:
        """End at once, and remember that `always` was not, or not fully, run."""
        if self._cut_off or self._at < self.program.count(Section.ALWAYS):
            self.always_cut = self._urgent
        return self._result(now)

    def _result(self, now: float) -> Report:
        report = self.ledger.result(
            number=self.order.number,
            attempt=self.order.attempt,
            duration_s=now - self._began,
            rescue_ok=self.program.rescue_ok,
        )
        place = self.order.unit.place
        # Wherever its last step ran.
        return report if place is None else replace(report, worker=place.name)

    def _unbegun(self, outcome: Outcome) -> Report:
        """Report a step that no runner had."""
        return Report(
            number=self.order.number,
            attempt=self.order.attempt,
            outcome=outcome,
            started_at=0.0,
            duration_s=0.0,
        )


def _connection(unit: Unit) -> Unit:
    """Make what a unit for a host begins with; that has time limits of its own."""
    return Unit(
        task_id=unit.task_id,
        index=unit.index,
        label=unit.label,
        operation=CONNECT,
        host=unit.host,
        place=unit.place,
        secrets=unit.secrets,
    )
