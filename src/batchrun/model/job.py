"""What a job file describes, as the engine needs it: tasks, their order and their limits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "DEFAULT_FANOUT",
    "Batch",
    "FailLimit",
    "Job",
    "Need",
    "RetryPolicy",
    "Task",
    "WaveSize",
    "wave_size",
]

#: Most hosts at once, when nobody says.
DEFAULT_FANOUT = 64


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
    #: `all`: the whole task has ended; `item`, `host`: each unit waits for those of its own item,
    #: or host, only.
    per: Literal["all", "item", "host"] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveSize:
    """How many units one wave has; of a task on hosts: how many hosts."""

    #: Absolute number; None when `percent` is meant.
    count: int | None = None
    #: Share of the task's units, over 0 to 100, rounded down, at least one unit.
    percent: float | None = None


def wave_size(sizes: Sequence[WaveSize], number: int, total: int | None) -> int:
    """Return how many units, or hosts, a wave may have.

    >>> [wave_size([WaveSize(count=1), WaveSize(percent=10)], n, 25) for n in (1, 2, 3)]
    [1, 2, 2]

    Args:
        sizes: What `batch` says; the last one repeats.
        number: Which wave, from 1.
        total: Units, or hosts, of the task; a percentage of an unknown total is one.
    """
    size = sizes[min(number, len(sizes)) - 1]
    if size.count is not None:
        return max(size.count, 1)
    if total is None or size.percent is None:
        return 1
    from fractions import Fraction  # noqa: PLC0415 - workers load this module, and never ask

    # By the digits that were written: 33.3 % of 1000 are 333, though 33.3 * 10 is a bit less.
    return max(int(Fraction(str(size.percent)) * total / 100), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """`batch`: the units of a task go in waves.

    A wave begins when the one before has ended with at least one `ok` unit and no more failures
    than the task's `max_fail` (0 when it has none), which counts per wave here.
    """

    #: One wave after the other; the last size repeats.
    sizes: tuple[WaveSize, ...]
    #: Between two waves, in seconds.
    pause_s: float = 0.0
    #: Somebody at the terminal is asked before each wave but the first.
    ask: bool = False


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
    #: How many processes' worth of room each of its units takes.
    slots: int = 1
    #: Its units go in waves; None: all at once.
    batch: Batch | None = None
    #: Its failures are counted and shown, but fail neither the run nor its dependants.
    ignore_errors: bool = False
    #: Hosts that were not reached are counted and shown, but fail neither the run nor dependants.
    ignore_unreachable: bool = False
    #: It has exactly one unit (no `foreach`, no `hosts`).
    single: bool = True
    #: Its units are for hosts; each has one, and holds one of the run's `fanout`.
    on_hosts: bool = False
    #: Units of this task for the same host at once.
    per_host: int = 1
    #: Only the first so many of its hosts that can be reached; None: all.
    pick: int | None = None
    #: Its operation runs a command.
    is_command: bool = False
    #: The source wants to see each attempt before its outcome counts (`UnitSource.review`).
    reviewed: bool = False
    #: The names under which its units, or their steps, keep results.
    registers: tuple[str, ...] = ()
    #: What its commands write is shown in the recap, however they end.
    print_always: bool = False
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
    #: Most hosts at once; None: `DEFAULT_FANOUT`.
    fanout: int | None = None
    #: At most one run of this job at a time.
    lock: bool = False
    lock_name: str | None = None
    #: Against which relative paths resolve.
    base_dir: str = "."
    description: str = ""
