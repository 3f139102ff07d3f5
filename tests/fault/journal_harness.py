"""Crash harness: runs that die, or whose disk fails, at every single call that changes the record.

Run as a program, with `faults.c` preloaded: `journal_harness.py WHAT FIRST STEP`. WHAT is a
method of `Harness`; the calls that fail are FIRST, FIRST + STEP ... Prints one JSON object: how
far it came, and what went wrong.

Each run is a fork of this process, so that it need not start Python; it has no worker processes.
"""

import ctypes
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from batchrun import api
from batchrun.errors import BatchrunError
from batchrun.model.event import Event, Note
from journal_judge import endings, facts, integrity, ok_units, records

KILL, FULL, ERROR = 1, 2, 3
ITEMS = ("a", "b", "c")
JOB = """
tasks:
  - id: tell
    foreach: [a, b, c]
    run: echo {{ item }} >> log; echo {{ item }}
    register: told
  - id: write
    foreach: [a, b, c]
    needs: [tell]
    write: {dest: "made/{{ item }}", text: "{{ results.told.units | length }}{{ item }}"}
"""
UNITS = {(task, item) for task in ("tell", "write") for item in ITEMS}
#: The exit code of what nobody expected.
DEFECT = 99
#: So many calls at most; a run that goes on for longer is no run of this job.
MOST = 1000


class Notes:
    """Says what people are told."""

    def handle(self, event: Event) -> None:
        if isinstance(event, Note):
            print(event.message, file=sys.stderr)

    def close(self) -> None:
        pass


