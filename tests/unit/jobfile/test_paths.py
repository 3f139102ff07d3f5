"""Paths and patterns: where they lead, and which characters of them are special."""

import os

import pytest

from batchrun.model.outcome import Failed
from batchrun.model.values import Glob
from small_jobs import loaded, only_unit, units


def dest_of(written: str, variables: str = "{}", base_dir: str = "/base/dir") -> object:
    text = f"vars: {variables}\ntasks:\n- copy: {{src: a, dest: '{written}'}}\n"
    return only_unit(text, base_dir=base_dir).params["dest"]


def deleted(written: str, variables: str = "{}", base_dir: str = "/base/dir") -> object:
    text = f"vars: {variables}\ntasks:\n- delete: ['{written}']\n"
    path = only_unit(text, base_dir=base_dir).params["path"]
    assert isinstance(path, tuple)
    return path[0]


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("a", "/base/dir/a"),
        ("a/", "/base/dir/a/"),
        ("./a", "/base/dir/a"),
        (".", "/base/dir"),
        ("./", "/base/dir"),
        ("../a", "/base/dir/../a"),
        ("/x/y/", "/x/y/"),
        ("{{ rel }}/b", "/base/dir/v/b"),
        ("{{ abs }}/b/", "/v/b/"),
        ("a{{ abs }}", "/base/dir/a/v"),
        ("{{ home }}/b", "/base/dir/~/b"),
        ("./~/b", "/base/dir/~/b"),
        ("a*[1]", "/base/dir/a*[1]"),
    ],
)
def test_a_path_is_resolved_against_the_job_files_directory(written: str, path: str) -> None:
    assert dest_of(written, "{rel: v, abs: /v, home: '~'}") == path


def test_a_tilde_expands_only_where_it_is_written_at_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me*")

    assert dest_of("~/x/") == "/home/me*/x/"
    assert dest_of("~") == "/home/me*"
    assert dest_of("~root/{{ v }}", "{v: a}") == os.path.expanduser("~root") + "/a"
    assert dest_of("a~") == "/base/dir/a~"
    assert deleted("~/*.tmp") == Glob("/home/me[*]/*.tmp")


def test_a_bare_tilde_is_the_home_directory_though_yaml_calls_it_null(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    job = loaded("tasks: [{run: pwd, cwd: ~}, {run: pwd, cwd: null}, {copy: {src: a, dest: ~}}]")

    assert units(job, 0)[0].params["cwd"] == "/home/me"
    assert units(job, 1)[0].params["cwd"] is None
    assert units(job, 2)[0].params["dest"] == "/home/me"


@pytest.mark.parametrize(
    ("written", "pattern"),
    [
        ("*.tmp", Glob("/base/dir/*.tmp")),
        ("/x/{a,b}/**", Glob("/x/{a,b}/**")),
        ("{a}", "/base/dir/{a}"),
        ("{{ v }}", "/base/dir/a*,}[b]"),
        ("/x/{{ v }}.c", "/x/a*,}[b].c"),
        ("/x/{{ v }}*", Glob("/x/a[*][,][}][[]b]*")),
        ("/x/{ {{ v }},c}", Glob("/x/{ a[*][,][}][[]b],c}")),
        ("/x/{{ v | glob }}", Glob("/x/a*,}[b]")),
        ("{{ plain | glob }}", "/base/dir/p"),
        ("/x/{{ plain | glob }}/{{ v }}", "/x/p/a*,}[b]"),
        ("/{{ v }}/{{ star | glob }}", Glob("/a[*][,][}][[]b]/*")),
    ],
)
def test_only_glob_characters_written_in_the_file_are_special(
    written: str, pattern: object
) -> None:
    assert deleted(written, "{v: 'a*,}[b]', plain: p, star: '*'}") == pattern


def test_the_directory_of_the_job_file_is_never_part_of_a_pattern() -> None:
    assert deleted("*.c", base_dir="/odd[1]*") == Glob("/odd[[]1][*]/*.c")
    assert deleted("c", base_dir="/odd[1]*") == "/odd[1]*/c"


def test_a_lone_expression_may_be_a_list_of_names_or_with_glob_of_patterns() -> None:
    text = "vars: {v: ['a*', /b]}\ntasks: [{delete: '{{ v }}'}, {delete: '{{ v | glob }}'}]"
    job = loaded(text)

    assert units(job, 0)[0].params["path"] == ("/base/dir/a*", "/b")
    assert units(job, 1)[0].params["path"] == (Glob("/base/dir/a*"), "/b")


@pytest.mark.parametrize(
    "written", ["{{ e }}", "/data/{{ e }}", "{{ e }}/x", "/data/{{ e }}/*", "{{ ok }}/{{ e }}"]
)
@pytest.mark.parametrize("form", ["delete: '{}'", "delete: ['/other', '{}']"])
def test_an_insertion_that_comes_out_empty_never_deletes_anything(written: str, form: str) -> None:
    task = form.format(written)
    (unit,) = units(loaded(f"vars: {{e: '', ok: /a}}\ntasks: [{{{task}}}]"))

    assert isinstance(unit.verdict, Failed)
    assert "empty" in unit.verdict.message
    assert not unit.verdict.retryable


def test_a_path_that_is_empty_as_a_whole_fails_its_unit() -> None:
    (unit,) = units(loaded("vars: {e: ''}\ntasks: [{copy: {src: a, dest: '{{ e }}'}}]"))

    assert isinstance(unit.verdict, Failed)
    assert unit.verdict.message == "job.yml:2: tasks[0].copy.dest: the path is empty"


def test_a_nul_character_never_reaches_an_operation() -> None:
    (unit,) = units(loaded('vars: {e: "a\\0b"}\ntasks: [{copy: {src: "/{{ e }}", dest: b}}]'))

    assert isinstance(unit.verdict, Failed)
    assert "NUL" in unit.verdict.message
