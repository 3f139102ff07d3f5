"""What is looked at before a unit's operation begins, and done around it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from batchrun.model.values import Glob

__all__ = ["Around", "GuardCommand", "OutputFile"]

#: A text for the shell, or a program with its arguments.
GuardCommand: TypeAlias = str | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    """`output`: the one file that a command makes."""

    #: Its final name, absolute.
    path: str
    #: What the command writes: a name in the same directory, with the same suffix, absolute.
    temporary: str
    #: The unit is skipped when `path` exists and is older than none of these that exist.
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Guards, the output file and priorities of one unit; relative paths as in parameters."""

    #: The unit fails unless each of these is a mount point.
    mounted: tuple[str, ...] = ()
    #: The unit is skipped when all of these exist.
    creates: tuple[str | Glob, ...] = ()
    #: The unit is skipped unless all of these exist.
    removes: tuple[str | Glob, ...] = ()
    #: The unit is skipped when this command succeeds.
    unless: GuardCommand | None = None
    #: The unit is skipped unless this command succeeds.
    onlyif: GuardCommand | None = None
    #: `env`, `cwd`, `shell`, `sudo` of the unit, for the commands above.
    command: Mapping[str, Any] = field(default_factory=dict)
    output: OutputFile | None = None
    #: Niceness to add, -20 to 19; None: as batchrun itself.
    nice: int | None = None
    #: Class (`idle`, `best-effort`, `realtime`) and level 0 to 7 of disk priority.
    ionice: tuple[str, int] | None = None
