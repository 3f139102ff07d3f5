"""The published schemas refuse what batchrun would never write."""

import copy
import io
import json
from typing import Any

import pytest

from batchrun.model.outcome import KINDS, Failed, Ok
from batchrun.report.machine import JsonSink, NdjsonSink
from batchrun.report.recordschema import document_schema, event_schema
from published_schemas import problems_of_document, problems_of_event, published
from scripted_run import Script


def written(sink_class: type[JsonSink] | type[NdjsonSink]) -> str:
    stream = io.StringIO()
    sink, script = sink_class(stream), Script()
    script.start(sink)
    script.begin(sink, script.unit("a"))
    script.end(sink, Ok(changed=True), "a")
    script.end(sink, Failed(message="exit status 3", exit_status=3), "b")
    script.finish(sink, exit_code=2)
    sink.close()
    return stream.getvalue()


@pytest.fixture
def document() -> Any:
    return json.loads(written(JsonSink))


def event(kind: str) -> Any:
    records = [json.loads(line) for line in written(NdjsonSink).splitlines()]
    return next(record for record in records if record["type"] == kind)


def test_what_is_installed_is_what_the_program_describes() -> None:
    assert published("json") == document_schema()
    assert published("ndjson") == event_schema()


def test_every_kind_of_outcome_is_described() -> None:
    kinds = [
        one["properties"]["kind"]["const"] for one in published("json")["$defs"]["outcome"]["oneOf"]
    ]
    assert kinds == list(KINDS)


def test_a_document_as_it_is_written_is_accepted(document: Any) -> None:
    assert problems_of_document(document) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 2),
        (("exit_code",), "2"),
        (("run", "id"), 7),
        (("units",), {}),
        (("units", 0, "outcome"), "ok"),
        (("units", 0, "outcome", "kind"), "fine"),
        (("units", 0, "outcome", "changed"), "yes"),
        (("units", 0, "number"), 0),
        (("units", 0, "duration_s"), -1),
        (("units", 1, "outcome", "message"), None),
        (("tasks", 0, "counts", "ok"), -1),
    ],
)
def test_a_broken_document_is_refused(
    document: Any, path: tuple[str | int, ...], value: object
) -> None:
    broken = copy.deepcopy(document)
    inner = broken
    for step in path[:-1]:
        inner = inner[step]
    assert path[-1] in inner
    inner[path[-1]] = value
    assert problems_of_document(broken) != []


@pytest.mark.parametrize("name", ["version", "run", "tasks", "units", "counts", "exit_code"])
def test_a_document_that_lacks_something_is_refused(document: Any, name: str) -> None:
    del document[name]
    assert problems_of_document(document) != []


@pytest.mark.parametrize(
    "kind", ["run_started", "unit_started", "unit_ended", "task_ended", "run_ended"]
)
def test_an_event_is_accepted_as_it_is_written_and_refused_when_anything_is_missing(
    kind: str,
) -> None:
    whole = event(kind)
    assert problems_of_event(whole) == []
    for name in whole:
        assert problems_of_event({key: one for key, one in whole.items() if key != name}) != []


def test_an_event_of_another_kind_is_refused() -> None:
    assert problems_of_event({**event("run_ended"), "type": "run_begun"}) != []
