"""`register`, `results`, `mine` and `changed_when`: what is kept, and what templates see of it."""

import pytest

from batchrun.jobfile import LoadOptions
from batchrun.jobfile.loaded import Binding, LoadedJob
from batchrun.jobfile.results import CAPTURE_BYTES
from batchrun.model.outcome import Captured, Failed, Ok, Outcome, Skipped
from batchrun.model.ports import Drawn
from batchrun.model.steps import Section
from batchrun.model.unit import Unit
from reports import FAILED, attempt_of, written
from small_jobs import Waker, loaded, mistakes, units

MIB = 1024 * 1024


def command(job: LoadedJob, task: int) -> object:
    """Plan the one unit of a task; return its command, or why it has none."""
    (unit,) = units(job, task)
    return unit.params["command"] if unit.verdict is None else unit.verdict


def probed(expression: str, *, foreach: str = "") -> LoadedJob:
    return loaded(
        f"tasks: [{{id: a, run: p, register: probe{foreach}}},"
        f" {{id: b, needs: a, run: ['{{{{ {expression} }}}}']}}]"
    )


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("results.probe.stdout", "one\ntwo"),
        ('results.probe.lines | join("+")', "one+two"),
        ("results.probe.lines[0]", "one"),
        ("results.probe.exit_status", "4"),
        ("results.probe.outcome", "ok"),
        ("results.probe.changed", "true"),
        ("results.probe.failed", "false"),
        ("results.probe.units | length", "1"),
        ("results.probe.units[0].stdout", "one\ntwo"),
        ('results.probe.units | map(attribute="exit_status") | first', "4"),
    ],
)
def test_the_result_of_one_unit_is_seen_by_tasks_that_need_it(expression: str, value: str) -> None:
    job = probed(expression)
    (unit,) = units(job)

    job.review(unit, written(b"one\ntwo\n", status=4))

    assert command(job, 1) == (value,)


def test_only_a_newline_ends_a_line_of_a_result() -> None:
    job = probed("results.probe.lines | length")
    (unit,) = units(job)

    job.review(unit, written("a\x0cb\x85c\u2028d\re\n\nf\n\n".encode()))

    assert command(job, 1) == ("3",)


def test_a_unit_whose_item_is_a_result_is_named_after_the_unit_of_that_result() -> None:
    job = loaded(
        "tasks: [{id: a, run: p, register: probe, foreach: [x, y]},"
        " {id: b, needs: a, foreach: '{{ results.probe.units }}', run: ['{{ item.stdout }}']}]"
    )
    for unit in units(job):
        job.review(unit, written(unit.label.encode()))

    assert [unit.label for unit in units(job, 1)] == ["x", "y"]


@pytest.mark.parametrize(
    ("outcome", "expression", "value"),
    [
        (FAILED, "results.probe.outcome", "failed"),
        (FAILED, "results.probe.failed", "true"),
        (FAILED, "results.probe.exit_status", "3"),
        (FAILED, "results.probe.message", "exit status 3"),
        (FAILED, "results.probe.changed", "false"),
        (Skipped(because="creates: x is there"), "results.probe.stdout", ""),
        (Skipped(because="creates: x is there"), "results.probe.lines | length", "0"),
        (Skipped(because="creates: x is there"), "results.probe.exit_status", ""),
        (Skipped(because="creates: x is there"), "results.probe.failed", "false"),
    ],
)
def test_a_unit_that_did_not_end_well_has_a_result_too(
    outcome: Outcome, expression: str, value: str
) -> None:
    job = probed(expression)
    (unit,) = units(job)

    job.review(unit, attempt_of(outcome))

    assert command(job, 1) == (value,)


def test_a_unit_skipped_by_its_condition_has_an_empty_result() -> None:
    job = probed("results.probe.outcome", foreach=", when: false")

    units(job)

    assert command(job, 1) == ("skipped",)


def test_a_task_that_was_never_run_has_an_empty_result_in_finally() -> None:
    job = loaded(
        "tasks: [{run: p, register: probe}]\n"
        "finally: [{run: ['{{ results.probe.stdout }}', '{{ results.probe.units | length }}']}]"
    )

    assert command(job, 1) == ("", "0")


