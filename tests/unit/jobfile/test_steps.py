"""Steps: what they are given, what they know of each other, how they end."""

import pytest

from batchrun.jobfile.loaded import Binding, LoadedJob
from batchrun.model.around import Around
from batchrun.model.job import RetryPolicy
from batchrun.model.outcome import Failed, Ok, Skipped
from batchrun.model.steps import PlannedStep, Section, StepFailure, UnitProgram
from batchrun.model.unit import Unit
from reports import FAILED, attempt_of, written
from small_jobs import loaded, units

FAILURE = StepFailure(
    step="restart", outcome="failed", message="exit status 3", exit_status=3, stderr="no such unit"
)


def program_of(unit: Unit) -> UnitProgram:
    assert unit.program is not None
    return unit.program


def only_program(text: str, *, dry_run: bool = False) -> tuple[LoadedJob, Unit, UnitProgram]:
    job = loaded(text)
    if dry_run:
        job.bind(Binding(run_id="run-1", started_at=0.0, dry_run=True))
    (unit,) = units(job)
    return job, unit, program_of(unit)


def step(program: UnitProgram, at: int, section: Section = Section.STEPS) -> PlannedStep:
    return program.plan(section, at, None)


def test_a_task_with_steps_has_units_with_a_program_and_no_parameters() -> None:
    job, unit, program = only_program(
        "tasks: [{steps: [{run: a}, {delete: b}], rescue: [{run: c}], always: [{run: d}, {run: e}],"
        " timeout: 9}]"
    )

    (task,) = job.job.tasks
    assert (task.id, task.operation, task.is_command) == ("steps-1", "steps", True)
    assert (unit.operation, unit.params, unit.timeout_s) == ("steps", {}, 9.0)
    assert [program.count(section) for section in Section] == [2, 1, 2]
    assert not program.rescue_ok


def test_a_step_is_a_unit_of_its_own_on_the_same_item() -> None:
    job = loaded(
        "tasks: [{id: t, foreach: [x], steps: [{run: [a, '{{ item }}', '{{ index }}'],"
        " timeout: 5, name: first}]}]"
    )
    (unit,) = units(job)

    planned = step(program_of(unit), 0)

    assert planned == PlannedStep(
        name="first",
        unit=Unit(
            task_id="t",
            index=1,
            label="x",
            key="x",
            operation="run",
            params={"command": ("a", "x", "1")},
            timeout_s=5.0,
        ),
    )


def test_a_step_without_a_name_is_called_by_its_operation() -> None:
    _, _, program = only_program("tasks: [{steps: [{delete: a}]}]")

    assert step(program, 0).name == "delete"


def test_steps_have_what_stands_beside_them_unless_they_say_otherwise() -> None:
    _, _, program = only_program(
        "defaults: {ok_codes: [0, 1], env: {D: d}}\n"
        "tasks:\n- env: {A: a, B: b}\n  cwd: sub\n  shell: bash\n  sudo: www\n  nice: 3\n"
        "  ionice: idle\n  idle_timeout: 1m\n  mounted: /mnt\n"
        "  steps:\n  - run: x\n  - {run: y, env: {B: other}, cwd: /z, sudo: false, nice: 1}\n"
        "  - delete: q\n"
    )

    first, second, third = (step(program, at).unit for at in range(3))

    assert first.params == {
        "command": "x",
        "env": {"D": "d", "A": "a", "B": "b"},
        "cwd": "/base/dir/sub",
        "shell": "bash",
        "sudo": "www",
        "idle_timeout": 60.0,
        "ok_codes": (0, 1),
    }
    assert first.around == Around(mounted=("/mnt",), nice=3, ionice=("idle", 7))
    assert second.params["env"] == {"D": "d", "A": "a", "B": "other"}
    assert (second.params["cwd"], second.params["sudo"]) == ("/z", False)
    assert second.around == Around(nice=1, ionice=("idle", 7))
    assert third.params == {"path": ("/base/dir/q",)}


def test_a_step_has_its_own_guards_and_output() -> None:
    _, _, program = only_program(
        "tasks: [{cwd: /w, steps: [{run: 'a > {{ output }}', output: one.tar.gz, unless: test,"
        " creates: done}, {run: 'b > {{ output }}', output: two}]}]"
    )

    first, second = step(program, 0).unit, step(program, 1).unit

    assert first.around is not None
    assert (first.around.unless, first.around.command) == ("test", {"cwd": "/w"})
    assert first.around.creates == ("/base/dir/done",)
    assert first.around.output is not None
    assert first.around.output.temporary == "/base/dir/.br-run-1-o1.1.tar.gz"
    assert second.around is not None
    assert second.around.output is not None
    assert second.around.output.temporary == "/base/dir/.br-run-1-o2.1"


