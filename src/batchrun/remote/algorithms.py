"""Which algorithms are offered: `Ciphers`, `KexAlgorithms`, `MACs` and `HostKeyAlgorithms`."""

from collections.abc import Iterable, Sequence

from batchrun.remote.patterns import list_matches

__all__ = ["assembled"]


def assembled(
    wanted: Sequence[str], preferred: Sequence[str], supported: Iterable[str]
) -> tuple[str, ...]:
    """Return the algorithms to offer, best first.

    >>> assembled(("+c*",), ("a", "b"), ("a", "b", "c1", "c2"))
    ('a', 'b', 'c1', 'c2')
    >>> assembled(("-a",), ("a", "b"), ()), assembled(("^b",), ("a", "b"), ("a", "b"))
    (('b',), ('b', 'a'))

    Args:
        wanted: As in a configuration: a sign before the first may ask for a change of what is
            `preferred`: `+` more, `-` less, `^` these first. They may be patterns. Empty: no wish.
        preferred: What is offered when nobody wishes anything.
        supported: What could be offered; what is not among it is left out.

    Source: ssh_config(5), Ciphers; kex_assemble_names() of OpenSSH 9.2.
    """
    if not wanted:
        return tuple(preferred)
    sign, patterns = wanted[0][:1], list(wanted)
    if sign in "+-^":
        patterns[0] = patterns[0][1:]
    if sign == "-":
        less = ",".join(patterns)
        return tuple(name for name in preferred if not list_matches(name, less))
    known = list(supported)
    named = [name for pattern in patterns for name in known if list_matches(name, pattern)]
    match sign:
        case "+":
            order = [*preferred, *named]
        case "^":
            order = [*named, *preferred]
        case _:
            order = named
    return tuple(dict.fromkeys(order))
