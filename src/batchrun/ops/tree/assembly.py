"""Make one file of many pieces, which several workers make and one after the other joins: pure.

    frames ──SCAN──► pieces ──MAKE──► segments, beside the file ──JOIN──► the file ──END──► its name

Pieces are made in any order, and joined in theirs; a segment is a file of its own until it has been
joined. Only one worker joins at a time, at offsets that are known, so that it may be done twice;
what has been joined is removed by the next one. No more than some pieces are ahead of what has been
joined, and no more than some are known before they are made: so memory and disk are bounded, and
the scan goes on beside the work.

A chunk whose worker died is given out again. One that has killed several is given up, and all of it
with it: half an archive is none.
"""

from collections import deque
from typing import Any, NamedTuple, TypeAlias

from batchrun.errors import OperationError
from batchrun.model.operation import Done
from batchrun.model.tree import Chunk, Progress
from batchrun.ops.failures import Counted, Tally
from batchrun.ops.tree.ordered import Frame

__all__ = [
    "END",
    "JOIN",
    "MAKE",
    "SCAN",
    "UNDO",
    "Assembly",
    "Begun",
    "Ending",
    "Errand",
    "Joining",
]

#: Kinds of chunks: look at more; make a segment; join some; give the file its name; remove all.
SCAN, MAKE, JOIN, END, UNDO = "scan", "make", "join", "end", "undo"

#: Pieces that are made, or being made, ahead of what has been joined.
_AHEAD = 48
#: More is scanned when fewer pieces than this wait; none when there are enough.
_FEW, _ENOUGH = 8, 32
#: Names to begin a scan with; there are more below them.
_NAMES = 2048
#: Segments joined at a time while there is something else to do.
_SOME = 4
#: Workers that a chunk may kill.
_MOST_DEATHS = 4

#: What a chunk carries: what is the same for all, what is to be done, with what.
Errand: TypeAlias = tuple[Any, str, Any]
#: Of who has begun: what was counted, frames that are left, pieces.
Begun: TypeAlias = tuple[Counted, list[Any], list[Any]]


class Joining(NamedTuple):
    """Segments to be joined, and those that can be removed."""

    offset: int
    #: Place and size of each.
    segments: list[tuple[int, int]]
    joined: list[int]


class Ending(NamedTuple):
    """What is known at the end."""

    #: Of the file, as far as it was joined.
    size: int
    #: Of what is in it, before it was compressed.
    content_size: int
    #: Segments that may be there.
    segments: list[int]


