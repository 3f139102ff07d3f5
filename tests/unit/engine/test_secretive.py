"""Secrets on their way to workers, and out of everything that the sinks are told."""

import dataclasses
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from queue import SimpleQueue
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.engine.messages import Message, SecretRead
from batchrun.engine.run import Run, RunOptions, RunResult
from batchrun.engine.secretive import Secretive, masked_event
from batchrun.errors import SourceError
from batchrun.model import event as events
from batchrun.model.event import Event, Note, RunStarted, TaskEnded, UnitEnded, UnitOutput
from batchrun.model.job import Job
from batchrun.model.outcome import (
    Cancelled,
    Captured,
    Failed,
    Ok,
    Outcome,
    Output,
    Report,
)
from batchrun.model.ports import Returned
from batchrun.model.secret import HIDDEN, Mask, SecretRef, SecretText
from batchrun.model.unit import Order, Unit
from doubles import OK, FakeRunner, ListSource, RecordingSink, report_of, task, units
from step_doubles import ListProgram, planned, unit_with

SECRET = "pa$$ word/1"
MASK = Mask([SECRET])


class Vault:
    """Gives secrets; `errors` names those that cannot be had."""

    def __init__(self, values: Mapping[str, str], errors: Mapping[str, Exception] = {}) -> None:
        self._values = dict(values)
        self._errors = dict(errors)
        self.read_in: list[tuple[str, str]] = []
        #: Cleared: reading waits.
        self.open = threading.Event()
        self.open.set()

    @property
    def names(self) -> frozenset[str]:
        return frozenset([*self._values, *self._errors])

    def read(self, name: str) -> str:
        self.read_in.append((name, threading.current_thread().name))
        assert self.open.wait(20)
        if name in self._errors:
            raise self._errors[name]
        return self._values[name]


# ---- the holder ---------------------------------------------------------------------------------


class Bench:
    def __init__(self, vault: Vault) -> None:
        self.queue: SimpleQueue[Message] = SimpleQueue()
        self.runner = FakeRunner(self.queue, lambda _: ())
        self.secretive = Secretive(vault, self.runner, self.queue)

    def submit(self, number: int, *secrets: str) -> None:
        unit = Unit(task_id="t", index=number, operation="noop", secrets=secrets)
        self.secretive.submit(Order(number=number, attempt=1, unit=unit))

    def hear(self) -> SecretRead:
        message = self.queue.get(timeout=20)
        assert isinstance(message, SecretRead)
        self.secretive.read(message)
        return message

    @property
    def given(self) -> dict[int, Mapping[str, str]]:
        return {order.number: order.secrets for order in self.runner.orders}


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench(Vault({"a": SECRET, "b": "other"}, {"c": SourceError("`c` is not set")}))
    yield made
    made.secretive.close()


def test_an_order_waits_until_its_secrets_were_read_and_then_carries_them(bench: Bench) -> None:
    bench.submit(1, "a", "b")
    assert bench.given == {}
    bench.hear()
    assert bench.given == {}
    bench.hear()
    assert bench.given == {1: {"a": SECRET, "b": "other"}}


def test_an_order_without_secrets_waits_for_none_and_carries_what_was_read(bench: Bench) -> None:
    bench.submit(1)
    assert bench.given == {1: {}}
    bench.submit(2, "a")
    bench.hear()
    bench.submit(3)
    assert bench.given == {1: {}, 2: {"a": SECRET}, 3: {"a": SECRET}}


def test_a_secret_is_read_once_in_a_thread_of_its_own() -> None:
    vault = Vault({"a": SECRET, "b": "other"})
    bench = Bench(vault)
    for number in range(1, 6):
        bench.submit(number, "a")
    bench.submit(6, "b")
    bench.hear()
    bench.submit(7, "a")
    bench.hear()
    bench.secretive.close()
    assert vault.read_in == [("a", "batchrun-secrets"), ("b", "batchrun-secrets")]
    assert sorted(bench.given) == [1, 2, 3, 4, 5, 6, 7]


def test_a_secret_that_cannot_be_had_fails_every_unit_that_needs_it_for_good(bench: Bench) -> None:
    bench.submit(1, "a", "c")
    bench.submit(2, "a")
    bench.hear()
    assert bench.hear().error == "`c` is not set"
    bench.submit(3, "c")
    outcome = Failed(message="`c` is not set", retryable=False)
    reports = [bench.queue.get_nowait(), bench.queue.get_nowait()]
    assert [(r.number, r.outcome) for r in reports if isinstance(r, Report)] == [
        (1, outcome),
        (3, outcome),
    ]
    assert list(bench.given) == [2]


