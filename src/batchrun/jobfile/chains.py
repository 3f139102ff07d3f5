"""Which entries of which names an expression asks for: `results.dump.stdout` as a row of steps."""

from collections.abc import Iterator
from typing import Any

from jinja2 import nodes

from batchrun.jobfile.expressions import ONE_OF, Chain

__all__ = ["chains_in"]

#: Filters that give back a list with the same kind of things in it.
_KEEPING = frozenset({"list", "rejectattr", "reverse", "selectattr", "sort", "unique"})
#: Filters that give back one of them.
_CHOOSING = frozenset({"first", "last", "max", "min"})
#: Filters whose first argument names an entry of each.
_NAMING = frozenset({"groupby", "rejectattr", "selectattr"})


def chains_in(tree: nodes.Node) -> Iterator[tuple[Chain, int]]:
    """Yield what a tree asks for, each with its line; also what only leads on to something.

    What cannot be followed (loops, `set`, computed entries) is left out.
    """
    for node in _all(tree, (nodes.Getattr, nodes.Getitem)):
        chain = _chain(node)
        if chain:
            yield chain, node.lineno
    for node in _all(tree, nodes.Filter):
        entry = _named_entry(node)
        chain = _chain(node.node) if entry else ()
        if chain:
            yield (*chain, ONE_OF, *entry.split(".")), node.lineno


def _all(tree: nodes.Node, kind: Any) -> Iterator[Any]:
    """Yield the tree's nodes of a kind, the root included."""
    if isinstance(tree, kind):
        yield tree
    yield from tree.find_all(kind)


def _chain(node: nodes.Node | None) -> Chain:
    """Follow entries down to a name; empty: it begins with something else."""
    match node:
        case nodes.Name():
            return (node.name,)
        case nodes.Getattr():
            step = node.attr
        case nodes.Getitem(arg=nodes.Const(value=str() as entry)):
            step = entry
        case nodes.Getitem(arg=nodes.Const(value=int())):
            step = ONE_OF
        case nodes.Filter() if node.name in _KEEPING | _CHOOSING:
            step = ONE_OF if node.name in _CHOOSING else ""
        case _:
            return ()
    chain = _chain(node.node)
    return (*chain, step) if chain and step else chain


def _named_entry(node: nodes.Filter) -> str:
    """Return the entry that a filter takes of each thing in a list; empty: it takes none."""
    given: dict[Any, nodes.Expr] = {one.key: one.value for one in node.kwargs or ()}
    named = given.get("attribute") or (node.args[0] if node.name in _NAMING and node.args else None)
    return named.value if isinstance(named, nodes.Const) and isinstance(named.value, str) else ""