class Assembly:
    """A TreeOperation that makes one file of pieces.

    Args:
        seed: `function` that works on chunks, `config` that goes with each; what has been begun.
    """

    def __init__(self, seed: tuple[str, Any, Begun]) -> None:
        self._function, self._config, (counted, frames, pieces) = seed
        self.tally = Tally()
        self.tally.add(counted)
        #: Not scanned yet; the next last.
        self._frames = frames[::-1]
        #: Not made yet, each with its place.
        self._pieces: deque[tuple[int, Any]] = deque()
        self._count = 0
        self._scanning = self._joining = False
        #: Segments that were made and not joined: size of each, by place.
        self._made: dict[int, int] = {}
        #: Joined, and to be removed; the place of the next one.
        self._joined: list[int] = []
        self._next = 0
        self._size = self._content_size = 0
        self._again: list[tuple[str, Any, int]] = []
        self._out: dict[int, tuple[str, Any, int]] = {}
        self._numbers = 0
        self._stopped = self._ended = False
        #: Workers that the last chunk has killed.
        self._last_deaths = 0
        self._left = 1.0
        self._know(pieces)

    # ---- the TreeOperation ----------------------------------------------------------------

    def take(self) -> Chunk | None:
        """Return the next chunk."""
        if self._ended:
            return None
        if self._stopped:
            return None if self._out else self._chunk(UNDO, self._ending(), self._last_deaths)
        if self._again:
            return self._chunk(*self._again.pop())
        found = self._next_work()
        if found is not None:
            return self._chunk(*found, 0)
        if self._out or self._next < self._count:
            return None
        return self._chunk(END, self._ending(), self._last_deaths)

    def absorb(self, chunk: Chunk, done: Done) -> None:
        """Take in what came of a chunk."""
        kind, content, _ = self._out.pop(chunk.number)
        # As the function has made it.
        answer: tuple[Counted, Any] = done.answer  # type: ignore[assignment]
        counted, found = answer
        self.tally.add(counted)
        if kind == SCAN:
            frames, pieces = found
            self._scanning = False
            self._frames += frames[::-1]
            self._know(pieces)
        elif kind == MAKE:
            place, piece = content
            self._made[place], content_size = found
            self._content_size += content_size
            self._left -= self.share(piece)
        elif kind == JOIN:
            joining = Joining(*content)
            self._joining = False
            self._size = joining.offset + sum(size for _, size in joining.segments)
            self._joined = [place for place, _ in joining.segments]
            self._next += len(joining.segments)
        else:
            self._ended = True

    def lose(self, chunk: Chunk, number: int, message: str) -> None:  # noqa: ARG002 - the protocol's
        """Give a chunk out again, or give up."""
        kind, content, deaths = self._out.pop(chunk.number)
        if deaths + 1 < _MOST_DEATHS:
            self._put_back(kind, content, deaths + 1)
            return
        self.tally.fail(OperationError(f"given up, again and again: {message}"))
        self._end_early(kind)

    def give_back(self, chunk: Chunk) -> None:
        """Take a chunk back."""
        self._put_back(*self._out.pop(chunk.number))

    def drop(self, chunk: Chunk) -> None:
        """Forget a chunk: there will be no file."""
        kind, _, _ = self._out.pop(chunk.number)
        self._end_early(kind)

    def stop(self) -> None:
        """Give nothing out any more, but what cleans up."""
        self._stopped = True

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        share = min(1.0, max(0.0, 1.0 - self._left))
        return Progress(files_done=self.tally.files_done, share=share)

    @property
    def over(self) -> bool:
        """Whether nothing is out, and nothing left."""
        return self._ended and not self._out

    def result(self) -> Done:
        """Return how it ended."""
        return self.tally.done()

    # ---- what pieces are ------------------------------------------------------------------

    def known(self, piece: Any) -> Any:
        """Take note of a piece, in order; returns it as it is given out."""
        return piece

    def share(self, piece: Any) -> float:
        """Return how much of the whole a piece is likely to be."""
        raise NotImplementedError

    # ---- what comes next ------------------------------------------------------------------

    def _know(self, pieces: list[Any]) -> None:
        for piece in pieces:
            self._pieces.append((self._count, self.known(piece)))
            self._count += 1

    def _next_work(self) -> tuple[str, Any] | None:
        ready = 0 if self._joining else self._ready()
        waiting = len(self._pieces)
        may_scan = bool(self._frames) and not self._scanning and waiting < _ENOUGH
        if ready >= _SOME:
            return JOIN, self._join(ready)
        if may_scan and waiting < _FEW:
            return SCAN, self._scan()
        if waiting and self._pieces[0][0] < self._next + _AHEAD:
            return MAKE, self._pieces.popleft()
        if may_scan:
            return SCAN, self._scan()
        return (JOIN, self._join(ready)) if ready else None

    def _ready(self) -> int:
        """Count the segments that can be joined."""
        place = self._next
        while place in self._made:
            place += 1
        return place - self._next

    def _join(self, ready: int) -> tuple[Any, ...]:
        self._joining = True
        places = range(self._next, self._next + ready)
        segments = [(place, self._made.pop(place)) for place in places]
        return tuple(Joining(self._size, segments, self._joined))

    def _scan(self) -> list[Any]:
        self._scanning = True
        frames: list[Any] = []
        names = 0
        while self._frames and names < _NAMES:
            frames.append(self._frames.pop())
            names += Frame(*frames[-1]).names.count("\0") + 1
        return frames

    def _ending(self) -> tuple[Any, ...]:
        places = [*self._joined, *range(self._next, self._count)]
        return tuple(Ending(self._size, self._content_size, places))

    def _chunk(self, kind: str, content: Any, deaths: int) -> Chunk:
        self._numbers += 1
        self._out[self._numbers] = kind, content, deaths
        errand: Errand = self._config, kind, content
        return Chunk(number=self._numbers, function=self._function, payload=errand)

    def _put_back(self, kind: str, content: Any, deaths: int) -> None:
        """Have a chunk given out again; the last one is made when its time has come."""
        if kind in {END, UNDO}:
            self._last_deaths = deaths
        else:
            self._again.append((kind, content, deaths))

    def _end_early(self, kind: str) -> None:
        """Have everything removed, unless that was what has failed."""
        self._ended |= kind == UNDO
        self._last_deaths = 0
        self.stop()
