"""Files that are nearly right, and tables and JSON of any shape: honest answers, nothing else."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchrun.errors import JobFileError, SourceError, UsageError
from batchrun.jobfile import json_schema, load_text
from batchrun.jobfile.intersection import wildcards_meet
from batchrun.jobfile.jsonitems import JsonReader
from batchrun.jobfile.tables import CsvReader
from batchrun.ops import OPERATIONS
from batchrun.ops.patterns import compiled

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "examples.yml", *sorted((ROOT / "jobs").glob("*.yml"))]
TEXTS = [file.read_text(encoding="utf-8") for file in FILES]
QUIET = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def load_or_told(text: str | bytes) -> None:
    """Load a text; mistakes must name the file, and a line unless the whole file is meant."""
    told: JobFileError | UsageError
    try:
        load_text(text, file="f.yml", base_dir="/base", table=OPERATIONS).describe()
    except (JobFileError, UsageError) as error:
        told = error
    else:
        return
    assert str(told)
    for problem in told.problems if isinstance(told, JobFileError) else ():
        assert problem.message
        assert problem.file == "f.yml"
        assert problem.line is not None or not problem.path, problem


# --- files that were right once

_NOISE = st.sampled_from(
    [*"\t :-'\"[]{}#&*!|>%@`,?\\\n", ": ", "\n- ", "\n  ", "{{", "}}", "{{ item }}", "'{{ x }}'",
     "\u00a0", "\u201c", "<<: *a", "&a ", "---\n", "...\n", "null", "true", "0", "\r\n", "é"]
)  # fmt: skip
_CUT = st.integers(min_value=0, max_value=10_000)


@QUIET
@given(
    text=st.sampled_from(TEXTS),
    edits=st.lists(st.tuples(_CUT, st.integers(0, 12), _NOISE), min_size=1, max_size=4),
)
def test_a_file_with_slips_in_it_is_a_job_or_a_list_of_mistakes(
    text: str, edits: list[tuple[int, int, str]]
) -> None:
    for place, cut, noise in edits:
        at = place % (len(text) + 1)
        text = text[:at] + noise + text[at + cut :]

    load_or_told(text)


@QUIET
@given(text=st.sampled_from(TEXTS), first=_CUT, second=_CUT)
def test_a_file_with_lines_moved_or_missing_is_a_job_or_a_list_of_mistakes(
    text: str, first: int, second: int
) -> None:
    lines = text.splitlines(keepends=True)
    moved = lines.pop(first % len(lines))
    if second % 3:
        lines.insert(second % len(lines), moved)

    load_or_told("".join(lines))


# --- trees made of the keys of the language


def known_keys(schema: Any) -> Iterator[str]:
    """Yield every key that the schema knows, at any depth."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for one in schema.values():
            yield from known_keys(one)
    elif isinstance(schema, list):
        for one in schema:
            yield from known_keys(one)


KEYS = st.sampled_from(sorted(set(known_keys(json_schema(OPERATIONS)))))
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 300), st.text(max_size=4),
        st.sampled_from(
            ["/d/x", "/d/*", "a/", "~/x", "{{ item }}", "{{ x }}/a", "{{", "10%", "7d", "1K",
             "0644", "allow", "all", "item", "failed", "x", "run-1", "**/*.c", "{a,b}/c", "..", "/"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)  # fmt: skip
TASKS = st.lists(
    st.builds(
        lambda operation, given, rest: {**rest, operation: given},
        st.sampled_from([*OPERATIONS, "steps"]),
        VALUES,
        st.dictionaries(KEYS, VALUES, max_size=4),
    ),
    min_size=1,
    max_size=4,
)


@QUIET
@given(tasks=TASKS, rest=st.dictionaries(KEYS, VALUES, max_size=3), as_json=st.booleans())
@example(tasks=[{"delete": "{{ item }}", "foreach": {"glob": ["{{ x }}"]}}], rest={}, as_json=True)
def test_a_tree_of_the_languages_own_keys_is_a_job_or_a_list_of_mistakes(
    tasks: list[Any], rest: dict[str, Any], *, as_json: bool
) -> None:
    rest.pop("include", None)
    data = {"vars": {"x": "/v"}, **rest, "tasks": tasks}

    load_or_told(json.dumps(data) if as_json else yaml.safe_dump(data, allow_unicode=True))


# --- templates


@QUIET
@given(
    inside=st.lists(
        st.sampled_from(
            [*"()[]{}|.,~+-*/%'\"=<> \n", "x", "item", "run.id", "now('%F')", " if ", " else ",
             " is ", "defined", " | ", "basename", "lines", "raw", "glob", "for", "1", "''",
             "__class__"]
        ),
        max_size=12,
    ).map("".join)
)  # fmt: skip
def test_any_template_is_refused_at_load_or_computed(inside: str) -> None:
    task = {"run": ["echo", "{{ " + inside + " }}"], "when": inside, "foreach": [1, "a"]}

    load_or_told(json.dumps({"vars": {"x": "v"}, "tasks": [task]}))


# --- tables and JSON


def in_blocks(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = sizes[at % len(sizes)]
        yield data[at : at + size]
        at += size


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5)
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.text(),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@QUIET
@given(values=st.lists(JSON, max_size=6), sizes=SIZES, indent=st.sampled_from([None, 1]))
def test_json_in_pieces_is_what_it_is_as_a_whole(
    values: list[Any], sizes: list[int], indent: int | None
) -> None:
    array = json.dumps(values, indent=indent).encode()
    lines = "\n".join(json.dumps(one) for one in values).encode()

    for data in [array] if values[:1] and isinstance(values[0], list) else [array, lines]:
        found = [one for batch in JsonReader("j").batches(in_blocks(data, sizes)) for one in batch]
        assert found == values


@QUIET
@given(data=st.one_of(st.binary(), st.text("[]{},:\"'0-9.eEtrufalsn \n\\").map(str.encode)))
def test_bytes_that_are_no_json_and_no_table_are_refused_with_a_sentence(data: bytes) -> None:
    for reader in (JsonReader("file").batches, CsvReader("file").batches):
        said = "file, line "
        try:
            list(reader(in_blocks(data, [3])))
        except SourceError as error:
            said = str(error)
        assert said.startswith("file, line ")


CELLS = st.text("ab\",;\n\r '", max_size=6)


@QUIET
@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=5), sizes=SIZES)
def test_a_table_is_what_the_csv_module_wrote(
    rows: list[tuple[str, str, str]], sizes: list[int]
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerows([("x", "y", "z"), *rows])

    blocks = in_blocks(text.getvalue().encode(), sizes)
    found = [row for batch in CsvReader("t").batches(blocks) for row in batch]

    assert [tuple(row.values()) for row in found] == rows


# --- patterns that meet

PATTERN = st.text("ab*?", min_size=1, max_size=5)


@QUIET
@given(one=PATTERN, other=PATTERN)
def test_two_patterns_meet_when_some_name_matches_both(one: str, other: str) -> None:
    meets = wildcards_meet(one, other)

    assert meets == wildcards_meet(other, one)
    names = _names(6)
    both = any(_matches(one, name) and _matches(other, name) for name in names)
    assert meets or not both
    assert both or not meets or len(one) + len(other) > 6


def _names(longest: int) -> list[str]:
    names = [""]
    for name in names:
        if len(name) < longest:
            names += [name + "a", name + "b"]
    return names[1:]


def _matches(pattern: str, name: str) -> bool:
    part = compiled(pattern, True)  # lru_cache keys on positions
    if part is None or isinstance(part, str):
        return part is None or part == name
    return part.match(name) is not None
