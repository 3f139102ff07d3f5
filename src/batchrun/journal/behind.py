"""A sink that is never ahead of the record: what it says happened is on disk."""

from collections import deque

from batchrun.journal.sink import JournalSink
from batchrun.model.event import Event
from batchrun.model.ports import Sink

__all__ = ["Behind"]


class Behind:
    """Passes events on once they are recorded; sink and ticker.

    Events wait for a batch of the journal, so there are never more than that takes in.

    Args:
        sink: Who gets the events.
        journal: Who records them; gets each event first.
    """

    def __init__(self, sink: Sink, journal: JournalSink) -> None:
        self._sink = sink
        self._journal = journal
        self._waiting: deque[tuple[int, Event]] = deque()

    def handle(self, event: Event) -> None:
        """Take one event, and pass on what is recorded.

        Raises:
            OSError: as the other sink does.
        """
        self._waiting.append((self._journal.taken, event))
        self.tick()

    def tick(self) -> None:
        """Pass on what is recorded.

        Raises:
            OSError: as the other sink does.
        """
        # Of a record that broke, everybody was told; waiting for it would help nobody.
        everything = self._journal.is_broken
        while self._waiting and (everything or self._waiting[0][0] <= self._journal.written):
            self._sink.handle(self._waiting.popleft()[1])

    def close(self) -> None:
        """Pass on the rest, and close the other sink.

        Raises:
            OSError: as the other sink does.
        """
        try:
            while self._waiting:
                self._sink.handle(self._waiting.popleft()[1])
        finally:
            self._sink.close()
