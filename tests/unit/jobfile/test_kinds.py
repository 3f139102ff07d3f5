"""Tasks that say the same share what was checked and compiled; nothing of one is another's."""

import pytest

from batchrun.errors import JobFileError
from batchrun.jobfile import LoadOptions, load_text
from batchrun.jobfile.loaded import Binding, LoadedJob
from batchrun.ops import OPERATIONS
from small_jobs import units


def loaded(text: str) -> LoadedJob:
    job = load_text(text, file="j.yml", base_dir="/", table=OPERATIONS, options=LoadOptions())
    job.bind(Binding(run_id="r", started_at=0))
    return job


def mistakes(text: str) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        loaded(text)
    return [str(problem).partition(": ")[0] for problem in caught.value.problems]


def test_each_task_of_a_kind_has_its_own_name_needs_line_and_parameters() -> None:
    job = loaded(
        "tasks:\n"
        "- {id: a, copy: {src: /a, dest: /A}, retries: 2}\n"
        "- {id: b, name: B, copy: {src: /b, dest: /B}, retries: 2, needs: a}\n"
        "- {id: c, copy: {src: /c, dest: /C}, retries: 2, needs: [a, b]}\n"
    )

    assert [
        (task.id, task.name, task.line, tuple(need.task_id for need in task.needs))
        for task in job.job.tasks
    ] == [("a", "a", 2, ()), ("b", "B", 3, ("a",)), ("c", "c", 4, ("a", "b"))]
    assert [task.retry.retries for task in job.job.tasks] == [2, 2, 2]
    assert [units(job, at)[0].params for at in range(3)] == [
        {"src": (f"/{one}",), "dest": f"/{one.upper()}"} for one in "abc"
    ]


def test_a_number_and_the_same_text_in_quotes_are_not_the_same() -> None:
    job = loaded("tasks: [{id: a, run: x, stdin: null}, {id: b, run: x, stdin: 'null'}]")

    assert [units(job, at)[0].params.get("stdin") for at in (0, 1)] == [None, "null"]


def test_a_mistake_that_all_tasks_of_a_kind_make_is_told_for_each() -> None:
    text = "tasks:\n" + "- {run: 'true', limit: gone}\n" * 3 + "- {run: 'true', tiemout: 3}\n" * 2

    assert mistakes(text) == [f"j.yml:{line}" for line in (2, 3, 4, 5, 6)]


def test_a_result_is_used_by_the_tasks_that_name_it_and_by_no_other_of_their_kind() -> None:
    job = loaded(
        "tasks:\n- {id: a, run: a, register: found}\n"
        "- {id: b, run: 'b {{ results.found.stdout }}', needs: a}\n"
        "- {id: c, run: c, needs: a}\n"
        "- {id: d, run: d, when: results.found.failed, needs: a}\n"
        "- {id: e, run: e, when: results.found.failed, needs: a}\n"
    )

    uses = {one.id: one.uses_results for one in job.describe()}
    assert uses == {"a": (), "b": ("found",), "c": (), "d": ("found",), "e": ("found",)}


def test_only_the_commands_that_say_so_are_repeated_when_their_time_is_over() -> None:
    job = loaded("tasks: [{id: a, run: {command: x, readonly: true}}, {id: b, run: {command: x}}]")

    assert ["timed_out" in task.retry.kinds for task in job.job.tasks] == [True, False]


def test_a_shell_inside_the_command_is_that_of_this_task_only() -> None:
    job = loaded(
        "tasks:\n"
        "- {id: b, run: {command: 'echo x', shell: /bin/bash}}\n"
        "- {id: c, run: {command: 'echo x'}}\n"
    )

    assert [units(job, at)[0].params.get("shell") for at in (0, 1)] == ["/bin/bash", None]


def test_a_default_that_is_computed_is_the_same_for_all_tasks() -> None:
    job = loaded(
        "vars: {often: 3}\ndefaults: {retries: '{{ often }}'}\n"
        "tasks: [{id: a, run: x}, {id: b, run: x}, {id: c, run: x, retries: 1}]"
    )

    assert [task.retry.retries for task in job.job.tasks] == [3, 3, 1]


def test_names_that_are_computed_are_those_of_each_task() -> None:
    job = loaded(
        "vars: {x: 1}\ntasks:\n"
        + "".join(f"- {{id: t{n}, name: 'copy {{{{ x }}}}-{n}', run: x}}\n" for n in range(3))
    )

    assert [task.name for task in job.job.tasks] == ["copy 1-0", "copy 1-1", "copy 1-2"]
