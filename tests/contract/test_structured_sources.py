"""Tables, JSON, matrices and chunks as sources of items: streamed, exact, honest about mistakes."""

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.errors import SourceError
from batchrun.jobfile.jsonitems import JsonReader
from batchrun.jobfile.scope import Names
from batchrun.jobfile.sources import Items, collected
from batchrun.jobfile.sourcethere import SourceThere
from batchrun.jobfile.tables import CsvReader
from batchrun.model.ports import Drawn
from small_jobs import Waker, loaded
from source_harness import failure, items, no_leaks, read, source_of

pytestmark = pytest.mark.usefixtures(no_leaks.__name__)
__all__ = ["no_leaks"]


# --- csv


def test_rows_of_a_table_are_mappings_by_the_names_of_its_first_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(
        b'\xef\xbb\xbfname,size\r\n"a, b",1.10\r\n\r\n"two\nlines ""x""",\r\ncaf\xe9,yes'
    )

    found = items("{csv: t.csv}", tmp_path)

    assert found == [
        {"name": "a, b", "size": "1.10"},
        {"name": 'two\nlines "x"', "size": ""},
        {"name": "caf\udce9", "size": "yes"},
    ]


@pytest.mark.parametrize("text", ["", "\n\n", "a,b\n", "a,b"])
def test_a_table_without_rows_has_no_items(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)

    assert items("{csv: t.csv}", tmp_path) == []


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a,b\n1,2\n3\n", 3, "there are 1 value, but the header names 2 columns"),
        ('a,b\n1,2\n"x\ny",2\n\n3,4,5\n', 6, "there are 3 values"),
        ("a,,c\n", 1, "column 2 has no name"),
        ("a,b,a\n", 1, "two columns have the name `a`"),
        ('a\n1\n"open\n2\n', 3, "a quote is never closed"),
        ('a,b\n"x"y,2\n', 2, "more text after a closing quote"),
        ("a,b\r1,2\r", 1, "convert them"),
        ("a\n" + "x" * 200_000, 2, "longer than 128 KiB"),
    ],
)
def test_a_row_that_does_not_fit_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, reason: str
) -> None:
    (tmp_path / "t.csv").write_text(text)

    _, said = failure("{csv: t.csv}", tmp_path)

    assert said.startswith(f"{tmp_path}/t.csv, line {line}: ")
    assert reason in said


def test_rows_before_a_ragged_one_are_handed_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3\n5,6\n")

    found, said = failure("{csv: t.csv}", tmp_path)

    assert found == [{"a": "1", "b": "2"}]
    assert "line 3" in said


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_table_is_the_same_wherever_its_blocks_end(size: int) -> None:
    data = 'a,b\n1,"x\n\n""y"""\r\n\né,ö\n'.encode()
    blocks = [data[at : at + size] for at in range(0, len(data), size)]

    found = [row for batch in CsvReader("t").batches(iter(blocks)) for row in batch]

    assert found == [{"a": "1", "b": 'x\n\n"y"'}, {"a": "é", "b": "ö"}]


def test_a_file_without_line_ends_is_no_table() -> None:
    blocks = (b"x" * 65_536 for _ in range(1_000))

    with pytest.raises(SourceError, match="a line of more than 1 MiB"):
        list(CsvReader("t").batches(blocks))


# --- json

VALUES = [
    1,
    "a\n\u00e9",
    {"k": [1, {"x": None}]},
    [],
    -0.5,
    True,
    None,
    "\U0001f600",
    "]",
    "1.10",
]
BODY = json.dumps(VALUES)


@pytest.mark.parametrize(
    "text",
    [
        BODY,
        json.dumps(VALUES, indent=3),
        "\ufeff \n" + BODY + "\n\n",
        "\n".join(json.dumps(one) for one in VALUES),
        "\r\n\r\n".join(json.dumps(one, ensure_ascii=False) for one in VALUES) + "\n",
        json.dumps(VALUES[0]) + " " + " ".join(json.dumps(one, indent=2) for one in VALUES[1:]),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 4096])
def test_an_array_and_json_lines_are_the_same_wherever_blocks_end(text: str, size: int) -> None:
    data = text.encode()
    blocks = [data[at : at + size] for at in range(0, len(data), size)]

    found = [item for batch in JsonReader("j").batches(iter(blocks)) for item in batch]

    assert found == VALUES


@pytest.mark.parametrize("text", ["", " \n\t", "[]", "[ \n ]\n"])
def test_json_without_values_has_no_items(tmp_path: Path, text: str) -> None:
    (tmp_path / "j").write_text(text)

    assert items("{json: j}", tmp_path) == []


def test_numbers_of_json_keep_their_characters_as_text(tmp_path: Path) -> None:
    (tmp_path / "j").write_text('[1.10, 1e3, 12, {"v": 2.50}]')

    assert [str(one) for one in items("{json: j}", tmp_path)[:3]] == ["1.10", "1e3", "12"]


