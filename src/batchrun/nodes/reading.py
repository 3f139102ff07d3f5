"""Texts that name hosts: `@web,db[1-2]!web07` read to names, in the order in which they stand.

    text ──operands──► `@web`  `,`  `db[1-2]`  `!`  `web07` ──each──► names ──left to right──► names

Every operand must be a name, a known group, or a wildcard that matches: a slip in what is
excluded must not run on what was meant to be spared.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final, Protocol

from batchrun.errors import NodeSetError
from batchrun.nodes.nodeset import MOST_HOSTS, expand, too_many

__all__ = ["KnownNames", "check_name", "evaluate"]

_OPERATORS: Final = ",!&^"
_UNION: Final = ","
#: What the names of hosts may have in them; `%` is the zone of an address.
_BAD_IN_NAME = re.compile(r"[^\w.:%+-]")


class KnownNames(Protocol):
    """What a node set may refer to."""

    def all_hosts(self) -> Sequence[str]:
        """Return every host that is known, for `@*` and wildcards."""

    def members(self, group: str, source: str) -> Sequence[str] | None:
        """Return the hosts of a group; None: there is no such group.

        Args:
            group: Its name, or `*` for all hosts of the source.
            source: Where it is defined; empty: anywhere.
        """

    def group_names(self, source: str) -> Sequence[str]:
        """Return the names of the groups, for `did you mean`."""

    def where_groups_are(self) -> str:
        """Say in which files groups were looked for."""

    def knows(self, name: str) -> bool:
        """Whether some source names this host."""


def evaluate(text: str, known: KnownNames) -> dict[str, str]:
    """Read a node set.

    Args:
        text: The node set; not empty.
        known: The hosts and groups that it may refer to.

    Returns:
        The names in their order, each with the login user that is written before its `@`
        (empty: none).

    Raises:
        NodeSetError: it cannot be read, refers to what there is not, or means no host.
    """
    found: dict[str, str] = {}
    for operator, operand in _operands(text):
        named = _named(operand, known)
        if operator == "!":
            _check_excluded(operand, named, found, known)
        _OPERATIONS[operator](found, named)
        if len(found) > MOST_HOSTS:
            raise too_many(text)
    if not found:
        message = f"the node set `{text}` means no host at all"
        raise NodeSetError(message)
    return found


# --- operators


def _unite(found: dict[str, str], named: dict[str, str]) -> None:
    for name, user in named.items():
        before = found.setdefault(name, user)
        if before and user and before != user:
            message = f"`{name}` is named with two users, {before} and {user}; keep one"
            raise NodeSetError(message)
        found[name] = before or user


def _subtract(found: dict[str, str], named: dict[str, str]) -> None:
    for name in named:
        found.pop(name, None)


def _intersect(found: dict[str, str], named: dict[str, str]) -> None:
    for name in [name for name in found if name not in named]:
        del found[name]


def _differ(found: dict[str, str], named: dict[str, str]) -> None:
    for name, user in named.items():
        if name in found:
            del found[name]
        else:
            found[name] = user


_OPERATIONS: Final[dict[str, Callable[[dict[str, str], dict[str, str]], None]]] = {
    _UNION: _unite,
    "!": _subtract,
    "&": _intersect,
    "^": _differ,
}


def _check_excluded(
    operand: str, named: Iterable[str], found: dict[str, str], known: KnownNames
) -> None:
    """Refuse to exclude a name that nobody knows: it would have been another one.

    Raises:
        NodeSetError: none of the names is among the hosts so far, and no source knows one.
    """
    if any(name in found or known.knows(name) for name in named):
        return
    hint = _did_you_mean(operand, [*found, *known.all_hosts()])
    message = (
        f"`{operand}` is to be excluded, but is none of the hosts before `!`, and no source knows "
        f"it{hint}"
    )
    raise NodeSetError(message)


# --- operands


def _operands(text: str) -> Iterator[tuple[str, str]]:
    """Cut a node set into its operands, each with the operator before it.

    Raises:
        NodeSetError: an operand is missing, or a bracket.
    """
    operator = _UNION
    expected = True  # an operand, since the last operator or the beginning
    is_first = True
    for token in _tokens(text):
        if token not in _OPERATORS:
            yield (operator if expected else _UNION), token
            expected = is_first = False
        elif expected:
            what = "begins with" if is_first else "has nothing before"
            message = f"the node set `{text}` {what} `{token}`; write a host or a group before it"
            raise NodeSetError(message)
        else:
            operator, expected = token, True
    if expected:
        what = "is empty" if is_first else f"ends with `{operator}`; write what follows it"
        message = f"the node set {what}" if is_first else f"the node set `{text}` {what}"
        raise NodeSetError(message)


def _tokens(text: str) -> Iterator[str]:
    """Yield operators, and operands with their brackets."""
    word, depth = "", 0
    for character in text:
        if depth == 0 and (character in _OPERATORS or character.isspace()):
            if word:
                yield word
            word = ""
            if character in _OPERATORS:
                yield character
            continue
        depth += (character == "[") - (character == "]")
        if depth not in (0, 1):
            what = "opened twice" if depth > 1 else "closed and was not opened"
            message = f"in the node set `{text}` a bracket is {what}"
            raise NodeSetError(message)
        if not character.isspace():
            word += character
    if depth:
        message = f"in the node set `{text}` a bracket is not closed; write `]`"
        raise NodeSetError(message)
    if word:
        yield word


def _named(operand: str, known: KnownNames) -> dict[str, str]:
    """Return the names that one operand means, each with its user."""
    user, at, rest = operand.partition("@")
    if not at or not user:
        user, rest = "", operand
    elif _BAD_IN_NAME.search(user):
        message = f"`{user}` before the `@` of `{operand}` cannot be a login user"
        raise NodeSetError(message)
    if rest.startswith("@"):
        names: Iterable[str] = _group(rest, known)
    elif "*" in rest or "?" in rest:
        names = _wildcard(rest, known)
    else:
        names = expand(rest)
        for name in names:
            check_name(name, operand)
    return dict.fromkeys(names, user)


def check_name(name: str, written: str) -> None:
    """Refuse what cannot be the name of a host.

    Raises:
        NodeSetError: it cannot.
    """
    if not name:
        message = f"there is no name in `{written}`"
        raise NodeSetError(message)
    if name.startswith("-"):
        message = f"`{written}` begins with `-`, as no host does"
        raise NodeSetError(message)
    bad = _BAD_IN_NAME.search(name)
    if bad is not None:
        message = (
            f"`{bad[0]}` in `{written}` cannot be in the name of a host; hosts are separated by "
            "`,` or blanks"
        )
        raise NodeSetError(message)


def _group(operand: str, known: KnownNames) -> list[str]:
    source, colon, pattern = operand[1:].rpartition(":")
    if colon and not source:
        message = f"`{operand}` has no source before the `:`; write @GROUP or @SOURCE:GROUP"
        raise NodeSetError(message)
    names: list[str] = []
    for group in [pattern] if pattern == "*" else expand(pattern):
        found = known.members(group, source)
        if found is None:
            raise _no_group(operand, group, source, known)
        if not found:
            message = f"the group `{operand}` has no hosts"
            raise NodeSetError(message)
        names += found
    return names


def _no_group(operand: str, group: str, source: str, known: KnownNames) -> NodeSetError:
    if group == "*" and not source:
        return NodeSetError(
            "`@*` (or -a) means all hosts that are known, and none is: "
            f"{known.where_groups_are()}; give an inventory with hosts"
        )
    names = known.group_names(source)
    hint = _did_you_mean(group, names, "@" if not source else f"@{source}:")
    if not hint:
        hint = f"; there are {', '.join(names[:10])}" if names else "; there are no groups at all"
        hint += f" ({known.where_groups_are()})"
    return NodeSetError(f"there is no group `{operand}`{hint}")


def _wildcard(operand: str, known: KnownNames) -> list[str]:
    every = known.all_hosts()
    masks = expand(operand)
    names = [name for name in every if any(fnmatchcase(name, mask) for mask in masks)]
    if not names:
        stem = re.split(r"[*?\[]", operand)[0]
        hint = _did_you_mean(stem, every) if every else "; no source names any host"
        message = f"the wildcard `{operand}` matches none of the hosts that are known{hint}"
        raise NodeSetError(message)
    return names


def _did_you_mean(word: str, known: Iterable[str], before: str = "") -> str:
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean `{before}{close[0]}`?" if close else ""
