"""`kill -9` of batchrun at any moment, and going on: nothing is lost, nothing is done twice.

The judges are the files that the units write, and the records as the sqlite3 module reads them. A
command says in its file in which run it ran, so that a repeat can be seen. The only repeats that
are allowed are of units whose end was not on record when the run was killed.
"""

import json
import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from journal_judge import endings, facts, ok_units, records
from program import Program, Started
from support import wait_until

#: So many times a run is killed; `make soak` asks for more.
ROUNDS = int(os.environ.get("BATCHRUN_KILL_ROUNDS", "1000")) // 50
SEED = 20261127

#: Five units for each item, 2 000 for 400 of them; `twice` holds every item two times.
JOB = """
tasks:
  - id: make
    foreach: {lines: items}
    write: {dest: "made/{{ item }}", text: "{{ item }}\\n"}
  - id: tell
    foreach: {lines: items}
    needs: [{task: make, per: item}]
    run: echo {{ item }} $BATCHRUN_RUN >> tell.log; echo value of {{ item }}
    register: value
  - id: use
    foreach: {lines: items}
    needs: [{task: tell, per: item}]
    run: |
      test {{ mine.value.stdout }} = "value of "{{ item }}
      echo {{ item }} $BATCHRUN_RUN >> use.log
  - id: pack
    foreach: {lines: items}
    needs: [{task: make, per: item}]
    run: cat made/{{ item }} > {{ output }}
    output: "packed/{{ item }}"
  - id: twice
    foreach: {lines: twice}
    run: echo {{ item }} $BATCHRUN_RUN >> twice.log
"""
#: Tasks that leave a line in the file of their name, and how often for each item.
TIMES = {"tell": 1, "use": 1, "twice": 2}
LINE_BYTES = len("item-0000 20261127-000000-0000\n")


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


