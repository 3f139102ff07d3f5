"""The units of a task on hosts: hosts × items, with one cursor for each host over one list.

    items ──HostItems──► item 1, item 2, ...        host a: at 4, 2 of its units not ended
                                                    host b: at 2, 3 of them: waits for `ended`

Only a few units of a host are planned ahead of those that have ended, so that one slow host cannot
fill the window of the scheduler. Hosts vary fastest. With `batch` the hosts of a wave come first.

With `at: host` each host has a list of its own, which it is asked for when its turn comes; one
that cannot be asked has one unit, which ends as that.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial

from batchrun.errors import SourceError
from batchrun.jobfile.hostitems import HostItems
from batchrun.jobfile.plan import TaskPlan
from batchrun.jobfile.records import UnknownUntilRunError
from batchrun.jobfile.settled import Settled
from batchrun.jobfile.sourcethere import ItemsThere
from batchrun.jobfile.stream import DRAWN_AT_ONCE, missing_items, unknown_unit
from batchrun.jobfile.units import NO_ITEM, UnitMaker, Which
from batchrun.model.host import Host
from batchrun.model.job import Batch, wave_size
from batchrun.model.outcome import Failed, Ok, Outcome, Report
from batchrun.model.ports import Drawn, Look
from batchrun.model.unit import Unit

__all__ = ["HostStream", "waves_of"]

#: Hosts that are asked for their items at the same time; the others' lists need no room yet.
_MOST_LOOKS = 64
#: Units of a host that are planned beside those that may run at once.
_AHEAD = 2


class _Cursor:
    """Where one host is in the list of items."""

    __slots__ = ("at", "host", "is_new", "items", "number", "open", "refusal")

    def __init__(self, number: int, host: Host, items: HostItems | None) -> None:
        self.host = host
        #: The list; None: the host was not asked for it yet, or gave none.
        self.items = items
        #: All of its units are meant, though a rerun knows none of them.
        self.is_new = False
        #: Why it gave none.
        self.refusal: Outcome | None = None
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
        items: HostItems | ItemsThere,
        settled: Settled,
    ) -> None:
        self._plan = plan
        self._maker = maker
        self._items = items
        self._settled = settled
        self._most_open = plan.task.per_host + _AHEAD
        self._cursors = {
            host.name: _Cursor(number, host, items if isinstance(items, HostItems) else None)
            for number, host in enumerate(hosts, start=1)
        }
        self._waves = waves_of(list(self._cursors.values()), plan.task.batch)
        #: Hosts of this wave that may have another unit, in turn.
        self._ready: deque[_Cursor] = deque()
        #: Hosts of this wave that are to be asked for their items, and how many are being asked.
        self._unasked: deque[_Cursor] = deque()
        self._asked = 0
        #: How many hosts of this wave have not had all items.
        self._left = 0
        #: Somebody was told to wait until something ends.
        self._asleep = False
        self._exhausted = False

    @property
    def total(self) -> int | None:
        """How many units there will be in all, when that is known."""
        total = self._items.total if isinstance(self._items, HostItems) else None
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

    def draw(self) -> Unit | Look | Drawn:
        """Plan the next unit.

        Raises:
            SourceError: the source failed, or has no items although it must have.
        """
        if self._exhausted:
            return Drawn.EXHAUSTED
        for _ in range(DRAWN_AT_ONCE):
            self._begin_wave()
            if self._unasked and self._asked < _MOST_LOOKS:
                return self._look(self._unasked.popleft())
            if not self._ready:
                return self._wait() if self._left else self._end()
            drawn = self._draw_for(self._ready.popleft())
            if drawn is not None:
                return drawn
        self._settled.waker()
        return Drawn.PENDING

    def _begin_wave(self) -> None:
        """Let the hosts of the next wave have their turn once those of this one had all items."""
        while not self._ready and not self._left:
            wave = next(self._waves, None)
            if wave is None:
                return
            (self._unasked if isinstance(self._items, ItemsThere) else self._ready).extend(wave)
            self._left = len(wave)

    def _draw_for(self, cursor: _Cursor) -> Unit | Drawn | None:
        """Plan the next unit of a host; None: it has no more, or this one is left out."""
        if cursor.items is None:
            return self._refused(cursor)
        try:
            item = cursor.items.at(cursor.at)
        except UnknownUntilRunError as error:
            self.close()
            return unknown_unit(self._plan, len(self._cursors) + 1, error)
        if item is Drawn.PENDING:
            self._ready.appendleft(cursor)
            return Drawn.PENDING
        if item is Drawn.EXHAUSTED:
            self._left -= 1
            return None
        return self._unit(cursor, item)

    def _look(self, cursor: _Cursor) -> Look:
        """Ask a host for its items."""
        assert isinstance(self._items, ItemsThere)  # noqa: S101  # else nobody is unasked
        self._asked += 1
        return self._items.look(cursor.host, self._plan, partial(self._answered, cursor))

    def _answered(self, cursor: _Cursor, report: Report) -> None:
        """Take the items of a host, or why it has none."""
        assert isinstance(self._items, ItemsThere)  # noqa: S101  # else nobody was asked
        self._asked -= 1
        try:
            if isinstance(report.outcome, Ok):
                cursor.items = self._items.items(report.output)
                cursor.is_new = self._maker.repeats_host(cursor.host.name)
            else:
                cursor.refusal = report.outcome
        except SourceError as error:
            cursor.refusal = Failed(message=str(error))
        self._ready.append(cursor)
        self._wake()

    def _refused(self, cursor: _Cursor) -> Unit:
        """Make the one unit of a host that could not be asked."""
        assert cursor.refusal is not None  # noqa: S101  # it gave no items
        self._left -= 1
        cursor.open += 1
        which = Which(cursor.number, NO_ITEM, 1, cursor.host)
        return self._maker.unrun(which, cursor.refusal)

    def _unit(self, cursor: _Cursor, item: object) -> Unit | None:
        at = cursor.at
        cursor.at += 1
        index = at * len(self._cursors) + cursor.number
        unit = self._maker.make(Which(index, item, at + 1, cursor.host, cursor.is_new))
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
            self._wake()

    def _wake(self) -> None:
        """Have whoever was told to wait draw again."""
        if self._asleep:
            self._asleep = False
            self._settled.waker()

    def _end(self) -> Drawn:
        self.close()
        if self._plan.frame.require and self._has_none:
            raise missing_items(self._plan)
        self._settled.over()
        return Drawn.EXHAUSTED

    @property
    def _has_none(self) -> bool:
        """Whether no host has had an item, although each was asked."""
        if isinstance(self._items, HostItems):
            return self._items.total == 0
        return not any(one.at or one.refusal for one in self._cursors.values())

    def close(self) -> None:
        """Let go of files and threads."""
        self._exhausted = True
        if isinstance(self._items, HostItems):
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