def test_a_defect_of_the_source_is_told_without_its_text() -> None:
    bench = Bench(Vault({}, {"x": RuntimeError(f"got {SECRET}")}))
    bench.submit(1, "x")
    error = bench.hear().error
    bench.secretive.close()
    assert "RuntimeError" in error
    assert SECRET not in error


def test_an_order_that_waits_can_be_stopped_and_handed_back() -> None:
    vault = Vault({"a": SECRET})
    vault.open.clear()
    bench = Bench(vault)
    bench.submit(1, "a")
    bench.submit(2, "a")
    bench.secretive.stop(1)
    (stopped,) = [bench.queue.get_nowait()]
    assert isinstance(stopped, Report)
    assert (stopped.number, stopped.outcome) == (1, Cancelled(was_running=False))
    bench.secretive.withdraw()
    assert bench.queue.get_nowait() == Returned(number=2, attempt=1)
    vault.open.set()
    bench.hear()
    bench.secretive.close()
    assert bench.given == {}


def test_a_stop_for_what_was_passed_on_is_passed_on(bench: Bench) -> None:
    bench.submit(1)
    bench.secretive.stop(1)
    assert bench.runner.stopped == [1]


def test_the_values_show_in_no_repr() -> None:
    order = Order(
        number=1,
        attempt=1,
        unit=Unit(
            task_id="t", index=1, operation="noop", params={"x": SecretText((SecretRef("a"),))}
        ),
        secrets={"a": SECRET},
    )
    assert SECRET not in repr(order)
    assert SECRET not in repr(SecretRead(name="a", value=SECRET))


# ---- the mask over events -----------------------------------------------------------------------

#: Fields by which sinks know things again; and the first event, before which nothing is read.
KEPT = {"run_id", "task_id", "operation", "stream", "level", "worker", "program"}


def records(kind: Any, seen: tuple[Any, ...] = ()) -> Iterator[type[Any]]:
    """Name every record that a type leads to."""
    for one in get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,):
        if dataclasses.is_dataclass(one) and one not in seen:
            assert isinstance(one, type)
            yield one
            for hint in get_type_hints(one, localns={"UnitProgram": object}).values():
                yield from records(hint, (*seen, one))


def filled(kind: Any, outer: tuple[Any, ...] = ()) -> Any:  # noqa: PLR0911  # a line for each kind
    """Make a value of a type with the secret wherever there is room for text.

    One that holds others of its own type gets one of them.
    """
    origin = get_origin(kind)
    if kind is str:
        return f"before {SECRET} after"
    if kind is bytes:
        return f"before {SECRET} after".encode()
    if kind in (int, float, bool):
        return kind(1)
    if origin in (Union, UnionType):
        return filled(next(one for one in get_args(kind) if one is not type(None)), outer)
    if origin is tuple:
        inner = [one for one in get_args(kind) if one is not Ellipsis]
        return tuple(filled(one, outer) for one in inner if outer.count(one) < 2)
    if origin is not None and issubclass(origin, Mapping):
        return {"key " + SECRET: (SECRET, [SECRET], {SECRET: SECRET})}
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind, localns={"UnitProgram": object})
        return kind(**{  # type: ignore[operator]  # a class
            field.name: (
                None if field.name == "program" else filled(hints[field.name], (*outer, kind))
            )
            for field in dataclasses.fields(kind)
            if field.init
        })  # fmt: skip
    return None


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str | bytes]]:
    """List every text in a value with the way to it."""
    if isinstance(value, str | bytes):
        yield path, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from texts(key, f"{path}.key")
            yield from texts(one, f"{path}.value")
    elif isinstance(value, tuple | list):
        for one in value:
            yield from texts(one, f"{path}[]")
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from texts(getattr(value, field.name), f"{path}.{field.name}")


EVENT_TYPES: Sequence[type[Any]] = get_args(events.Event)
OUTCOMES: Sequence[type[Any]] = get_args(Outcome)


