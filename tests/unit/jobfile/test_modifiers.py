"""The modifiers of tasks: order, waves, room, locks, retries, and what a plan says of them."""

import pytest

from batchrun.jobfile import LoadOptions
from batchrun.model.around import Around
from batchrun.model.job import Batch, FailLimit, Need, Task, WaveSize
from batchrun.model.secret import SecretRef, SecretText
from batchrun.model.steps import Section
from small_jobs import loaded, units


def task_of(text: str, task_id: str = "t") -> Task:
    job = loaded(text).job
    return next(one for one in (*job.tasks, *job.final_tasks) if one.id == task_id)


def written(modifiers: str) -> Task:
    return task_of(f"tasks: [{{id: t, run: a, foreach: [x, y], {modifiers}}}]")


def test_a_need_may_be_per_item() -> None:
    text = (
        "tasks: [{id: a, run: a, foreach: [x]}, {id: b, run: b},"
        " {id: t, run: c, foreach: [x], needs: [{task: a, per: item}, b]}]"
    )

    assert task_of(text).needs == (Need(task_id="a", per="item"), Need(task_id="b"))


def test_a_need_for_all_of_a_task_wins_over_one_per_item() -> None:
    text = (
        "tasks: [{id: a, run: a, foreach: [x]},"
        " {id: t, run: c, foreach: [x], needs: [a, {task: a, per: item}]}]"
    )

    assert task_of(text).needs == (Need(task_id="a"),)


def test_a_written_need_per_item_stays_one_in_a_sequential_job() -> None:
    text = (
        "order: sequential\ntasks: [{id: a, run: a, foreach: [x]},"
        " {id: t, run: c, foreach: [x], needs: {task: a, per: item}}]"
    )

    assert task_of(text).needs == (Need(task_id="a", per="item"),)


def test_a_need_per_item_is_no_mistake_between_two_tasks_without_items() -> None:
    text = "tasks: [{id: a, run: a}, {id: t, run: c, needs: {task: a, per: item}}]"

    assert task_of(text).needs == (Need(task_id="a", per="item"),)


@pytest.mark.parametrize(
    ("modifiers", "batch"),
    [
        ("batch: 3", Batch(sizes=(WaveSize(count=3),))),
        ("batch: 10%", Batch(sizes=(WaveSize(percent=10.0),))),
        (
            "batch: [1, 12.5%, 2]",
            Batch(sizes=(WaveSize(count=1), WaveSize(percent=12.5), WaveSize(count=2))),
        ),
        ("batch: 1, pause: 5m", Batch(sizes=(WaveSize(count=1),), pause_s=300.0)),
        ("batch: 1, pause: ask", Batch(sizes=(WaveSize(count=1),), ask=True)),
        ("slots: 2", None),
    ],
)
def test_waves_have_sizes_and_pauses(modifiers: str, batch: Batch | None) -> None:
    assert written(modifiers).batch == batch


def test_a_batch_among_the_defaults_says_nothing_to_tasks_without_items() -> None:
    text = "defaults: {batch: 2, pause: 1s}\ntasks: [{id: t, run: a}]"

    assert task_of(text).batch is None


def test_modifiers_of_scheduling_reach_the_task() -> None:
    task = written("slots: 3, max_parallel: 2, max_fail: 5%, print: always, ignore_errors: true")

    assert (task.slots, task.max_parallel, task.max_fail) == (3, 2, FailLimit(percent=5.0))
    assert (task.print_always, task.ignore_errors) == (True, True)


def test_a_modifier_may_be_a_template_of_the_job() -> None:
    text = (
        "vars: {n: 4, sizes: [1, 50%]}\ntasks: "
        "[{id: t, run: a, foreach: [x], slots: '{{ n }}', batch: '{{ sizes }}', nice: '{{ n }}'}]"
    )

    task = task_of(text)

    assert task.slots == 4
    assert task.batch == Batch(sizes=(WaveSize(count=1), WaveSize(percent=50.0)))


def test_locks_are_of_the_run_or_of_the_machine() -> None:
    job = loaded(
        "tasks: [{run: a, foreach: [x, y], lock: [b, 'r-{{ item }}', a, "
        "{name: 'm-{{ item }}', scope: machine}, {name: a, scope: machine}, "
        "{name: c, scope: run}]}]"
    )

    first, second = units(job)

    assert first.locks == ("a", "b", "c", "r-x")
    assert first.machine_locks == ("a", "m-x")
    assert second.machine_locks == ("a", "m-y")


