"""What became of units in earlier runs, for a run that goes on with them.

    resume   a unit is settled when an equal one ended ok, once for each that did
    rerun    a unit is settled unless an equal one did not end ok, once for each that did not

Equal units are counted, not told apart: of three equal ones of which two ended ok, the third one
that is planned is run. So lists may grow, shrink and be reordered between two runs.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from batchrun.journal.recorded import Recorded
from batchrun.journal.rows import kept_of
from batchrun.model.event import Kept

__all__ = ["NOT_OK", "EarlierRuns", "Tickets", "current_boot_id", "left_over", "rerun", "resume"]

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

    def __contains__(self, identity: bytes) -> bool:
        """Whether there is one."""
        return identity in self._once

    def __len__(self) -> int:
        """How many there are."""
        return len(self._once) + self._more.total()

    def some(self) -> set[bytes]:
        """Return those that are left, each once."""
        return self._once


@dataclass(slots=True, kw_only=True)
class EarlierRuns:
    """An `Earlier` (model/ports.py) made of records."""

    #: The run that is gone on with.
    run_id: str
    #: Settled, once for each.
    ok: Tickets
    #: A rerun: only these are run; None: a resume.
    wanted: Tickets | None = None
    #: Of a rerun: the tasks of which not all units are on record, and that are opened again.
    open_again: frozenset[str] = frozenset()
    #: What ended units have registered, read at first use.
    results: Callable[[], dict[bytes, dict[str, Kept | None]]]
    #: Sentences for people: what cannot be known for certain.
    warnings: Sequence[str] = ()
    _known: dict[bytes, dict[str, Kept | None]] | None = field(default=None)

    def settles(self, task_id: str, identity: bytes) -> bool:
        """Say whether a unit that is being planned need not be run."""
        if self.wanted is None:
            return self.ok.take(identity)
        if self.wanted.take(identity):
            return False
        return task_id not in self.open_again or self.ok.take(identity)

    def kept(self, task_id: str, identity: bytes) -> tuple[Kept, ...] | None:
        """Return what a unit that ended well has registered; None: it cannot be restored."""
        del task_id  # it is part of the identity
        if self._known is None:
            self._known = self.results()
        found = self._known.get(identity)
        if found is None:
            # A rerun leaves out what did not end well too, if nobody asked for it.
            return () if self.wanted is not None else None
        kept = tuple(one for one in found.values() if one is not None)
        return kept if len(kept) == len(found) else None


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
    open_again: frozenset[str] = frozenset()
    is_later = False
    for one in family:
        for _, identity in one.settled(("ok",)):
            ok.add(identity)
            if is_later:
                since.add(identity)
        is_later = is_later or one.run.run_id == run_id
    for one in family:
        if one.run.run_id == run_id:
            for _, identity in one.settled(tuple(kinds) or NOT_OK):
                if not since.take(identity):
                    wanted.add(identity)
            if not kinds:
                open_again = one.unexpanded
    return EarlierRuns(
        run_id=run_id, ok=ok, wanted=wanted, open_again=open_again, results=_reader(family)
    )


def _reader(family: Sequence[Recorded]) -> Callable[[], dict[bytes, dict[str, Kept | None]]]:
    """Make the function that reads results; it opens the records once more, long after now."""
    places = [one.run for one in family]

    def read() -> dict[bytes, dict[str, Kept | None]]:
        found: dict[bytes, dict[str, Kept | None]] = {}
        for place in places:
            with Recorded(place) as one:
                _add_results(found, one)
        return found

    return read


def _add_results(found: dict[bytes, dict[str, Kept | None]], record: Recorded) -> None:
    """Add what the units of one run have registered; what cannot be restored is None."""
    for row in record.kept_rows():
        kept = kept_of(row["name"], row["outcome"], row["data"])
        usable = not row["hidden"] and kept.outcome.kind == "ok"
        if usable or row["identity"] not in found:
            results = found.setdefault(row["identity"], {})
            results[row["name"]] = kept if usable else None


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


def left_over(earlier: EarlierRuns, family: Sequence[Recorded]) -> str:
    """Say how many units ended ok before and were not planned any more; empty: none."""
    number = len(earlier.ok)
    if not number:
        return ""
    names = sorted(_labels(family, earlier.ok.some()))
    named = ", ".join(names[:_MOST_NAMED])
    more = ", ..." if number > _MOST_NAMED else ""
    are = "unit that ended ok is" if number == 1 else "units that ended ok are"
    return f"{number} {are} no longer planned: {named}{more}"


def _labels(family: Sequence[Recorded], identities: set[bytes]) -> Iterator[str]:
    some = dict.fromkeys(sorted(identities)[: _MOST_NAMED + 1])
    for one in family:
        for identity in some:
            label = one.label_of(identity)
            if label is not None:
                yield label


def current_boot_id() -> str:
    """Return the kernel's id of this boot; empty: it has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