@pytest.mark.parametrize("kind", EVENT_TYPES, ids=lambda kind: kind.__name__)
def test_no_text_field_of_any_event_can_hold_a_secret(kind: type[Any]) -> None:
    event = filled(kind)
    before = dict(texts(event))
    hidden = masked_event(event, MASK)
    assert type(hidden) is kind
    for path, text in texts(hidden):
        if path.rpartition(".")[2] not in KEPT and kind is not RunStarted:
            data = text if isinstance(text, bytes) else text.encode()
            assert SECRET.encode() not in data, path
        else:
            assert text == before[path]


@pytest.mark.parametrize("kind", OUTCOMES, ids=lambda kind: kind.__name__)
def test_no_text_of_any_outcome_can_hold_a_secret(kind: type[Any]) -> None:
    report = Report(number=1, attempt=1, outcome=filled(kind), started_at=1.0, duration_s=1.0)
    unit = Unit(task_id="t", index=1, operation="noop")
    hidden = masked_event(UnitEnded(unit=unit, report=report), MASK)
    assert SECRET not in repr(hidden)
    assert isinstance(hidden, UnitEnded)
    assert hidden.report.outcome.kind == kind.kind


def test_the_search_for_text_fields_finds_the_records_that_events_are_made_of() -> None:
    found = {kind.__name__ for one in EVENT_TYPES for kind in records(one)}
    assert {"Unit", "Report", "Output", "Captured", "Failed", "Around", "OutputFile"} <= found


@given(st.text(min_size=4).filter(lambda text: len(text.strip()) >= 4), st.text(), st.text())
def test_whatever_the_secret_and_the_text_around_it_are_it_is_hidden(
    secret: str, before: str, after: str
) -> None:
    mask = Mask([secret])
    text = before + secret + after
    note = masked_event(Note(message=text), mask)
    assert isinstance(note, Note)
    assert note.message == mask.text(text)
    assert secret.rstrip("\n") not in note.message.replace(HIDDEN, "") or "*" in secret


def test_what_a_planner_adds_to_its_units_is_left_alone() -> None:
    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Planned(Unit):
        own: tuple[str, ...]

    unit = Planned(task_id="t", index=1, label=SECRET, operation="noop", own=(SECRET,))
    output = UnitOutput(number=1, unit=unit, stream="stdout", data=b"")
    hidden = masked_event(output, MASK)
    assert isinstance(hidden, UnitOutput)
    assert isinstance(hidden.unit, Planned)
    assert (hidden.unit.label, hidden.unit.own) == (HIDDEN, (SECRET,))


def test_an_event_without_secrets_is_the_same_object() -> None:
    event = UnitEnded(unit=units("a", 1)[0], report=report_of(Order(number=1, attempt=1,
                      unit=units("a", 1)[0])))  # fmt: skip
    assert masked_event(event, MASK) is event


# ---- in a run -----------------------------------------------------------------------------------


class Told(ListSource):
    """A source in which each unit needs the secret `a`."""

    def __init__(self, *labels: str) -> None:
        super().__init__(
            {
                "t": [
                    Unit(task_id="t", index=n, label=label, operation="noop", secrets=("a",))
                    for n, label in enumerate(labels, 1)
                ]
            }
        )


def telling(order: Order) -> Sequence[Message]:
    """Say the secret in every way that a runner has."""
    value = order.secrets["a"]
    output = Output(stdout=Captured(head=value.encode()), stderr=Captured(tail=value.encode()))
    report = Report(
        number=order.number,
        attempt=1,
        outcome=Failed(message=f"no {value}", traceback=value),
        started_at=1.0,
        duration_s=1.0,
        output=output,
        warnings=(f"w {value}",),
        diff=f"+{value}",
    )
    unit = order.unit
    live = UnitOutput(number=order.number, unit=unit, stream="stdout", data=value.encode())
    return [live, report]


def execute(source: ListSource, vault: Vault, **more: Any) -> tuple[RunResult, RecordingSink]:
    queue: SimpleQueue[Message] = SimpleQueue()
    sink = RecordingSink()
    runner = FakeRunner(queue, more.pop("behave", telling))
    options = RunOptions(run_id="r1", procs=2, sinks=(sink,), secrets=vault, **more)
    job = Job(name="job", tasks=(task("t"),))
    return Run(job, source, runner, queue, options).execute(), sink


def test_nothing_that_a_run_tells_its_sinks_holds_a_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    result, sink = execute(Told("one", f"item {SECRET}"), Vault({"a": SECRET}))
    assert result.exit_code == 2
    assert result.counts.total.ended["failed"] == 2
    for event in sink.events:
        assert SECRET not in repr(event)
        assert SECRET.encode() not in repr(event).encode()
    # The orders were logged before the secret was read: nobody knew then what to hide.
    _, word, after = caplog.text.partition("UnitEnded(")
    assert word
    assert SECRET not in after


