"""Tasks that could get into each other's way: same path, one of them changes it, no order.

    uses ──by path──► same path ──► neighbours in order of needs
         ──by every directory above──► what uses that directory whole, patterns that begin there

Only what is certain from the texts is told (`pathuses`). Looking up is linear in the number of
paths times their depth; what patterns and whole trees have in common with many others is looked
at up to a bound, so that a job of a hundred thousand tasks loads in seconds.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from batchrun.jobfile.intersection import meets
from batchrun.jobfile.pathuses import Use, uses_of
from batchrun.jobfile.plan import TaskPlan
from batchrun.jobfile.problems import Problems
from batchrun.jobfile.reachable import Reachability

__all__ = ["note_overlaps"]

_MOST_TOLD = 20
#: Pairs of uses that are compared in all, and for how many a comparison of patterns counts.
_MOST_COMPARED = 2_000_000
_PATTERN_COST = 10
_VERBS = {"reads": "uses", "changes": "changes", "removes": "removes"}


def note_overlaps(
    plans: Sequence[TaskPlan],
    needs: Mapping[str, Sequence[str]],
    automatic: frozenset[str],
    problems: Problems,
    base_dir: str,
) -> None:
    """Note every two tasks that nothing orders although they use the same path.

    Args:
        plans: The tasks of one list, `tasks` or `finally`: the two lists are in order.
        needs: By id, what each task needs.
        automatic: Ids that `needs` cannot use.
        problems: Where mistakes go.
        base_dir: Against which relative paths resolve.
    """
    texts: dict[str, int] = {}
    uses: list[Use] = []
    for number, plan in enumerate(plans):
        if plan.entry.modifiers.overlap is None:
            uses += uses_of(plan, number, texts, base_dir)
    if not any(use.effect != "reads" for use in uses):
        return
    order = _Order(plans, needs)
    told: set[tuple[int, int]] = set()
    for one, other in _meeting(uses, order):
        pair = (min(one.task, other.task), max(one.task, other.task))
        if pair in told or order.reachability.ordered(*pair):
            continue
        told.add(pair)
        first, second = (one, other) if one.task < other.task else (other, one)
        line = problems.line_of(plans[first.task].entry.path)
        sentence = _sentence(first, second, plans, automatic, line)
        problems.add(plans[second.task].entry.path, sentence)
        if len(told) >= _MOST_TOLD:
            return


class _Order:
    """The order of the tasks, found out when it is first asked for: most files need not."""

    def __init__(self, plans: Sequence[TaskPlan], needs: Mapping[str, Sequence[str]]) -> None:
        self._plans = plans
        self._needs = needs

    @cached_property
    def reachability(self) -> Reachability:
        """Answers which task comes before which."""
        numbers = {plan.entry.id: number for number, plan in enumerate(self._plans)}
        return Reachability(
            [
                [numbers[one] for one in self._needs[plan.entry.id] if one in numbers]
                for plan in self._plans
            ]
        )


def _sentence(
    first: Use,
    second: Use,
    plans: Sequence[TaskPlan],
    automatic: frozenset[str],
    line: int | None,
) -> str:
    before, after = plans[first.task].entry, plans[second.task].entry
    where = f"`{before.id}`" + (f" (line {line})" if line else "")
    if before.id in automatic:
        advice = f"give {where} an `id` and name it in `needs` here"
    else:
        advice = f"add `needs: [{before.id}]` here"
    theirs = "" if first.written == second.written else f" `{first.written}`"
    return (
        f"`{after.id}` {_VERBS[second.effect]} `{second.written}`, and {where} "
        f"{_VERBS[first.effect]}{theirs or ' it'}, but no `needs` says which comes first; "
        f"{advice}, or `overlap: allow` if that is meant"
    )


def _meeting(uses: Sequence[Use], order: _Order) -> Iterator[tuple[Use, Use]]:
    """Yield pairs of uses that cannot both go on at the same time."""
    places = _Places(uses)
    for path, others in places.more.items():
        yield from _neighbours([places.first[path], *others], order)
    yield from _nested(uses, places)


class _Places:
    """The uses by where they are; most paths are used once, so that no list is made for each."""

    def __init__(self, uses: Sequence[Use]) -> None:
        #: The first use of each path without glob characters, and the others.
        self.first: dict[str, Use] = {}
        self.more: dict[str, list[Use]] = defaultdict(list)
        #: By the directory in which they begin.
        self.patterns: dict[str, list[Use]] = defaultdict(list)
        first = self.first
        for use in uses:
            if use.pattern is not None:
                self.patterns[use.path].append(use)
            elif not use.unknown and first.setdefault(use.path, use) is not use:
                self.more[use.path].append(use)

    def trees(self, directory: str) -> list[Use]:
        """Return the uses of a directory and all that is in it."""
        first = self.first.get(directory)
        uses = [] if first is None else [first, *self.more.get(directory, ())]
        return [use for use in uses if use.whole]


def _neighbours(same: list[Use], order: _Order) -> Iterator[tuple[Use, Use]]:
    """Yield of the uses of one path those that follow each other: when these are in order, all are.

    In the order of needs they form runs: of readers, of those that only make it exist, or of one
    that changes it. Each run is held against the next.
    """
    level = order.reachability.level
    same = sorted(same, key=lambda use: (level(use.task), use.task))
    before: list[Use] = []
    run: list[Use] = []
    for use in same:
        if not run or not _share(run[-1], use):
            before, run = run, []
        run.append(use)
        for earlier in before:
            if _clash(earlier, use):
                yield earlier, use


def _share(one: Use, other: Use) -> bool:
    """Tell whether two uses of the same path may go on at the same time."""
    return (not one.writes and not other.writes) or (one.made and other.made)


def _nested(uses: Sequence[Use], places: _Places) -> Iterator[tuple[Use, Use]]:
    """Yield uses of something below a tree that is used whole, and what patterns meet."""
    left = _MOST_COMPARED
    above = _Above(places)
    patterns = places.patterns
    for use in uses:
        is_place = use.pattern is None and not use.unknown
        others = above.of(above.parent(use.path) if is_place else use.path)
        if is_place and use.path in patterns:
            others = [*patterns[use.path], *others]
        for other in others:
            left -= 1 if other.pattern is None else _PATTERN_COST
            if left < 0:
                return
            if _clash(use, other) and _is_below(use, other):
                yield use, other


class _Above:
    """Finds, for a directory, the trees and patterns that begin there or further up.

    Found once for each directory: most files have few directories and many paths in them.
    """

    def __init__(self, places: _Places) -> None:
        self._places = places
        self._known: dict[str, list[Use]] = {"": []}

    def parent(self, path: str) -> str:
        """Return the directory above, empty for the uppermost."""
        return path.rpartition("/")[0] or ("" if path == "/" else "/")

    def of(self, directory: str) -> list[Use]:
        """Return them; not to be changed."""
        found = self._known.get(directory)
        return self._found(directory) if found is None else found

    def _found(self, directory: str) -> list[Use]:
        missing: list[str] = []
        while directory not in self._known:
            missing.append(directory)
            directory = self.parent(directory)
        found = self._known[directory]
        for one in reversed(missing):
            own = [*self._places.trees(one), *self._places.patterns.get(one, ())]
            found = self._known[one] = [*own, *found] if own else found
        return found


def _clash(one: Use, other: Use) -> bool:
    """Tell whether two uses of the same path would get into each other's way."""
    return one.task != other.task and not _share(one, other)


def _is_below(use: Use, other: Use) -> bool:
    """Tell whether the place of one use is that of the other, or lies in it.

    Args:
        use: Its fixed part is at or below that of `other`.
        other: A tree or a pattern.
    """
    if other.pattern is None:
        return True
    directory = other.path
    rest = use.path[len(directory) :].strip("/")
    parts = tuple(rest.split("/")) if rest else ()
    if use.unknown:
        return other.whole and meets(parts, other.pattern, inside=(False, True))
    if use.pattern is not None:
        parts += use.pattern
    return meets(parts, other.pattern, inside=(use.whole, other.whole))