def test_a_step_has_its_own_retries() -> None:
    _, _, program = only_program(
        "tasks: [{retries: 9, steps: [{run: a}, {run: b, retries: 2, retry_delay: 3, "
        "retry_on: [failed, 7]}, {delete: c, retries: 1}]}]"
    )

    policies = [step(program, at).retry for at in range(3)]

    assert policies[0] == RetryPolicy()
    assert policies[1] == RetryPolicy(
        retries=2, delay_s=3.0, kinds=frozenset({"failed"}), exit_statuses=frozenset({7})
    )
    assert policies[2].kinds == {"failed", "unreachable", "timed_out", "lost"}


def test_errors_of_a_step_may_be_ignored() -> None:
    _, _, program = only_program("tasks: [{steps: [{run: a, ignore_errors: true}, {run: b}]}]")

    assert [step(program, at).ignore_errors for at in (0, 1)] == [True, False]


def test_a_step_sees_what_an_earlier_one_registered() -> None:
    _, _, program = only_program(
        "tasks: [{foreach: [x], vars: {v: 'got {{ mine.seen.stdout }}'}, steps:"
        " [{run: a, register: seen}, {run: ['{{ mine.seen.stdout }}', '{{ v }}'],"
        " when: mine.seen.exit_status == 4}]}]"
    )

    step(program, 0)
    program.review(Section.STEPS, 0, written(b"here\n", status=4))

    assert step(program, 1).unit.params == {"command": ("here", "got here")}


def test_each_unit_has_its_own_results_of_steps() -> None:
    job = loaded(
        "tasks: [{foreach: [x, y], steps: [{run: a, register: seen},"
        " {run: ['{{ item }}', '{{ mine.seen.stdout }}']}]}]"
    )
    programs = [program_of(unit) for unit in units(job)]

    for program, text in zip(programs, (b"one", b"two"), strict=True):
        step(program, 0)
        program.review(Section.STEPS, 0, written(text))

    commands = [step(program, 1).unit.params["command"] for program in programs]
    assert commands == [("x", "one"), ("y", "two")]


def test_a_result_of_a_step_is_seen_by_other_tasks() -> None:
    job = loaded(
        "tasks: [{id: a, foreach: [x, y], steps: [{run: a, register: seen}]},"
        " {id: b, needs: a, foreach: [y], run: ['{{ mine.seen.stdout }}']},"
        " {needs: a, run: ['{{ results.seen.units | length }}']}]"
    )
    for unit in units(job):
        step(program_of(unit), 0)
        program_of(unit).review(Section.STEPS, 0, written(unit.label.encode() * 2))

    assert units(job, 1)[0].params == {"command": ("yy",)}
    assert units(job, 2)[0].params == {"command": ("2",)}


def test_a_single_unit_may_call_its_own_results_by_either_name() -> None:
    _, _, program = only_program(
        "tasks: [{steps: [{run: a, register: seen},"
        " {run: ['{{ results.seen.stdout }}', '{{ mine.seen.stdout }}']}]}]"
    )
    step(program, 0)
    program.review(Section.STEPS, 0, written(b"here"))

    assert step(program, 1).unit.params == {"command": ("here", "here")}


def test_a_step_that_was_skipped_has_an_empty_result() -> None:
    _, _, program = only_program(
        "tasks: [{steps: [{run: a, register: seen, when: 'false'},"
        " {run: ['{{ mine.seen.outcome }}', '{{ mine.seen.stdout }}']}]}]"
    )

    assert step(program, 0).unit.verdict == Skipped(because="when: false is false")
    assert step(program, 1).unit.params == {"command": ("skipped", "")}


def test_a_step_that_was_never_reached_has_an_empty_result_in_always() -> None:
    _, _, program = only_program(
        "tasks: [{steps: [{run: a}, {run: b, register: seen}],"
        " always: [{run: ['{{ mine.seen.outcome }}', '{{ mine.seen.stdout }}']}]}]"
    )

    planned = program.plan(Section.ALWAYS, 0, FAILURE)

    assert planned.unit.params == {"command": ("skipped", "")}


def test_a_new_attempt_knows_nothing_of_the_one_before() -> None:
    _, _, program = only_program(
        "tasks: [{steps: [{run: ['{{ mine.seen.stdout }}']}, {run: a}]}]".replace(
            "{run: ['{{ mine.seen.stdout }}']}, {run: a}",
            "{run: a, register: seen}, {run: ['<{{ mine.seen.stdout }}>']}",
        )
    )
    step(program, 0)
    program.review(Section.STEPS, 0, written(b"old"))

    program.restart()

    assert step(program, 1).unit.params == {"command": ("<>",)}


