"""The smallest thing that is scheduled: one operation on one target."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from batchrun.model.outcome import Failed, Skipped

__all__ = ["Order", "RunSettings", "Unit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One operation on one item, fully resolved: nothing in it is a template any more."""

    task_id: str
    #: Position among the units of its task, from 1.
    index: int
    #: The item as people see it; empty for a task without `foreach`.
    #: Bytes that are not UTF-8 are kept as surrogates (`os.fsdecode`).
    label: str = ""
    #: Name in the table of operations.
    operation: str
    #: Keyword arguments of the operation's parameter class; picklable, standard types only.
    params: Mapping[str, object] = field(default_factory=dict)
    #: Wall time of one attempt in seconds; None: no limit.
    timeout_s: float | None = None
    #: Names of mutexes held while it runs, sorted, each once.
    locks: tuple[str, ...] = ()
    #: Names of semaphores of which it holds one slot while it runs, sorted, each once.
    limits: tuple[str, ...] = ()
    #: How it ends without being run: a `when` that is false, a template that failed.
    verdict: Skipped | Failed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a runner gets: one attempt of one unit."""

    #: The unit's number within the run, from 1, in the order of planning.
    number: int
    #: Which try, from 1.
    attempt: int
    unit: Unit
    #: How long units of this task have been taking, in seconds; None: not known, or never to be
    #: queued ahead (commands). Short ones are sent to a worker in small batches.
    expected_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What is the same for every unit of a run; sent once to each worker."""

    run_id: str
    #: Directory against which relative paths and the commands' working directory resolve.
    base_dir: str
    dry_run: bool = False
    #: How long a command has between TERM and KILL, in seconds.
    kill_grace_s: float = 5.0
    #: Bytes kept of each end of each stream of a command's output.
    head_bytes: int = 64 * 1024
    tail_bytes: int = 192 * 1024
    #: Send output to the parent while the command runs (`-v`).
    live_output: bool = False
    #: Tracebacks of defects travel with the outcome.
    debug: bool = False