def test_equal_items_have_equal_keys_whatever_their_order_of_entries() -> None:
    job = loaded(
        "tasks: [{run: a, foreach: ['x y', 3, {b: 1, a: [2, null]}, true]},"
        " {run: a, foreach: [{a: [2, null], b: 1}]}, {run: a}]"
    )

    assert [unit.key for unit in units(job)] == ["x y", "3", '{"a":[2,null],"b":1}', "true"]
    assert [unit.key for unit in units(job, 1)] == ['{"a":[2,null],"b":1}']
    assert [unit.key for unit in units(job, 2)] == [""]


def test_a_chunk_is_labelled_by_its_ends() -> None:
    job = loaded("tasks: [{run: [a, '{{ item }}'], foreach: {range: [1, 6], chunk: 3}}]")
    pairs = loaded("tasks: [{run: a, foreach: {range: [1, 3], chunk: 2}}]")

    assert [unit.label for unit in units(job)] == ["3 items: 1 ... 3", "3 items: 4 ... 6"]
    assert [unit.label for unit in units(pairs)] == ["2 items: 1, 2", "1 item: 3"]
    assert [unit.key for unit in units(pairs)] == ["[1,2]", "[3]"]


@pytest.mark.parametrize(
    ("entry", "kinds"),
    [
        ("run: a", {"failed", "unreachable"}),
        ("run: a, readonly: true", {"failed", "unreachable", "timed_out", "lost"}),
        (
            "run: {command: a, readonly: true}",
            {"failed", "unreachable", "timed_out", "lost"},
        ),
        ("run: a, readonly: false", {"failed", "unreachable"}),
        ("delete: a", {"failed", "unreachable", "timed_out", "lost"}),
        ("run: a, retry_on: [lost, 7]", {"lost"}),
        ("steps: [{delete: a}, {run: a}]", {"failed", "unreachable"}),
        (
            "steps: [{delete: a}, {run: a, readonly: true}]",
            {"failed", "unreachable", "timed_out", "lost"},
        ),
    ],
)
def test_only_what_is_harmless_is_tried_again_after_a_time_out(entry: str, kinds: set[str]) -> None:
    retry = task_of(f"tasks: [{{id: t, retries: 2, {entry}}}]").retry

    assert retry.retries == 2
    assert set(retry.kinds) == kinds


def test_only_file_operations_and_readonly_commands_are_repeated_when_their_worker_dies() -> None:
    entries = ("delete: a", "run: {command: a, readonly: true}", "run: a", "steps: [{delete: a}]")

    repeated = [task_of(f"tasks: [{{id: t, {one}}}]").retry.repeat_lost for one in entries]

    assert repeated == [True, True, False, False]


def test_modifiers_of_commands_become_their_parameters() -> None:
    (unit,) = units(
        loaded(
            "tasks: [{run: a, readonly: true, changed_codes: [3, 4], ok_codes: 0, "
            "idle_timeout: 5m, sudo: postgres}]"
        )
    )

    assert unit.params == {
        "command": "a",
        "readonly": True,
        "changed_codes": (3, 4),
        "ok_codes": (0,),
        "idle_timeout": 300.0,
        "sudo": "postgres",
    }


def test_defaults_for_commands_say_nothing_to_file_operations() -> None:
    job = loaded(
        "defaults: {sudo: true, idle_timeout: 5m}\ntasks: [{delete: a}, {run: a}, "
        "{run: b, sudo: false}]"
    )

    assert [units(job, at)[0].params.get("sudo") for at in range(3)] == [None, True, False]


def test_a_password_for_sudo_is_a_reference_to_a_secret() -> None:
    job = loaded(
        "secrets: {pw: {env: PW}, other: {file: x}}\n"
        "defaults: {sudo: {user: www, password: secrets.pw}}\n"
        "tasks:\n- run: a\n- {run: a, sudo: {password: '{{ secrets.other }}'}, creates: x}\n"
        "- {run: {command: a, sudo: {user: 'u{{ item }}', password: secrets.pw}}, foreach: [1]}\n"
        "- {run: a, sudo: false, unless: b}\n- {delete: a}\n- {steps: [{run: a, onlyif: b}]}\n"
    )

    found = [units(job, at)[0] for at in range(6)]

    pw, other = SecretText((SecretRef("pw"),)), SecretText((SecretRef("other"),))
    assert [unit.params.get("sudo") for unit in found[:5]] == [
        {"user": "www", "password": pw},
        {"password": other},
        {"user": "u1", "password": pw},
        False,
        None,
    ]
    assert [unit.secrets for unit in found] == [("pw",), ("other",), ("pw",), (), (), ()]
    assert found[1].around == Around(
        creates=("/base/dir/x",), command={"sudo": {"password": other}}
    )
    assert found[5].program is not None
    assert found[5].program.plan(Section.STEPS, 0, None).unit.secrets == ("pw",)


