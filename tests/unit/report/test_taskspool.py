"""Bytes that wait, sorted by task."""

import os
import tracemalloc
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from batchrun.report.taskspool import TaskSpool


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40_000))))
def test_each_task_gets_its_bytes_back_in_order(pieces: list[tuple[str, int]]) -> None:
    spool = TaskSpool()
    expected: dict[str, bytes] = {"a": b"", "b": b"", "c": b""}
    for number, (task_id, size) in enumerate(pieces):
        data = bytes([number % 256]) * size
        spool.add(task_id, data)
        expected[task_id] += data
    assert {task_id: b"".join(spool.read(task_id)) for task_id in expected} == expected
    spool.close()


def test_a_little_needs_no_file(tmp_path: Path) -> None:
    spool = TaskSpool(str(tmp_path / "missing"))
    spool.add("a", b"x")
    assert b"".join(spool.read("a")) == b"x"
    spool.close()


def test_much_waits_in_a_file_without_a_name(tmp_path: Path) -> None:
    spool = TaskSpool(str(tmp_path))
    tracemalloc.start()
    try:
        for _ in range(2000):
            spool.add("a", b"x" * 4000)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 300_000
    assert os.listdir(tmp_path) == []
    assert sum(map(len, spool.read("a"))) == 8_000_000
    spool.close()