def test_rescue_and_always_know_what_failed() -> None:
    _, _, program = only_program(
        "tasks: [{steps: [{run: a}], rescue: [{run: ['{{ failed.step }}',"
        " '{{ failed.exit_status }}', '{{ failed.stderr }}', '{{ failed.message }}']}],"
        " always: [{run: b, when: failed.step == 'restart'}]}]"
    )

    rescue = program.plan(Section.RESCUE, 0, FAILURE)
    always = program.plan(Section.ALWAYS, 0, FAILURE)

    assert rescue.unit.params["command"] == ("restart", "3", "no such unit", "exit status 3")
    assert always.unit.verdict is None


def test_nothing_failed_reads_as_empty_in_always() -> None:
    _, _, program = only_program(
        "tasks: [{steps: [{run: a}], always: [{run: ['{{ failed.step }}',"
        " '{{ failed.exit_status }}']}, {run: b, when: failed.step}]}]"
    )

    first, second = (step(program, at, Section.ALWAYS) for at in (0, 1))

    assert first.unit.params == {"command": ("", "")}
    assert isinstance(second.unit.verdict, Skipped)


def test_a_step_that_cannot_be_computed_fails_with_its_place() -> None:
    _, _, program = only_program("vars: {d: {}}\ntasks: [{steps: [{run: 'a {{ d.none }}'}]}]")

    verdict = step(program, 0).unit.verdict

    assert isinstance(verdict, Failed)
    assert verdict.message.startswith("job.yml:2: tasks[0].steps[0].run: ")


def test_changed_when_of_a_step_decides_for_that_step() -> None:
    _, _, program = only_program(
        'tasks: [{foreach: [x], steps: [{run: a, changed_when: "item in stdout"}]}]'
    )
    step(program, 0)

    seen = [program.review(Section.STEPS, 0, written(text)).outcome for text in (b"ax", b"y")]

    assert seen == [Ok(changed=True, exit_status=0), Ok(changed=False, exit_status=0)]


def test_a_result_of_a_step_that_is_too_long_fails_the_step() -> None:
    _, _, program = only_program("tasks: [{steps: [{run: a, register: r}]}]")
    step(program, 0)

    report = program.review(Section.STEPS, 0, written(b"x" * (1024 * 1024 + 1)))

    assert isinstance(report.outcome, Failed)


def test_a_task_with_steps_may_register_how_its_units_ended() -> None:
    job = loaded(
        "tasks: [{id: a, register: whole, ignore_errors: true, steps: [{run: a}]},"
        " {needs: a, run: ['{{ results.whole.outcome }}', '{{ results.whole.stdout }}']}]"
    )
    (unit,) = units(job)

    job.review(unit, attempt_of(FAILED, b"said"))

    assert units(job, 1)[0].params == {"command": ("failed", "said")}


def test_a_dry_run_does_not_know_what_a_step_would_have_written() -> None:
    _, _, program = only_program(
        "tasks: [{steps: [{run: a, register: seen}, {run: 'b {{ mine.seen.stdout }}'}, {run: c}]}]",
        dry_run=True,
    )
    step(program, 0)
    program.review(Section.STEPS, 0, attempt_of(Ok(changed=True, note="would run a")))

    verdict = step(program, 1).unit.verdict

    assert isinstance(verdict, Skipped)
    assert verdict.because.startswith("unknown until run: it uses the result of `seen`")
    assert step(program, 2).unit.verdict is None


def test_a_rehearsed_unit_with_steps_has_no_result_for_others() -> None:
    job, unit, program = only_program(
        "tasks: [{id: a, register: whole, steps: [{run: a}]},"
        " {needs: a, run: ['{{ results.whole.stdout }}']}]",
        dry_run=True,
    )
    step(program, 0)
    program.review(Section.STEPS, 0, attempt_of(Ok(changed=True)))
    job.review(unit, attempt_of(Ok(changed=True)))

    (dependent,) = units(job, 1)

    assert isinstance(dependent.verdict, Skipped)


def test_the_condition_of_the_task_decides_before_any_step() -> None:
    (unit,) = units(loaded("tasks: [{when: 'false', steps: [{run: a}]}]"))

    assert (unit.program, unit.verdict) == (None, Skipped(because="when: false is false"))


@pytest.mark.parametrize("section", ["rescue", "always"])
def test_later_sections_see_what_the_steps_registered(section: str) -> None:
    _, _, program = only_program(
        "tasks: [{steps: [{run: a, register: seen}, {run: b}],"
        f" {section}: [{{run: ['{{{{ mine.seen.stdout }}}}']}}]}}]"
    )
    step(program, 0)
    program.review(Section.STEPS, 0, written(b"here"))

    planned = program.plan(Section(section), 0, FAILURE)

    assert planned.unit.params == {"command": ("here",)}


def test_rescue_may_save_the_unit() -> None:
    _, _, program = only_program(
        "tasks: [{steps: [{run: a}], rescue: [{run: b}], rescue_ok: true}]"
    )

    assert program.rescue_ok
