"""Whether one task comes before another, by way of any number of needs."""

from collections.abc import Sequence

__all__ = ["Reachability"]

#: Steps along needs in all; past them every two tasks are taken for ordered.
_MOST_STEPS = 20_000_000


class Reachability:
    """Answers for two tasks whether a chain of needs orders them.

    Most answers take no search: a task whose longest chain of needs is not longer than another's
    cannot come after it, and along the deepest need of each task (a forest) positions tell.

    Args:
        needs: Of each task, by position, the positions of those it needs; without circles.
    """

    def __init__(self, needs: Sequence[Sequence[int]]) -> None:
        self._needs = needs
        self._level = [0] * len(needs)
        self._first = [0] * len(needs)
        self._last = [0] * len(needs)
        self._left = _MOST_STEPS
        self._sets: dict[int, frozenset[int]] = {}
        self._number(self._find_levels())

    def _find_levels(self) -> list[list[int]]:
        """Find the longest chain of needs of each task; return the children in the forest."""
        needs, level = self._needs, self._level
        waiting = [len(one) for one in needs]
        needed_by: list[list[int]] = [[] for _ in needs]
        for task, one in enumerate(needs):
            for need in one:
                needed_by[need].append(task)
        children: list[list[int]] = [[] for _ in needs]
        ready = [task for task, count in enumerate(waiting) if not count]
        while ready:
            task = ready.pop()
            if needs[task]:
                deepest = max(needs[task], key=level.__getitem__)
                level[task] = level[deepest] + 1
                children[deepest].append(task)
            for later in needed_by[task]:
                waiting[later] -= 1
                if not waiting[later]:
                    ready.append(later)
        return children

    def _number(self, children: list[list[int]]) -> None:
        """Number the forest so that what is below a task lies between its two numbers."""
        count = 0
        for root, level in enumerate(self._level):
            if level:
                continue
            stack = [(root, iter(children[root]))]
            self._first[root] = count
            while stack:
                task, below = stack[-1]
                child = next(below, None)
                count += 1
                if child is None:
                    self._last[task] = count
                    stack.pop()
                else:
                    self._first[child] = count
                    stack.append((child, iter(children[child])))

    def level(self, task: int) -> int:
        """Return the length of the longest chain of needs of a task."""
        return self._level[task]

    def ordered(self, one: int, other: int) -> bool:
        """Tell whether one of two tasks comes after the other."""
        if self._level[one] > self._level[other]:
            one, other = other, one
        return self._level[one] < self._level[other] and self._leads_to(one, other)

    def _below(self, early: int, late: int) -> bool:
        return self._first[early] <= self._first[late] <= self._last[early]

    def _needs_of(self, task: int) -> frozenset[int]:
        """Return the needs of a task that is asked for often, such as one that needs them all."""
        if task not in self._sets:
            self._sets[task] = frozenset(self._needs[task])
        return self._sets[task]

    def _leads_to(self, early: int, late: int) -> bool:
        if self._below(early, late) or early in self._needs_of(late):
            return True
        level = self._level
        seen = {late}
        stack = [late]
        while stack:
            for need in self._needs[stack.pop()]:
                self._left -= 1
                if need == early or self._left < 0:
                    return True
                if level[need] > level[early] and need not in seen:
                    if self._below(early, need):
                        return True
                    seen.add(need)
                    stack.append(need)
        return False
