"""What stands around an operation: guards, the output file, priorities."""

import pytest

from batchrun.model.around import Around, OutputFile
from batchrun.model.outcome import Failed
from batchrun.model.unit import Unit
from batchrun.model.values import Glob
from small_jobs import loaded, only_unit, units


def around_of(entry: str) -> Around:
    unit = only_unit(f"tasks: [{{run: a, {entry}}}]")
    assert unit.around is not None
    return unit.around


def output_of(unit: Unit) -> OutputFile:
    assert unit.around is not None
    assert unit.around.output is not None
    return unit.around.output


def test_a_unit_without_guards_has_nothing_around_it() -> None:
    assert only_unit("tasks: [{run: a}]").around is None


@pytest.mark.parametrize(
    ("entry", "around"),
    [
        ("creates: a.txt", Around(creates=("/base/dir/a.txt",))),
        ("creates: ['*.log', /x]", Around(creates=(Glob("/base/dir/*.log"), "/x"))),
        ("removes: /tmp/lock", Around(removes=("/tmp/lock",))),
        ("mounted: /mnt/backup", Around(mounted=("/mnt/backup",))),
        ("mounted: [/mnt/a, b]", Around(mounted=("/mnt/a", "/base/dir/b"))),
        ("unless: test -e x", Around(unless="test -e x")),
        ("onlyif: [test, -e, 3]", Around(onlyif=("test", "-e", "3"))),
        ("nice: -5", Around(nice=-5)),
        ("ionice: idle", Around(ionice=("idle", 7))),
        ("ionice: best-effort", Around(ionice=("best-effort", 4))),
        ("ionice: 'best-effort:0'", Around(ionice=("best-effort", 0))),
        ("ionice: {class: realtime, level: 2}", Around(ionice=("realtime", 2))),
    ],
)
def test_guards_and_priorities_are_read(entry: str, around: Around) -> None:
    assert around_of(entry) == around


def test_an_inserted_name_is_never_a_pattern_in_a_guard() -> None:
    job = loaded("tasks: [{run: a, foreach: ['*', b], creates: '{{ item }}.ok'}]")

    assert [unit.around and unit.around.creates for unit in units(job)] == [
        ("/base/dir/*.ok",),
        ("/base/dir/b.ok",),
    ]


def test_values_in_a_guard_command_are_quoted() -> None:
    job = loaded("tasks: [{run: a, foreach: ['x; rm y'], unless: 'test -e {{ item }}'}]")

    (unit,) = units(job)

    assert unit.around is not None
    assert unit.around.unless == "test -e 'x; rm y'"


def test_a_guard_command_runs_as_its_unit_does() -> None:
    unit = only_unit(
        "tasks: [{run: a, onlyif: b, cwd: sub, shell: bash, sudo: www, env: {A: '1'}, stdin: no}]"
    )

    assert unit.around is not None
    assert unit.around.command == {
        "env": {"A": "1"},
        "cwd": "/base/dir/sub",
        "shell": "bash",
        "sudo": "www",
    }


def test_file_operations_have_guards_and_priorities_too() -> None:
    unit = only_unit("tasks: [{delete: a, mounted: /mnt, unless: b, nice: 1}]")

    assert unit.around == Around(mounted=("/mnt",), unless="b", nice=1)


def test_a_guard_that_cannot_be_computed_fails_its_unit_with_its_place() -> None:
    job = loaded("vars: {d: {}}\ntasks: [{run: a, foreach: [x], creates: '{{ d.none }}/x'}]")

    (unit,) = units(job)

    assert isinstance(unit.verdict, Failed)
    assert unit.verdict.message.startswith("job.yml:2: tasks[0].creates: ")
    assert (unit.around, unit.params) == (None, {})


@pytest.mark.parametrize(
    ("path", "temporary"),
    [
        ("out/a.webp", "/base/dir/out/.br-run-1-o1.1.webp"),
        ("/x/dump.tar.gz", "/x/.br-run-1-o1.1.tar.gz"),
        ("/x/dump.sql.gz", "/x/.br-run-1-o1.1.gz"),
        ("/x/Makefile", "/x/.br-run-1-o1.1"),
        ("/x/.hidden", "/x/.br-run-1-o1.1"),
        ("/x/a." + "b" * 99, "/x/.br-run-1-o1.1"),
    ],
)
def test_an_output_gets_a_temporary_name_of_the_same_kind(path: str, temporary: str) -> None:
    unit = only_unit(f"tasks: [{{run: [make, '{{{{ output }}}}'], output: {path}}}]")

    assert output_of(unit).temporary == temporary
    assert output_of(unit).path == (path if path.startswith("/") else f"/base/dir/{path}")
    assert unit.params["command"] == ("make", temporary)


def test_temporary_names_differ_between_units_tasks_and_steps() -> None:
    job = loaded(
        "tasks: [{run: 'a > {{ output }}', output: /x/y, foreach: [p, q]},"
        " {run: 'a > {{ output }}', output: /x/y, overlap: allow}]"
    )

    names = [output_of(unit).temporary for at in (0, 1) for unit in units(job, at)]

    assert len(set(names)) == 3


def test_an_output_is_compared_with_the_item() -> None:
    job = loaded(
        "tasks: [{run: 'a > {{ output }}', output: '{{ item | basename }}.o', "
        "foreach: [src/a.c, /abs/b.c, 3]}]"
    )

    assert [output_of(unit).sources for unit in units(job)] == [
        ("/base/dir/src/a.c",),
        ("/abs/b.c",),
        (),
    ]


def test_an_output_is_compared_with_other_files_where_they_are_named() -> None:
    job = loaded(
        "tasks: [{run: 'a > {{ output }}', foreach: [x], "
        "output: {path: y, newer_than: ['{{ item }}.in', /etc/conf]}}]"
    )

    (unit,) = units(job)

    assert output_of(unit).sources == ("/base/dir/x.in", "/etc/conf")


def test_a_temporary_name_is_quoted_for_the_shell_like_any_value() -> None:
    unit = only_unit("tasks: [{run: 'make > {{ output }}', output: '/a b/c'}]")

    assert unit.params["command"] == "make > '/a b/.br-run-1-o1.1'"


def test_a_computed_output_that_is_a_directory_fails_its_unit() -> None:
    job = loaded("tasks: [{run: 'a > {{ output }}', output: '{{ item }}', foreach: [x/]}]")

    (unit,) = units(job)

    assert isinstance(unit.verdict, Failed)
    assert "names one file, and '/base/dir/x/' is a directory" in unit.verdict.message
