"""How a job is run, where the defaults do not fit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from batchrun.model.access import HostAccess
from batchrun.model.job import FailLimit
from batchrun.model.ports import Sink, Ticker

if TYPE_CHECKING:  # few runs have any of these
    from batchrun.api.continuing import Continuation
    from batchrun.engine.lockfile import RunLock
    from batchrun.model.session import Connector

__all__ = ["RunConfig", "Words"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How a run was asked for, for its record."""

    #: The words after `batchrun`.
    command_line: tuple[str, ...] = ()
    #: What a run that goes on with this one needs of them; standard types only.
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """How a job is run, where the defaults do not fit."""

    #: Change nothing, say what would change.
    dry_run: bool = False
    #: Operations that write text say what changes in it.
    diff: bool = False
    #: Keep all that commands write in files that a sink may read while it handles the end of a
    #: unit (`Captured.spool`); else the middle of very long output is left out.
    whole_output: bool = False
    #: Directory in which these files are made; empty: where temporary files go.
    spool_in: str = ""
    #: Send the commands' output to the sinks while they run.
    live_output: bool = False
    #: Keep the tracebacks of defects.
    debug: bool = False
    #: How long running units may go on after SIGTERM or SIGHUP, in seconds.
    grace_s: float = 60.0
    #: How long a command has between TERM and KILL, in seconds.
    kill_grace_s: float = 5.0
    #: Instead of the job's own.
    max_fail: FailLimit | None = None
    deadline_s: float | None = None
    #: Most hosts at once; None: as the job says.
    fanout: int | None = None
    #: Makes what connects to hosts; called at most once. None: connections over SSH.
    connector: "Callable[[], Connector] | None" = None
    #: Sinks that want to be called when nothing happens.
    tickers: Sequence[Ticker] = ()
    #: SIGINT, SIGTERM, SIGHUP and SIGUSR1 mean what they mean on the command line.
    handle_signals: bool = False
    #: Puts a question to a person and calls back with the answer, from any thread; returns at
    #: once (`pause: ask`). None: nobody is there, the answer is no.
    ask: Callable[[str, Callable[[bool], None]], None] | None = None
    #: What `engine.lockfile.hold` gave for this run: it lasts as long as anything of the run.
    lock: "RunLock | None" = None
    #: How hosts are reached, where that is not left to the job file and the SSH configuration.
    access: HostAccess = field(default_factory=HostAccess)
    #: The password of the login on hosts that ask for one; empty: nobody has typed any.
    password: str = field(default="", repr=False)
    run_id: str | None = None
    #: Record the run in the state directory, so that it can be resumed and looked at; dry runs
    #: never are.
    journal: bool = True
    #: How it was asked for, for the record.
    words: Words = field(default_factory=Words)
    #: Sinks that never say what is not on record yet; they see events before `sinks` do.
    behind: Sequence[Sink] = ()
    #: What `continuation` returned: the run goes on with an earlier one.
    goes_on: "Continuation | None" = None

    @property
    def recorded(self) -> bool:
        """Whether the run is written down."""
        return self.journal and not self.dry_run