class Killed:
    """A run that is killed, and gone on with, again and again."""

    def __init__(self, program: Program, items: Sequence[str], seed: int) -> None:
        print(f"seed {seed}")
        self.program = program
        self.random = random.Random(seed)
        self.job = program.job(JOB)
        self.write(items)

    def write(self, items: Sequence[str]) -> None:
        """Write the list of items, and the one with all of them two times."""
        self.items = list(items)
        for name, one in (("items", self.items), ("twice", [*self.items, *self.items])):
            (self.program.dir / name).write_text("".join(f"{item}\n" for item in one))

    def start(self) -> Started:
        words = ["resume"] if self.progress() else [self.job]
        return self.program.start(*words, "--procs", "3")

    def progress(self) -> int:
        """Return how many commands have said that they ran."""
        files = [self.program.dir / f"{task}.log" for task in TIMES]
        return sum(path.stat().st_size for path in files if path.exists()) // LINE_BYTES

    def kill(self, most: int) -> None:
        """Let it run so many commands at most, and kill it some milliseconds later."""
        # So that it does not come to its end before.
        last = sum(TIMES.values()) * len(self.items) * 19 // 20
        goal = min(self.progress() + self.random.randint(1, most), last)
        run = self.start()
        run.until(lambda: self.progress() >= goal, "it does what it shall")
        self._kill_after(run, self.random.uniform(0, 0.05))

    def kill_early(self) -> None:
        """Kill it at a random moment of its first second, most of which it spends on starting."""
        self._kill_after(self.start(), self.random.uniform(0, 1))

    def _kill_after(self, run: Started, seconds: float) -> None:
        end = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() >= end, 10, "the moment has come")
        # Sometimes nobody is left who could end what its workers had begun.
        for pid in (run.pid, *(run.workers() if self.random.random() < 0.3 else ())):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert run.end().code == -signal.SIGKILL

    def rounds(self, number: int, between: Callable[[], None]) -> str:
        """Kill it so often, do something each time, let it end; return what it says then."""
        commands = sum(TIMES.values()) * len(self.items)
        for at in range(number):
            if at % 4 == 2:
                self.kill_early()
            else:
                self.kill(2 * commands // number)
            between()
        ended = self.start().end()
        assert ended.code == 0
        return ended.err

    # ---- judging --------------------------------------------------------------------------

    def lines(self, task: str) -> list[tuple[str, str]]:
        """Return item and run of each time that a command of a task ran."""
        found = [
            line.split() for line in (self.program.dir / f"{task}.log").read_text().splitlines()
        ]
        return [(item, run) for item, run in found]

    def check(self) -> None:
        self.check_records()
        self.check_repeats()
        self.check_files()

    def check_records(self) -> None:
        """Every unit has ended ok, once; one that makes a file may have found it there instead."""
        total: Counter[tuple[str, str]] = Counter()
        for run in records():
            total += ok_units(run)
        last = {(task, item): kind for task, item, kind in endings(records()[-1])}
        wrong = {}
        for item in self.items:
            for task in ("make", "tell", "use", "pack", "twice"):
                found = total[task, item]
                if found != TIMES.get(task, 1):
                    wrong[task, item] = (found, last.get((task, item)))
        packed = {one for one, ended in wrong.items() if one[0] == "pack" and ended[0] == 0}
        assert {one: ended for one, ended in wrong.items() if one not in packed} == {}
        skipped = {
            (task, item)
            for run in records()
            for task, item, kind in endings(run)
            if kind == "skipped"
        }
        assert packed <= skipped
        assert max(total.values()) <= max(TIMES.values())

    def check_repeats(self) -> None:
        """No command ran once more than was left to do, by what was on record when it began."""
        order = [facts(run)["id"] for run in records()]
        done: Counter[tuple[str, str]] = Counter()
        ran = {task: Counter(self.lines(task)) for task in TIMES}
        for run in records():
            run_id = run.name
            for task, times in TIMES.items():
                for (item, where), count in ran[task].items():
                    if where == run_id:
                        assert count + done[task, item] <= times, (task, item, run_id)
            done += ok_units(run)
        assert {where for task in TIMES for _, where in ran[task]} <= set(order)

    def check_files(self) -> None:
        """Every file is there, and what is there under its final name is whole."""
        for name in ("made", "packed"):
            # What somebody was writing who was killed has kept its temporary name.
            paths = (path for path in (self.program.dir / name).iterdir() if path.name[0] != ".")
            found = {path.name: path.read_text() for path in paths}
            assert set(self.items) <= set(found)
            assert found == {item: f"{item}\n" for item in found}
        for task in TIMES:
            assert {item for item, _ in self.lines(task)} >= set(self.items)


def named(first: int, number: int) -> list[str]:
    return [f"item-{at:04}" for at in range(first, first + number)]


@pytest.mark.timeout(120 + 4 * ROUNDS)
def test_rounds_of_killing_and_resuming_do_everything_once(program: Program) -> None:
    run = Killed(program, named(0, 400), SEED)
    assert run.rounds(ROUNDS, lambda: None) == ""
    run.check()
    assert {item for item, _ in run.lines("twice")} == set(run.items)


@pytest.mark.timeout(120 + 4 * ROUNDS)
def test_rounds_of_killing_resuming_and_editing_the_list_do_everything_once(
    program: Program,
) -> None:
    run = Killed(program, named(0, 400), SEED + 1)
    fresh = iter(named(400, 100 * ROUNDS))
    gone: list[str] = []

    def edit() -> None:
        """Shuffle, take some items out, put some new ones in, and some that were taken out."""
        mixed = run.random.sample(run.items, len(run.items))
        back = gone[: run.random.randint(0, 5)]
        new = [next(fresh) for _ in range(20)]
        gone.extend(mixed[:20])
        run.write([*back, *mixed[20:], *new])
        del gone[: len(back)]

    assert re.fullmatch(r"warning: \d+ units .* no longer planned: .*\n", run.rounds(ROUNDS, edit))
    run.check()


def test_what_ended_a_second_before_the_kill_is_on_record(program: Program) -> None:
    """A tenth of a second is promised; the rest is for a machine that has other work as well."""
    job = program.job("""
tasks:
  - foreach: {range: [1, 100000]}
    run: sleep 0.01; echo {{ item }} $EPOCHREALTIME >> ended.log
    shell: bash
""")
    log = program.dir / "ended.log"

    def ended() -> dict[str, float]:
        whole = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        return {item: float(at) for item, at in whole}

    run = program.start(job, "--procs", "2")
    run.until(lambda: time.time() - min(ended().values(), default=time.time()) > 2, "it runs on")
    os.kill(run.pid, signal.SIGKILL)
    killed_at = time.time()
    run.end()
    due = {item for item, at in ended().items() if at < killed_at - 1}
    assert due
    (record,) = records()
    assert due <= {item for _, item, kind in endings(record) if kind == "ok"}


def test_no_line_for_programs_says_what_is_not_on_record(program: Program) -> None:
    """Whoever reads the lines may act on them, and must not be ahead of what a resume knows."""
    job = program.job("""
tasks:
  - foreach: {range: [1, 100000]}
    run: echo {{ item }}
""")
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    for _ in range(5):
        run = program.start(job, "--procs", "2", "--output", "ndjson")
        run.until(lambda run=run: "unit_ended" in run.out_so_far, "units end")  # type: ignore[misc]
        end = time.monotonic() + chance.uniform(0, 0.5)
        wait_until(lambda end=end: time.monotonic() > end, 10, "the moment")  # type: ignore[misc]
        run.send(signal.SIGKILL)
        whole_lines = run.end().stdout.rpartition(b"\n")[0].splitlines()
        events = [json.loads(line) for line in whole_lines]
        told = {event["item"] for event in events if event["type"] == "unit_ended"}
        assert told
        assert told <= {item for _, item, _ in endings(records()[-1])}