def test_results_of_several_units_are_listed_in_their_order_with_their_items() -> None:
    job = probed(
        'results.probe.units | map(attribute="item") | join(",")', foreach=", foreach: [x, y, z]"
    )
    first, second, third = units(job)

    for unit in (third, first, second):
        job.review(unit, written(unit.label.encode()))

    assert command(job, 1) == ("x,y,z",)


@pytest.mark.parametrize(
    ("endings", "kind"),
    [((Ok(changed=False), FAILED), "failed"), ((Ok(changed=False), Skipped(because="x")), "ok")],
)
def test_the_outcome_of_several_units_is_the_worst(
    endings: tuple[Outcome, Outcome], kind: str
) -> None:
    job = probed("results.probe.outcome", foreach=", foreach: [x, y]")
    for unit, outcome in zip(units(job), endings, strict=True):
        job.review(unit, attempt_of(outcome))

    assert command(job, 1) == (kind,)


def test_the_output_of_several_units_is_an_error_that_says_what_to_write() -> None:
    job = probed("results.probe.stdout", foreach=", foreach: [x, y]")
    for unit in units(job):
        job.review(unit, written(b"x"))

    verdict = command(job, 1)

    assert isinstance(verdict, Failed)
    assert verdict.message == (
        "job.yml:1: tasks[1].run: `results.probe.stdout` is for exactly one unit, and `a` has 2; "
        "take `mine.probe` for that of the same item, or go through `results.probe.units`"
    )


def test_an_entry_that_is_computed_and_unknown_fails_the_unit_with_a_hint() -> None:
    job = probed('results.probe["stdout" ~ "s"]')
    (unit,) = units(job)
    job.review(unit, written(b"x"))

    verdict = command(job, 1)

    assert isinstance(verdict, Failed)
    assert "a result has no `stdouts`; did you mean `stdout`?" in verdict.message


def test_mine_is_the_result_of_the_same_item() -> None:
    job = loaded(
        "tasks: [{id: a, run: p, register: probe, foreach: [x, y, {k: 1}]},"
        " {needs: a, run: ['{{ mine.probe.stdout }}'], foreach: [{k: 1}, y, x]}]"
    )
    for unit, text in zip(units(job), (b"of x", b"of y", b"of k"), strict=True):
        job.review(unit, written(text))

    assert [unit.params["command"] for unit in units(job, 1)] == [("of k",), ("of y",), ("of x",)]


def test_mine_of_an_item_that_the_other_task_never_had_fails_the_unit() -> None:
    job = loaded(
        "tasks: [{id: a, run: p, register: probe, foreach: [x]},"
        " {needs: a, run: ['{{ mine.probe.stdout }}'], foreach: [z]}]"
    )
    for unit in units(job):
        job.review(unit, written(b"x"))

    (late,) = units(job, 1)

    assert isinstance(late.verdict, Failed)
    assert "`mine.probe`: `a` has no unit with the item 'z'" in late.verdict.message


def test_a_later_attempt_replaces_the_result_of_an_earlier_one() -> None:
    job = probed("results.probe.stdout")
    (unit,) = units(job)

    job.review(unit, attempt_of(FAILED, b"first"))
    job.review(unit, written(b"second"))

    assert command(job, 1) == ("second",)


def test_bytes_that_are_no_utf8_pass_through_a_result_unharmed() -> None:
    job = probed("results.probe.stdout")
    (unit,) = units(job)

    job.review(unit, written(b"caf\xe9\n"))

    assert command(job, 1) == ("caf\udce9",)


def test_items_may_come_out_of_a_result() -> None:
    job = loaded(
        "tasks: [{id: a, run: p, register: probe}, "
        "{needs: a, run: ['{{ item }}'], foreach: '{{ results.probe.lines }}'}]"
    )
    (unit,) = units(job)

    job.review(unit, written(b"x y\nz\n"))

    assert [one.label for one in units(job, 1)] == ["x y", "z"]


def test_a_registered_command_is_captured_whole_and_others_are_not() -> None:
    job = loaded("tasks: [{run: a, register: r}, {run: a}, {run: a, changed_when: exit_status}]")

    assert [units(job, at)[0].capture_bytes for at in range(3)] == [CAPTURE_BYTES, None, None]


