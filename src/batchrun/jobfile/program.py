"""The steps of one unit, resolved one at a time when they are due."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from batchrun.jobfile.judging import judged
from batchrun.jobfile.plan import StepPlan, StepsPlan, TaskPlan, Work
from batchrun.jobfile.records import Lookup, Origin, UnitResult, empty_result
from batchrun.jobfile.rendering import Desk, Rendered, Rendering
from batchrun.jobfile.scope import Names
from batchrun.jobfile.secrets import named_in
from batchrun.model.host import Host
from batchrun.model.outcome import Outcome, Report, Skipped
from batchrun.model.steps import PlannedStep, Section, StepFailure
from batchrun.model.unit import Unit

__all__ = ["LateProgram", "ReviewedUnit", "StepsProgram", "Target"]

#: What `failed` is while nothing has: every entry is there, and empty.
_NOTHING_FAILED: Mapping[str, Any] = asdict(StepFailure(step="", outcome="", message=""))


def _as_seen(failed: StepFailure) -> Mapping[str, Any]:
    """Return what templates see of a failure: its output without the newlines at its end."""
    seen = asdict(failed)
    return {**seen, **{name: seen[name].rstrip("\n") for name in ("stdout", "stderr")}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The unit that a program belongs to."""

    task_id: str
    origin: Origin
    desk: Desk
    #: Its host; None: it is for none.
    place: Host | None = None
    #: Its own scope: nobody else puts names into it.
    scope: Names = field(repr=False)

    def unit(self, work: Work, operation: str, rendered: Rendered) -> Unit:
        """Make the unit of one operation."""
        params = rendered.params
        if work.delegate is not None and self.origin.host and work.frame.is_command:
            # It runs elsewhere, and still is for this host.
            params = {**params, "env": {"BATCHRUN_HOST": self.origin.host, **params.get("env", {})}}
        return Unit(
            task_id=self.task_id,
            index=self.origin.index,
            label=self.origin.label,
            key=self.origin.key,
            operation=operation,
            host=self.origin.host,
            place=self.place if work.delegate is None else rendered.place,
            params=params,
            around=rendered.around,
            verdict=rendered.verdict,
            timeout_s=work.frame.timeout_s,
            secrets=named_in(rendered.params) if work.secrets else (),
            capture_bytes=work.frame.capture_bytes,
        )


class StepsProgram:
    """A UnitProgram: `steps`, `rescue` and `always` of one unit."""

    def __init__(self, plan: StepsPlan, target: Target) -> None:
        self._plan = plan
        self._target = target
        #: What the steps of this attempt have registered.
        self._own: dict[str, UnitResult] = {}
        #: Some command of this attempt was not run: a dry run does not know what it does.
        self.rehearsed = False
        self._names = frozenset(
            step.frame.register
            for steps in plan.sections.values()
            for step in steps
            if step.frame.register
        )
        self._others = target.scope["mine"]
        target.scope["mine"] = Lookup(self._mine)

    @property
    def rescue_ok(self) -> bool:
        """Whether a rescued unit counts as ok."""
        return self._plan.rescue_ok

    def count(self, section: Section) -> int:
        """Return how many steps a section has."""
        return len(self._plan.sections[section])

    def restart(self) -> None:
        """Forget what the steps of an earlier attempt registered."""
        self._own.clear()
        self.rehearsed = False
        for name in self._names:
            self._target.desk.results.forget(name, self._target.origin)

    def plan(self, section: Section, at: int, failed: StepFailure | None) -> PlannedStep:
        """Resolve a step; a template that fails gives a unit with a `verdict`."""
        step, target = self._step(section, at), self._target
        scope = target.scope
        scope.forget()  # variables may use what an earlier step has registered
        scope["failed"] = _NOTHING_FAILED if failed is None else _as_seen(failed)
        rendered = Rendering(step, target.desk).resolve(scope, target.origin.index)
        if rendered.verdict is not None and step.frame.register:
            self._keep_unrun(step.frame.register, rendered.verdict)
        return PlannedStep(
            name=step.name,
            unit=target.unit(step, step.operation, rendered),
            retry=step.retry,
            ignore_errors=step.ignore_errors,
        )

    def review(self, section: Section, at: int, report: Report) -> Report:
        """Take an attempt of a step in."""
        step, target = self._step(section, at), self._target
        report, rehearsed = judged(step, target.desk, target.origin, target.scope, report)
        self.rehearsed = self.rehearsed or rehearsed
        if step.frame.register:
            self._own[step.frame.register] = target.desk.results.of_unit(
                step.frame.register, target.origin.index
            )
        return report

    def _step(self, section: Section, at: int) -> StepPlan:
        return self._plan.sections[section][at]

    def _keep_unrun(self, name: str, outcome: Outcome) -> None:
        results, origin = self._target.desk.results, self._target.origin
        results.keep_unrun(name, origin, outcome)
        self._own[name] = results.of_unit(name, origin.index)

    def _mine(self, name: str) -> Any:
        """Look up `mine.NAME`: what a step of this unit made, else a task with the same item."""
        if name in self._own:
            return self._own[name]
        return empty_result(self._target.origin) if name in self._names else self._others[name]


class LateProgram:
    """A UnitProgram of one operation that cannot be resolved before it is due."""

    def __init__(self, plan: TaskPlan, target: Target) -> None:
        self._plan = plan
        self._target = target
        #: How the operation ended, in its own words.
        self.outcome: Outcome | None = None

    @property
    def rescue_ok(self) -> bool:
        """There is nothing to rescue."""
        return False

    def count(self, section: Section) -> int:
        """Return how many steps a section has."""
        return int(section is Section.STEPS)

    def restart(self) -> None:
        """Forget how an earlier attempt ended."""
        self.outcome = None

    def plan(self, section: Section, at: int, failed: StepFailure | None) -> PlannedStep:
        """Resolve the operation."""
        del section, at, failed
        plan, target = self._plan, self._target
        target.scope.forget()
        rendered = Rendering(plan, target.desk).resolve(target.scope, target.origin.index)
        self.outcome = rendered.verdict
        unit = target.unit(plan, plan.task.operation, rendered)
        return PlannedStep(name=plan.task.name, unit=unit)

    def review(self, section: Section, at: int, report: Report) -> Report:
        """Take the attempt in; it is judged as that of the unit."""
        del section, at
        self.outcome = report.outcome
        return report

    def own(self, report: Report) -> Report:
        """Tell how the unit ended as its one operation did, not as a sequence of steps."""
        outcome = self.outcome
        same = outcome is not None and outcome.kind in (report.outcome.kind, Skipped.kind)
        return replace(report, outcome=outcome) if outcome is not None and same else report


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedUnit(Unit):
    """A unit whose attempts are looked at before they count."""

    work: Work = field(repr=False, compare=False)
    target: Target = field(repr=False, compare=False)

    def reviewed(self, report: Report) -> Report:
        """Take an attempt in, and return it as it shall count."""
        if isinstance(self.program, LateProgram):
            report = self.program.own(report)
        work, target = self.work, self.target
        if isinstance(self.program, StepsProgram) and self.program.rehearsed:
            work = replace(work, frame=replace(work.frame, is_command=True))
        report, _ = judged(work, target.desk, target.origin, target.scope, report)
        return report
