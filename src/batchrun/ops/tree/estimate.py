"""How much of a tree is done while most of it has not been seen: a guess by shares, pure.

The whole is 1. What is given out has a share of it. Of what comes back as left, each name gets an
equal part of the share of the directory that it lies in, a directory as much as several files; and
a directory that was opened shares its own among what is left in it. So two directories that lie
beside each other count the same, whatever is below them, until that is seen. Knuth guesses the size
of trees in this way. At the end nothing is left, and the guess is right.

Source: D. E. Knuth, "Estimating the efficiency of backtrack programs", 1975.
"""

from collections.abc import Iterable, Sequence

from batchrun.ops.tree.parcels import DIRS, LEAVE, LIST, OpenNode, Work

__all__ = ["shares", "weight"]

#: Files that a directory counts for as long as nobody knows what is in it.
_DIRECTORY = 16


def weight(kind: int, names: int) -> int:
    """Return how much so many names are likely to be; names of files are one each."""
    if kind == LEAVE:
        return 0
    if kind == LIST:
        return _DIRECTORY
    return names * (_DIRECTORY if kind == DIRS else 1)


def shares(
    given: Iterable[tuple[int, int, float]], opened: Sequence[OpenNode], works: Sequence[Work]
) -> list[float]:
    """Return the share of each work that is left.

    Args:
        given: For each parcel that was given out: number of its directory, its weight, its share.
        opened: Directories that were opened meanwhile, as in an answer.
        works: What is left.
    """
    whole: dict[int, float] = {}
    known: dict[int, int] = {}
    for number, of_parcel, share in given:
        whole[number] = whole.get(number, 0.0) + share
        known[number] = known.get(number, 0) + of_parcel
    left: dict[int, int] = {}
    weights = [weight(kind, names.count("\0") + 1) for _, kind, names in works]
    for (number, _, _), one in zip(works, weights, strict=True):
        left[number] = left.get(number, 0) + one
    for above, *_ in opened:
        left[above] = left.get(above, 0) + _DIRECTORY

    def of_one(number: int) -> float:
        """Return the share of a file in a directory."""
        return whole.get(number, 0.0) / max(known.get(number, 0), left[number], 1)

    for place, (above, *_) in enumerate(opened, 1):
        whole[-place] = of_one(above) * _DIRECTORY
    return [of_one(number) * one for (number, _, _), one in zip(works, weights, strict=True)]
