"""A job that is run, killed, edited and gone on with, by the real planner, loop and record.

What units do is kept in memory, in a `World` that outlives the runs, as files on a disk would.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

import pytest

from batchrun import api
from batchrun.api.continuing import Continuation, Wanted, continuation
from batchrun.api.running import _bound
from batchrun.engine.run import Message, Run, RunOptions, RunResult
from batchrun.jobfile import LoadOptions, Tables, load
from batchrun.jobfile.loaded import LoadedJob
from batchrun.journal.sink import JournalSink
from batchrun.model.event import Event, TaskEnded, UnitEnded
from batchrun.model.outcome import Captured, Failed, Ok, Output, Report
from batchrun.model.ports import Sink
from batchrun.model.unit import Order
from doubles import FakeRunner
from small_jobs import TABLE

__all__ = ["FURTHER", "MAY_FAIL", "RESCUE", "Chain", "Cut", "Killed", "Seen", "Who", "World"]

#: Task and item.
Who = tuple[str, str]
#: The first run of every chain begins then.
BEGINNING = 1_767_225_600.0
#: A command with this mark fails as often as the world wants.
MAY_FAIL = "!"
#: Marks those commands of a unit with several that are not the first one.
FURTHER = "further"
#: A command with this mark is run only after a failure: it is no part of what is to be done.
RESCUE = "rescue"
_TEMPORARY = re.compile(r"\S*/\.br-\S+-o\d+\.\d+")


class Killed(BaseException):
    """The process is gone: nobody may catch this."""


@dataclass(frozen=True)
class Cut:
    """When a run is killed."""

    #: It has told its sinks so many events.
    at: int
    #: The last ones of these that have not reached the record.
    unwritten: int = 0


@dataclass
class World:
    """What there is outside of batchrun."""

    #: How often each unit still fails.
    failures: Counter[Who] = field(default_factory=Counter)
    #: Every command that was run to its end, of each unit.
    commands: dict[Who, set[str]] = field(default_factory=dict)
    #: How many units were begun since somebody cleared it.
    begun: Counter[Who] = field(default_factory=Counter)

    def behave(self, order: Order) -> Sequence[Message]:
        """Run a command, as a runner does."""
        who = (order.unit.task_id, order.unit.label)
        command = _TEMPORARY.sub("FILE", str(order.unit.params["command"]))
        if order.attempt == 1 and FURTHER not in command:
            self.begun[who] += 1
        outcome: Ok | Failed = Ok(changed=True, exit_status=0)
        if command.startswith(MAY_FAIL) and self.failures[who] > 0:
            self.failures[who] -= 1
            outcome = Failed(message="not this time", exit_status=1)
        elif RESCUE not in command:
            self.commands.setdefault(who, set()).add(command)
        written = hashlib.sha256(command.encode()).hexdigest()[:8].encode()
        return [
            Report(
                number=order.number,
                attempt=order.attempt,
                outcome=outcome,
                started_at=BEGINNING,
                duration_s=0.001,
                output=Output(stdout=Captured(head=written + b"\n")),
            )
        ]


@dataclass(repr=False)
class Seen:
    """What could be seen of one run."""

    run_id: str
    #: All that happened.
    events: list[Event] = field(default_factory=list)
    #: How many of them were handed to the record.
    written: int = 0
    begun: Counter[Who] = field(default_factory=Counter)
    #: None: it was killed.
    result: RunResult | None = None

    def __repr__(self) -> str:
        """Say which run it is: hypothesis prints what it has drawn."""
        return self.run_id

    @property
    def recorded(self) -> list[Event]:
        return self.events[: self.written]

    def ended(self, *kinds: str) -> Counter[Who]:
        """Count the units on record that ended so."""
        return Counter(
            (event.unit.task_id, event.unit.label)
            for event in self.recorded
            if isinstance(event, UnitEnded) and event.report.outcome.kind in kinds
        )

    @property
    def whole_tasks(self) -> set[str]:
        """The tasks of which the record knows every unit."""
        return {
            event.task_id
            for event in self.recorded
            if isinstance(event, TaskEnded) and not (event.not_expanded or event.source_error)
        }


class _Gate:
    """Passes events on to the record until the run is killed."""

    def __init__(self, seen: Seen, journal: JournalSink, cut: Cut | None) -> None:
        self._seen = seen
        self._journal = journal
        self._cut = cut

    def handle(self, event: Event) -> None:
        cut, seen = self._cut, self._seen
        if cut is not None and len(seen.events) >= cut.at:
            raise Killed
        seen.events.append(event)
        if cut is None or len(seen.events) <= cut.at - cut.unwritten:
            seen.written += 1
            self._journal.handle(event)

    def settle(self) -> None:
        self._journal.settle()

    def close(self) -> None:
        self._journal.close()


class Chain:
    """All runs of one job file, in a directory with a state directory of its own."""

    def __init__(self, directory: Path, world: World) -> None:
        self.world = world
        self.path = directory / "job.yml"
        self.seen: list[Seen] = []
        self._state = directory / "state"
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True)
        self._patch.setenv("BATCHRUN_STATE_DIR", str(self._state))
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()

    def write(self, job: Mapping[str, Any]) -> None:
        """Write the job file."""
        self.path.write_text(json.dumps(job))

    def run(self, cut: Cut | None = None) -> Seen:
        """Run the job anew."""
        return self._execute(load(self.path, table=TABLE, options=LoadOptions()), None, cut)

    def go_on(self, wanted: Wanted, cut: Cut | None = None) -> Seen:
        """Resume or rerun."""
        goes_on = continuation(wanted, Tables(here=TABLE))
        return self._execute(goes_on.loaded, goes_on, cut)

    def resume(self, run_id: str, cut: Cut | None = None) -> Seen:
        return self.go_on(Wanted(how="resume", run=run_id), cut)

    def rerun(self, run_id: str, *kinds: str) -> Seen:
        return self.go_on(Wanted(how="rerun", run=run_id, kinds=kinds))

    def recorded(self, *kinds: str) -> Counter[Who]:
        """Count the units that are on record with such an end, in all runs together."""
        return sum((one.ended(*kinds) for one in self.seen), Counter[Who]())

    def _execute(self, loaded: LoadedJob, goes_on: Continuation | None, cut: Cut | None) -> Seen:
        """Run as `api.run` does, with another runner, and a record that may end too early."""
        number = len(self.seen)
        # Runs of the same second, whose ids do not follow the order in which they began.
        seen = Seen(run_id=f"20260101-000000-{(0x9000 + number * 0x6D3F) % 0x10000:04x}")
        self.seen.append(seen)
        config = api.RunConfig(goes_on=goes_on)
        journal = _bound(loaded, seen.run_id, BEGINNING + number * 4000, config)
        assert journal is not None
        gate = _Gate(seen, journal, cut)
        sinks: tuple[Sink, ...] = (gate,)
        queue: SimpleQueue[Message] = SimpleQueue()
        options = RunOptions(
            run_id=seen.run_id,
            procs=2,
            sinks=sinks,
            durable=(gate,),
            keep_results=True,
            notes=() if goes_on is None else goes_on.notes,
            last_words=tuple if goes_on is None else goes_on.last_words,
            goes_on_with="" if goes_on is None else goes_on.previous,
        )
        self.world.begun.clear()
        run = Run(loaded.job, loaded, FakeRunner(queue, self.world.behave), queue, options)
        with suppress(Killed):
            seen.result = run.execute()
        seen.begun = self.world.begun.copy()
        return seen
