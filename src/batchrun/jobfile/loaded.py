"""A job file that was read without a mistake: the job, and the source of its units."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchrun.errors import SourceError
from batchrun.jobfile.compiled import Compiled
from batchrun.jobfile.fleet import Fleet
from batchrun.jobfile.plan import TaskPlan
from batchrun.jobfile.problems import Problems
from batchrun.jobfile.program import ReviewedUnit
from batchrun.jobfile.recording import recordable
from batchrun.jobfile.records import Registration, UnknownUntilRunError
from batchrun.jobfile.rendering import Desk
from batchrun.jobfile.results import Results
from batchrun.jobfile.scope import Names, environment_variable, make_now
from batchrun.jobfile.settled import Settled
from batchrun.jobfile.sources import Items, Source, collected
from batchrun.jobfile.stream import PlannedStream, one_item, unknown_items
from batchrun.jobfile.units import UnitMaker
from batchrun.jobfile.variables import new_scope
from batchrun.model.event import Kept
from batchrun.model.job import Job
from batchrun.model.outcome import Report
from batchrun.model.ports import Earlier, UnitStream, Waker
from batchrun.model.unit import Unit
from batchrun.model.values import NEW_FILE

if TYPE_CHECKING:
    from batchrun.jobfile.descriptions import TaskDescription
    from batchrun.jobfile.secretsource import Secrets

__all__ = ["Binding", "LoadedJob", "Reading", "program_names"]


def program_names(job_name: str | None, base_dir: str, started_at: float) -> dict[str, Any]:
    """Return the names that templates see beside the variables."""
    names: dict[str, Any] = {
        "env": environment_variable,
        "now": make_now(started_at),
        # Known in `validate` only; the operation puts the file's path there.
        "new": NEW_FILE,
    }
    if job_name is not None:
        names["job"] = {"name": job_name, "dir": base_dir}
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What belongs to one run of a job."""

    run_id: str
    #: What `now()` is, in seconds since the epoch.
    started_at: float
    #: What `run.id` is; empty: `run_id`.
    shown_id: str = ""
    #: What commands would write is not known.
    dry_run: bool = False
    #: Units get identities, by which later runs know them again.
    identifies: bool = False
    #: What became of units in the runs that this one goes on with; None: it begins anew.
    earlier: Earlier | None = None
    #: Where items are kept that can be read only once; empty: they are not.
    items_dir: str = ""
    #: Where an earlier run has kept them; empty: there was none.
    items_before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What reading a job file has made beside the job."""

    #: By task id; also of tasks that are not selected.
    plans: Mapping[str, TaskPlan]
    variables: Mapping[str, Compiled]
    problems: Problems
    warnings: Sequence[str] = ()
    #: Who keeps a result, by its name.
    registered: Mapping[str, Registration] = field(default_factory=dict)
    secrets: "Secrets | None" = None
    #: The hosts that are known.
    fleet: Fleet = field(default_factory=Fleet)
    host_key: str = ""
    #: The name of the file as it was given, and its text.
    file: str = ""
    text: bytes = b""


class LoadedJob:
    """A job with its units; satisfies UnitSource.

    Call `bind` once before the first task is opened, so that `run.id` and `now()` are the run's.
    """

    def __init__(self, job: Job, reading: Reading) -> None:
        self.job = job
        #: Where the values of its secrets come from; None: it declares none.
        self.secrets = reading.secrets
        #: Sentences about what is allowed but probably not meant.
        self.warnings = tuple(reading.warnings)
        #: The name of the file as it was given, and its text.
        self.file = reading.file
        self.text = reading.text
        #: What becomes of hosts whose key is not known; empty: the file does not say.
        self.host_key = reading.host_key
        #: Tasks whose items are kept for a resume although they are in a file: it is a
        #: temporary one.
        self.keep_items: set[str] = set()
        #: Where that file is; `-`: it came over standard input; empty: there is none.
        self.path = ""
        self._plans = reading.plans
        self._variables = reading.variables
        self._problems = reading.problems
        self._registered = reading.registered
        #: The hosts that are known, and which of them the command line wants.
        self.fleet = reading.fleet
        self._run: dict[str, Any] = {"id": ""}
        self._binding = Binding(run_id="", started_at=time.time())
        self._per_target = _per_target(job)
        self._names = self._scope(self._binding.started_at)
        self._desk = self._new_desk()

    def bind(self, binding: Binding) -> None:
        """Fix what belongs to one run."""
        self._binding = binding
        self._run = {"id": binding.shown_id or binding.run_id}
        self._names = self._scope(binding.started_at)
        self._desk = self._new_desk()

    def _new_desk(self) -> Desk:
        binding = self._binding
        return Desk(
            run_id=binding.run_id,
            dry_run=binding.dry_run,
            identifies=binding.identifies,
            earlier=binding.earlier,
            base_dir=self.job.base_dir,
            results=Results(self._registered),
            fleet=self.fleet,
            limits=self.job.limits,
            where=self._problems.where,
        )

    def _scope(self, started_at: float) -> Names:
        given = program_names(self.job.name, self.job.base_dir, started_at)
        return new_scope(self._variables, {**given, "run": self._run})

    def recorded_variables(self) -> dict[str, Any]:
        """Return its variables as they are recorded (jobfile/recording.py), after `bind`."""
        return recordable(self._names, self._variables, self.withheld_env)

    @property
    def withheld_env(self) -> tuple[str, ...]:
        """The environment variables that hold secrets; commands do not inherit them."""
        return () if self.secrets is None else self.secrets.variables

    @property
    def shares_locks(self) -> bool:
        """Whether a unit may take a lock that other batchrun processes share."""
        frames = [self._plans[task.id].frame for task in (*self.job.tasks, *self.job.final_tasks)]
        return any(frame.machine_locks or frame.computed_machine_locks for frame in frames)

    def prompts(self) -> tuple[tuple[str, str], ...]:
        """Return the secrets that somebody must be asked for: the name and the question.

        Only those that a selected task may use, and that were not answered yet.
        """
        if self.secrets is None:
            return ()
        tasks = (*self.job.tasks, *self.job.final_tasks)
        return self.secrets.prompts(
            name for task in tasks for name in self._plans[task.id].all_secrets
        )

    def answer(self, name: str, value: str) -> None:
        """Give the value of a secret that somebody was asked for.

        Raises:
            SourceError: it is too short to be hidden; the message says so.
        """
        if self.secrets is not None:
            self.secrets.answer(name, value)

    def describe(self) -> "tuple[TaskDescription, ...]":
        """Tell what `check` shows, task by task, those of `finally` last."""
        from batchrun.jobfile.describe import describe  # noqa: PLC0415 - runs never do

        tasks = (*self.job.tasks, *self.job.final_tasks)
        return tuple(describe(self._plans[task.id], task) for task in tasks)

    def review(self, unit: Unit, report: Report) -> Report:
        """Take in an attempt of a task with `reviewed`; return it as it shall count."""
        return unit.reviewed(report) if isinstance(unit, ReviewedUnit) else report

    def kept(self, unit: Unit) -> tuple[Kept, ...]:
        """Return what a unit that has ended has registered."""
        results = self._desk.results
        names = self._plans[unit.task_id].task.registers
        found = (results.kept(name, unit.index) for name in names)
        return tuple(one for one in found if one is not None)

    def open(self, task_id: str, scope: Mapping[str, Any], waker: Waker) -> UnitStream:
        """Begin a task.

        Args:
            task_id: Which task.
            scope: Names added to the templates' scope; a mapping `run` is merged with `run.id`.
            waker: Called from a thread when a pending stream has something again.

        Raises:
            SourceError: the source of its items cannot be opened.
        """
        plan = self._plans[task_id]
        given = dict(scope)
        if isinstance(given.get("run"), Mapping):
            given["run"] = {**self._run, **given["run"]}
        given["results"] = self._desk.results.view
        names = new_scope(plan.frame.variables, given, outer=self._names)
        settled = Settled(plan, self._desk, waker, hides=task_id not in self._per_target)
        maker = UnitMaker(plan, names, self._desk, settled)
        if plan.frame.hosts is None:
            return PlannedStream(plan, maker, self._items(plan, names, waker), settled)
        from batchrun.jobfile.hostitems import HostItems  # noqa: PLC0415 - not every job has any
        from batchrun.jobfile.hoststream import HostStream  # noqa: PLC0415

        try:
            hosts = plan.frame.hosts.open(names, self.fleet, plan.frame.connect_timeout_s)
        except UnknownUntilRunError as error:
            return PlannedStream(plan, maker, unknown_items(error), settled)
        source = plan.frame.source
        if source is not None:
            from batchrun.jobfile.sourcethere import SourceThere  # noqa: PLC0415 - loaded with it

            if isinstance(source, SourceThere):
                return HostStream(plan, hosts, maker, source.open(names), settled)
        items = HostItems(self._items(plan, names, waker), readers=len(hosts))
        return HostStream(plan, hosts, maker, items, settled)

    def _items(self, plan: TaskPlan, names: Names, waker: Waker) -> Items:
        source = plan.frame.source
        if source is None:
            return one_item()
        from batchrun.jobfile.sourcethere import SourceThere  # noqa: PLC0415 - loaded with it

        if isinstance(source, SourceThere):
            return one_item()
        try:
            items = self._opened(plan, source, names, waker)
        except UnknownUntilRunError as error:
            return unknown_items(error)
        return collected(items, waker) if plan.needs_total else items

    def _opened(self, plan: TaskPlan, source: Source, names: Names, waker: Waker) -> Items:
        """Open a source; one that can be read only once is kept, and had from where it was kept.

        Raises:
            SourceError: it cannot be opened.
        """
        from batchrun.jobfile.spooled import (  # noqa: PLC0415 - not every job has items
            is_read_once,
            kept_items,
            spool_path,
            spooled,
        )

        binding, task_id = self._binding, plan.task.id
        if not is_read_once(source) and task_id not in self.keep_items:
            return source.open(names, waker)
        if binding.items_before:
            before = kept_items(
                spool_path(binding.items_before, task_id), must_be_all=not source.standard_input
            )
            if before is not None:
                return before
            if source.standard_input:
                message = (
                    "the items came over standard input, and the run that is gone on with had not "
                    "begun to read them; they are not known any more"
                )
                raise SourceError(message)
        items = source.open(names, waker)
        if not binding.items_dir:
            return items
        return spooled(items, spool_path(binding.items_dir, task_id))


def _per_target(job: Job) -> frozenset[str]:
    """Return the tasks whose units wait for those of the same item or host, or are waited for."""
    pairs = [
        (task.id, need.task_id)
        for task in (*job.tasks, *job.final_tasks)
        for need in task.needs
        if need.per != "all"
    ]
    return frozenset(one for pair in pairs for one in pair)
