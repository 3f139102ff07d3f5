"""From the file to the job: tasks, needs, modifiers, defaults, options."""

import subprocess
import sys
from pathlib import Path

import pytest

from batchrun.errors import JobFileError, UsageError
from batchrun.jobfile import LoadOptions, load
from batchrun.jobfile.descriptions import TaskDescription
from batchrun.model.job import FailLimit, Job, Need, RetryPolicy, Task
from small_jobs import TABLE, loaded, units


def test_everything_of_the_top_level_reaches_the_job() -> None:
    job = loaded(
        "name: nightly {{ x }}\ndescription: All of it.\nvars: {x: 7, wait: 90}\n"
        "limits: {db: 2}\nprocs: 3\nmax_fail: 10%\ndeadline: '{{ wait }}m'\nlock: true\n"
        "x-anything: [goes]\ntasks: [{run: a, limit: db}]\nfinally: [{run: b}]\n"
    ).job

    assert job == Job(
        name="nightly 7",
        description="All of it.",
        tasks=job.tasks,
        final_tasks=job.final_tasks,
        limits={"db": 2},
        max_fail=FailLimit(percent=10.0),
        deadline_s=5400.0,
        procs=3,
        lock=True,
        base_dir="/base/dir",
    )
    assert [task.id for task in (*job.tasks, *job.final_tasks)] == ["run-1", "finally-run-1"]


def test_everything_of_a_task_reaches_the_task() -> None:
    job = loaded(
        "tasks:\n- {id: a, run: x}\n- name: Second one\n  run: y\n  needs: [a, {task: a}]\n"
        "  foreach: [1]\n  retries: 3\n  retry_delay: 500ms\n  retry_backoff: 1.5\n"
        "  retry_on: [failed, 75]\n  max_fail: 2\n  max_parallel: 4\n  ignore_errors: true\n"
    ).job

    assert job.tasks[1] == Task(
        id="second-one",
        name="Second one",
        operation="run",
        needs=(Need(task_id="a"),),
        retry=RetryPolicy(
            retries=3,
            delay_s=0.5,
            backoff=1.5,
            kinds=frozenset({"failed"}),
            exit_statuses=frozenset({75}),
        ),
        max_fail=FailLimit(count=2),
        max_parallel=4,
        ignore_errors=True,
        single=False,
        is_command=True,
        line=3,
    )


def test_only_operations_on_files_are_repeated_when_they_timed_out_or_were_lost() -> None:
    command, files = (task.retry for task in loaded("tasks: [{run: a}, {delete: a}]").job.tasks)

    assert (command.kinds, command.repeat_lost) == (
        frozenset({"failed", "unreachable"}),
        False,
    )
    assert (files.kinds, files.repeat_lost) == (
        frozenset({"failed", "unreachable", "timed_out", "lost"}),
        True,
    )


def test_sequential_makes_each_task_need_the_one_before() -> None:
    job = loaded(
        "order: sequential\ntasks: [{id: a, run: x}, {id: b, run: x}, {id: c, run: x, needs: a}]"
        "\nfinally: [{id: y, run: x}, {id: z, run: x}]"
    ).job

    needs = {t.id: [n.task_id for n in t.needs] for t in (*job.tasks, *job.final_tasks)}
    assert needs == {"a": [], "b": ["a"], "c": ["a", "b"], "y": [], "z": ["y"]}


def test_defaults_are_for_every_task_and_yield_to_its_own() -> None:
    job = loaded(
        "vars: {n: 2}\ndefaults: {timeout: 30m, retries: '{{ n }}', env: {A: '1', B: '2'}, "
        "vars: {v: x}, shell: bash}\n"
        "tasks: [{run: 'echo {{ v }}', env: {B: '3'}, timeout: 5}, {delete: a}]"
    )

    command, files = units(job, 0)[0], units(job, 1)[0]
    assert (command.timeout_s, files.timeout_s) == (5.0, 1800.0)
    assert [task.retry.retries for task in job.job.tasks] == [2, 2]
    assert command.params == {
        "command": "echo 'x'",
        "env": {"A": "1", "B": "3"},
        "shell": "bash",
    }
    assert files.params == {"path": ("/base/dir/a",)}


def test_limits_and_locks_are_names_or_templates_sorted_and_each_once() -> None:
    job = loaded(
        "limits: {db-1: 1, db-2: 1, net: 3}\ntasks:\n- run: a\n  foreach: [1, 2, 3]\n"
        "  limit: [net, 'db-{{ item }}']\n  lock: [z, 'a{{ index }}', z]\n"
    )

    first, second, third = units(job)
    assert (first.limits, first.locks) == (("db-1", "net"), ("a1", "z"))
    assert (second.limits, second.locks) == (("db-2", "net"), ("a2", "z"))
    assert getattr(third.verdict, "message", "") == (
        "job.yml:5: tasks[0].limit: `db-3` is not one of the job's `limits`"
    )


def test_a_lock_whose_name_comes_out_empty_fails_the_unit() -> None:
    (unit,) = units(loaded("vars: {e: ''}\ntasks: [{run: a, lock: '{{ e }}'}]"))

    assert getattr(unit.verdict, "message", "").endswith("the name came out empty")