@pytest.mark.parametrize(
    ("text", "found", "line", "reason"),
    [
        ('[1,\n2,\n{"a" 3}, 4]', [1, 2], 3, "Expecting ':' delimiter"),
        ("[1,\n2", [1, 2], 2, "the array is not closed"),
        ("[1,]", [1], 1, "Expecting value"),
        ("[1 2]", [1], 1, "`,` or `]` is missing"),
        ("[,1]", [], 1, "Expecting value"),
        ("[1]\n[2]", [1], 2, "more text after the `]`"),
        ('{"a": 1}\nhello\n', [{"a": 1}], 2, "Expecting value"),
        ('"open\n', [], 1, "this is not JSON"),
        ("[NaN]", [], 1, "NaN is not JSON"),
        ("[" * 100_000, [], 1, "nested too deep"),
    ],
)
def test_what_is_not_json_is_named_with_its_line(
    tmp_path: Path, text: str, found: list[object], line: int, reason: str
) -> None:
    (tmp_path / "j").write_text(text)

    before, said = failure("{json: j}", tmp_path)

    assert before == found
    assert said.startswith(f"{tmp_path}/j, line {line}: ")
    assert reason in said


def test_a_large_array_is_not_held() -> None:
    reader = JsonReader("j")

    def blocks() -> Iterator[bytes]:
        yield b"["
        for _ in range(400):
            yield b'{"name": "some name or other", "n": 1},' * 2_000
        yield b"0]"

    count = largest = 0
    for batch in reader.batches(blocks()):
        count += len(batch)
        largest = max(largest, len(batch), len(reader._text) // 40)

    assert count == 800_001
    assert largest < 10_000


def test_a_value_that_never_ends_is_refused() -> None:
    def blocks() -> Iterator[bytes]:
        yield b'["'
        while True:
            yield b"x" * 65_536

    with pytest.raises(SourceError, match="longer than 16 MiB"):
        list(JsonReader("j").batches(blocks()))


def test_items_of_json_lines_are_there_as_soon_as_they_are_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    waker = Waker()
    opened = source_of("{json: pipe}", tmp_path, Names(), waker)
    writer = os.open(tmp_path / "pipe", os.O_WRONLY)

    drawing = read(opened, waker)
    os.write(writer, b'{"a": 1}\n{"a"')
    first = next(drawing)
    os.write(writer, b": 2}\n")
    second = next(drawing)
    os.close(writer)

    assert [first, second, *drawing] == [{"a": 1}, {"a": 2}]


# --- matrix, chunk, collected


def test_a_matrix_is_every_combination_and_the_last_list_varies_fastest(tmp_path: Path) -> None:
    text = "{matrix: {a: [1, 2], b: '{{ xs }}'}}"

    found = items(text, tmp_path, xs=["x", "y"])

    assert found == [
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    ]


def test_the_size_of_a_matrix_and_of_its_chunks_is_known_at_load(tmp_path: Path) -> None:
    job = loaded(
        "tasks: [{run: a, foreach: {matrix: {a: [1, 2, 3], b: [x, y, z]}, chunk: 4}}]",
        base_dir=str(tmp_path),
    )

    source = job._plans["run-1"].frame.source

    assert source is not None
    assert not isinstance(source, SourceThere)
    assert source.total == 3
    assert source.open(Names(), Waker()).total == 3


@pytest.mark.parametrize(
    ("size", "chunks"),
    [(1, [[1], [2], [3]]), (2, [[1, 2], [3]]), (3, [[1, 2, 3]]), (4, [[1, 2, 3]])],
)
def test_chunks_are_lists_of_so_many_items_and_the_rest(
    tmp_path: Path, size: int, chunks: list[list[int]]
) -> None:
    assert items(f"{{range: [1, 3], chunk: {size}}}", tmp_path) == chunks


def test_a_chunk_cut_short_by_a_failure_is_handed_out_first(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("[1, 2, 3, x]")

    found, said = failure("{json: j, chunk: 2}", tmp_path)

    assert found == [[1, 2], [3]]
    assert "this is not JSON" in said


def test_a_computed_chunk_of_nothing_fails_the_source(tmp_path: Path) -> None:
    text = "{range: [1, 3], chunk: '{{ n }}'}"

    with pytest.raises(SourceError, match="at least 1, not 0"):
        items(text, tmp_path, n=0)

    assert items(text, tmp_path, n=2) == [[1, 2], [3]]


def test_a_collected_source_knows_its_total_before_its_first_item(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("".join(f"{n}\n" for n in range(10_000)))
    waker = Waker()
    opened = collected(source_of("{lines: list}", tmp_path, Names(), waker), waker)
    totals = [opened.total]

    drawing = read(opened, waker)
    first = next(drawing)
    totals.append(opened.total)

    assert totals == [None, 10_000]
    assert [first, *drawing] == [str(n) for n in range(10_000)]


def test_a_collected_source_that_fails_hands_out_what_came_before(tmp_path: Path) -> None:
    (tmp_path / "j").write_text("[1, 2, x]")
    waker = Waker()
    opened = collected(source_of("{json: j}", tmp_path, Names(), waker), waker)
    drawing = read(opened, waker)

    assert [next(drawing), next(drawing)] == [1, 2]
    with pytest.raises(SourceError):
        next(drawing)


def test_a_source_that_knows_its_total_is_not_collected() -> None:
    opened = Items(next=lambda: Drawn.EXHAUSTED, total=0)

    assert collected(opened, Waker()) is opened


def test_closing_half_way_lets_go_of_everything(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n" + "x\n" * 500_000)
    (tmp_path / "j").write_text("1\n" * 500_000)
    threads = threading.active_count()

    for text in ("{csv: t.csv}", "{json: j}"):
        waker = Waker()
        opened = source_of(text, tmp_path, Names(), waker)
        drawing = read(opened, waker)
        next(drawing)
        opened.close()

    assert threading.active_count() <= threads + 2
