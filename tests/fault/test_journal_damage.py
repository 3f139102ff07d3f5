"""A record with damage anywhere in it: what can be read is read, all else is told in a sentence."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batchrun import api
from batchrun.errors import BatchrunError
from batchrun.journal.history import History
from batchrun.journal.places import StateDir
from journal_judge import records, state_dir

pytestmark = pytest.mark.timeout(240)

ROUNDS = int(os.environ.get("BATCHRUN_KILL_ROUNDS", "1000")) // 5
SEED = 20261127
#: Has something in every table: output, results, notes, attempts that were followed by others.
JOB = """
vars: {list: [1, x], number: "1.10", text: naïve}
tasks:
  - id: tell
    foreach: {range: [1, 30]}
    run: echo {{ item }}; echo oops >&2; test {{ item }} -lt 20
    register: told
    retries: 1
    retry_delay: 0s
    ignore_errors: true
  - id: write
    foreach: [a, b, c]
    needs: [tell]
    write: {dest: "made/{{ item }}", text: "{{ results.told.units | length }}{{ item }}"}
  - id: none
    foreach: []
    touch: "{{ item }}"
  - id: wrong
    run: exit 3
"""


def damages(good: bytes, chance: random.Random) -> Iterator[bytes]:
    """Change bytes and bits, blank stretches, and cut the end off, at random places."""
    while True:
        data = bytearray(good)
        for _ in range(chance.choice((1, 1, 4, 30))):
            at = chance.randrange(len(data))
            match chance.choice(("byte", "byte", "bit", "blank", "cut")):
                case "byte":
                    data[at] = chance.randrange(256)
                case "bit":
                    data[at] ^= 1 << chance.randrange(8)
                case "blank":
                    stretch = data[at : at + chance.randrange(1, 2000)]
                    data[at : at + len(stretch)] = bytes(len(stretch))
                case _ if chance.random() < 0.2:
                    del data[max(at, 1) :]
        yield bytes(data)


def look() -> None:
    """Read all that there is."""
    with History(StateDir(state_dir())) as history:
        for row in history.rows():
            history.checked(row)
            with history.open(row.run_id) as recorded:
                assert recorded.record.run_id is not None
                assert len(list(recorded.events())) >= 1
                assert recorded.counts is not None
                for read in (recorded.tasks, recorded.notes, recorded.slowest):
                    assert isinstance(read(), list)
                for units in (recorded.units(), recorded.unwell()):
                    assert len(list(units)) >= 0


def resume() -> None:
    goes_on = api.continuation(api.Wanted(how="resume"))
    assert goes_on.earlier.run_id


def rerun() -> None:
    goes_on = api.continuation(api.Wanted(how="rerun"))
    assert goes_on.earlier.run_id


def test_rounds_of_damage_are_told_and_crash_nothing(tmp_path: Path) -> None:
    (tmp_path / "job.yml").write_text(JOB)
    assert api.run(tmp_path / "job.yml", procs=0).exit_code == 2
    (record,) = records()
    database = record / "journal.sqlite"
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    came: Counter[str] = Counter()
    acts: tuple[Callable[[], None], ...] = (look, resume, rerun)
    for number, data in zip(range(ROUNDS), damages(database.read_bytes(), chance), strict=False):
        database.write_bytes(data)
        for path in state_dir().glob("index*"):
            path.unlink()
        for act in acts:
            try:
                act()
            except BatchrunError as error:
                came[type(error).__name__ if str(error) else f"silence in round {number}"] += 1
            else:
                came["nothing"] += 1
    assert set(came) <= {"nothing", "JournalError", "RecordNotBegunError", "UsageError"}
    # Otherwise the damage was too small, or too great.
    assert came["JournalError"] > ROUNDS / 2
    assert came["nothing"] > ROUNDS / 2
