"""What became of units in earlier runs, for a run that goes on with them.

    resume   a unit is settled when an equal one ended ok, once for each that did
    rerun    a unit is settled unless an equal one did not end ok, once for each that did not

Equal units are counted, not told apart: of three equal ones of which two ended ok, the third one
that is planned is run. So lists may grow, shrink and be reordered between two runs.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from batchrun.errors import JournalError, SourceError
from batchrun.journal.recorded import Recorded
from batchrun.journal.rows import kept_of
from batchrun.model.event import Kept
from batchrun.model.ports import Settlement

__all__ = ["NOT_OK", "EarlierRuns", "Tickets", "left_over", "rerun", "resume"]

#: How long before a power cut a file may have been written and not have reached the disk, in
#: seconds: twice the kernel's own limit for that (vm.dirty_expire_centisecs).
UNSAFE_S = 60.0
#: What a rerun is for, unless it is told.
NOT_OK = ("failed", "timed_out", "unreachable", "lost", "cancelled", "aborted")
_MOST_NAMED = 3


class Tickets:
    """A multiset of identities; most are there once, and cost as little as in a plain set."""

    def __init__(self) -> None:
        self._once: set[bytes] = set()
        self._more: Counter[bytes] = Counter()

    def add(self, identity: bytes) -> None:
        """Add one."""
        if identity in self._once:
            self._more[identity] += 1
        else:
            self._once.add(identity)

    def take(self, identity: bytes) -> bool:
        """Take one out; False: there is none."""
        if self._more and self._more[identity]:
            self._more[identity] -= 1
            return True
        if identity in self._once:
            self._once.remove(identity)
            return True
        return False

    def drop(self, identity: bytes) -> None:
        """Take all of them out."""
        self._once.discard(identity)
        self._more.pop(identity, None)

    def count(self, identity: bytes) -> int:
        """Return how many there are of one."""
        return (identity in self._once) + self._more[identity]

    def __contains__(self, identity: bytes) -> bool:
        """Whether there is one."""
        return identity in self._once

    def __len__(self) -> int:
        """How many there are."""
        return len(self._once) + self._more.total()


#: What units have registered, by identity and whether they were ok (else skipped): for each of
#: several equal ones; None: it cannot be restored.
_Results: TypeAlias = dict[tuple[bytes, bool], list[tuple[Kept, ...] | None]]


@dataclass(slots=True, kw_only=True)
class EarlierRuns:
    """An `Earlier` (model/ports.py) made of records."""

    #: The run that is gone on with.
    run_id: str
    #: Ended ok, once for each.
    ok: Tickets
    #: A rerun: only these are run; None: all that is not ok.
    wanted: Tickets | None = None
    #: Of a rerun: the tasks of which not all units are on record, and that are opened again.
    open_again: frozenset[str] = frozenset()
    #: What units that ended well have registered, read at first use.
    results: Callable[[], _Results]
    #: Sentences for people: what cannot be known for certain.
    warnings: Sequence[str] = ()
    #: The tasks of which every unit was asked about.
    whole: set[str] = field(default_factory=set)
    _known: _Results | None = field(default=None)
    #: Of units that have registered nothing.
    _done: Settlement = field(init=False)
    _not_meant: Settlement = field(init=False)

    def __post_init__(self) -> None:
        """Write once what is said of many units."""
        self._done = Settlement(because=f"done in run {self.run_id}")
        self._not_meant = Settlement(because=f"not among what is repeated of run {self.run_id}")

    def settled(
        self, task_id: str, identity: bytes, *, keeps: bool, register: str, is_new: bool = False
    ) -> Settlement | None:
        """Settle a unit that is being planned; None: it is to be run."""
        if self.wanted is not None and self.wanted.take(identity):
            return None
        was_ok = self.ok.take(identity)
        if not was_ok and (self.wanted is None or is_new or task_id in self.open_again):
            return None
        plain = self._done if was_ok else self._not_meant
        if not keeps:
            return plain
        kept = self._restored(identity, register, was_ok=was_ok)
        if kept is None and was_ok:
            # All that are equal to it are run, and none of them is missing afterwards.
            self.ok.drop(identity)
            return None
        return replace(plain, kept=kept or ())

    def repeats(self, identity: bytes) -> bool:
        """Tell whether this is one of those that a rerun is for."""
        return self.wanted is not None and self.wanted.take(identity)

    def planned(self, task_id: str) -> None:
        """Take note that every unit of a task was asked about."""
        self.whole.add(task_id)

    def _restored(self, identity: bytes, register: str, *, was_ok: bool) -> tuple[Kept, ...] | None:
        """Return what one unit has registered; None: it cannot be restored."""
        if self._known is None:
            try:
                self._known = self.results()
            except JournalError as error:
                message = f"what it has registered before cannot be restored: {error}"
                raise SourceError(message) from error
        left = self._known.get((identity, was_ok))
        kept = left.pop() if left else None
        if kept is None or (register and all(one.name != register for one in kept)):
            return None
        return kept


def resume(
    run_id: str, family: Sequence[Recorded], *, boot_id: str, is_command: Callable[[str], bool]
) -> EarlierRuns:
    """Find out what is left of a run.

    Args:
        run_id: The run that is gone on with.
        family: The records of it and of all runs that do the same job, oldest first.
        boot_id: The kernel's id of this boot.
        is_command: Tells of the name of an operation whether it runs a command.
    """
    ok = Tickets()
    warnings: list[str] = []
    for one in family:
        unsafe = _unsafe(one, boot_id, is_command, warnings)
        for _, identity in one.settled(("ok",)):
            if not unsafe or not unsafe.take(identity):
                ok.add(identity)
    return EarlierRuns(run_id=run_id, ok=ok, results=_reader(family), warnings=warnings)


def rerun(run_id: str, family: Sequence[Recorded], kinds: Sequence[str] = ()) -> EarlierRuns:
    """Find out what did not end ok in a run, nor in those that went on with it since.

    Args:
        run_id: The run of which a part is repeated.
        family: The records of it and of all runs that do the same job, oldest first.
        kinds: Kinds of outcome that are meant; empty: all but `ok` and `skipped`.
    """
    ok, wanted, since = Tickets(), Tickets(), Tickets()
    at = [one.run.run_id for one in family].index(run_id)
    for place, one in enumerate(family):
        for _, identity in one.settled(("ok",)):
            ok.add(identity)
            if place > at:
                since.add(identity)
    for _, identity in family[at].settled(tuple(kinds) or NOT_OK):
        if not since.take(identity):
            wanted.add(identity)
    # Of a run that was killed before it knew its tasks, everything is left.
    is_all_left = not kinds and not family[at].knows_tasks
    return EarlierRuns(
        run_id=run_id,
        ok=ok,
        wanted=None if is_all_left else wanted,
        open_again=frozenset() if kinds else family[at].unexpanded,
        results=_reader(family),
    )


def _reader(family: Sequence[Recorded]) -> Callable[[], _Results]:
    """Make the function that reads results; it opens the records once more, long after now."""
    places = [one.run for one in family]

    def read() -> _Results:
        found: _Results = defaultdict(list)
        for place in places:
            with Recorded(place) as one, one.reading():
                _add_results(found, one)
        return found

    return read


def _add_results(found: _Results, record: Recorded) -> None:
    """Add what the units of one run have registered."""
    for _, rows in groupby(record.kept_rows(), key=itemgetter("seq")):
        of_unit = list(rows)
        can_be_restored = not any(row["hidden"] for row in of_unit)
        kept = (kept_of(row["name"], row["outcome"], row["data"]) for row in of_unit)
        key = (of_unit[0]["identity"], bool(of_unit[0]["was_ok"]))
        found[key].append(tuple(kept) if can_be_restored else None)


def _unsafe(
    one: Recorded, boot_id: str, is_command: Callable[[str], bool], warnings: list[str]
) -> Tickets:
    """Find what may be lost although it is on record: the machine went down while a run went on.

    File operations are done again, which does no harm. Commands are not: they are named.
    """
    unsafe = Tickets()
    record = one.record
    if one.ended is not None or not boot_id or record.boot_id in ("", boot_id):
        return unsafe
    commands: list[str] = []
    for operation, identity, label in one.ended_late(UNSAFE_S):
        if is_command(operation):
            commands.append(label or operation)
        else:
            unsafe.add(identity)
    if commands:
        named = ", ".join(commands[:_MOST_NAMED])
        more = f" and {len(commands) - _MOST_NAMED} more" if len(commands) > _MOST_NAMED else ""
        warnings.append(
            f"the machine went down during run {record.run_id}; what these commands wrote in the "
            f"last {UNSAFE_S:g} s before that may not have reached the disk, and they are not "
            f"run again: {named}{more}"
        )
    return unsafe


def left_over(earlier: EarlierRuns, family: Sequence[Recorded], task_ids: Collection[str]) -> str:
    """Say how many units ended ok before and were not planned any more; empty: none.

    Args:
        earlier: What is left of it.
        family: The records.
        task_ids: The tasks that the job has now. Of one that was not drawn to its end, as after
            a stop, nobody knows what is no longer planned.
    """
    number, labels = 0, dict[bytes, str]()
    seen = set[bytes]()
    for one in family:
        for task_id, identity in one.settled(("ok",)):
            unknown = task_id in task_ids and task_id not in earlier.whole
            if unknown or identity in seen or identity not in earlier.ok:
                continue
            seen.add(identity)
            number += earlier.ok.count(identity)
            if len(labels) < _MOST_NAMED:
                labels[identity] = one.label_of(identity) or task_id
    if not number:
        return ""
    named = ", ".join(sorted(set(labels.values())))
    more = ", ..." if len(seen) > len(labels) else ""
    are = "unit that ended ok is" if number == 1 else "units that ended ok are"
    return f"{number} {are} no longer planned: {named}{more}"
