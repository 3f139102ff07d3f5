"""What the command line adds to a job file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LoadOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """How a job file is to be loaded."""

    #: From `-e`: a text is read as a YAML scalar, anything else is the value itself.
    variables: Mapping[str, object] = field(default_factory=dict)
    #: Files with variables, later ones win.
    vars_files: tuple[str, ...] = ()
    #: Variables of an earlier run, as they were recorded (jobfile/recording.py): they win over
    #: all others; what the file does not declare any more is left out.
    recorded: Mapping[str, Any] = field(default_factory=dict)
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
    #: The path of an inventory, instead of that of the file; empty: that of the file.
    inventory: str = ""
    #: Node sets (`-w`): each task keeps of its hosts only these; empty: all.
    hosts: tuple[str, ...] = ()
    #: Each several node sets: only hosts that are in each of these, too (a run that goes on with
    #: one that left hosts out).
    within: tuple[tuple[str, ...], ...] = ()
    #: Node sets (`-x`): no task keeps these.
    exclude: tuple[str, ...] = ()
    #: Sizes of waves, such as `5` and `10%`, instead of those of every task on hosts.
    batch: tuple[str, ...] = ()
    #: Tasks on hosts that do not say anything else are run by sudo.
    sudo: bool = False
    #: sudo is given a password on hosts; it is a secret that is to be typed in.
    asks_sudo_password: bool = False
    #: As root, obey files that others can write as well.
    insecure_permissions: bool = False
