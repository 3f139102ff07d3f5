"""What the command line adds to a job file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["LoadOptions", "TaskDescription"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How a job file is to be loaded."""

    #: From `-e`: a text is read as a YAML scalar, anything else is the value itself.
    variables: Mapping[str, object] = field(default_factory=dict)
    #: Files with variables, later ones win.
    vars_files: tuple[str, ...] = ()
    #: Only these tasks; empty: all.
    task_ids: tuple[str, ...] = ()
    #: Only tasks with one of these tags; empty: all.
    tags: tuple[str, ...] = ()
    #: No tasks with one of these tags.
    skip_tags: tuple[str, ...] = ()
    #: Instead of every task's `retries`.
    retries: int | None = None
    #: Instead of every task's `timeout`, in seconds.
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDescription:
    """What `check` says about one task."""

    id: str
    name: str
    operation: str
    #: Line in the job file; None when it is not known.
    line: int | None
    needs: tuple[str, ...] = ()
    #: The source of its items, as written; empty: it has one unit.
    foreach: str = ""
    #: How many units; None: unknown until it runs.
    units: int | None = None
    when: str = ""
    limits: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    timeout_s: float | None = None
    retries: int = 0
    #: Parameter and path, as written.
    paths: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    #: It stands under `finally`.
    final: bool = False
