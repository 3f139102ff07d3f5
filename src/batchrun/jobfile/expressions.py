"""What stands between `{{` and `}}`: a name, with entries of it, or what it takes Jinja2 for.

Most insertions are the first, and many job files have no other: Jinja2 is loaded when it is needed.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, TypeAlias

from batchrun.jobfile.hostname import HostName
from batchrun.jobfile.scope import Names

__all__ = ["MISSING", "ONE_OF", "Chain", "Expression", "own_entry", "parse_expression"]

#: A name, and the entries that lead on from it: `results.dump.stdout`.
Chain: TypeAlias = tuple[str, ...]
#: The step from a list to one of what is in it.
ONE_OF: Final = "[]"
#: Stands for an entry that is not there.
MISSING: Final = object()
_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*")
_WORDS = frozenset(
    ("true", "false", "none", "True", "False", "None", "not", "and", "or", "if", "else", "is", "in")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """One expression, ready to be evaluated any number of times."""

    #: As written, without the braces.
    source: str
    #: The names of the scope that it uses.
    names: frozenset[str]
    #: `name.attribute` pairs that it uses.
    attributes: frozenset[tuple[str, str]]
    #: What it asks for, as far as that is written.
    chains: frozenset[Chain] = frozenset()
    #: Raises ValueError with a sentence.
    evaluate: Callable[[Names], Any]
    #: Ends in `| raw`: not quoted for the shell.
    raw: bool = False
    #: Ends in `| glob`: its glob characters are special.
    glob: bool = False
    #: It is `secrets.NAME` and nothing else: the name. Empty: it is something else.
    secret: str = ""


@lru_cache(maxsize=8192)
def parse_expression(source: str) -> Expression:
    """Parse an expression.

    Raises:
        ValueError: it is not one; the message says why.
    """
    source = source.strip()
    if _SIMPLE.fullmatch(source):
        first, *rest = source.split(".")
        if first not in _WORDS:
            return Expression(
                source=source,
                names=frozenset({first}),
                attributes=frozenset({(first, rest[0])} if rest else ()),
                chains=frozenset({(first, *rest)} if rest else ()),
                evaluate=_dotted(source, first, rest) if rest else itemgetter(first),
                secret=rest[0] if first == "secrets" and len(rest) == 1 else "",
            )
    from batchrun.jobfile.sandbox import parsed  # noqa: PLC0415 - loads Jinja2

    try:
        return parsed(source)
    except RecursionError:
        message = "the expression is nested too deep"
        raise ValueError(message) from None


def own_entry(value: Any, name: str) -> Any:
    """Return an entry of a mapping or of a host; `MISSING`: it has none of this name."""
    if isinstance(value, dict) and name in value:
        return value[name]  # not `get`: some mappings compute their values when asked
    if isinstance(value, HostName) and value.has(name):
        return value.entry(name)
    return MISSING


def _dotted(source: str, first: str, rest: list[str]) -> Callable[[Names], Any]:
    """Make the evaluation of `a.b.c`, which needs no compiler."""

    def evaluate(names: Names) -> Any:
        value = names[first]
        for at, step in enumerate(rest):
            found = own_entry(value, step)
            if found is MISSING:
                from batchrun.jobfile.sandbox import looked_up  # noqa: PLC0415 - loads Jinja2

                return looked_up(value, rest[at:], source)
            value = found
        return value

    return evaluate
