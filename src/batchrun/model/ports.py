"""The seams: what the engine asks of planners, runners and sinks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias

from batchrun.model.event import Event, Kept, UnitOutput, UnitProgress, UnitStaged
from batchrun.model.outcome import Report
from batchrun.model.unit import Order, Unit

__all__ = [
    "Drawn",
    "Durable",
    "Earlier",
    "Look",
    "ReaderGoneError",
    "Returned",
    "Runner",
    "RunnerEvent",
    "SecretSource",
    "Settlement",
    "Silent",
    "Sink",
    "Started",
    "Ticker",
    "UnitSource",
    "UnitStream",
    "Waker",
]


class Drawn(Enum):
    """What a stream answers instead of a unit."""

    #: Nothing now; the waker given to `open` will be called when there is.
    PENDING = "pending"
    #: No unit will ever come again.
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a stream answers that must ask a host before it can plan units for it."""

    #: What is to be done there; it is no unit of the run, and is counted nowhere.
    unit: Unit
    #: Called with how it ended, from the aggregator's thread; not once the stream was closed.
    told: Callable[[Report], None]


Waker: TypeAlias = Callable[[], None]


class UnitStream(Protocol):
    """The units of one task, planned one at a time."""

    @property
    def total(self) -> int | None:
        """How many units there will be in all, when that is known without reading the source."""

    @property
    def hosts(self) -> int | None:
        """For how many hosts there will be units; None: for none, or that is not known."""

    @property
    def done_before(self) -> int:
        """How many units were left out so far: an earlier run has ended them well."""

    def draw(self) -> Unit | Look | Drawn:
        """Plan the next unit; called from the aggregator's thread, must not block.

        A template that fails gives a unit with a `verdict`, not an exception.

        Raises:
            SourceError: the source cannot be read to its end; what was drawn stays valid.
        """

    def ended(self, unit: Unit) -> None:
        """Take note that a unit has ended; called for tasks on hosts only.

        So that one slow host does not fill the window with its units, a stream plans only a few
        ahead of those of each host that have ended.
        """

    def close(self) -> None:
        """Let go of files and threads; called once, also after an error."""


class UnitSource(Protocol):
    """Where units come from: a loaded job file, or a list in a test."""

    def open(self, task_id: str, scope: Mapping[str, Any], waker: Waker) -> UnitStream:
        """Begin a task; called once per task, after its needs have ended.

        Args:
            task_id: Which task.
            scope: Names added to the templates' scope (`run` for `finally` tasks).
            waker: To be called from any thread when a pending stream has something again.

        Raises:
            SourceError: the source cannot even be opened.
        """

    def review(self, unit: Unit, report: Report) -> Report:
        """Take in an attempt of a task with `reviewed`, and return it as it shall count.

        Called from the aggregator's thread before anybody else hears of the attempt; must not
        block, must not raise. `register` keeps the result, `changed_when` decides `changed`.
        """

    def kept(self, unit: Unit) -> tuple[Kept, ...]:
        """Return what a unit that has ended has registered, for the record of the run.

        Called from the aggregator's thread, for units that were run; must not block or raise.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """Why a unit need not be run."""

    #: A sentence fragment.
    because: str
    #: What it has registered.
    kept: tuple[Kept, ...] = ()


class Earlier(Protocol):
    """What became of units in earlier runs, for a run that goes on with them.

    All methods are called from the aggregator's thread, while units are planned, and must not
    block for long.
    """

    def settled(
        self, task_id: str, identity: bytes, *, keeps: bool, register: str, is_new: bool = False
    ) -> Settlement | None:
        """Settle a unit that is being planned; None: it is to be run.

        Settles each of several equal units once.

        Args:
            task_id: Its task.
            identity: Who it is.
            is_new: It was not known in the run that is gone on with, as its host could not be asked
                for its items: it is meant unless it has ended ok since.
            keeps: What it has registered is needed; when that cannot be restored, it is to be run.
            register: A name that must be among that; empty: none.

        Raises:
            SourceError: what units have registered cannot be read.
        """

    def repeats(self, identity: bytes) -> bool:
        """Tell whether this is one of those that a rerun is for; each is told once."""

    def planned(self, task_id: str) -> None:
        """Take note that every unit of a task was asked about."""


class SecretSource(Protocol):
    """Where the values of secrets come from."""

    @property
    def names(self) -> frozenset[str]:
        """Every secret that the job declares."""

    def read(self, name: str) -> str:
        """Return a value; may block. Called once for each name, from any one thread.

        Raises:
            SourceError: it cannot be had, or is too short to be hidden.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A runner's word that an attempt is being run by a worker."""

    number: int
    attempt: int
    at: float
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """A runner gives back an order that it had not started, after `withdraw`."""

    number: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """A runner's word that nothing was heard of a running unit for long."""

    number: int
    #: What it did when it was last heard of.
    stage: str
    #: For how long, in seconds.
    silent_s: float


RunnerEvent: TypeAlias = (
    Started | Report | Returned | Silent | UnitOutput | UnitProgress | UnitStaged
)


class Runner(Protocol):
    """Runs attempts; for every order it puts exactly one Report or Returned on the Queue.

    All methods are called from the aggregator's thread, and none of them blocks, except
    `close` and `kill`, which return when nothing of the runner is left running.
    """

    @property
    def slots(self) -> int:
        """How many units it can run at the same time."""

    def submit(self, order: Order) -> None:
        """Take an order; it starts as soon as a worker is free, in order of submission."""

    def stop(self, number: int) -> None:
        """End a running unit: TERM, the run's grace, KILL; its Report says Cancelled."""

    def withdraw(self) -> None:
        """Give back, as Returned, every order that no worker has begun."""

    def acknowledge(self, number: int, size_bytes: int) -> None:
        """Say that this much live output of a unit has been shown."""

    def close(self) -> None:
        """Let idle workers end; called when nothing is in flight."""

    def kill(self) -> None:
        """End everything now, commands and their groups included; no more events come."""


class ReaderGoneError(BrokenPipeError):
    """Raised by a sink, once, when nobody reads any more what the run is made for: it ends."""


class Sink(Protocol):
    """Where events go: the screen, a file, the journal."""

    def handle(self, event: Event) -> None:
        """Take one event, from the aggregator's thread, in order; must return soon.

        Raises:
            OSError: the sink is dropped, the user is told once, and the run exits with 1; for a
                reader that has gone away (BrokenPipeError) it is only dropped, and for
                ReaderGoneError it stays, and the run ends.
        """

    def close(self) -> None:
        """Flush; called once, after RunEnded, or earlier when the run broke."""


class Durable(Sink, Protocol):
    """A sink that keeps what it was given somewhere, later than it was given."""

    def settle(self) -> None:
        """Return when everything given so far is where it should be.

        Called once, from the aggregator's thread, before RunEnded.

        Raises:
            OSError: it cannot be; as with `Sink.handle`.
        """


class Ticker(Protocol):
    """A sink that also wants to be called when nothing happens, to redraw."""

    def tick(self) -> None:
        """Redraw if it is time; called from the aggregator's thread several times a second."""
