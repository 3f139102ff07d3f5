"""Progress on standard error: bars on a terminal, or lines for a log, or nothing."""

import time
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Literal, TextIO, TypeAlias

from batchrun.model.event import Event, RunEnded, StatusAsked, TaskEnded
from batchrun.model.outcome import KINDS
from batchrun.report.lines import Lines
from batchrun.report.running import Running, status_text
from batchrun.report.terminal import Terminal
from batchrun.report.text import count, duration, size

if TYPE_CHECKING:
    from batchrun.report.bars import Bars

__all__ = ["ProgressMode", "ProgressSink"]

ProgressMode: TypeAlias = Literal["bar", "lines", "none"]

#: Between two drawings of the bars, in seconds.
_DRAW_S = 0.1
#: Before the first one: what is over sooner needs no bar.
_FIRST_DRAW_S = 0.3
#: Between two lines at most, and at least when another tenth is done, in seconds.
_LINE_S = 10.0
_TENTH_S = 1.0
#: Trees whose progress a line tells.
_TREES_NAMED = 2


class ProgressSink:
    """Shows how far a run is, and says who is running when asked (SIGUSR1), in every mode.

    Drawn from the aggregator's thread only: there is no thread, lock or signal of its own.
    Nothing here raises, and bars never block (`Terminal`): progress must not cost work.

    Args:
        stream: Standard error. With `bar`, a terminal.
        mode: `bar`, `lines` or `none`; the command line resolves `auto`.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        stream: TextIO,
        mode: ProgressMode,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mode = mode
        self._clock = clock
        self._lines = Lines(stream, self.hide)
        self._running = Running(clock)
        self._bars = _make_bars(stream, self._running) if mode == "bar" else None
        self._began = clock()
        self._next = self._began + (_FIRST_DRAW_S if mode == "bar" else _TENTH_S)
        self._next_line = self._began + _LINE_S
        self._tenths = 0

    def handle(self, event: Event) -> None:
        """Take one event; never raises, never blocks with bars."""
        self._running.handle(event)
        match event:
            case TaskEnded():
                if self._mode == "lines":
                    self._say_task_ended(event)
            case StatusAsked():
                self._lines.attempt(self.status())
            case RunEnded():
                self.close()
            case _:
                self.tick()

    def tick(self) -> None:
        """Draw if it is time; called from the aggregator's thread, also when nothing happens."""
        if self._mode == "none":
            return
        now = self._clock()
        if now < self._next:
            return
        if self._bars is not None:
            self._bars.draw(now)
            # After the drawing: a slow terminal must not be drawn on all the time.
            self._next = self._clock() + _DRAW_S
        elif self._mode == "lines":
            self._next = now + _TENTH_S
            self._say_progress(now)

    def hide(self) -> None:
        """Take the bars off until they are drawn next; called before text is written."""
        if self._bars is not None:
            self._bars.hide()

    def status(self) -> str:
        """Say who is running, for how long and in which attempt, as lines of text."""
        return status_text(self._running, self._running.counts)

    def close(self) -> None:
        """Leave the terminal clean; never raises, may be called twice."""
        bars, self._bars = self._bars, None
        if bars is not None:
            bars.close()
        self._mode = "none"

    def _say_progress(self, now: float) -> None:
        """Write a line if ten seconds have passed, or another tenth of the units is done."""
        running = self._running
        total = running.total()
        tenths = running.done * 10 // total if total else 0
        if now < self._next_line and tenths <= self._tenths:
            return
        self._next_line = now + _LINE_S
        self._tenths = max(tenths, self._tenths)
        parts = [_units(running.done, total), *self._ends(), *self._pace(now, total)]
        parts += self._trees()
        self._lines.attempt(f"progress: {', '.join(parts)}\n")

    def _ends(self) -> list[str]:
        """Write how many units did not end ok, by kind, and how many run."""
        running = self._running
        ended = running.counts.total.ended
        parts = [f"{count(ended[kind])} {kind.replace('_', ' ')}" for kind in KINDS if ended[kind]]
        return [*parts, f"{count(len(running.active))} running"]

    def _pace(self, now: float, total: int | None) -> list[str]:
        """Write how fast it goes, and how long it will take if that stays so."""
        running = self._running
        took = max(now - self._began, 0.001)
        parts = [f"{running.done / took:.1f} units/s"]
        if running.bytes_done:
            parts.append(f"{size(running.bytes_done)}, {size(int(running.bytes_done / took))}/s")
        if total and 0 < running.done < total:
            left_s = (total - running.done) * took / running.done
            parts.append(f"about {duration(left_s)} left")
        return parts

    def _trees(self) -> list[str]:
        """Write how far the trees have come that have been worked on for longest."""
        running = self._running
        trees = (active for active in running.active.values() if active.files_done)
        return [
            f"{running.what(active)} ({running.doing(active)})"
            for active in islice(trees, _TREES_NAMED)
        ]

    def _say_task_ended(self, event: TaskEnded) -> None:
        """Write how a task ended."""
        tally = self._running.counts.task(event.task_id)
        parts = [
            f"{count(tally.ended[kind])} {kind.replace('_', ' ')}"
            for kind in KINDS
            if kind == "ok" or tally.ended[kind]
        ]
        after = duration(self._clock() - self._began)
        name = self._running.name(event.task_id)
        self._lines.attempt(f"progress: {name} has ended after {after}: {', '.join(parts)}\n")


def _make_bars(stream: TextIO, running: Running) -> "Bars":
    """Make the bars; tqdm is imported only now that there is something to draw on."""
    from batchrun.report.bars import Bars  # noqa: PLC0415 (costs 20 ms that most runs can save)

    return Bars(Terminal(stream), running)


def _units(done: int, total: int | None) -> str:
    """Write how many units are done, and of how many if that is known."""
    if not total:
        return f"{count(done)} units"
    return f"{count(done)} of {count(total)} units ({done * 100 // total} %)"
