"""Which directories of a tree operation are open, and what is left to be done in each: pure.

    directory ──listed──► names of files, names of directories ──worked on──► nothing left ──► left
                                             │                                                  │
                                             └──► directories of their own, in the same way ◄───┘

A directory is left when nothing of it is pending: no names, and no directory below it. The record
of one lives from its opening, by a worker that could not finish it, to its leaving, so memory is
what is open at the same time, and names that wait. Names are taken last in, first out: depth
first, so that directories are finished before others are opened.

A chunk whose worker died is given out again. One that has killed two is halved, and worked on in
the smallest of steps, until a single name is blamed; that is counted as an error, and the rest
goes on.
"""

from collections.abc import Callable
from typing import Any

from batchrun.errors import OperationError
from batchrun.model.operation import Done
from batchrun.model.tree import Chunk, Progress
from batchrun.ops.failures import Tally
from batchrun.ops.paths import shown
from batchrun.ops.tree.estimate import shares, weight
from batchrun.ops.tree.parcels import (
    CLEAN_UP,
    COMPLETE,
    LEAVE,
    LIST,
    Answer,
    Root,
    split,
)
from batchrun.ops.tree.waiting import OpenDirectory, Parcel, halved

__all__ = ["Forest", "drive"]

#: Weight of the work in a chunk: that of so many names of files.
_FULL = 512
#: No chunk is lighter than this while there is more.
_LIGHTEST = 32
#: Workers that a chunk may kill before it is halved.
_DEATHS = 2
#: Workers that a single name may kill: whoever shoots at random may hit one twice.
_MOST_DEATHS = 4
#: The one directory that holds all roots; it is never left.
_TOP = 0


