"""What `check` says about the tasks of a job."""

from dataclasses import dataclass

__all__ = ["StepDescription", "TaskDescription"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDescription:
    """What `check` says about one step of a task."""

    #: `steps`, `rescue` or `always`.
    section: str
    #: Position in its section, from 1.
    position: int
    name: str
    operation: str
    line: int | None
    when: str = ""
    timeout_s: float | None = None
    retries: int = 0
    register: str = ""
    guards: tuple[tuple[str, str], ...] = ()
    output: str = ""
    #: Parameter and path, as written.
    paths: tuple[tuple[str, str], ...] = ()
    readonly: bool = False
    sudo: str = ""
    sudo_password: bool = False
    ignore_errors: bool = False
    #: Where it runs instead of on the unit's host, as written; `local`: on this machine.
    delegate_to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskDescription:
    """What `check` says about one task."""

    id: str
    name: str
    operation: str
    #: Line in the job file; None when it is not known.
    line: int | None
    needs: tuple[str, ...] = ()
    #: The source of its items, as written; empty: it has none.
    foreach: str = ""
    #: The hosts that its units are for, as written; empty: none.
    hosts: str = ""
    #: The names of these hosts; None: not known before it begins.
    host_names: tuple[str, ...] | None = ()
    pick: int | None = None
    per_host: int = 1
    connect_timeout_s: float | None = None
    ignore_unreachable: bool = False
    #: How many units; None: unknown until it runs.
    units: int | None = None
    when: str = ""
    limits: tuple[str, ...] = ()
    locks: tuple[str, ...] = ()
    #: Of the locks, those that exclude other batchrun processes of this machine.
    machine_locks: tuple[str, ...] = ()
    timeout_s: float | None = None
    retries: int = 0
    #: Parameter and path, as written.
    paths: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    #: It stands under `finally`.
    final: bool = False
    #: Of `needs`, those of which each unit awaits only the one with its own item.
    needs_per_item: tuple[str, ...] = ()
    #: The same for those with its own host.
    needs_per_host: tuple[str, ...] = ()
    #: The name of its result; empty: it is not kept.
    register: str = ""
    #: Names of results that its templates use.
    uses_results: tuple[str, ...] = ()
    #: Guards, as written: `creates`, `unless` and so on, each with its text.
    guards: tuple[tuple[str, str], ...] = ()
    #: The file that its command makes, as written.
    output: str = ""
    changed_when: str = ""
    #: Its command changes nothing, and runs in a dry run too.
    readonly: bool = False
    #: User for `sudo`, as written; empty: as batchrun itself.
    sudo: str = ""
    #: sudo is given a password.
    sudo_password: bool = False
    #: Time without output, as written.
    idle_timeout: str = ""
    nice: int | None = None
    #: Such as `best-effort:4`.
    ionice: str = ""
    retry_delay_s: float = 1.0
    retry_backoff: float = 2.0
    #: Kinds of outcome and exit statuses that are tried again, when there are retries.
    retry_on: tuple[str, ...] = ()
    #: Such as `3` or `10%`; empty: no limit of its own.
    max_fail: str = ""
    max_parallel: int | None = None
    #: How many processes' worth of room each unit takes.
    slots: int = 1
    #: Sizes of its waves, such as `1, 10%`; empty: all units at once.
    batch: str = ""
    #: Between two waves: seconds; None: it is asked at the terminal, if there is a batch.
    pause_s: float | None = 0.0
    ignore_errors: bool = False
    print_always: bool = False
    #: Paths of other tasks may be meant.
    overlap_allowed: bool = False
    #: Its steps, in the order of the sections: steps, rescue, always.
    steps: tuple[StepDescription, ...] = ()
    rescue_ok: bool = False
