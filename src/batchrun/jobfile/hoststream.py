"""The units of a task on hosts: hosts × items, with one cursor for each host over one list.

    items ──HostItems──► item 1, item 2, ...        host a: at 4, 2 of its units not ended
                                                    host b: at 2, 3 of them: waits for `ended`

Only a few units of a host are planned ahead of those that have ended, so that one slow host cannot
fill the window of the scheduler. Hosts vary fastest. With `batch` the hosts of a wave come first.
"""

from collections import deque
from collections.abc import Iterator, Sequence

from batchrun.jobfile.hostitems import HostItems
from batchrun.jobfile.plan import TaskPlan
from batchrun.jobfile.records import UnknownUntilRunError
from batchrun.jobfile.settled import Settled
from batchrun.jobfile.stream import DRAWN_AT_ONCE, missing_items, unknown_unit
from batchrun.jobfile.units import NO_ITEM, UnitMaker, Which
from batchrun.model.host import Host
from batchrun.model.job import Batch, wave_size
from batchrun.model.ports import Drawn
from batchrun.model.unit import Unit

__all__ = ["HostStream", "waves_of"]

#: Units of a host that are planned beside those that may run at once.
_AHEAD = 2


class _Cursor:
    """Where one host is in the list of items."""

    __slots__ = ("at", "host", "number", "open")

    def __init__(self, number: int, host: Host) -> None:
        self.host = host
        #: Position among the hosts, from 1.
        self.number = number
        #: Items that it has had.
        self.at = 0
        #: Of these, units that have not ended.
        self.open = 0


class HostStream:
    """A UnitStream over the hosts, or over the hosts and items, of one task.

    Args:
        plan: The task.
        hosts: Its hosts.
        maker: Makes its units.
        items: Where the items come from.
        settled: Leaves out what an earlier run has done.
    """

    def __init__(
        self,
        plan: TaskPlan,
        hosts: Sequence[Host],
        maker: UnitMaker,
        items: HostItems,
        settled: Settled,
    ) -> None:
        self._plan = plan
        self._maker = maker
        self._items = items
        self._settled = settled
        self._most_open = plan.task.per_host + _AHEAD
        self._cursors = {
            host.name: _Cursor(number, host) for number, host in enumerate(hosts, start=1)
        }
        self._waves = waves_of(list(self._cursors.values()), plan.task.batch)
        #: Hosts of this wave that may have another unit, in turn.
        self._ready: deque[_Cursor] = deque()
        #: How many hosts of this wave have not had all items.
        self._left = 0
        #: Somebody was told to wait until something ends.
        self._asleep = False
        self._exhausted = False

    @property
    def total(self) -> int | None:
        """How many units there will be in all, when that is known."""
        total = self._items.total
        if total is None or self._settled.may_leave_out:
            return None
        return total * len(self._cursors)

    @property
    def hosts(self) -> int | None:
        """For how many hosts there will be units."""
        return len(self._cursors)

    @property
    def done_before(self) -> int:
        """How many units were left out so far."""
        return self._settled.left_out

    def draw(self) -> Unit | Drawn:
        """Plan the next unit.

        Raises:
            SourceError: the source failed, or has no items although it must have.
        """
        if self._exhausted:
            return Drawn.EXHAUSTED
        for _ in range(DRAWN_AT_ONCE):
            cursor = self._next()
            if cursor is None:
                return self._end() if not self._left else self._wait()
            try:
                item = self._items.at(cursor.at)
            except UnknownUntilRunError as error:
                self.close()
                return unknown_unit(self._plan, len(self._cursors) + 1, error)
            if item is Drawn.PENDING:
                self._ready.appendleft(cursor)
                return Drawn.PENDING
            if item is Drawn.EXHAUSTED:
                self._left -= 1
                continue
            unit = self._unit(cursor, item)
            if unit is not None:
                return unit
        self._settled.waker()
        return Drawn.PENDING

    def _next(self) -> _Cursor | None:
        """Return the host whose turn it is; None: none can have another unit now."""
        while not self._ready and not self._left:
            wave = next(self._waves, None)
            if wave is None:
                return None
            self._ready.extend(wave)
            self._left = len(wave)
        return self._ready.popleft() if self._ready else None

    def _unit(self, cursor: _Cursor, item: object) -> Unit | None:
        at = cursor.at
        cursor.at += 1
        index = at * len(self._cursors) + cursor.number
        unit = self._maker.make(Which(index, item, at + 1, cursor.host))
        if unit is not None:
            cursor.open += 1
        if item is NO_ITEM:
            self._left -= 1
        elif cursor.open < self._most_open:
            self._ready.append(cursor)
        return unit

    def _wait(self) -> Drawn:
        self._asleep = True
        return Drawn.PENDING

    def ended(self, unit: Unit) -> None:
        """Take note that a unit has ended: its host may have another one."""
        cursor = self._cursors.get(unit.host)
        if cursor is None:
            return
        cursor.open -= 1
        if cursor.open == self._most_open - 1 and not self._exhausted:
            self._ready.append(cursor)
            if self._asleep:
                self._asleep = False
                self._settled.waker()

    def _end(self) -> Drawn:
        self.close()
        if self._plan.frame.require and self._items.total == 0:
            raise missing_items(self._plan)
        self._settled.over()
        return Drawn.EXHAUSTED

    def close(self) -> None:
        """Let go of files and threads."""
        self._exhausted = True
        self._items.close()


def waves_of(hosts: Sequence[_Cursor], batch: Batch | None) -> Iterator[Sequence[_Cursor]]:
    """Divide hosts into waves; the last size repeats, shares are of all hosts, at least one."""
    if batch is None:
        yield hosts
        return
    number, at = 1, 0
    while at < len(hosts):
        size = wave_size(batch.sizes, number, len(hosts))
        yield hosts[at : at + size]
        number, at = number + 1, at + size
