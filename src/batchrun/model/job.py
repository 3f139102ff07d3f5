"""What a job file describes, as the engine needs it: tasks, their order and their limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["FailLimit", "Job", "Need", "RetryPolicy", "Task"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailLimit:
    """`max_fail`: more than this many failures, and nothing new is started."""

    #: Absolute number; None when `percent` is meant.
    count: int | None = None
    #: Share of the planned units, 0 to 100; None when `count` is meant.
    percent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a unit that did not end well is tried again, and how long it waits before that."""

    #: How many more attempts after the first.
    retries: int = 0
    #: Wait before the second attempt, in seconds.
    delay_s: float = 1.0
    #: Each further wait is this many times longer.
    backoff: float = 2.0
    #: Kinds of outcome that are worth another attempt.
    kinds: frozenset[str] = frozenset({"failed", "unreachable"})
    #: Exit statuses that are worth another attempt, beside `kinds`.
    exit_statuses: frozenset[int] = frozenset()
    #: A unit lost with its worker is repeated up to three times, whatever `retries` says.
    repeat_lost: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """A task that must have ended well before another one begins."""

    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One entry of `tasks:`: one operation plus its modifiers, without its units."""

    #: Unique within the job.
    id: str
    #: Shown to people.
    name: str
    operation: str
    needs: tuple[Need, ...] = ()
    retry: RetryPolicy = RetryPolicy()
    max_fail: FailLimit | None = None
    #: Units of this task at once; None: as many as there are processes.
    max_parallel: int | None = None
    #: Its failures are counted and shown, but fail neither the run nor its dependants.
    ignore_errors: bool = False
    #: It has exactly one unit (no `foreach`).
    single: bool = True
    #: Its operation runs a command.
    is_command: bool = False
    #: Line in the job file, from 1; None for a task made by the program.
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job: what a run executes."""

    name: str
    tasks: tuple[Task, ...]
    #: Run last, in any case.
    final_tasks: tuple[Task, ...] = ()
    #: Named semaphores and how many may hold each.
    limits: Mapping[str, int] = field(default_factory=dict)
    max_fail: FailLimit | None = None
    #: Wall time of the whole run in seconds; None: no limit.
    deadline_s: float | None = None
    #: What the author of the file asks for; the command line overrides.
    procs: int | None = None
    #: At most one run of this job at a time.
    lock: bool = False
    lock_name: str | None = None
    #: Against which relative paths resolve.
    base_dir: str = "."
    description: str = ""
