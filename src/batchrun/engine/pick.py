"""`pick: N`: the first N hosts of a task that can be reached, and no other; pure bookkeeping.

    planned ──► tried ──reached──► its other units too
                  │
                  └─unreachable──► passed over, if another host takes its place

At most N hosts are tried or reached at a time. The first unit of a host shows whether it can be
reached; its other units wait for that.
"""

from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from batchrun.engine.state import UnitState

__all__ = ["Choice", "Pick"]


class Choice(Enum):
    """What became of a host."""

    #: It waits for whether one of those before it cannot be reached.
    SPARE = "spare"
    #: Its first unit is under way.
    TRIED = "tried"
    REACHED = "reached"
    #: It cannot be reached, and whether another takes its place is not known yet.
    OPEN = "open"
    #: It cannot be reached, and another took its place.
    PASSED = "passed"
    #: It cannot be reached, and there is no other.
    MISSED = "missed"
    #: There were enough before it.
    LEFT = "left"


class Pick:
    """How far the choice of hosts of one task has come.

    Args:
        most: How many hosts are wanted.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        #: Of every host that was planned, in that order.
        self.choices: dict[str, Choice] = {}
        #: Units that wait for whether their host is tried, or reached, by host, in that order.
        self.held: dict[str, list[UnitState]] = {}
        #: First units of hosts that were not reached, while it is open whether another takes
        #: their place, in that order.
        self.missed: list[UnitState] = []
        #: How many hosts there will be, when that is known.
        self.total: int | None = None
        # Hosts that are tried or reached, and those that are reached.
        self._taken = 0
        self._reached = 0

    @property
    def is_full(self) -> bool:
        """Whether no further host may be tried now."""
        return self._taken >= self.most

    @property
    def is_done(self) -> bool:
        """Whether as many hosts as are wanted were reached."""
        return self._reached >= self.most

    @property
    def has_all(self) -> bool:
        """Whether every host was planned, as far as we know."""
        return self.total is not None and len(self.choices) >= self.total

    @property
    def next_spare(self) -> str | None:
        """The host to be tried next; None: there is none."""
        spares = (host for host in self.held if self.choices[host] is Choice.SPARE)
        return next(spares, None)

    def choose(self, host: str, choice: Choice) -> None:
        """Write down what became of a host."""
        was = self.choices.get(host)
        taken = (Choice.TRIED, Choice.REACHED)
        self._taken += (choice in taken) - (was in taken)
        self._reached += choice is Choice.REACHED
        self.choices[host] = choice

    def hold(self, one: "UnitState") -> None:
        """Let a unit wait for what becomes of its host."""
        one.task.blocked.add(one)
        self.held.setdefault(one.unit.host, []).append(one)

    def first_of(self, host: str) -> "UnitState | None":
        """Let the first of those go that wait for a host; None: somebody has stopped it."""
        one = self.held[host].pop(0)
        if one not in one.task.blocked:
            return None
        one.task.blocked.remove(one)
        return one

    def let_go(self, host: str) -> "Iterator[UnitState]":
        """Let those go that wait for a host, and that nobody has stopped meanwhile, in order.

        One after the other: a task of which nothing waits any more may end.
        """
        for one in self.held.pop(host, ()):
            if one in one.task.blocked:
                one.task.blocked.remove(one)
                yield one
