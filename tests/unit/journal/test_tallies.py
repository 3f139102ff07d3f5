"""Numbers that stand in the record instead of being counted are read back as they were."""

import json

import pytest

from batchrun.journal.tallies import SLOWEST, Slowest, tally_of, tally_text
from batchrun.model.counts import Tally


def test_a_tally_is_read_back_as_it_was() -> None:
    tally = Tally(planned=9, changed=2, retried=4)
    tally.ended["ok"] = 3
    tally.ended["timed_out"] = 5
    tally.excused["timed_out"] = 1
    assert tally_of(tally_text(tally)) == tally
    assert tally_of(tally_text(Tally())) == Tally()
    assert tally_text(Tally()) == "{}"


@pytest.mark.parametrize("damaged", ["", "[]", "{", '{"ended":3}'])
def test_a_damaged_one_is_an_error(damaged: str) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        tally_of(damaged)


def test_of_equally_slow_units_the_first_ones_are_known() -> None:
    slowest = Slowest()
    for seq in range(1, 31):
        slowest.add(1.0, seq)
    slowest.add(0.0, 31)
    slowest.add(0.5, 32)
    slowest.add(2.0, 33)
    assert json.loads(slowest.text()) == [33, *range(1, SLOWEST)]