def test_a_result_of_one_mebibyte_is_kept_whole() -> None:
    job = probed("results.probe.stdout | length")
    (unit,) = units(job)

    report = job.review(unit, written(b"x" * MIB))

    assert isinstance(report.outcome, Ok)
    assert command(job, 1) == (str(MIB),)


@pytest.mark.parametrize(
    "stdout",
    [Captured(head=b"x" * CAPTURE_BYTES), Captured(head=b"x", omitted_bytes=MIB, tail=b"y")],
)
def test_a_result_that_is_too_long_fails_its_unit(stdout: Captured) -> None:
    job = probed("results.probe.stdout")
    (unit,) = units(job)

    report = job.review(unit, written(stdout))

    assert report.outcome == Failed(
        message=(
            "it wrote more output than a result can have (1 MiB), and `register: probe` keeps it "
            "whole; write it to a file, or register a command that writes less"
        ),
        exit_status=0,
        retryable=False,
    )
    assert command(job, 1) == ("",)


def test_all_results_of_a_run_have_64_mebibytes() -> None:
    job = loaded("tasks: [{run: a, register: r, foreach: {range: [1, 66]}}]")
    text = b"x" * MIB

    kinds = [job.review(unit, written(text)).outcome.kind for unit in units(job)]

    assert kinds == ["ok"] * 64 + ["failed"] * 2


def test_repeated_attempts_do_not_add_up() -> None:
    job = loaded("tasks: [{run: a, register: r}]")
    (unit,) = units(job)
    text = b"x" * MIB

    kinds = {job.review(unit, written(text)).outcome.kind for _ in range(100)}

    assert kinds == {"ok"}


# ---- changed_when


@pytest.mark.parametrize(
    ("expression", "changed"),
    [
        ("'new' in stdout", True),
        ("'old' in stdout", False),
        ("lines[1] == 'two'", True),
        ("exit_status == 4", True),
        ("exit_status in [1, 2]", False),
        ("stderr == 'warned'", True),
        ("not changed", False),
        ("item == 'x' and own == 'x!'", True),
        ("{{ item == 'y' }}", False),
        ("false", False),
    ],
)
def test_an_expression_decides_whether_a_command_changed_something(
    expression: str, changed: object
) -> None:
    job = loaded(
        "tasks:\n- run: a\n  foreach: [x]\n  vars: {own: '{{ item }}!'}\n"
        f'  changed_when: "{expression}"\n'
    )
    (unit,) = units(job)

    report = job.review(unit, written(b"new\ntwo\n", status=4, stderr=b"warned\n"))

    assert report.outcome == Ok(changed=changed is True, exit_status=4)


def test_changed_when_sees_the_item_of_its_own_unit_after_others_were_planned() -> None:
    job = loaded("tasks: [{run: a, foreach: [x, y], changed_when: item == 'x'}]")

    first, second = units(job)

    assert job.review(first, written()).outcome == Ok(changed=True, exit_status=0)
    assert job.review(second, written()).outcome == Ok(changed=False, exit_status=0)


def test_changed_when_says_nothing_to_a_unit_that_failed() -> None:
    job = loaded("tasks: [{run: a, changed_when: 'true'}]")
    (unit,) = units(job)

    assert job.review(unit, attempt_of(FAILED)).outcome == FAILED


def test_a_changed_when_that_cannot_be_computed_fails_its_unit() -> None:
    job = loaded("tasks: [{run: a, changed_when: \"lines[7] == 'x'\"}]")
    (unit,) = units(job)

    outcome = job.review(unit, written(b"one")).outcome

    assert isinstance(outcome, Failed)
    assert outcome.message.startswith("job.yml:1: tasks[0].changed_when: ")
    assert not outcome.retryable


def test_a_result_says_changed_as_changed_when_decided() -> None:
    job = probed("results.probe.changed", foreach=", changed_when: false")
    (unit,) = units(job)

    job.review(unit, written(b"x"))

    assert command(job, 1) == ("false",)


def test_only_tasks_with_something_to_look_at_are_reviewed() -> None:
    job = loaded("tasks: [{run: a}, {run: a, register: r}, {run: a, changed_when: 'true'}]")

    assert [task.reviewed for task in job.job.tasks] == [False, True, True]


# ---- which results may be used where


