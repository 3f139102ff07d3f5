"""A task made ready: what is the same for all its units, and what is computed for each."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batchrun.jobfile.compiled import Compiled, Render
from batchrun.jobfile.entries import Entry
from batchrun.jobfile.problems import Path
from batchrun.jobfile.sources import Source
from batchrun.model.job import Task

__all__ = ["Condition", "TaskPlan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`when`."""

    source: str
    #: Raises ValueError.
    compute: Render


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """Everything that is known of a task at load."""

    task: Task
    #: As it stands in the file.
    entry: Entry
    #: Parameters without templates.
    constants: Mapping[str, Any]
    #: Parameters with templates: field, path in the file, function.
    computed: tuple[tuple[str, Path, Render], ...] = ()
    when: Condition | None = None
    source: Source | None = None
    #: No item at all is an error.
    require: bool = False
    variables: Mapping[str, Compiled] = field(default_factory=dict)
    timeout_s: float | None = None
    #: Names without templates, sorted, each once.
    limits: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    #: Names with templates.
    computed_limits: tuple[Render, ...] = ()
    computed_locks: tuple[Render, ...] = ()
