"""The open streams of a run: opened, drawn from and closed as the scheduler asks."""

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue

from batchrun.engine.looks import Looks
from batchrun.engine.messages import Message, SourceReady
from batchrun.engine.scheduler import Scheduler
from batchrun.errors import SourceError
from batchrun.model.ports import Drawn, Look, UnitStream, Waker
from batchrun.model.unit import Unit

__all__ = ["Planner"]

#: Units planned before the loop has its turn again.
_SLICE = 256


class Planner:
    """Draws units for the scheduler; only for the loop's thread.

    Args:
        open_stream: Opens the stream of a task, whose waker it is given; raises SourceError.
        scheduler: Who says from which task to draw, and hears of each unit.
        queue: Where a stream that had nothing says that it has something again.
        looks: Asks hosts what a stream must know of them.
        failed: Told when a source cannot be opened or read to its end.
    """

    def __init__(
        self,
        open_stream: Callable[[str, Waker], UnitStream],
        scheduler: Scheduler,
        queue: "SimpleQueue[Message]",
        looks: Looks,
        failed: Callable[[str, SourceError], None],
    ) -> None:
        self._open_stream = open_stream
        self._scheduler = scheduler
        self._queue = queue
        self._looks = looks
        self._failed = failed
        self._streams: dict[str, UnitStream] = {}
        # Tasks without a unit so far whose source did not know its total when it was opened.
        self._unmeasured: set[str] = set()

    def plan(self, clock: Callable[[], float]) -> None:
        """Draw as many units as the scheduler wants, up to a slice."""
        scheduler = self._scheduler
        for _ in range(_SLICE):
            task_id = scheduler.hungry()
            if task_id is None:
                return
            try:
                drawn = self._streams[task_id].draw()
            except SourceError as error:
                self._failed(task_id, error)
            else:
                if drawn is Drawn.PENDING:
                    scheduler.pending(task_id)
                elif isinstance(drawn, Look):
                    self._looks.begin(drawn)
                elif drawn is Drawn.EXHAUSTED:
                    left_out = self._streams[task_id].done_before
                    scheduler.exhausted(task_id, clock(), done_before=left_out)
                else:
                    if self._unmeasured:
                        self._measure(task_id)
                    scheduler.drawn(task_id, drawn, clock())

    def _measure(self, task_id: str) -> None:
        """Look once more for the total: a source that was read to its end first knows it now."""
        if task_id in self._unmeasured:
            self._unmeasured.discard(task_id)
            stream = self._streams[task_id]
            if stream.total is not None:
                self._scheduler.measured(task_id, stream.total, stream.hosts)

    def open(self, task_id: str) -> None:
        """Open the stream of a task."""
        waker = partial(self._wake, task_id)
        try:
            stream = self._open_stream(task_id, waker)
        except SourceError as error:
            self._failed(task_id, error)
        else:
            self._streams[task_id] = stream
            total = stream.total
            if total is None:
                self._unmeasured.add(task_id)
            self._scheduler.opened(task_id, total, stream.hosts)

    def ended(self, unit: Unit) -> None:
        """Tell its stream that a unit has ended, if there is more to come of it."""
        stream = self._streams.get(unit.task_id)
        if stream is not None:
            stream.ended(unit)

    def close(self, task_id: str) -> None:
        """Close the stream of a task, if it was opened."""
        self._unmeasured.discard(task_id)
        stream = self._streams.pop(task_id, None)
        if stream is not None:
            self._looks.drop(task_id)
            stream.close()

    def close_all(self) -> None:
        """Close what is still open."""
        for task_id in tuple(self._streams):
            self.close(task_id)

    def _wake(self, task_id: str) -> None:
        """Called by a source from any thread."""
        self._queue.put(SourceReady(task_id))