def test_a_description_says_as_whom_and_whether_with_a_password() -> None:
    job = loaded(
        "secrets: {pw: {env: PW}}\ntasks:\n- run: a\n  sudo: {password: secrets.pw}\n"
        "- {run: {command: a, sudo: {user: 'u{{ index }}', password: secrets.pw}}, foreach: [1]}\n"
        "- {run: a, sudo: '{{ job.name }}'}\n- run: a\n"
        "- {steps: [{run: a, sudo: {user: b, password: secrets.pw}}]}\n"
    )

    shown = job.describe()

    assert [(one.sudo, one.sudo_password) for one in shown] == [
        ("root", True),
        ("u{{ index }}", True),
        ("{{ job.name }}", False),
        ("", False),
        ("", False),
    ]
    assert (shown[4].steps[0].sudo, shown[4].steps[0].sudo_password) == ("b", True)
    assert job.warnings == ()


def test_a_description_has_the_values_in_force() -> None:
    job = loaded(
        "defaults: {timeout: 1m}\nlimits: {db: 2}\ntasks:\n"
        "- {id: a, run: x, foreach: [p, q], register: made}\n"
        "- id: b\n  foreach: [p, q]\n  needs: [{task: a, per: item}]\n"
        "  run: make {{ output }} {{ mine.made.stdout }}\n"
        "  output: 'out/{{ item }}'\n  creates: [one, '{{ item }}.ok']\n  unless: [test, -e, x]\n"
        "  batch: [1, 10%]\n  pause: ask\n  max_fail: 2\n  slots: 2\n  nice: 3\n"
        "  ionice: best-effort\n  lock: [l, {name: m, scope: machine}]\n  retries: 1\n"
        "  retry_on: [lost, 7]\n  print: always\n  overlap: allow\n  sudo: true\n"
    )

    shown = job.describe()[1]

    assert (shown.needs, shown.needs_per_item) == (("a",), ("a",))
    assert (shown.output, shown.uses_results, shown.timeout_s) == ("out/{{ item }}", ("made",), 60)
    assert shown.guards == (
        ("creates", "one"),
        ("creates", "{{ item }}.ok"),
        ("unless", "test -e x"),
    )
    assert (shown.batch, shown.pause_s, shown.max_fail, shown.slots) == ("1, 10%", None, "2", 2)
    assert (shown.nice, shown.ionice, shown.sudo) == (3, "best-effort:4", "root")
    assert (shown.locks, shown.machine_locks) == (("l", "m"), ("m",))
    assert (shown.retries, shown.retry_on) == (1, ("lost", "7"))
    assert (shown.print_always, shown.overlap_allowed) == (True, True)
    assert job.describe()[0].register == "made"


def test_a_description_shows_every_step_with_its_place() -> None:
    job = loaded(
        "tasks:\n- id: t\n  steps:\n  - {name: look, run: a, register: seen, timeout: 5}\n"
        "  - {copy: {src: a, dest: b}, when: mine.seen.changed, retries: 2}\n"
        "  rescue: [{run: c, ignore_errors: true}]\n  rescue_ok: true\n"
        "  always: [{run: 'd {{ output }}', output: o, readonly: true, creates: x}]\n"
    )

    shown = job.describe()[0]

    assert (shown.operation, shown.rescue_ok) == ("steps", True)
    assert [
        (one.section, one.position, one.name, one.operation, one.line) for one in shown.steps
    ] == [
        ("steps", 1, "look", "run", 4),
        ("steps", 2, "copy", "copy", 5),
        ("rescue", 1, "run", "run", 6),
        ("always", 1, "run", "run", 8),
    ]
    look, copy, rescue, always = shown.steps
    assert (look.register, look.timeout_s) == ("seen", 5.0)
    assert (copy.when, copy.retries) == ("mine.seen.changed", 2)
    assert copy.paths == (("src", "a"), ("dest", "b"))
    assert rescue.ignore_errors
    assert (always.output, always.readonly, always.guards) == ("o", True, (("creates", "x"),))


def test_the_command_line_overrides_the_limits_of_a_task_with_steps() -> None:
    job = loaded(
        "tasks: [{steps: [{run: a, timeout: 5, retries: 1}], timeout: 9, retries: 3}]",
        options=LoadOptions(timeout_s=1.0, retries=0),
    )
    shown = job.describe()[0]

    assert (shown.timeout_s, shown.retries) == (1.0, 0)
    assert (shown.steps[0].timeout_s, shown.steps[0].retries) == (5.0, 1)