class Forest:
    """A TreeOperation over directories, begun by one worker and continued by many.

    Args:
        seed: `function` that works on chunks, `config` that goes with each of them, and the
            `Answer` of who has begun.
    """

    #: How much of the whole what is begun with is; the rest is planted later.
    first_share = 1.0
    #: What is completed by the last chunk is to be whole: when anything has failed, it is given up.
    whole = False

    def __init__(self, seed: tuple[str, Any, Answer]) -> None:
        self._function, self.config, begun = seed
        self.tally = Tally()
        self._numbers = 0
        self._nodes = {_TOP: OpenDirectory(_TOP, None, "", None)}
        self._last_node = _TOP
        self._waiting: list[Parcel] = []
        self._weight = 0
        self._leaving: list[Parcel] = []
        #: Chunks to be given out again, each with the number of workers that it has killed.
        self._again: list[tuple[list[Parcel], int]] = []
        self._out: dict[int, tuple[list[Parcel], int]] = {}
        #: Orders whose workers have died, and may have left something behind; few, if any.
        self._lost: list[int] = []
        self._stopped = False
        #: What is to be cleaned up at the end, however that comes about.
        self._traces: list[Any] = []
        self._last_deaths = 0
        #: Shares of what waits, of what is out, and of what is to be planted.
        self._left = 1.0
        self._nodes[_TOP].pending = 1
        self._take_in([Parcel(self._nodes[_TOP], LIST, [], self.first_share)], begun)

    # ---- the TreeOperation ----------------------------------------------------------------

    def take(self) -> Chunk | None:
        """Return the next chunk."""
        if self._stopped or not self._nodes[_TOP].pending:
            return self._last_chunk()
        if self._again:
            parcels, deaths = self._again.pop()
        elif self._leaving:
            parcels, deaths = self._leaving[-_FULL:], 0
            del self._leaving[-_FULL:]
        elif self._waiting:
            parcels, deaths = self._gathered(), 0
        else:
            return None
        self._numbers += 1
        self._out[self._numbers] = parcels, deaths
        items = [parcel.packed() for parcel in parcels]
        payload = (self.config, deaths, items, self._lost[:])
        return Chunk(number=self._numbers, function=self._function, payload=payload)

    def absorb(self, chunk: Chunk, done: Done) -> None:
        """Take in an answer."""
        parcels, _ = self._out.pop(chunk.number)
        # As `crawl` has made it.
        self._take_in(parcels, done.answer)  # type: ignore[arg-type]

    def lose(self, chunk: Chunk, number: int, message: str) -> None:
        """Give a chunk out again, whole or halved, or blame the one name in it."""
        self._lost.append(number)
        parcels, deaths = self._out.pop(chunk.number)
        deaths += 1
        if not parcels and deaths < _MOST_DEATHS:
            self._again_last(chunk, deaths)
            return
        if not parcels:
            self.tally.fail(OperationError(f"could not be completed: {message}"))
            return
        if deaths < _DEATHS:
            self._again.append((parcels, deaths))
            return
        halves = halved(parcels)
        if halves is None and deaths < _MOST_DEATHS:
            self._again.append((parcels, deaths))
        elif halves is None:
            self._blame(parcels[0], message)
        else:
            self._count_half(parcels, halves)
            self._again += [(half, _DEATHS - 1) for half in halves]

    def give_back(self, chunk: Chunk) -> None:
        """Take a chunk back."""
        parcels, deaths = self._out.pop(chunk.number)
        if parcels:
            self._again.append((parcels, deaths))
        else:
            self._again_last(chunk, deaths)

    def drop(self, chunk: Chunk) -> None:
        """Forget a chunk: the operation will not be completed."""
        del self._out[chunk.number]
        self.stop()

    def stop(self) -> None:
        """Give nothing out any more, but what cleans up."""
        if not self._stopped:
            self._stopped = True
            for node in self._nodes.values():
                if node.number != _TOP:
                    self.abandoned(node.token, *node.place())

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        share = min(1.0, max(0.0, 1.0 - self._left))
        return Progress(files_done=self.tally.files_done, share=share)

    @property
    def to_plant(self) -> float:
        """How much of the whole is left for what is planted when nothing else waits."""
        return max(0.0, self._left)

    @property
    def over(self) -> bool:
        """Whether nothing is out, and nothing left."""
        done = self._stopped or not self._nodes[_TOP].pending
        return done and not self._out and not self._traces

    def result(self) -> Done:
        """Return how it ended."""
        return self.tally.done()

    def clean_up(self, trace: Any) -> None:
        """Have something completed or cleaned up when nothing else is left to be done.

        The chunk for it has COMPLETE in place of the number of workers that it has killed;
        CLEAN_UP when the operation ends before its time.
        """
        if trace not in self._traces:
            self._traces.append(trace)

    def _again_last(self, chunk: Chunk, deaths: int) -> None:
        """Have the last chunk given out again."""
        self._last_deaths = deaths
        # As `_last_chunk` has made it.
        self._traces = chunk.payload[2]  # type: ignore[index]

    def _last_chunk(self) -> Chunk | None:
        if self._out or not self._traces:
            return None
        self._numbers += 1
        self._out[self._numbers] = [], self._last_deaths
        given_up = self._stopped or (self.whole and self.tally.failed)
        how = CLEAN_UP if given_up else COMPLETE
        payload = (self.config, how, self._traces, self._lost[:])
        self._traces = []
        return Chunk(number=self._numbers, function=self._function, payload=payload)

    # ---- what comes back ------------------------------------------------------------------

    def heard(self, extras: list[Any]) -> None:
        """Take in what else a worker has found, for operations that ask for it."""

    def abandoned(self, token: Any, root: Root, path: str) -> None:
        """A directory will not be left: have cleaned up what must not stay."""

    def turned(self) -> None:
        """Everything is done: plant more, for operations that have several turns."""

    def plant(
        self, place: tuple[Root, str], token: Any, kind: int, names: str = "", *, share: float = 0.0
    ) -> None:
        """Add a directory, and work on it.

        Args:
            place: The root of its tree, and its path below that; empty: the root itself.
            token: What is known of it.
            kind: LIST, or what the names are.
            names: In it, joined.
            share: How much of the whole that is likely to be.
        """
        self._last_node += 1
        top = self._nodes[_TOP]
        node = OpenDirectory(self._last_node, top, "", token)
        node.root, node.path = place
        top.pending += 1
        node.pending = 1
        self._nodes[node.number] = node
        self._wait(Parcel(node, kind, split(names), share))

    def errand(self) -> None:
        """Have one thing done that is no work on a directory; `turned` comes after it."""
        top = self._nodes[_TOP]
        top.pending += 1
        self._wait(Parcel(top, LIST, []))

    def _take_in(self, parcels: list[Parcel], answer: Answer) -> None:
        counted, opened, works, marks, extras = answer
        self.tally.add(counted)
        self.heard(extras)
        new: list[OpenDirectory] = []
        for parent, name, token, marked, root in opened:
            self._last_node += 1
            above = self._node(parent, new)
            node = OpenDirectory(self._last_node, above, name, token)
            node.marked, node.root = marked, root
            above.pending += 1
            self._nodes[node.number] = node
            new.append(node)
        staying: set[OpenDirectory] = set()
        given = [(one.node.number, weight(one.kind, len(one.names)), one.share) for one in parcels]
        self._left -= sum(one.share for one in parcels)
        for (number, kind, names), share in zip(works, shares(given, opened, works), strict=True):
            node = self._node(number, new)
            if kind == LEAVE:
                staying.add(node)
            else:
                node.pending += 1
                self._left += share
                self._wait(Parcel(node, kind, split(names), share))
        for number in marks:
            self._nodes[number].marked = True
        for parcel in parcels:
            if parcel.node in staying:
                self._leaving.append(parcel)
            else:
                self._settle(parcel)

    def _node(self, number: int, new: list[OpenDirectory]) -> OpenDirectory:
        return self._nodes[number] if number >= 0 else new[-number - 1]

    def _settle(self, parcel: Parcel) -> None:
        """Take note that a parcel was worked on."""
        node = parcel.node
        if parcel.kind == LEAVE:
            del self._nodes[node.number]
            above = node.parent
            if above is not None:
                above.marked |= node.marked
                self._less(above)
        else:
            self._less(node)

    def _less(self, node: OpenDirectory) -> None:
        node.pending -= 1
        if node.pending:
            return
        if node.number == _TOP:
            self.turned()
        else:
            self._leaving.append(Parcel(node, LEAVE, []))

    # ---- what goes out --------------------------------------------------------------------

    def _wait(self, parcel: Parcel) -> None:
        self._waiting.append(parcel)
        self._weight += parcel.weight

    def _gathered(self) -> list[Parcel]:
        """Take a chunk's weight off what waits: a quarter of it, so that others have some too."""
        room = min(_FULL, max(_LIGHTEST, self._weight // 4))
        parcels: list[Parcel] = []
        while self._waiting and room > 0:
            parcel = self._waiting[-1]
            taken = parcel.part(room)
            if taken is parcel:
                self._waiting.pop()
            else:
                taken.node.pending += 1
            room -= taken.weight
            self._weight -= taken.weight
            parcels.append(taken)
        return parcels

    def _count_half(self, parcels: list[Parcel], halves: list[list[Parcel]]) -> None:
        """Count the parcel that comes of cutting one."""
        if len(parcels) == 1:
            parcels[0].node.pending += len(halves) - 1

    def _blame(self, parcel: Parcel, message: str) -> None:
        """Give up a name that kills whoever works on it."""
        root, path = parcel.node.place()
        names = [str(root[0]) if root else "", path, *parcel.names]
        where = shown("/".join(name for name in names if name))
        self.tally.fail(OperationError(f"given up at {where}, again and again: {message}"))
        parcel.node.marked = True
        self._left -= parcel.share
        self._settle(parcel)


def drive(forest: Forest, work: Callable[[Any], Done]) -> Done:
    """Do all of an operation in this process.

    Args:
        forest: The operation.
        work: Works on the payload of a chunk.
    """
    while not forest.over:
        chunk = forest.take()
        if chunk is not None:
            forest.absorb(chunk, work(chunk.payload))
    return forest.result()