class Harness:
    """Runs one small job with one fault after the other."""

    def __init__(self, directory: Path, first: int, step: int) -> None:
        self.dir = directory
        self.first, self.step = first, step
        self.state = directory / "state"
        self.work = directory / "work"
        #: The number of the call that the fault is at.
        self.at = 0
        self.wrong: list[str] = []
        self.library = ctypes.CDLL(None)
        os.environ["BATCHRUN_STATE_DIR"] = str(self.state)

    # ---- runs -----------------------------------------------------------------------------

    def clean(self) -> None:
        """Forget everything."""
        for path in (self.state, self.work):
            shutil.rmtree(path, ignore_errors=True)
        self.work.mkdir()
        (self.work / "job.yml").write_text(JOB)

    def forked(self, act: Callable[[], int], fault: int = 0) -> int:
        """Do something in a process of its own, with a fault or 0; return how that ended."""
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            self._child(act, fault)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def _child(self, act: Callable[[], int], fault: int) -> NoReturn:
        code = DEFECT
        (self.dir / "calls").write_text("")
        try:
            os.dup2(os.open(self.dir / "said", os.O_RDWR | os.O_CREAT | os.O_TRUNC), 2)
            self.library.faults_arm(os.fsencode(self.state), ctypes.c_long(self.at), fault)
            code = act()
            (self.dir / "calls").write_text(str(self.library.faults_count()))
        finally:
            if sys.exc_info()[0] is not None:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(code)

    def begin(self) -> int:
        """Run the job."""
        return self.explained(
            lambda: api.run(self.work / "job.yml", procs=0, sinks=[Notes()]).exit_code
        )

    def go_on(self) -> int:
        """Resume it; when nothing of it is on record, run it."""

        def resumed() -> int:
            goes_on = api.continuation(api.Wanted(how="resume"))
            config = api.RunConfig(goes_on=goes_on)
            return api.run(goes_on.loaded, procs=0, sinks=[Notes()], config=config).exit_code

        return self.explained(resumed) if records(self.state) else self.begin()

    def explained(self, act: Callable[[], int]) -> int:
        """Turn what batchrun raises on purpose into an exit code; all else is a defect."""
        try:
            return act()
        except BatchrunError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            return error.exit_code

    @property
    def hit(self) -> bool:
        """Whether the last one that came to its end met its fault."""
        return int((self.dir / "calls").read_text() or 0) >= self.at

    @property
    def said(self) -> str:
        return (self.dir / "said").read_text()

    # ---- judging --------------------------------------------------------------------------

    def log(self) -> Counter[str]:
        """Count how often each command ran."""
        path = self.work / "log"
        return Counter(path.read_text().split() if path.exists() else ())

    def ok(self) -> Counter[tuple[str, str]]:
        """Count the units that ended ok, in all runs."""
        total: Counter[tuple[str, str]] = Counter()
        for run in records(self.state):
            total += ok_units(run)
        return total

    def check(self, true: object, what: str) -> None:
        """Note what is wrong, with all that helps to understand it."""
        if not true:
            found = [(facts(run)["exit_code"], len(endings(run))) for run in records(self.state)]
            self.wrong.append(
                f"call {self.at}: {what}; runs {found}, log {dict(self.log())}, said {self.said}"
            )

    def check_done(self, before: Counter[tuple[str, str]]) -> None:
        """Everything was done, and nothing again that was on record before."""
        log = self.log()
        self.check(self.ok() == Counter(UNITS), "not everything ended ok once")
        self.check(set(log) == set(ITEMS), "not every command ran")
        again = [item for (task, item) in before if task == "tell" and log[item] > 1]
        self.check(not again, f"{again} ran again")
        for item in ITEMS:
            path = self.work / "made" / item
            self.check(
                path.exists() and path.read_text() == f"3{item}", f"made/{item} is not right"
            )
        for run in records(self.state):
            self.check(integrity(run) == "ok", "a record is damaged")

    # ---- what is done to it ---------------------------------------------------------------

    def calls(self) -> Iterator[int]:
        """Count the calls; whoever iterates breaks when a run did not come so far."""
        for at in range(self.first, MOST, self.step):
            self.at = at
            yield at
        self.check(False, "the run never ends")

    def kill(self) -> None:
        """Kill the run at each call, and resume it."""
        for _ in self.calls():
            self.clean()
            killed = self.forked(self.begin, KILL) == -signal.SIGKILL
            before = self.ok()
            self.check(self.forked(self.go_on) == 0, "going on fails")
            self.check_done(before)
            if not killed:
                break

    def kill_resumed(self) -> None:
        """Kill a run when half of it is done; kill what resumes it at each call, resume that."""
        for at in range(1, MOST, 5):
            self.at = at
            self.clean()
            self.forked(self.begin, KILL)
            if len(self.ok()) >= len(UNITS) // 2:
                break
        half = self.dir / "half"
        shutil.copytree(self.dir / "state", half / "state")
        shutil.copytree(self.dir / "work", half / "work")
        for _ in self.calls():
            self.clean()
            shutil.copytree(half, self.dir, dirs_exist_ok=True)
            killed = self.forked(self.go_on, KILL) == -signal.SIGKILL
            before = self.ok()
            self.check(self.forked(self.go_on) == 0, "going on fails")
            self.check_done(before)
            if not killed:
                break

    def full(self) -> None:
        """Have no room left from each call on."""
        self._failing(FULL)

    def error(self) -> None:
        """Have each call fail once."""
        self._failing(ERROR)

    def _failing(self, fault: int) -> None:
        for _ in self.calls():
            self.clean()
            code = self.forked(self.begin, fault)
            if not self.hit:
                break
            self.check(code in (0, 1), f"the exit code is {code}")
            self.check(self.said.count("Traceback") == 0, "it was not expected")
            if not self.log():
                self.check(code == 1 and "cannot be recorded" in self.said, "nothing ran")
                self.check(not list(self.state.glob("runs/*")), "something is left")
            else:
                self.check(set(self.log()) == set(ITEMS), "not everything ran")
                self.check(code == 0 or self.said.count("record of this run") == 1, "not told once")
            before = self.ok()
            self.check(self.forked(self.go_on) == 0, "going on fails")
            self.check_done(before)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        harness = Harness(Path(place), *map(int, sys.argv[2:]))
        getattr(harness, sys.argv[1])()
        print(json.dumps({"calls": harness.at, "wrong": harness.wrong}))
