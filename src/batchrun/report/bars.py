"""Progress bars on a terminal, drawn by tqdm; the only module that imports it."""

from collections import deque
from threading import RLock
from typing import TYPE_CHECKING

from tqdm import tqdm

from batchrun.report.running import Running
from batchrun.report.terminal import Terminal
from batchrun.report.text import count, duration, shorten, size

if TYPE_CHECKING:
    # At run time tqdm cannot be subscripted.
    _Base = tqdm[None]
else:
    _Base = tqdm

__all__ = ["Bars"]

#: Below so many columns the clock and the rate give way to the bar.
_WIDE = 70
#: From so many on there is room for bytes as well.
_VERY_WIDE = 100
_NARROW = 30
#: The rate of bytes is taken over so many seconds.
_RATE_S = 5.0
_UNITS_NAMED = 4


class _Bar(_Base):
    """A bar that starts no thread and takes no lock between processes."""

    #: tqdm's monitor is a thread that redraws: drawing belongs to the aggregator's thread alone.
    monitor_interval = 0
    #: Given here, tqdm does not make its own, which is a semaphore shared between processes.
    _lock = RLock()


class Bars:
    """Two lines: how far the run is, and what has been running for longest.

    All methods belong to one thread; none of them blocks or raises.
    """

    def __init__(self, terminal: Terminal, running: Running) -> None:
        self._terminal = terminal
        self._running = running
        self._bar: _Bar | None = None
        self._line: _Bar | None = None
        self._shown = False
        self._began = running.clock()
        #: Moments and bytes done by then, no older than the rate needs.
        self._bytes = deque([(self._began, 0)])

    def draw(self, now: float) -> None:
        """Draw both lines, unless the terminal does not take them now."""
        if not self._terminal.is_ready():
            return
        columns, rows = self._terminal.columns_and_rows()
        # The last column stays free: a character in it makes some terminals wrap.
        columns = max(columns - 1, 1)
        bar = self._bar
        if bar is None:
            bar = self._bar = self._make(position=0)
            # The run began before its bar, which would see the first units come in no time.
            bar.start_t -= now - self._began
            bar.last_print_t = bar.start_t
            self._line = self._make(position=1)
        bar.ncols, bar.nrows = columns, rows
        bar.total = self._running.total()
        bar.bar_format = _bar_format(columns, is_known=bool(bar.total))
        bar.postfix = self._postfix(now, columns)
        bar.update(self._running.done - bar.n)
        self._draw_line(now, columns, rows)
        # Back to the first column: the `^C` that a terminal echoes would else run over the end of
        # a full line, and what is cleared next would be one line too low.
        self._terminal.write("\r")
        self._terminal.present()
        self._shown = True

    def hide(self) -> None:
        """Take the lines off the terminal, because text is about to be written on it."""
        if self._shown:
            self._shown = False
            for bar in (self._line, self._bar):
                if bar is not None:
                    bar.clear()
            self._terminal.present()
            self._terminal.settle()

    def close(self) -> None:
        """Take the lines off for good."""
        self.hide()
        for bar in (self._line, self._bar):
            if bar is not None:
                # So that tqdm's own end does nothing on the terminal, neither now nor when the
                # object is collected.
                bar.disable = True
        self._terminal.close()

    def _make(self, *, position: int) -> _Bar:
        """Make a bar; it draws itself once, which goes no further than the frame."""
        bar = _Bar(
            total=None,
            file=self._terminal,
            position=position,
            leave=False,
            disable=False,
            mininterval=0,
            miniters=0,
            unit="unit",
            ncols=1,
            nrows=24,
            bar_format="{desc}",
            smoothing=0.1,
        )
        bar.clear()
        return bar

    def _draw_line(self, now: float, columns: int, rows: int) -> None:
        """Draw the second line."""
        line = self._line
        if line is not None:
            line.ncols, line.nrows = columns, rows
            line.set_description_str(shorten(self._oldest(now), columns), refresh=False)
            line.refresh()

    def _oldest(self, now: float) -> str:
        """Write what has been running for longest."""
        running = self._running
        if not running.active:
            return f"{count(len(running.waiting))} waiting" if running.waiting else ""
        parts = []
        for active in running.active.values():
            doing = f" ({doing})" if (doing := running.doing(active)) else ""
            parts.append(f"{running.what(active)} {duration(now - active.since)}{doing}")
            if len(parts) == _UNITS_NAMED:
                break
        return f"{count(len(running.active))} running: {', '.join(parts)}"

    def _postfix(self, now: float, columns: int) -> str:
        """Write what is known beside the number of units."""
        running = self._running
        total = running.counts.total
        bad = total.done - total.ended["ok"] - total.ended["skipped"]
        parts = [f"{count(bad)} not ok"] if bad else []
        if columns >= _WIDE and running.total() is None and running.tasks > 1:
            parts.append(f"{count(running.ended_tasks)}/{count(running.tasks)} tasks")
        rate = self._byte_rate(now)
        if columns >= _VERY_WIDE and running.bytes_done:
            parts.append(f"{size(running.bytes_done)}, {size(rate)}/s")
        return ", ".join(parts)

    def _byte_rate(self, now: float) -> int:
        """Return how many bytes per second were done lately."""
        samples = self._bytes
        samples.append((now, self._running.bytes_done))
        while len(samples) > 2 and now - samples[0][0] > _RATE_S:
            samples.popleft()
        since, before = samples[0]
        return int((self._running.bytes_done - before) / (now - since)) if now > since else 0


def _bar_format(columns: int, *, is_known: bool) -> str:
    """Return what the first line shows, as tqdm wants it told."""
    if not is_known:
        wide = " [{elapsed}, {rate_fmt}{postfix}]"
        return "{n_fmt} units" + (wide if columns >= _WIDE else "{postfix}")
    if columns >= _WIDE:
        return (
            "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} "
            "[{elapsed}<{remaining}, {rate_fmt}{postfix}]"
        )
    if columns >= _NARROW:
        return "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} {remaining}{postfix}"
    return "{percentage:3.0f}% {n_fmt}/{total_fmt}{postfix}"