def test_options_select_tasks_and_take_the_needs_on_others_as_met() -> None:
    text = (
        "tasks: [{id: a, run: x, tags: slow}, {id: b, run: x, needs: a, tags: [x, y]}, "
        "{id: c, run: x, needs: [a, b]}]\nfinally: [{id: f, run: x}, {id: g, run: x, tags: slow}]"
    )

    def chosen(options: LoadOptions) -> dict[str, list[str]]:
        job = loaded(text, options=options).job
        return {t.id: [n.task_id for n in t.needs] for t in (*job.tasks, *job.final_tasks)}

    assert chosen(LoadOptions(task_ids=("b", "c"))) == {"b": [], "c": ["b"], "f": [], "g": []}
    assert chosen(LoadOptions(tags=("y",))) == {"b": [], "f": [], "g": []}
    assert chosen(LoadOptions(skip_tags=("slow",))) == {"b": [], "c": ["b"], "f": []}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (LoadOptions(task_ids=("stgae",)), "--task stgae: there is no such task; did you mean"),
        (LoadOptions(tags=("nope",)), "--tags nope: no task has this tag"),
        (LoadOptions(variables={"dya": "1"}), r"declare this variable; did you mean `day`\?$"),
        (
            LoadOptions(variables={"nope": "1"}),
            r"declare this variable; add `nope:` to its `vars`$",
        ),
    ],
)
def test_options_that_do_not_fit_the_file_are_a_usage_error(
    options: LoadOptions, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        loaded("vars: {day: 1}\ntasks: [{id: stage, run: x}]", options=options)


def test_options_override_retries_and_timeout() -> None:
    job = loaded(
        "tasks: [{run: x, retries: 1, timeout: 1m}, {run: x}]",
        options=LoadOptions(retries=5, timeout_s=2.5),
    )

    assert [task.retry.retries for task in job.job.tasks] == [5, 5]
    assert [units(job, task)[0].timeout_s for task in (0, 1)] == [2.5, 2.5]


def test_variables_of_files_and_of_the_command_line_win_in_this_order(tmp_path: Path) -> None:
    (tmp_path / "one.yml").write_text("a: one\nb: one\nc: 1.10\n")
    (tmp_path / "two.yml").write_text("b: two\n")
    options = LoadOptions(
        vars_files=(str(tmp_path / "one.yml"), str(tmp_path / "two.yml")),
        variables={"d": "true", "e": "'7'", "f": "a: b", "g": [1], "h": "\udcff"},
    )
    text = (
        "vars: {a: x, b: x, c: x, d: x, e: x, f: x, g: x, h: x, i: x}\ntasks: [{run: ['{{ a }}', "
        "'{{ b }}', '{{ c }}', '{{ d is true }}', '{{ e is string }}', '{{ f }}', '{{ g[0] }}', "
        "'{{ h }}', '{{ i }}']}]"
    )

    (unit,) = units(loaded(text, options=options))

    assert unit.params["command"] == (
        "one", "two", "1.10", "true", "true", "a: b", "1", "\udcff", "x",
    )  # fmt: skip


def test_mistakes_in_a_file_with_variables_are_told_with_its_name(tmp_path: Path) -> None:
    file = tmp_path / "vars.yml"
    file.write_text("day: 1\ndya: 2\n")

    with pytest.raises(JobFileError) as caught:
        loaded("vars: {day: x}\ntasks: [{run: a}]", options=LoadOptions(vars_files=(str(file),)))

    assert str(caught.value) == (
        f"{file}:2: dya: the job file does not declare the variable `dya`; did you mean `day`?"
    )


def test_what_is_allowed_but_hardly_meant_is_a_warning() -> None:
    job = loaded("limits: {db: 1}\ntasks: [{run: a}]")

    assert job.warnings == ("`limits.db` is used by no task",)


def test_a_description_says_what_is_known_before_the_run() -> None:
    job = loaded(
        "limits: {db: 1}\ntasks:\n- {id: a, run: x}\n- id: b\n  copy: {src: [a, 'b/*'], dest: c/}\n"
        "  needs: a\n  foreach: {glob: /in/*.csv}\n  limit: db\n  lock: 'l-{{ item }}'\n"
        "  timeout: 1m\n  retries: 2\n  when: item != 'x'\n  tags: t\n"
        "- {id: c, run: x, foreach: {range: [1, 10]}}\n"
    )

    first, second, third = job.describe()

    assert first == TaskDescription(id="a", name="a", operation="run", line=3, units=1)
    assert second == TaskDescription(
        id="b",
        name="b",
        operation="copy",
        line=4,
        needs=("a",),
        foreach="glob /in/*.csv",
        units=None,
        when="item != 'x'",
        limits=("db",),
        locks=("l-{{ item }}",),
        timeout_s=60.0,
        retries=2,
        retry_on=("failed", "lost", "timed_out", "unreachable"),
        paths=(("src", "a"), ("src", "b/*"), ("dest", "c/")),
        tags=("t",),
    )
    assert (third.foreach, third.units) == ("range 1 to 10", 10)


def test_a_file_is_read_from_its_own_directory(tmp_path: Path) -> None:
    (tmp_path / "nightly.yml").write_text("tasks: [{delete: old/}]\n")

    job = load(tmp_path / "nightly.yml", table=TABLE)

    assert (job.job.name, job.job.base_dir) == ("nightly", str(tmp_path))
    assert units(job)[0].params == {"path": (f"{tmp_path}/old/",)}


@pytest.mark.parametrize("name", ["missing.yml", "."])
def test_a_file_that_cannot_be_read_is_told_with_the_reason(tmp_path: Path, name: str) -> None:
    with pytest.raises(JobFileError, match=r"cannot be read: (No such file|Is a directory)"):
        load(tmp_path / name, table=TABLE)


def test_the_package_loads_none_of_the_heavy_libraries_by_itself() -> None:
    program = (
        "import sys, batchrun.jobfile; "
        "print([m for m in ('yaml', 'pydantic', 'jinja2') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

    assert done.stdout == b"[]\n"
