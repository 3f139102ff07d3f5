"""Whether two patterns of paths stand for a common path."""

from collections.abc import Iterable, Iterator, Sequence

from batchrun.ops.patterns import compiled, has_magic

__all__ = ["ANY_DEPTH", "meets", "wildcards_meet"]

#: Any number of components, none included.
ANY_DEPTH = "**"


def meets(one: tuple[str, ...], other: tuple[str, ...], *, inside: tuple[bool, bool]) -> bool:
    """Tell whether two patterns stand for a common path.

    Args:
        one: Components.
        other: Components.
        inside: For each, whether it stands for everything below as well.
    """
    states = [(0, 0)]
    seen = {(0, 0)}
    while states:
        at, to = states.pop()
        ends = at == len(one), to == len(other)
        if all(ends):
            return True
        if (ends[0] and inside[0] and _holds(one, other[to])) or (
            ends[1] and inside[1] and _holds(other, one[at])
        ):
            return True
        for state in _steps(one, other, at, to):
            if state not in seen:
                seen.add(state)
                states.append(state)
    return False


def _holds(tree: tuple[str, ...], deeper: str) -> bool:
    """Tell whether a tree holds for certain what lies deeper.

    `*.tmp` may be a directory with `**/*.log` in it, but nobody who writes that means it.
    """
    return deeper != ANY_DEPTH or not (tree and has_magic(tree[-1]))


def _steps(
    one: tuple[str, ...], other: tuple[str, ...], at: int, to: int
) -> Iterator[tuple[int, int]]:
    first = one[at] if at < len(one) else None
    second = other[to] if to < len(other) else None
    if first == ANY_DEPTH:
        yield at + 1, to
        if second is not None:
            yield at, to + 1
    if second == ANY_DEPTH:
        yield at, to + 1
        if first is not None:
            yield at + 1, to
    if first is not None and second is not None and _names_meet(first, second):
        yield at + 1, to + 1


def _names_meet(one: str, other: str) -> bool:
    """Tell whether two components stand for a common name."""
    if one == other:
        return True
    if not has_magic(one):
        return has_magic(other) and _matches(other, one)
    if not has_magic(other):
        return _matches(one, other)
    return wildcards_meet(_pieces(one), _pieces(other))


def _matches(pattern: str, name: str) -> bool:
    part = compiled(pattern, False)  # noqa: FBT003 - lru_cache keys on positions
    if part is None or isinstance(part, str):
        return part is None or part == name
    return part.match(name) is not None


def _pieces(text: str) -> list[str]:
    """Take a pattern of a name apart; a set of characters is taken for any character."""
    pieces: list[str] = []
    at = 0
    while at < len(text):
        end = text.find("]", at + 2) if text[at] == "[" else -1
        pieces.append("?" if end > 0 else text[at])
        at = end + 1 if end > 0 else at + 1
    return pieces


def wildcards_meet(one: Sequence[str], other: Sequence[str]) -> bool:
    """Tell whether some name matches both: for each piece of one, where the other can be.

    >>> wildcards_meet("a*", "*b"), wildcards_meet("*.log", "*.txt")
    (True, False)
    """
    states = _with_stars({0}, other)
    for piece in one:
        if piece == "*":
            states = set(range(min(states), len(other) + 1))
        else:
            states = _with_stars((_after(piece, at, other) for at in states), other)
        if not states:
            return False
    return len(other) in states


def _after(piece: str, at: int, other: Sequence[str]) -> int | None:
    """Return where the other pattern is after one character; None: it does not take it."""
    if at == len(other):
        return None
    if other[at] == "*":
        return at
    return at + 1 if piece == "?" or other[at] in ("?", piece) else None


def _with_stars(states: Iterable[int | None], other: Sequence[str]) -> set[int]:
    """Add where a star that stands for nothing leads."""
    found = {at for at in states if at is not None}
    for at, piece in enumerate(other):
        if piece == "*" and at in found:
            found.add(at + 1)
    return found
