"""Which entries of a tree on a host patterns mean, and which of those name all that goes."""

import os
from collections.abc import Collection, Iterable, Iterator

from batchrun.ops.tree.selection import Selection
from batchrun.remote.facts import Facts

__all__ = ["is_chosen", "is_meant", "topmost"]


def is_chosen(path: str, selected: Selection | None, *, is_dir: bool) -> bool:
    """Tell whether patterns mean what a glob has found on a host, or what may be in it."""
    if selected is None:
        return True
    name = os.path.basename(path)
    return selected.enters(name) if is_dir else selected.takes(name, is_dir=False)


def is_meant(name: str, facts: Facts, selected: Selection | None) -> bool:
    """Tell whether patterns mean an entry, by its path below the root of the tree."""
    if selected is None:
        return True
    if any(not selected.enters(up) for up in _above(name)):
        return False
    return selected.takes(name, is_dir=facts.is_dir)


def topmost(gone: Collection[str], there: Iterable[str]) -> list[str]:
    """Return what is deleted whole when so much is to go: not what lies in it.

    A directory that holds something that stays is not among it.

    Args:
        gone: Paths that are to go.
        there: All paths of the tree.
    """
    goes = frozenset(gone)
    kept = {above for name in there if name not in goes for above in _above(name)}
    return [
        name
        for name in gone
        if name not in kept and not any(up in goes and up not in kept for up in _above(name))
    ]


def _above(name: str) -> Iterator[str]:
    while name := os.path.dirname(name):
        yield name
