"""Who was busy when: a lane for each host or worker, neighbours merged when there are too many."""

import re
from dataclasses import dataclass, field

from batchrun.model.outcome import Report
from batchrun.report.text import shorten, visible

__all__ = ["NAME_COLUMNS", "Lane", "Span", "Timeline"]

#: Spans kept, in all lanes together and in each, which is some thousand pixels wide; twice as
#: many for moments.
MOST_SPANS = 5000
MOST_OF_LANE = 600
#: Lanes; further hosts and workers share one.
MOST_LANES = 128
#: Of the name of a host or worker.
NAME_COLUMNS = 100
_OTHERS = "all others"


@dataclass(slots=True)
class Span:
    """One attempt, or several that follow each other closely."""

    #: Seconds since the epoch.
    begin: float
    end: float
    #: The unit's number; of several, that of the first.
    unit: int
    #: Attempts.
    number: int
    #: Of these, how many did not end well.
    bad: int
    #: How long they took together, in seconds.
    busy_s: float


@dataclass(slots=True)
class Lane:
    """What was done on one host, or by one worker."""

    name: str
    spans: list[Span] = field(default_factory=list)
    attempts: int = 0
    busy_s: float = 0.0


class Timeline:
    """A fold of attempts; its size has a limit, however many there are."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._number = 0
        #: Spans that together are not longer than this become one, in seconds.
        self._grain_s = 0.0

    def add(self, report: Report, *, is_bad: bool, host: str = "") -> None:
        """Take one attempt; those that never began are nowhere.

        Args:
            report: How it ended.
            is_bad: Not well.
            host: The host that its unit is for; empty: it is in the lane of its worker.
        """
        if not report.started_at:
            return
        lane = self._lane(host or report.worker)
        lane.attempts += 1
        lane.busy_s += report.duration_s
        begin = report.started_at
        took_s = report.duration_s
        span = Span(begin, begin + took_s, report.number, 1, int(is_bad), took_s)
        self._number += _append(lane.spans, span, self._grain_s)
        if self._number > 2 * MOST_SPANS or len(lane.spans) > 2 * MOST_OF_LANE:
            self._coarsen()

    def lanes(self) -> list[Lane]:
        """Return the lanes by name, `worker-2` before `worker-10`, the shared one last."""
        self._coarsen()
        return sorted(self._lanes.values(), key=_order)

    def as_json(self, began_at: float, lanes: list[Lane]) -> list[list[int]]:
        """Return all spans; the order of their numbers is that in timeline.js."""
        return [
            [
                at,
                round((span.begin - began_at) * 1000),
                round((span.end - span.begin) * 1000),
                span.unit,
                span.number,
                span.bad,
                round(span.busy_s * 1000),
            ]
            for at, lane in enumerate(lanes)
            for span in lane.spans
        ]

    def _lane(self, who: str) -> Lane:
        lane = self._lanes.get(who)
        if lane is None:
            if len(self._lanes) >= MOST_LANES:
                who = _OTHERS
            name = shorten(visible(who), NAME_COLUMNS)
            lane = self._lanes.setdefault(who, Lane(name))
        return lane

    def _coarsen(self) -> None:
        """Merge neighbours, ever farther ones, until few enough are left."""
        lanes = self._lanes.values()
        while self._number > MOST_SPANS or any(len(one.spans) > MOST_OF_LANE for one in lanes):
            self._grain_s = max(self._grain_s * 1.5, self._extent_s() / MOST_SPANS, 0.001)
            for lane in lanes:
                spans, lane.spans = lane.spans, []
                for span in spans:
                    _append(lane.spans, span, self._grain_s)
            self._number = sum(len(lane.spans) for lane in lanes)

    def _extent_s(self) -> float:
        """Return how long it took from the first begin to the last end."""
        spans = [span for lane in self._lanes.values() for span in lane.spans]
        return max(span.end for span in spans) - min(span.begin for span in spans)


def _append(spans: list[Span], span: Span, grain_s: float) -> int:
    """Add a span to a lane, or to its last one; return how many there are more."""
    if spans:
        last = spans[-1]
        begin, end = min(last.begin, span.begin), max(last.end, span.end)
        if end - begin <= grain_s:
            last.begin, last.end = begin, end
            last.number += span.number
            last.bad += span.bad
            last.busy_s += span.busy_s
            return 0
    spans.append(span)
    return 1


def _order(lane: Lane) -> tuple[bool, list[tuple[int, str]]]:
    """Order by the numbers in a name."""
    parts = re.split(r"(\d+)", lane.name)
    return lane.name == _OTHERS, [
        (int(part) if part.isdecimal() else 0, part) for part in parts if part
    ]