def test_a_result_may_be_used_through_tasks_in_between() -> None:
    text = (
        "tasks: [{id: a, run: x, register: r}, {id: b, run: x, needs: a}, "
        "{run: 'echo {{ results.r.stdout }}', needs: b}]"
    )

    assert mistakes(text) == []


def test_a_sequential_job_needs_nothing_more_for_its_results() -> None:
    text = (
        "order: sequential\n"
        "tasks: [{run: x, register: r}, {run: x}, {run: 'echo {{ results.r.stdout }}'}]"
    )

    assert mistakes(text) == []


def test_a_task_behind_one_that_needs_per_item_cannot_take_all_of_the_first() -> None:
    text = (
        "tasks: [{id: a, run: x, register: r, foreach: [1]}, "
        "{id: b, run: x, foreach: [1], needs: {task: a, per: item}}, "
        "{run: 'echo {{ results.r.changed }}', needs: b}]"
    )

    assert mistakes(text) == [
        "job.yml:1: tasks[2].run: `results.r` is the result of `a`; add `needs: [a]`"
    ]


def test_finally_tasks_see_all_results_of_the_tasks_before() -> None:
    text = (
        "tasks: [{run: x, register: r}]\nfinally: [{id: f, run: 'echo {{ results.r.stdout }}', "
        "register: g}, {run: 'echo {{ results.g.stdout }}', needs: f}]"
    )

    assert mistakes(text) == []


def test_a_result_of_another_finally_task_must_be_needed() -> None:
    text = (
        "tasks: [{run: x}]\nfinally: [{id: f, run: y, register: g},"
        " {run: 'echo {{ results.g.stdout }}'}]"
    )

    assert mistakes(text) == [
        "job.yml:2: finally[1].run: `results.g` is the result of `f`; add `needs: [f]`"
    ]


def test_a_result_of_a_task_that_is_left_out_is_a_mistake() -> None:
    text = (
        "tasks: [{id: a, run: x, register: r}, {id: b, run: 'echo {{ results.r.stdout }}', "
        "needs: a}]"
    )

    (told,) = mistakes(text, LoadOptions(task_ids=("b",)))
    assert "the result of the task `a`, which --task, --tags or --skip-tags leaves out" in told
    assert mistakes(text, LoadOptions(task_ids=("a", "b"))) == []
    assert mistakes(text, LoadOptions(task_ids=("a",))) == []


def test_two_thousand_tasks_that_each_use_the_one_before_are_checked() -> None:
    tasks = "".join(
        f"- {{id: t{n}, run: 'echo {{{{ results.r{n - 1}.stdout }}}}', register: r{n}}}\n"
        for n in range(1, 2_000)
    )
    text = f"order: sequential\ntasks:\n- {{id: t0, run: a, register: r0}}\n{tasks}"

    assert len(loaded(text).job.tasks) == 2_000


# ---- results that come while the unit waits


def late_job() -> LoadedJob:
    return loaded(
        "tasks: [{id: a, run: p, register: probe, foreach: [x, y]},"
        " {id: b, needs: {task: a, per: item}, foreach: [x, y], when: mine.probe.changed,"
        " run: ['{{ mine.probe.stdout }}'], register: seen}]"
    )


def test_a_unit_that_waits_for_one_of_the_same_item_is_resolved_when_it_is_due() -> None:
    job = late_job()
    first, _ = units(job)
    late, _ = units(job, 1)

    job.review(first, written(b"now known"))

    assert late.program is not None
    assert (late.operation, late.params, late.verdict) == ("run", {}, None)
    assert late.program.count(Section.STEPS) == 1
    step = late.program.plan(Section.STEPS, 0, None)
    assert (step.unit.operation, step.unit.params) == ("run", {"command": ("now known",)})


def test_a_late_unit_ends_as_its_operation_did() -> None:
    job = late_job()
    first, _ = units(job)
    late, _ = units(job, 1)
    job.review(first, written(b"x"))
    assert late.program is not None

    late.program.plan(Section.STEPS, 0, None)
    late.program.review(Section.STEPS, 0, attempt_of(FAILED, b"out"))
    whole = Failed(message="step `b`: exit status 3", exit_status=3)

    assert job.review(late, attempt_of(whole)).outcome == FAILED