def test_a_secret_spelled_like_a_task_leaves_the_accounts_alone() -> None:
    vault = Vault({"a": "task-t"})
    source = ListSource({"task-t": [Unit(task_id="task-t", index=1, operation="noop",
                                         secrets=("a",))]})  # fmt: skip
    queue: SimpleQueue[Message] = SimpleQueue()
    sink = RecordingSink()
    runner = FakeRunner(queue, lambda order: [report_of(order)])
    options = RunOptions(run_id="r1", procs=2, sinks=(sink,), secrets=vault)
    result = Run(Job(name="j", tasks=(task("task-t"),)), source, runner, queue, options).execute()
    assert result.exit_code == 0
    ended = [event for event in sink.events if isinstance(event, TaskEnded)]
    assert [event.task_id for event in ended] == ["task-t"]


def test_a_secret_that_cannot_be_had_fails_its_units_and_the_run() -> None:
    vault = Vault({}, {"a": SourceError("the secret `a`: TOKEN is not set")})
    result, sink = execute(Told("one", "two"), vault)
    ends = [event for event in sink.events if isinstance(event, UnitEnded)]
    outcome = Failed(message="the secret `a`: TOKEN is not set", retryable=False)
    assert [event.report.outcome for event in ends] == [outcome, outcome]
    assert result.exit_code == 2


def test_a_step_waits_for_its_own_secret_and_a_missing_one_fails_the_step() -> None:
    vault = Vault({"a": SECRET}, {"b": SourceError("`b` is locked")})
    steps = [planned("first", secrets=("a",)), planned("second", secrets=("b",))]
    program = ListProgram(steps, rescue=["r"], always=["z"])
    source = ListSource({"t": [unit_with(program)]})

    def behave(order: Order) -> Sequence[Message]:
        output = Output(stdout=Captured(head=order.secrets["a"].encode()))
        return [dataclasses.replace(report_of(order, OK), output=output)]

    result, sink = execute(source, vault, behave=behave)
    assert program.planned == ["first", "second", "r", "z"]
    (end,) = [event for event in sink.events if isinstance(event, UnitEnded)]
    message = "step `second`: `b` is locked; rescued"
    assert end.report.outcome == Failed(message=message, retryable=False)
    assert end.report.output.stdout == Captured(parts=(Captured(head=b"*********"),))
    assert result.exit_code == 2


def test_output_before_and_after_a_secret_was_read_is_hidden_once_it_is_known() -> None:
    vault = Vault({"a": SECRET})
    program = ListProgram([planned("early"), planned("late", secrets=("a",))])

    def behave(order: Order) -> Sequence[Message]:
        output = Output(stdout=Captured(head=SECRET.encode()))
        return [dataclasses.replace(report_of(order, Ok(changed=True)), output=output)]

    _, sink = execute(ListSource({"t": [unit_with(program)]}), vault, behave=behave)
    (end,) = [event for event in sink.events if isinstance(event, UnitEnded)]
    assert end.report.output.stdout.head == b"******"


def test_a_reader_that_is_stuck_does_not_hold_up_the_end() -> None:
    """A run that breaks leaves the thread of a password manager that never answers."""

    class Broken(ListSource):
        def review(self, unit: Unit, report: Report) -> Report:
            message = f"a defect at {unit.index}.{report.attempt}"
            raise RuntimeError(message)

    vault = Vault({"a": SECRET})
    vault.open.clear()
    unit = Unit(task_id="t", index=1, operation="noop")
    held = Unit(task_id="t", index=2, operation="noop", secrets=("a",))
    queue: SimpleQueue[Message] = SimpleQueue()
    runner = FakeRunner(queue, lambda order: [report_of(order)])
    options = RunOptions(run_id="r1", procs=2, secrets=vault)
    job = Job(name="job", tasks=(task("t", reviewed=True),))
    with pytest.raises(RuntimeError, match="a defect"):
        Run(job, Broken({"t": [held, unit]}), runner, queue, options).execute()
    assert runner.calls == ["kill"]
    vault.open.set()


def test_events_are_a_closed_set_that_the_mask_knows() -> None:
    assert set(EVENT_TYPES) == set(get_args(Event))
