"""What stands between `{{` and `}}`: Jinja2, sandboxed and strict, compiled once."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from batchrun.jobfile.filters import FILTERS
from batchrun.jobfile.problems import did_you_mean
from batchrun.jobfile.scope import Names

__all__ = ["Expression", "parse_expression"]

_RESULT: Final = "_result_"
_SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*")
_WORDS = frozenset(
    ("true", "false", "none", "True", "False", "None", "not", "and", "or", "if", "else", "is", "in")
)
#: Powers with more bits than this are a mistake that would eat the machine.
_MOST_BITS = 1_000_000
#: What a template may run into: its own mistakes, and those of the values it meets.
_TROUBLE = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
    MemoryError,
    SyntaxError,  # of the code that Jinja2 writes, when it is nested too deep for Python
)


class _Undefined(StrictUndefined):
    """An unknown name or entry, with a sentence for people."""

    @property
    def _undefined_message(self) -> str:
        """Say which name is meant."""
        if self._undefined_hint:
            return self._undefined_hint
        name, owner = f"`{self._undefined_name}`", self._undefined_obj
        if isinstance(owner, dict | list | str | int | float):
            return f"there is no {name} in {_kind_of(owner)}"
        return f"{name} is not known"


def _kind_of(value: object) -> str:
    if isinstance(value, dict):
        return "the mapping"
    if isinstance(value, list):
        return "the list"
    return "the text" if isinstance(value, str) else "the number"


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox; an entry of a mapping wins over a method of the same name."""

    intercepted_binops = frozenset(["**"])

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look up `obj.attribute`."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse powers that would never end."""
        whole = isinstance(left, int) and isinstance(right, int)
        if whole and left.bit_length() * right > _MOST_BITS:
            message = "the power is too large"
            raise ValueError(message)
        return super().call_binop(context, operator, left, right)


def _environment() -> _Environment:
    environment = _Environment(undefined=_Undefined, optimized=False, autoescape=False)
    environment.globals.clear()
    environment.filters.update(FILTERS)
    return environment


_ENVIRONMENT = _environment()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """One expression, ready to be evaluated any number of times."""

    #: As written, without the braces.
    source: str
    #: The names of the scope that it uses.
    names: frozenset[str]
    #: `name.attribute` pairs that it uses.
    attributes: frozenset[tuple[str, str]]
    #: Raises ValueError with a sentence.
    evaluate: Callable[[Names], Any]
    #: Ends in `| raw`: not quoted for the shell.
    raw: bool = False
    #: Ends in `| glob`: its glob characters are special.
    glob: bool = False


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
                evaluate=_dotted(source, first, rest) if rest else itemgetter(first),
            )
    try:
        return _parsed(source)
    except RecursionError:
        message = "the expression is nested too deep"
        raise ValueError(message) from None


def _parsed(source: str) -> Expression:
    tree = _parse(source)
    return Expression(
        source=source,
        names=frozenset(name.name for name in _all(tree, nodes.Name)),
        attributes=frozenset(
            (one.node.name, one.attr)
            for one in _all(tree, nodes.Getattr)
            if isinstance(one.node, nodes.Name)
        ),
        evaluate=_Compiled(source, tree),
        raw=isinstance(tree, nodes.Filter) and tree.name == "raw",
        glob=isinstance(tree, nodes.Filter) and tree.name == "glob",
    )


def _all(tree: nodes.Node, kind: Any) -> list[Any]:
    """Return the tree's nodes of a kind, the root included."""
    return [*([tree] if isinstance(tree, kind) else []), *tree.find_all(kind)]


def _parse(source: str) -> nodes.Expr:
    if not source:
        message = "there is nothing between `{{` and `}}`"
        raise ValueError(message)
    try:
        parser = Parser(_ENVIRONMENT, source, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            token = parser.stream.current.value
            message = f"`{source}` is not an expression: `{token}` is not expected there"
            raise ValueError(message)
    except TemplateSyntaxError as error:
        said = str(error.message).replace("unexpected 'end of template'", "it ends too early")
        message = f"`{source}` is not an expression: {said}"
        raise ValueError(message) from None
    _check_words(tree)
    return tree


def _check_words(tree: nodes.Expr) -> None:
    for one in _all(tree, nodes.Filter):
        if one.name not in _ENVIRONMENT.filters:
            hint = did_you_mean(str(one.name), _ENVIRONMENT.filters)
            message = f"there is no filter `{one.name}`{hint}"
            raise ValueError(message)
        if one.name in ("raw", "glob") and one is not tree:
            message = f"`{one.name}` must be the last filter of an insertion"
            raise ValueError(message)
    for one in _all(tree, nodes.Test):
        if one.name not in _ENVIRONMENT.tests:
            message = (
                f"there is no test `is {one.name}`{did_you_mean(one.name, _ENVIRONMENT.tests)}"
            )
            raise ValueError(message)


def _dotted(source: str, first: str, rest: list[str]) -> Callable[[Names], Any]:
    """Make the evaluation of `a.b.c`, which needs no compiler."""
    look_up = _ENVIRONMENT.getattr

    def evaluate(names: Names) -> Any:
        value = names[first]
        for step in rest:
            value = look_up(value, step)
        return _defined(value, source)

    return evaluate


class _Compiled:
    """An expression compiled by Jinja2 when it is first needed: checking a file needs none."""

    def __init__(self, source: str, tree: nodes.Expr) -> None:
        self._source = source
        self._tree: nodes.Expr | None = tree
        self._template: Any = None

    def __call__(self, names: Names) -> Any:
        """Evaluate in a scope."""
        try:
            template = self._template or self._compile()
            context = template.new_context(names, shared=True)
            for _ in template.root_render_func(context):
                pass
            return _defined(context.vars[_RESULT], self._source)
        except _TROUBLE as error:
            message = f"`{{{{ {self._source} }}}}` cannot be computed: {_reason(error)}"
            raise ValueError(message) from None

    def _compile(self) -> Any:
        body: list[nodes.Node] = [
            nodes.Assign(nodes.Name(_RESULT, "store", lineno=1), self._tree, lineno=1)
        ]
        tree = nodes.Template(body, lineno=1)
        tree.set_environment(_ENVIRONMENT)
        self._template = _ENVIRONMENT.from_string(tree)
        self._tree = None
        return self._template


def _defined(value: Any, source: str) -> Any:
    if isinstance(value, _Undefined):
        message = value._undefined_message  # noqa: SLF001 - Jinja2's own extension point, our class
        raise ValueError(message if source in message else f"`{source}`: {message}")
    return value


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "the value is too large"
    return str(error) or type(error).__name__