def test_a_late_unit_whose_condition_is_false_is_skipped() -> None:
    job = late_job()
    first, _ = units(job)
    late, _ = units(job, 1)
    job.review(first, attempt_of(Ok(changed=False, exit_status=0)))
    assert late.program is not None

    step = late.program.plan(Section.STEPS, 0, None)

    skipped = Skipped(because="when: mine.probe.changed is false")
    assert step.unit.verdict == skipped
    assert job.review(late, attempt_of(Ok(changed=False))).outcome == skipped


def test_a_barrier_before_makes_late_resolving_unnecessary() -> None:
    job = loaded(
        "tasks: [{id: a, run: p, register: probe, foreach: [x]},"
        " {needs: [a, {task: a, per: item}], foreach: [x], run: ['{{ mine.probe.stdout }}']}]"
    )
    (first,) = units(job)
    job.review(first, written(b"seen"))

    (unit,) = units(job, 1)

    assert unit.program is None
    assert unit.params == {"command": ("seen",)}


# ---- a dry run


def rehearsed(text: str) -> LoadedJob:
    job = loaded(text)
    job.bind(Binding(run_id="run-1", started_at=0.0, dry_run=True))
    return job


DRY = Ok(changed=True, note="would run p")


@pytest.mark.parametrize(
    "entry",
    [
        "run: 'echo {{ results.probe.stdout }}'",
        "run: b, when: results.probe.changed",
        "run: b, foreach: '{{ results.probe.lines }}'",
        "run: b, foreach: ['{{ results.probe.stdout }}']",
        "run: b, creates: '{{ results.probe.stdout }}'",
        "run: b, lock: '{{ results.probe.stdout }}'",
        "run: '{{ v }}', vars: {v: '{{ results.probe.stdout }}'}",
        "run: \"echo {{ results.probe.stdout | default('none') }}\"",
    ],
)
def test_what_depends_on_a_command_that_was_not_run_is_unknown_until_run(entry: str) -> None:
    job = rehearsed(f"tasks: [{{id: a, run: p, register: probe}}, {{needs: a, {entry}}}]")
    (unit,) = units(job)
    job.review(unit, attempt_of(DRY))

    (dependent,) = units(job, 1)

    assert dependent.verdict == Skipped(
        because="unknown until run: it uses the result of `probe`, which a dry run does not run",
        is_unknown=True,
    )


def test_items_before_an_unknown_one_are_still_rehearsed() -> None:
    job = rehearsed(
        "tasks: [{id: a, run: p, register: probe},"
        " {needs: a, run: b, foreach: [x, '{{ results.probe.stdout }}', y]}]"
    )
    (unit,) = units(job)
    job.review(unit, attempt_of(DRY))

    assert [(one.index, one.verdict is None) for one in units(job, 1)] == [(1, True), (2, False)]


def test_a_command_that_does_run_in_a_dry_run_has_a_result() -> None:
    job = rehearsed(
        "tasks: [{id: a, run: p, register: probe, readonly: true},"
        " {needs: a, run: ['{{ results.probe.stdout }}']}]"
    )
    (unit,) = units(job)

    job.review(unit, written(b"real"))

    assert command(job, 1) == ("real",)


def test_what_is_unknown_stays_unknown_in_what_depends_on_it() -> None:
    job = rehearsed(
        "tasks: [{id: a, run: p, register: one}, {id: b, needs: a, register: two, "
        "run: 'x {{ results.one.stdout }}'}, {needs: b, run: 'y {{ results.two.stdout }}'}]"
    )
    (unit,) = units(job)
    job.review(unit, attempt_of(DRY))

    units(job, 1)
    (last,) = units(job, 2)

    assert isinstance(last.verdict, Skipped)
    assert last.verdict.because.startswith("unknown until run")


def test_the_end_of_an_unknown_source_is_an_end() -> None:
    job = rehearsed(
        "tasks: [{id: a, run: p, register: probe},"
        " {id: b, needs: a, run: b, foreach: '{{ results.probe.lines }}'}]"
    )
    (unit,) = units(job)
    job.review(unit, attempt_of(DRY))
    stream = job.open("b", {}, Waker())

    assert isinstance(stream.draw(), Unit)
    assert [stream.draw(), stream.draw()] == [Drawn.EXHAUSTED, Drawn.EXHAUSTED]
