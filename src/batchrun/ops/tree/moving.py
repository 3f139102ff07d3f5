"""Move trees to another filesystem, by many workers: one tree after the other, never half.

copy ──complete──► name ──► delete ──► the next tree
  └──── errors ──────┴──► undo: the copy is deleted, the source stays ──► the next tree
"""

from typing import Any, NamedTuple

from batchrun.model.operation import Done
from batchrun.ops.failures import Counted, Tally
from batchrun.ops.relocate import Relocation, not_moved
from batchrun.ops.tree.forest import Forest
from batchrun.ops.tree.parcels import LIST, Answer

__all__ = ["COPY", "DELETE", "NAME", "NEXT", "UNDO", "Moving", "MovingForest"]

COPY, NAME, DELETE, UNDO, NEXT = "copy", "name", "delete", "undo", "next"


class Moving(NamedTuple):
    """What goes with every chunk."""

    turn: str
    relocation: Relocation
    #: What comes after this tree; only told to who works on that.
    waiting: tuple[Any, ...] = ()


class MovingForest(Forest):
    """Moves of trees that many workers make.

    Args:
        seed: Works on chunks; what the unit had counted before, the move of the first tree, what
            waits; and the answer of who has begun.
    """

    first_share = 0.8

    def __init__(self, seed: tuple[str, tuple[Counted, Any, tuple[Any, ...]], Answer]) -> None:
        function, (counted, relocation, waiting), begun = seed
        #: What the unit has come to, without the tree that is being copied.
        self._total = Tally()
        self._total.add(counted)
        self._waiting_moves = waiting
        super().__init__((function, Moving(COPY, Relocation(*relocation)), begun))
        self.clean_up(self._moving.relocation.temp)

    def heard(self, extras: list[Any]) -> None:
        """Take in which tree is next; what else copies tell is cleaned up with their names."""
        if self._moving.turn != NEXT:
            return
        for relocation, counted, waiting in extras:
            self._waiting_moves = waiting
            self.tally = Tally()
            self.tally.add(counted)
            self.config = Moving(COPY, Relocation(*relocation))
            self.clean_up(self._moving.relocation.temp)

    def turned(self) -> None:
        """Begin the next turn."""
        turn = self._moving.turn
        if turn == COPY and not self.tally.failed:
            self._turn(NAME)
            self.errand()
        elif turn in (COPY, NAME) and self.tally.failed:
            self._total.fail(not_moved(self._moving.relocation.path, self.tally))
            self.tally = Tally()
            self._turn(UNDO)
            self._work_on_root()
        elif turn == NAME:
            self._traces.remove(self._moving.relocation.temp)
            self._total.add(self.tally.counted())
            self._total.changed = True
            self.tally = self._total
            self._turn(DELETE)
            self._work_on_root()
        elif self._waiting_moves:
            self.tally = self._total
            self.config = Moving(NEXT, self._moving.relocation, self._waiting_moves)
            self._waiting_moves = ()
            self.errand()

    def result(self) -> Done:
        """Return how it ended."""
        return self._total.done()

    @property
    def _moving(self) -> Moving:
        return Moving(*self.config)

    def _turn(self, turn: str) -> None:
        self.config = self._moving._replace(turn=turn)

    def _work_on_root(self) -> None:
        self.plant((self._moving.relocation.root, ""), None, LIST, share=self.to_plant)
