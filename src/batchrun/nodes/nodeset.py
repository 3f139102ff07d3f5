"""Names of hosts written as short as can be, and written out again: `web[01-18,20]`.

Folding is one pass from the last number in a name to the first, each a sort: a million names that
have nothing in common take no longer than a sort of them.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from batchrun.errors import NodeSetError

__all__ = ["MOST_HOSTS", "expand", "fold", "too_many"]

#: More hosts than this are a slip in a range; nothing is expanded before they were counted.
MOST_HOSTS: Final = 100_000
_RANGE = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18})(?:/([0-9]{1,9}))?)?")
_NUMBER = re.compile(r"(\d+)")
#: Longer numbers are no counting: they stay as they are.
_MOST_DIGITS = 18


def fold(names: Iterable[str]) -> str:
    """Write names as one node set, which means the same names again; empty for none.

    >>> fold(["web3", "web1", "web2", "db"])
    'db,web[1-3]'
    >>> fold(["r1n1", "r1n2", "r2n1", "r2n2"]), fold(["n08", "n09", "n10", "n1"])
    ('r[1-2]n[1-2]', 'n[1,08-10]')
    """
    rows = [tuple(_NUMBER.split(name)) for name in sorted(set(names))]
    deepest = max((len(row) for row in rows), default=0)
    for at in range(deepest - 2, 0, -2):
        rows = _folded(rows, at)
    return ",".join("".join(row) for row in sorted(rows, key=_by_number))


def _folded(rows: Sequence[tuple[str, ...]], at: int) -> list[tuple[str, ...]]:
    """Put the rows together that differ only in the number at this place."""
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    short: list[tuple[str, ...]] = []
    for row in rows:
        if len(row) > at and len(row[at]) <= _MOST_DIGITS:
            alike[(*row[:at], "", *row[at + 1 :])].append(row[at])
        else:
            short.append(row)
    return [
        *short,
        *((*rest[:at], _ranges(numbers), *rest[at + 1 :]) for rest, numbers in alike.items()),
    ]


def _ranges(numbers: Sequence[str]) -> str:
    """Write numbers as ranges; those with leading zeros, and of the same length, by themselves."""
    if len(numbers) == 1:
        return numbers[0]
    padded = {len(one) for one in numbers if one[0] == "0" and len(one) > 1}
    by_width: dict[int, list[int]] = defaultdict(list)
    for one in numbers:
        by_width[len(one) if len(one) in padded else 0].append(int(one))
    parts = [
        part for width, values in sorted(by_width.items()) for part in _runs(sorted(values), width)
    ]
    return f"[{','.join(parts)}]"


def _runs(values: Sequence[int], width: int) -> Iterable[str]:
    """Yield the runs of numbers that follow each other."""
    first = before = values[0]
    for value in [*values[1:], None]:
        if value == before + 1:
            before = value
            continue
        yield f"{first:0{width}}" if first == before else f"{first:0{width}}-{before:0{width}}"
        if value is not None:
            first = before = value


def _by_number(row: tuple[str, ...]) -> tuple[tuple[str, int, str], ...]:
    """Sort as people count: `web9` before `web10`."""
    numbers = [re.match(r"\[?(\d+)", part) for part in row[1::2]]
    texts = row[::2]
    return tuple(
        (text, int(number[1]) if number else -1, part)
        for text, number, part in zip(texts, [*numbers, None], [*row[1::2], ""], strict=True)
    )


# --- ranges


def too_many(text: str) -> NodeSetError:
    """Say that a text means more hosts than anybody has."""
    return NodeSetError(f"`{text}` means more than {MOST_HOSTS} hosts; is it a slip?")


def expand(pattern: str) -> list[str]:
    """Write out the ranges in brackets: `web[01-20]`, `n[1-9/2]`, `r[1-2]n[1-4]`.

    Raises:
        NodeSetError: a range cannot be read, or there are too many names.
    """
    if "[" not in pattern:
        return [pattern]
    if _size(pattern) > MOST_HOSTS:
        raise too_many(pattern)
    from ClusterShell.NodeSet import (  # noqa: PLC0415 - 60 ms, and most hosts have no ranges
        RESOLVER_NOGROUP,
        NodeSet,
        NodeSetException,
    )

    try:
        return list(NodeSet(pattern, resolver=RESOLVER_NOGROUP))
    except NodeSetException as error:
        message = f"`{pattern}` cannot be read: {error}"
        raise NodeSetError(message) from None


def _size(pattern: str) -> int:
    """Count the names that a pattern means, before one of them is made.

    Raises:
        NodeSetError: a range cannot be read.
    """
    size = 1
    for ranges in re.findall(r"\[([^\]]*)\]", pattern):
        size *= sum(_length(one, pattern) for one in ranges.split(","))
    return size


def _length(text: str, pattern: str) -> int:
    match = _RANGE.fullmatch(text)
    if match is None:
        message = (
            f"`[{text}]` in `{pattern}` is no range; write numbers, such as [1-4], [01-20] or "
            "[1-9/2]"
        )
        raise NodeSetError(message)
    first, last, step = match[1], match[2] or match[1], int(match[3] or 1)
    if step == 0 or int(last) < int(first):
        message = f"the range `{text}` in `{pattern}` counts backwards, or not at all"
        raise NodeSetError(message)
    width = max(len(first), len(last))
    if len(first) != len(last) and first[0] == "0" and first != "0":
        message = (
            f"the ends of the range `{text}` in `{pattern}` have leading zeros and are not equally "
            f"long; write {first.zfill(width)}-{last.zfill(width)}"
        )
        raise NodeSetError(message)
    return (int(last) - int(first)) // step + 1
