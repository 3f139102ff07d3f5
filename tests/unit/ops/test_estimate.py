"""How much of a tree is likely to be done, before all of it has been seen."""

import pytest

from batchrun.ops.tree.estimate import shares, weight
from batchrun.ops.tree.parcels import DIRS, FILES, LEAVE, LIST, OpenNode, Work, joined

ROOT = 7


def opened(above: int) -> OpenNode:
    return above, "d", None, False, None


def names(count: int) -> str:
    return joined([str(number) for number in range(count)])


def test_what_is_left_of_a_parcel_has_its_part_of_the_share() -> None:
    given = [(ROOT, weight(FILES, 10), 0.5)]
    assert shares(given, [], [(ROOT, FILES, names(4))]) == [pytest.approx(0.2)]


def test_directories_beside_each_other_count_the_same_whatever_is_seen_of_them() -> None:
    works: list[Work] = [(ROOT, DIRS, names(3)), (-1, DIRS, names(9)), (-1, FILES, names(2))]
    others, below, files = shares([(ROOT, weight(LIST, 0), 1.0)], [opened(ROOT)], works)
    assert others == pytest.approx(0.75)
    assert below + files == pytest.approx(0.25)
    assert below > files


def test_a_directory_below_an_opened_one_has_a_part_of_its_share() -> None:
    given = [(ROOT, weight(DIRS, 2), 0.4)]
    works: list[Work] = [(-2, FILES, names(5))]
    assert shares(given, [opened(ROOT), opened(-1)], works) == [pytest.approx(0.2)]


def test_to_leave_a_directory_counts_nothing() -> None:
    given = [(ROOT, weight(LEAVE, 0), 0.0), (8, weight(FILES, 1), 0.1)]
    assert shares(given, [], [(ROOT, LEAVE, "")]) == [0.0]
