"""How values are read: YAML 1.2 core, text where text is expected, types where types are."""

from typing import Any

import pytest

from batchrun.jobfile.document import parse
from batchrun.jobfile.scalars import resolve
from batchrun.model.values import Glob
from small_jobs import loaded, only_unit, units


def value_of(text: str) -> Any:
    return resolve(parse(f"x: {text}\n", "f.yml").data["x"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("12", 12), ("-3", -3), ("0o17", 15), ("0x1F", 31), ("1.5", 1.5), ("1e3", 1000.0),
        (".5", 0.5), ("0640", 640),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("12:30", "12:30"),
        ("2026-01-01", "2026-01-01"), ("1_000", "1_000"), ("'12'", "12"), ('"true"', "true"),
        ("=", "="), ("1.2.3", "1.2.3"), ("0b11", "0b11"), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_only_true_false_null_and_plain_numbers_are_typed(text: str, value: object) -> None:
    found = value_of(text)

    assert found == value
    assert isinstance(found, type(value))


def test_infinity_and_not_a_number_are_numbers() -> None:
    assert value_of("-.inf") == float("-inf")
    assert value_of(".nan") != value_of(".nan")


@pytest.mark.parametrize("written", ["1.10", "0640", "true", "True", "1e3", "2026-01-01", "~x"])
def test_where_text_is_expected_the_characters_of_the_file_count(written: str) -> None:
    unit = only_unit(f"tasks: [{{run: a, env: {{X: {written}}}, stdin: {written}}}]")

    assert unit.params["env"] == {"X": written}
    assert unit.params["stdin"] == written
    assert type(unit.params["stdin"]) is str


@pytest.mark.parametrize("written", ["1.10", "0640", "0x1F", "1e3"])
def test_a_number_from_a_variable_is_inserted_as_it_was_written(written: str) -> None:
    unit = only_unit(f'vars: {{v: {written}}}\ntasks: [{{run: "echo {{{{ v }}}}"}}]')

    assert unit.params["command"] == f"echo '{written}'"


def test_a_number_from_a_variable_can_still_be_counted_with() -> None:
    unit = only_unit('vars: {v: 007}\ntasks: [{run: "echo {{ v + 1 }}"}]')

    assert unit.params["command"] == "echo '8'"


def test_booleans_and_null_are_inserted_as_yaml_writes_them() -> None:
    unit = only_unit(
        'vars: {a: true, b: "{{ none }}"}\ntasks: [{run: [x, "{{ a }}", "<{{ b }}>"]}]'
    )

    assert unit.params["command"] == ("x", "true", "<>")


@pytest.mark.parametrize("mode", ["0640", "640", '"0640"', "0o640", "u=rw,g=r"])
def test_modes_may_be_written_in_every_usual_way(mode: str) -> None:
    unit = only_unit(f"tasks: [{{copy: {{src: a, dest: b, mode: '{mode.strip(chr(34))}'}}}}]")

    assert unit.params["mode"] == mode.strip('"')


def test_parameters_get_their_types() -> None:
    unit = only_unit(
        "tasks:\n- copy:\n    src: [a, /b/*.c]\n    dest: c/\n    if: always\n    verify: true\n"
        "    above: 1.5M\n    older: 1h30m\n    ratio: 2\n    at_most: 10%\n    note: 1.10\n"
        "    extra: {n: 3}\n"
    )

    assert unit.params == {
        "src": ("/base/dir/a", Glob("/b/*.c")),
        "dest": "/base/dir/c/",
        "if_": "always",
        "verify": True,
        "above": 1_572_864,
        "older": 5400.0,
        "ratio": 2.0,
        "at_most": "10%",
        "note": "1.10",
        "extra": {"n": 3},
    }


def test_a_lone_expression_keeps_its_type_where_no_text_is_expected() -> None:
    unit = only_unit(
        "vars: {n: 9, yes: true, many: [a, /b], ext: {k: 1}, size: 64K}\ntasks:\n- copy:\n"
        '    src: "{{ many }}"\n    dest: c\n    level: "{{ n }}"\n    above: "{{ size }}"\n'
        '    at_most: "{{ n }}"\n    extra: "{{ ext }}"\n'
    )

    assert unit.params == {
        "src": ("/base/dir/a", "/b"),
        "dest": "/base/dir/c",
        "level": 9,
        "above": 65536,
        "at_most": 9,
        "extra": {"k": 1},
    }


@pytest.mark.parametrize("line", ['verify: "{{ v }}"', 'level: "{{ v }}"', 'if: "{{ v }}"'])
def test_a_rendered_value_of_the_wrong_type_fails_its_unit_with_its_place(line: str) -> None:
    job = loaded(f"vars: {{v: maybe}}\ntasks:\n- copy:\n    src: a\n    dest: b\n    {line}\n")

    (unit,) = units(job)

    assert unit.verdict is not None
    message = getattr(unit.verdict, "message", "")
    assert message.startswith(f"job.yml:6: tasks[0].copy.{line.split(':', maxsplit=1)[0]}: write ")
    assert "maybe" in message


def test_null_leaves_a_parameter_at_its_default() -> None:
    unit = only_unit("tasks: [{copy: {src: a, dest: b, mode: null, above: ~, level: }}]")

    assert {name: unit.params[name] for name in unit.params if name not in ("src", "dest")} == {
        "mode": None,
        "level": None,
    }


def test_a_string_or_a_list_is_the_main_parameter() -> None:
    job = loaded("tasks: [{delete: a}, {delete: [a, b]}, {run: ls}, {run: [ls, -l]}]")

    assert [units(job, task)[0].params for task in range(4)] == [
        {"path": ("/base/dir/a",)},
        {"path": ("/base/dir/a", "/base/dir/b")},
        {"command": "ls"},
        {"command": ("ls", "-l")},
    ]


def test_anchors_and_merges_work() -> None:
    job = loaded(
        "x-base: &base {retries: 3, timeout: 1m}\nx-more: &more {retries: 5}\ntasks:\n"
        "- {<<: *base, run: a}\n- {<<: [*more, *base], run: a}\n- {<<: *base, retries: 1, run: a}\n"
    )

    assert [task.retry.retries for task in job.job.tasks] == [3, 5, 1]
    assert [units(job, task)[0].timeout_s for task in range(3)] == [60.0, 60.0, 60.0]


def test_json_is_read_as_it_is() -> None:
    unit = only_unit('{"tasks": [{"run": ["\\ud83d\\ude00", 1.10, true], "env": {"A": 1e2}}]}')

    assert unit.params == {"command": ("😀", "1.10", "true"), "env": {"A": "1e2"}}


def test_a_byte_order_mark_and_a_shebang_do_no_harm() -> None:
    assert only_unit("\ufeff#!/usr/bin/env batchrun\ntasks: [{run: a}]").params["command"] == "a"
    assert only_unit(b"\xef\xbb\xbftasks: [{run: a}]").params["command"] == "a"
