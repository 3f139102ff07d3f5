"""A task made ready: what is the same for all its units, and what is computed for each."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from batchrun.jobfile.compiled import Compiled, Render
from batchrun.jobfile.entries import Entry
from batchrun.jobfile.problems import Path
from batchrun.model.job import RetryPolicy, Task
from batchrun.model.steps import Section

if TYPE_CHECKING:  # not every job has items or hosts
    from batchrun.jobfile.hosts import HostPlan, HostText
    from batchrun.jobfile.sources import Source
    from batchrun.jobfile.sourcethere import SourceThere

__all__ = [
    "AroundPlan",
    "Computed",
    "Condition",
    "Frame",
    "OutputPlan",
    "StepPlan",
    "StepsPlan",
    "TaskFrame",
    "TaskPlan",
    "Work",
    "as_late",
]

#: A value with templates: its field, its path in the file, the function that makes it.
Computed: TypeAlias = tuple[str, Path, Render]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`when`, `changed_when`."""

    source: str
    #: Raises ValueError.
    compute: Render
    #: The names that it uses.
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPlan:
    """`output`."""

    #: Where it is written in the file.
    place: Path
    path: Compiled
    #: Files instead of the item; None: the item, when it is text.
    newer_than: Compiled | None = None
    #: Unique within the job: part of the temporary name.
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AroundPlan:
    """Guards, priorities, and the output file."""

    #: Fields of `Around` that are the same for all units.
    constants: Mapping[str, Any] = field(default_factory=dict)
    computed: tuple[Computed, ...] = ()
    #: Some guard is a command: it gets the `env`, `cwd`, `shell` and `sudo` of the unit.
    has_command: bool = False
    output: OutputPlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What stands around one operation: of a task, or of a step."""

    when: Condition | None = None
    timeout_s: float | None = None
    around: AroundPlan | None = None
    changed_when: Condition | None = None
    #: The name under which its result is kept; empty: it is not.
    register: str = ""
    is_command: bool = False
    #: Bytes of standard output that are needed whole.
    capture_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one operation is given, and what happens around it: of a task, or of a step."""

    #: As it stands in the file.
    entry: Entry
    frame: Frame
    #: Parameters without templates.
    constants: Mapping[str, Any] = field(default_factory=dict)
    computed: tuple[Computed, ...] = ()
    #: Names of the secrets in its parameters, sorted, each once.
    secrets: tuple[str, ...] = ()
    #: It is taken from the table of operations on hosts: its paths are those of the host.
    on_host: bool = False
    #: Of a step: where it runs instead of on the unit's host; None: there.
    delegate: "HostText | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan(Work):
    """One step of a task with `steps`."""

    #: Shown to people.
    name: str
    operation: str
    retry: RetryPolicy
    ignore_errors: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsPlan:
    """The steps of a task."""

    sections: Mapping[Section, tuple[StepPlan, ...]]
    #: A unit that was rescued counts as ok.
    rescue_ok: bool = False

    @property
    def all(self) -> tuple[StepPlan, ...]:
        """Every step, of whichever section."""
        return tuple(step for section in self.sections.values() for step in section)

    @property
    def registers(self) -> tuple[str, ...]:
        """The names under which steps keep their results."""
        return tuple(step.frame.register for step in self.all if step.frame.register)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFrame(Frame):
    """What stands around the units of a task; tasks that say the same share it."""

    #: The hosts that its units are for; None: for none.
    hosts: "HostPlan | None" = None
    #: How long connecting to one of them may take; None: as the run says.
    connect_timeout_s: float | None = None
    source: "Source | SourceThere | None" = None
    #: No item at all is an error.
    require: bool = False
    #: Each item is a list of several (`chunk`).
    chunked: bool = False
    variables: Mapping[str, Compiled] = field(default_factory=dict)
    #: Names without templates, sorted, each once.
    limits: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    machine_locks: tuple[str, ...] = ()
    #: Names with templates.
    computed_limits: tuple[Render, ...] = ()
    computed_locks: tuple[Render, ...] = ()
    computed_machine_locks: tuple[Render, ...] = ()
    steps: StepsPlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan(Work):
    """Everything that is known of a task at load."""

    task: Task
    frame: TaskFrame
    #: It uses `mine`.
    uses_mine: bool = False
    #: Names of the results that it uses, sorted, each once.
    uses_results: tuple[str, ...] = ()
    #: Its units are resolved when they are due, not when they are planned: they use the result
    #: of a unit of another task that may be running still.
    late: bool = False

    @property
    def all_secrets(self) -> tuple[str, ...]:
        """The names of the secrets that its units, or their steps, may use."""
        steps = self.frame.steps.sections.values() if self.frame.steps is not None else ()
        return self.secrets + tuple(name for some in steps for one in some for name in one.secrets)

    @property
    def needs_total(self) -> bool:
        """Whether all items must be known before the first unit: for shares of them."""
        batch = self.task.batch
        return (
            not self.task.on_hosts
            and batch is not None
            and any(one.percent is not None for one in batch.sizes)
        )


def as_late(plan: TaskPlan) -> TaskPlan:
    """Mark a task whose units can be resolved only when they are due."""
    if plan.frame.steps is not None:  # steps always are
        return plan
    return replace(plan, late=True, task=replace(plan.task, reviewed=True))
