"""The assembly of a file, fed with answers, deaths and orders by chance: all of it, in order."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.model.operation import Done
from batchrun.model.outcome import Failed, Ok
from batchrun.model.tree import Chunk
from batchrun.ops.failures import Tally
from batchrun.ops.tree.assembly import Assembly, Ending, Errand, Joining

_AHEAD = 48
_ENDINGS = ["well", "well", "well", "dies before", "dies after", "back"]


class Pieces(Assembly):
    """Pieces are numbers; each is as long as it says."""

    def share(self, piece: Any) -> float:
        return float(piece) / 1e6


def errand_of(chunk: Chunk) -> Errand:
    # As Assembly has made it.
    errand: Errand = chunk.payload  # type: ignore[assignment]
    return errand


class Disk:
    """What the workers would do: frames hold numbers of pieces, segments are lists."""

    def __init__(self) -> None:
        self.segments: dict[int, int] = {}
        self.file: dict[int, int] = {}
        self.ended = ""
        self.most_segments = 0

    def work(self, chunk: Chunk) -> Done:
        """Do a chunk."""
        _, kind, content = errand_of(chunk)
        found: Any = None
        if kind == "scan":
            first, *later = content
            _, _, names, _ = first
            some = names.split("\0")
            rest = [("", "", "\0".join(some[3:]), 0.0)] if some[3:] else []
            found = rest + later, [int(name) for name in some[:3]]
        elif kind == "make":
            place, piece = content
            self.segments[place] = piece
            self.most_segments = max(self.most_segments, len(self.segments))
            found = piece + 1, piece
        elif kind == "join":
            self._join(Joining(*content))
        else:
            for place in Ending(*content).segments:
                self.segments.pop(place, None)
            self.ended = kind
        counted = Tally().counted()
        return Done(outcome=Ok(changed=True), answer=(counted, found))

    def _join(self, joining: Joining) -> None:
        for place in joining.joined:
            self.segments.pop(place, None)
        at = joining.offset
        for place, size in joining.segments:
            assert size == self.segments[place] + 1
            self.file[at] = self.segments[place]
            at += size


def assembly(frames: int, names: int) -> Pieces:
    every = range(frames * names)
    cut = [every[at * names : (at + 1) * names] for at in range(frames)]
    begun = [("", "", "\0".join(map(str, part)), 0.0) for part in cut if part]
    return Pieces(("module:function", (), (Tally().counted(), begun, [])))


def drive(operation: Pieces, work: Callable[[Chunk], Done], data: st.DataObject) -> None:
    """Answer chunks in any order, some by the death of their worker."""
    out: list[Chunk] = []
    deaths = 0
    while not operation.over:
        while len(out) < 6 and (chunk := operation.take()) is not None:
            out.append(chunk)
        assert out, "nothing is out, and nothing comes"
        chunk = out.pop(data.draw(st.integers(0, len(out) - 1)))
        match data.draw(st.sampled_from(_ENDINGS)):
            case "back":
                operation.give_back(chunk)
            case "dies before" if deaths < 3:
                deaths += 1
                operation.lose(chunk, chunk.number, "killed")
            case "dies after" if deaths < 3:
                deaths += 1
                work(chunk)
                operation.lose(chunk, chunk.number, "killed")
            case _:
                operation.absorb(chunk, work(chunk))


@settings(max_examples=60)
@given(frames=st.integers(0, 6), names=st.integers(1, 30), data=st.data())
def test_every_piece_is_joined_once_and_in_order_whoever_dies(
    frames: int, names: int, data: st.DataObject
) -> None:
    operation, disk = assembly(frames, names), Disk()

    drive(operation, disk.work, data)

    assert [disk.file[at] for at in sorted(disk.file)] == list(range(frames * names))
    assert disk.segments == {}
    assert disk.ended == "end"
    assert isinstance(operation.result().outcome, Ok)


def test_no_more_is_made_than_can_soon_be_joined() -> None:
    operation, disk = assembly(1, 400), Disk()
    first: Chunk | None = None
    for _ in range(1000):
        chunk = operation.take()
        if chunk is None:
            break
        if errand_of(chunk)[1] == "make" and first is None:
            first = chunk
            continue
        operation.absorb(chunk, disk.work(chunk))
    assert first is not None
    assert disk.most_segments < _AHEAD


def test_what_fails_or_is_stopped_is_removed_and_nothing_else_is_done() -> None:
    operation, disk = assembly(2, 10), Disk()
    for _ in range(8):
        chunk = operation.take()
        assert chunk is not None
        operation.absorb(chunk, disk.work(chunk))
    out = operation.take()
    assert out is not None

    operation.stop()
    before_it_is_back = operation.take()
    operation.drop(out)
    last = operation.take()
    assert last is not None
    operation.absorb(last, disk.work(last))

    assert before_it_is_back is None
    assert operation.over
    assert disk.ended == "undo"
    assert disk.segments == {}


def test_a_piece_that_kills_everybody_is_given_up_with_all_of_it() -> None:
    operation, disk = assembly(1, 3), Disk()
    scanned = operation.take()
    assert scanned is not None
    operation.absorb(scanned, disk.work(scanned))
    while not operation.over:
        chunk = operation.take()
        assert chunk is not None
        if errand_of(chunk)[1] == "make":
            operation.lose(chunk, chunk.number, "killed by signal 9")
        else:
            operation.absorb(chunk, disk.work(chunk))

    outcome = operation.result().outcome
    assert isinstance(outcome, Failed)
    assert "given up, again and again: killed by signal 9" in outcome.message
    assert disk.ended == "undo"
