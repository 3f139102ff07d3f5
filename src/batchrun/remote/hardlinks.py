"""Names of the same file: which they are, and which of them are to be sent or made links. Pure."""

from collections.abc import Callable, Collection, Hashable, Iterable

__all__ = ["broken_up", "groups"]


def groups(files: Iterable[tuple[str, Hashable, int]]) -> list[list[str]]:
    """Put names of the same file together, those of files that have more than one.

    Args:
        files: Names, each with what tells its file from others, and how many names that has.

    >>> groups([("a", 7, 2), ("b", 8, 1), ("c", 7, 2), ("d", 9, 2)])
    [['a', 'c']]
    """
    found: dict[Hashable, list[str]] = {}
    for name, identity, links in files:
        if links > 1:
            found.setdefault(identity, []).append(name)
    return [names for names in found.values() if len(names) > 1]


def broken_up(
    together: Iterable[list[str]],
    different: Collection[str],
    identity_there: Callable[[str], Hashable],
) -> list[list[str]]:
    """Return the groups that are not on the other side as they are on this one.

    Args:
        together: Names of the same file on this side.
        different: Names that are missing there, or have something else in them.
        identity_there: Tells the file that has a name there from others.

    >>> broken_up([["a", "b"], ["c", "d"], ["e", "f"]], ["e"], {"a": 1, "b": 1, "c": 2}.get)
    [['c', 'd'], ['e', 'f']]
    """
    return [
        names
        for names in together
        if any(name in different for name in names)
        or len({identity_there(name) for name in names}) > 1
    ]
