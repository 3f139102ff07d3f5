"""Waves, questions and machine locks in a run: what reaches people, and what reaches the lock."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import SimpleQueue

import pytest

from batchrun.engine.run import Message, Run, RunOptions, RunResult
from batchrun.model.event import Note, UnitEnded
from batchrun.model.exitcode import ExitCode
from batchrun.model.job import Batch, Job, Task, WaveSize
from batchrun.model.outcome import Failed
from batchrun.model.unit import Order
from doubles import FAILED, FakeRunner, ListSource, Plan, RecordingSink, report_of, task, units

pytestmark = pytest.mark.timeout(20)

SINGLY = Batch(sizes=(WaveSize(count=1),))


class Table:
    """Machine locks; writes down what is asked of it."""

    def __init__(self, answers: Sequence[bool | OSError]) -> None:
        self.answers = list(answers)
        self.log: list[tuple[str, tuple[str, ...]]] = []

    def try_take(self, names: Sequence[str]) -> bool:
        answer = self.answers.pop(0)
        self.log.append(("try", tuple(names)))
        if isinstance(answer, OSError):
            raise answer
        return answer

    def release(self, names: Sequence[str]) -> None:
        self.log.append(("release", tuple(names)))


class Stage:
    """A run with a runner that answers at once."""

    def __init__(self, *tasks: Task, plans: dict[str, Plan] | None = None) -> None:
        self.job = Job(name="job", tasks=tasks)
        self.source = ListSource(plans)
        self.sink = RecordingSink()
        self.options = RunOptions(run_id="r", procs=2, sinks=(self.sink,))
        self.failing: frozenset[str] = frozenset()

    def execute(self) -> RunResult:
        queue: SimpleQueue[Message] = SimpleQueue()
        runner = FakeRunner(queue, self.behave)
        return Run(self.job, self.source, runner, queue, self.options).execute()

    def behave(self, order: Order) -> Sequence[Message]:
        return [report_of(order, FAILED) if order.unit.label in self.failing else report_of(order)]

    @property
    def kinds(self) -> list[str]:
        events = [event for event in self.sink.events if isinstance(event, UnitEnded)]
        return [event.report.outcome.kind for event in events]


def asking(answer: Callable[[str, Callable[[bool], None]], None] | None) -> Stage:
    stage = Stage(task("a", batch=replace(SINGLY, ask=True)), plans={"a": units("a", 3)})
    stage.options = replace(stage.options, ask=answer)
    return stage


def test_who_answers_yes_from_another_thread_lets_each_wave_begin() -> None:
    questions: list[str] = []

    def ask(question: str, answered: Callable[[bool], None]) -> None:
        questions.append(question)
        threading.Thread(target=answered, args=(True,)).start()

    stage = asking(ask)
    assert stage.execute().ok
    assert questions == [
        "`a`: wave 1 is over (1 ok, 0 failed); begin wave 2?",
        "`a`: wave 2 is over (1 ok, 0 failed); begin wave 3?",
    ]
    assert stage.kinds == ["ok"] * 3


def test_no_aborts_the_rest_and_the_run_has_not_succeeded() -> None:
    stage = asking(lambda _, answered: answered(False))
    assert stage.execute().exit_code is ExitCode.FAILED
    assert stage.kinds == ["ok", "aborted"]


def test_without_anybody_to_ask_the_answer_is_no_and_says_why() -> None:
    stage = asking(None)
    assert stage.execute().exit_code is ExitCode.FAILED
    assert any("nobody can answer without a terminal" in note for note in stage.sink.notes)


def test_a_wave_with_a_failure_too_many_ends_the_run_with_the_code_of_a_fail_limit() -> None:
    stage = Stage(task("a", batch=SINGLY), plans={"a": units("a", 3)})
    stage.failing = frozenset({"a2"})
    assert stage.execute().exit_code is ExitCode.FAIL_LIMIT
    assert stage.kinds == ["ok", "failed", "aborted"]


def test_a_dry_run_goes_through_all_waves_without_pause_or_question() -> None:
    patient = replace(SINGLY, pause_s=10_000.0, ask=True)
    stage = Stage(task("a", batch=patient, slots=9), plans={"a": units("a", 3)})
    stage.options = replace(stage.options, dry_run=True)
    assert stage.execute().ok
    assert not [note for note in stage.sink.notes if "takes all" in note]


def test_a_task_that_asks_for_more_slots_than_there_are_is_told_once() -> None:
    stage = Stage(task("a", slots=9), plans={"a": units("a", 3)})
    assert stage.execute().ok
    notes = [event for event in stage.sink.events if isinstance(event, Note)]
    message = "asks for 9 slots, there are 2: each of its units takes all"
    assert notes == [Note(message=message, level="info", task_id="a")]


def test_a_machine_lock_is_held_for_each_attempt_and_tried_again_while_it_is_busy() -> None:
    stage = Stage(task("a"), plans={"a": units("a", 1, machine_locks=("x", "y"))})
    table = Table([False, False, True])
    stage.options = replace(stage.options, machine_locks=table)
    assert stage.execute().ok
    both = ("x", "y")
    assert table.log == [("try", both), ("try", both), ("try", both), ("release", both)]


def test_a_machine_lock_that_can_never_be_had_fails_its_unit_and_what_follows_still_runs() -> None:
    plans: dict[str, Plan] = {"a": units("a", 1, machine_locks=("x",)), "b": units("b", 1)}
    stage = Stage(task("a", ignore_errors=True), task("b", "a"), plans=plans)
    error = OSError(28, "No space left on device", "/state/x.lock")
    stage.options = replace(stage.options, machine_locks=Table([error]))
    assert stage.execute().ok
    outcomes = [e.report.outcome for e in stage.sink.events if isinstance(e, UnitEnded)]
    message = "the lock file /state/x.lock cannot be locked: No space left on device"
    assert outcomes[0] == Failed(message=message)
    assert outcomes[1].kind == "ok"
