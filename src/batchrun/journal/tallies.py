"""Numbers that are kept up to date while a run is recorded, and read instead of its units."""

import heapq
import json
from collections.abc import Mapping
from typing import Any

from batchrun.model.counts import Tally

__all__ = ["SLOWEST", "Slowest", "tally_of", "tally_text"]

#: So many of the units that took longest are known.
SLOWEST = 10
_dump = json.JSONEncoder(separators=(",", ":")).encode


def tally_text(tally: Tally) -> str:
    """Write the numbers of a task, or of a run; what is zero is left out.

    >>> tally_text(Tally(planned=2, changed=1))
    '{"planned":2,"changed":1}'
    """
    found: dict[str, Any] = {
        "planned": tally.planned,
        "ended": _not_zero(tally.ended),
        "excused": _not_zero(tally.excused),
        "changed": tally.changed,
        "retried": tally.retried,
    }
    return _dump({name: value for name, value in found.items() if value})


def tally_of(text: str) -> Tally:
    """Read what `tally_text` wrote.

    Raises:
        ValueError, TypeError, AttributeError: the text is damaged.
    """
    found = json.loads(text)
    tally = Tally(
        planned=found.get("planned", 0),
        changed=found.get("changed", 0),
        retried=found.get("retried", 0),
    )
    tally.ended.update(found.get("ended", {}))
    tally.excused.update(found.get("excused", {}))
    return tally


def _not_zero(numbers: Mapping[str, int]) -> dict[str, int]:
    return {kind: number for kind, number in numbers.items() if number}


class Slowest:
    """The units that took longest so far; of equals the first ones."""

    def __init__(self) -> None:
        #: The one that took least is first.
        self._heap: list[tuple[float, int]] = []

    def add(self, duration_s: float, seq: int) -> None:
        """Take a unit; one that never began takes no time, and is none of them."""
        if len(self._heap) < SLOWEST:
            if duration_s > 0.0:
                heapq.heappush(self._heap, (duration_s, -seq))
        elif duration_s > self._heap[0][0]:
            heapq.heapreplace(self._heap, (duration_s, -seq))

    def text(self) -> str:
        """Write which ones, the one that took longest first."""
        return _dump([-seq for _, seq in sorted(self._heap, reverse=True)])
