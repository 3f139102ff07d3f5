"""Every operation says which of its parameters are paths, and what becomes of them."""

from typing import get_args, get_type_hints

import pytest

from batchrun.model.values import Glob, Kind
from batchrun.ops import OPERATIONS

FILES = [name for name, row in OPERATIONS.items() if not row.is_command]


def paths_of(operation: str) -> set[str]:
    """Return the parameters that take paths."""
    hints = get_type_hints(OPERATIONS[operation].params, include_extras=True)

    def has_path(hint: object) -> bool:
        notes = getattr(hint, "__metadata__", ())
        inner = get_args(hint)
        return any(
            note in {Kind.PATH, Kind.PATTERN} for note in notes if isinstance(note, Kind)
        ) or (any(has_path(one) for one in inner if one is not Glob))

    return {name for name, hint in hints.items() if has_path(hint)}


@pytest.mark.parametrize("operation", FILES)
def test_every_path_is_there_and_nothing_else(operation: str) -> None:
    row = OPERATIONS[operation]
    # What is only named by a link, or as an exception, is not used.
    unused = {"link": {"src"}, "delete": {"force"}}.get(operation, set())
    assert {use.field for use in row.uses} == paths_of(operation) - unused


@pytest.mark.parametrize("operation", FILES)
def test_conditions_name_parameters(operation: str) -> None:
    row = OPERATIONS[operation]
    known = get_type_hints(row.params)
    for use in row.uses:
        for name in (use.into, use.only_if, use.unless):
            assert not name or name in known
        assert not (use.only_if and use.unless)


@pytest.mark.parametrize(
    ("operation", "removed"),
    [("move", "src"), ("delete", "path"), ("archive", "src"), ("compress", "src")],
)
def test_what_may_take_a_path_away_says_so(operation: str, removed: str) -> None:
    effects = {(use.field, use.effect) for use in OPERATIONS[operation].uses}
    assert (removed, "removes") in effects
