"""Streams of units: lazy, numbered, labelled, and with flat memory."""

import tracemalloc
from itertools import islice
from pathlib import Path

import pytest

from batchrun.errors import SourceError
from batchrun.model.ports import Drawn
from batchrun.model.unit import Unit
from small_jobs import Waker, drawn, loaded, units


def test_a_task_without_foreach_has_one_unit_without_a_label() -> None:
    job = loaded("tasks: [{run: a}]")
    stream = job.open("run-1", {}, Waker())

    unit = stream.draw()

    assert stream.total == 1
    assert isinstance(unit, Unit)
    assert (unit.index, unit.label) == (1, "")
    assert [stream.draw(), stream.draw()] == [Drawn.EXHAUSTED, Drawn.EXHAUSTED]


def test_units_are_numbered_and_labelled_by_their_items() -> None:
    job = loaded("tasks: [{run: a, foreach: [x, 1.10, true, {a: 1}, [b, c], null]}]")

    assert [(unit.index, unit.label) for unit in units(job)] == [
        (1, "x"),
        (2, "1.10"),
        (3, "true"),
        (4, '{"a": 1}'),
        (5, '["b", "c"]'),
        (6, ""),
    ]


def test_items_of_a_written_list_may_be_templates() -> None:
    job = loaded("vars: {d: /x}\ntasks: [{run: [a, '{{ item }}'], foreach: ['{{ d }}/1', b]}]")

    assert [unit.params["command"] for unit in units(job)] == [("a", "/x/1"), ("a", "b")]


@pytest.mark.parametrize(
    ("written", "labels"),
    [
        ("[1, 3]", ["1", "2", "3"]),
        ("[1, 6, 2]", ["1", "3", "5"]),
        ("[3, 1, -1]", ["3", "2", "1"]),
        ("['{{ n }}', 3]", ["2", "3"]),
        ("[3, 1]", []),
    ],
)
def test_a_range_includes_its_end(written: str, labels: list[str]) -> None:
    job = loaded(f"vars: {{n: 2}}\ntasks: [{{run: a, foreach: {{range: {written}}}}}]")
    stream = job.open("run-1", {}, Waker())

    assert stream.total == len(labels)
    assert [unit.label for unit in drawn(stream, Waker())] == labels


def test_an_endless_range_starts_at_once_and_is_never_held() -> None:
    job = loaded("tasks: [{run: 'echo {{ item }}', foreach: {range: [1, 1000000000000000000000]}}]")
    stream = job.open("run-1", {}, Waker())
    first = stream.draw()
    tracemalloc.start()
    for _ in islice(drawn(stream, Waker()), 20_000):
        pass
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert isinstance(first, Unit)
    assert stream.total == 10**21
    assert peak_bytes < 200_000


def test_a_big_file_starts_at_once_and_is_never_held(tmp_path: Path) -> None:
    path = tmp_path / "list"
    with path.open("w") as file:
        for start in range(0, 2_000_000, 10_000):
            file.write("".join(f"/data/{number}\n" for number in range(start, start + 10_000)))
    job = loaded(
        f"tasks: [{{copy: {{src: '{{{{ item }}}}', dest: /x/}}, foreach: {{lines: {path}}}}}]"
    )
    tracemalloc.start()
    stream = job.open("copy-1", {}, Waker())
    seen = sum(1 for _ in islice(drawn(stream, Waker()), 50_000))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    stream.close()

    assert seen == 50_000
    assert peak_bytes < 8_000_000


def test_an_expression_may_be_any_list_and_fails_where_it_fails() -> None:
    job = loaded(
        "vars: {a: [x, y], t: 'p q'}\ntasks:\n- {run: a, foreach: '{{ a | map(\"upper\") }}'}\n"
        "- {run: a, foreach: '{{ t | words }}'}\n- {run: a, foreach: '{{ t }}'}\n"
        '- {run: a, foreach: \'{{ a | map("int") | map("abs") | map("first") }}\'}\n'
    )

    assert [unit.label for unit in units(job, 0)] == ["X", "Y"]
    assert [unit.label for unit in units(job, 1)] == ["p", "q"]
    with pytest.raises(SourceError, match="is text, not a list"):
        units(job, 2)
    with pytest.raises(SourceError, match="cannot be computed"):
        units(job, 3)


def test_an_item_that_cannot_be_computed_ends_the_stream_after_those_before_it() -> None:
    job = loaded("vars: {d: {}}\ntasks: [{run: a, foreach: [x, '{{ d.nope }}', y]}]")
    stream = job.open("run-1", {}, Waker())

    first = stream.draw()

    assert isinstance(first, Unit)
    with pytest.raises(SourceError, match="there is no `nope` in the mapping"):
        stream.draw()


def test_no_items_are_an_error_only_when_there_must_be_some() -> None:
    job = loaded(
        "tasks: [{run: a, foreach: {range: [2, 1]}}, "
        "{run: a, foreach: {range: [2, 1], require: true}}]"
    )

    assert units(job, 0) == []
    with pytest.raises(SourceError, match=r"no items \(range 2 to 1\)"):
        units(job, 1)


def test_every_run_of_a_stream_plans_the_same_units() -> None:
    job = loaded("tasks: [{run: 'echo {{ item }}', foreach: [a, b]}]")

    assert units(job) == units(job)
