"""What a unit does, in one line."""

from collections.abc import Mapping

import pytest

from batchrun.model.secret import SecretRef, SecretText
from batchrun.model.unit import Unit, command_text
from batchrun.model.values import Glob

PASSWORD = SecretText(("--password=", SecretRef("db")))


def text_of(operation: str, params: Mapping[str, object]) -> str:
    return command_text(Unit(task_id="t", index=1, operation=operation, params=params))


def test_a_shell_text_is_given_as_it_is() -> None:
    assert text_of("run", {"command": "echo 'a\tb' |\n  wc -l"}) == "echo 'a\tb' |\n  wc -l"


@pytest.mark.parametrize("words", [("echo", "a b", "$x"), ["echo", "a b", "$x"]])
def test_the_words_of_a_command_are_quoted_as_for_a_shell(words: object) -> None:
    assert text_of("run", {"command": words}) == "echo 'a b' '$x'"


def test_a_script_is_its_file_and_its_arguments() -> None:
    params = {"file": "/opt/my tools/rotate.sh", "args": ("--keep", "7")}
    assert text_of("script", params) == "'/opt/my tools/rotate.sh' --keep 7"
    assert text_of("script", {"file": "/opt/rotate.sh"}) == "/opt/rotate.sh"


@pytest.mark.parametrize(
    ("operation", "params", "expected"),
    [
        ("copy", {"src": ("/a/b",), "dest": "/c"}, "copy /a/b -> /c"),
        ("copy", {"dest": "/c", "src": ("/a", Glob("/b/*"))}, "copy /a /b/* -> /c"),
        ("delete", {"path": (Glob("/tmp/*.old"),)}, "delete /tmp/*.old"),
        ("perms", {"mode": "0640", "path": ("/a",)}, "perms /a"),
        ("write", {"dest": "/etc/motd", "text": "hello"}, "write /etc/motd"),
        ("compress", {"src": "/a"}, "compress /a"),
        ("rotate_table", {"keep": 3, "table": "events"}, "rotate_table events"),
        ("rotate_table", {"tables": ("events", "users")}, "rotate_table events users"),
        ("rotate_table", {"keep": 3}, "rotate_table"),
        ("steps", {}, "steps"),
    ],
)
def test_another_operation_is_its_name_and_what_it_works_on(
    operation: str, params: Mapping[str, object], expected: str
) -> None:
    assert text_of(operation, params) == expected


def test_of_many_sources_the_first_ones_are_named_and_all_are_counted() -> None:
    sources = tuple(f"/data/{number}" for number in range(1000))
    expected = "copy /data/0 /data/1 /data/2 ... (1000) -> /c/"
    assert text_of("copy", {"src": sources, "dest": "/c/"}) == expected


def test_secrets_stay_hidden() -> None:
    assert text_of("run", {"command": PASSWORD}) == "--password=***"
    assert text_of("run", {"command": ("mysql", PASSWORD)}) == "mysql '--password=***'"
    assert text_of("write", {"dest": "/root/.my.cnf", "text": PASSWORD}) == "write /root/.my.cnf"
    assert text_of("fetch", {"src": PASSWORD, "dest": "/c"}) == "fetch --password=*** -> /c"
    assert text_of("script", {"file": "/a.sh", "args": [PASSWORD]}) == "/a.sh '--password=***'"


def test_a_command_that_was_recorded_as_text_is_given_back_for_any_operation() -> None:
    assert text_of("copy", {"command": "copy /a -> /b"}) == "copy /a -> /b"


def test_a_unit_that_is_not_resolved_yet_is_its_operation() -> None:
    assert text_of("run", {}) == "run"
    assert text_of("script", {}) == "script"
