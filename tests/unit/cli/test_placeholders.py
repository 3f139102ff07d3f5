"""Placeholders in commands: where they may stand, and what becomes of literal text."""

import shlex

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from batchrun.cli.placeholders import ItemShape, argv_command, shell_command
from batchrun.errors import UsageError
from batchrun.jobfile.shell import place, shell_renderer
from batchrun.jobfile.template import split, text_renderer
from batchrun.jobfile.variables import new_scope

ONE = ItemShape()


def rendered(command: str, item: object) -> str:
    """Render a command as the job file's language does for one item."""
    pieces, refused = place(split(command))
    assert not refused
    return shell_renderer(pieces)(new_scope({}, {"item": item, "index": 7}))


@given(st.text("ab{}' \"$|", max_size=14), st.text(min_size=1, max_size=8))
def test_a_command_says_the_same_with_the_item_in_place_or_is_refused(
    command: str, item: str
) -> None:
    """Where it is not refused, the loader takes it too, and literal text is as it was."""
    assume("\0" not in item)
    try:
        placed = shell_command([command], ONE)
    except UsageError:
        return
    assert isinstance(placed.command, str)
    text = rendered(placed.command, item)
    plain = rendered(placed.command, "x")  # an item may itself be what is looked for below
    appended = "{}" not in command
    expected = f"{command} {{}}" if appended else command
    inserted = "'" + item.replace("'", "'\"'\"'") + "'"
    for mark in ("'{}'", '"{}"'):
        if not placed.env and mark in expected and mark not in plain:
            expected = expected.replace(mark, "{}")
    if not placed.env:
        assert text == expected.replace("{}", inserted)


@given(st.lists(st.text("ab{}' \"$|%#./", max_size=10), min_size=1, max_size=3), st.text())
def test_words_without_a_shell_hold_the_item_as_it_is(words: list[str], item: str) -> None:
    assume("%}" not in "".join(words))
    assume(not any(mark in "".join(words) for mark in ("{#}", "{.}", "{/}", "{//}", "{/.}")))
    placed = argv_command(words, ONE)
    scope = new_scope({}, {"item": item, "index": 7})
    found = [text_renderer(split(word))(scope) for word in placed.command]
    expected = words if any("{}" in word for word in words) else [*words, "{}"]
    assert found == [word.replace("{}", item) for word in expected]


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        ('echo "a {}"', {"BR_ITEM": "{{ item }}"}),
        ('echo "a {} {/} {}"', {"BR_ITEM": "{{ item }}", "BR_ITEM_2": "{{ item | basename }}"}),
        ("echo $(cat {})", {"BR_ITEM": "{{ item }}"}),
        ("echo {} '{}'", {}),
    ],
)
def test_inside_the_users_quotes_an_item_goes_through_a_variable(
    command: str, variables: dict[str, str]
) -> None:
    assert shell_command([command], ONE).env == variables


@pytest.mark.parametrize(
    "command",
    ["sh -c 'x {}'", "echo `cat {}`", "cat <<E\n{}\nE", "echo $(( {} ))", "echo ${x:-{}}",
     "echo # {}", "perl -e 'print \"{}\"'"],
)  # fmt: skip
def test_where_an_item_could_be_read_as_a_program_it_is_refused(command: str) -> None:
    with pytest.raises(UsageError, match=r"^\{\} "):
        shell_command([command], ONE)


@pytest.mark.parametrize("words", [["echo"], ["echo", "{}"], ["echo {1} {2}"]])
def test_a_chunk_of_items_is_words_of_its_own(words: list[str]) -> None:
    placed = shell_command(words, ItemShape(chunk=2))
    assert isinstance(placed.command, str)
    assert shlex.split(rendered(placed.command, ["a b", "c"])) == ["echo", "a b", "c"]
