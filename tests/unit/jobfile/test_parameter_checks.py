"""What an operation checks at load, where some of what it is given is computed for each unit."""

import pytest

from batchrun.errors import JobFileError
from batchrun.jobfile import LoadOptions, load_text
from batchrun.ops import OPERATIONS


def told(task: str) -> list[str]:
    """Load one task of the real operations; return its mistakes."""
    text = f"tasks:\n- {{foreach: [{{a: b}}], {task}}}\n"
    options = LoadOptions()
    try:
        load_text(text, file="j.yml", base_dir="/base", table=OPERATIONS, options=options)
    except JobFileError as error:
        return [problem.message for problem in error.problems]
    return []


@pytest.mark.parametrize(
    "task",
    [
        'perms: {path: x, mode: "{{ item.a }}"}',
        'perms: {path: x, owner: "{{ item.a }}"}',
        'compress: {src: x, format: "{{ item.a }}", level: 19}',
        'compress: {src: x, level: "{{ item.a }}"}',
        'replace: {path: x, regex: "{{ item.a }}", with: "{{ item.a }}"}',
        'touch: {path: x, mtime: "{{ item.a }}"}',
        'delete: {path: x, max_delete: "{{ item.a }}"}',
        'run: "{{ item.a | raw }}", sudo: "{{ item.a }}"',
        'write: {dest: x, text: a, validate: "{{ item.a }}"}',
    ],
)
def test_what_each_unit_computes_is_no_mistake_at_load(task: str) -> None:
    assert told(task) == []


def test_what_is_given_twice_is_a_mistake_though_its_value_is_not_known_yet() -> None:
    assert told('replace: {path: x, find: "{{ item.a }}", regex: b, with: c}') == [
        "`find` and `regex` cannot be given together; keep one"
    ]


def test_perms_without_anything_to_change_is_a_mistake() -> None:
    assert told('perms: {path: "{{ item.a }}"}') == [
        "perms needs `mode`, `dir_mode`, `owner` or `group`: what to change"
    ]
