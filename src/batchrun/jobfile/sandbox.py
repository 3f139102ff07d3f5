"""Expressions that it takes Jinja2 for: sandboxed and strict, compiled once."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from batchrun.jobfile.bounds import check_call, check_operator, guarded
from batchrun.jobfile.chains import chains_in
from batchrun.jobfile.expressions import MISSING, Expression, own_entry
from batchrun.jobfile.filters import FILTERS
from batchrun.jobfile.hostname import HostName
from batchrun.jobfile.problems import did_you_mean
from batchrun.jobfile.scope import Names

__all__ = ["TROUBLE", "Sandbox", "looked_up", "parsed", "reason_of", "wrong_word"]

_RESULT: Final = "_result_"
#: What a template may run into: its own mistakes, and those of the values it meets.
TROUBLE = (
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
        if isinstance(owner, HostName):
            return f"the host `{owner}` has no {name}; give it one in `vars` of the inventory"
        if isinstance(owner, dict | list | str | int | float):
            is_filter = not isinstance(owner, dict) and self._undefined_name in FILTERS
            advice = f"; it is a filter: write `| {self._undefined_name}`" if is_filter else ""
            return f"there is no {name} in {_kind_of(owner)}{advice}"
        return f"{name} is not known"


def _kind_of(value: object) -> str:
    if isinstance(value, dict):
        return "the mapping"
    if isinstance(value, list):
        return "the list"
    return "the text" if isinstance(value, str) else "the number"


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, with batchrun's filters and bounds.

    An entry of a mapping, or of a host, wins over a method of the same name.
    """

    intercepted_binops = frozenset(["**", "*", "%"])

    def __init__(self, **options: Any) -> None:
        super().__init__(undefined=_Undefined, optimized=False, autoescape=False, **options)
        self.globals.clear()
        self.filters.update(guarded(self.filters))
        self.filters.update(FILTERS)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Look up `obj.attribute`."""
        found = own_entry(obj, attribute)
        return super().getattr(obj, attribute) if found is MISSING else found

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Refuse what would never end, or fill the memory."""
        check_operator(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call what a template calls, unless its result would fill the memory."""
        check_call(obj, args, kwargs)
        return super().call(context, obj, *args, **kwargs)


_ENVIRONMENT = Sandbox()


def parsed(source: str) -> Expression:
    """Parse an expression that is more than a name.

    Raises:
        ValueError: it is not one; the message says why.
    """
    tree = _parse(source)
    return Expression(
        source=source,
        names=frozenset(name.name for name in _all(tree, nodes.Name)),
        attributes=frozenset(
            (one.node.name, one.attr)
            for one in _all(tree, nodes.Getattr)
            if isinstance(one.node, nodes.Name)
        ),
        chains=frozenset(chain for chain, _ in chains_in(tree)),
        evaluate=_evaluation(source, tree),
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
            found = parser.stream.current.value
            advice = "; to compare, write `==`" if found == "=" else ""
            message = f"`{source}` is not an expression: `{found}` is not expected there{advice}"
            raise ValueError(message)
    except TemplateSyntaxError as error:
        said = str(error.message).replace("unexpected 'end of template'", "it ends too early")
        message = f"`{source}` is not an expression: {said}"
        raise ValueError(message) from None
    _check_words(tree)
    return tree


def _check_words(tree: nodes.Expr) -> None:
    for one in [*_all(tree, nodes.Filter), *_all(tree, nodes.Test)]:
        message = wrong_word(one, _ENVIRONMENT)
        if not message and one.name in ("raw", "glob") and one is not tree:
            message = f"`{one.name}` must be the last filter of an insertion"
        if message:
            raise ValueError(message)


def wrong_word(node: Any, environment: Sandbox) -> str:
    """Say that a filter or a test does not exist; empty: it does.

    Args:
        node: A node of Jinja2 of one of these two kinds.
        environment: Where they are known.
    """
    is_filter = isinstance(node, nodes.Filter)
    known: Any = environment.filters if is_filter else environment.tests
    if node.name in known:
        return ""
    kind = "filter `" if is_filter else "test `is "
    return f"there is no {kind}{node.name}`{did_you_mean(str(node.name), known)}"


def looked_up(value: Any, steps: Sequence[str], source: str) -> Any:
    """Follow entries as Jinja2 does, which also knows attributes and methods.

    Raises:
        ValueError: there is nothing of this name.
    """
    for step in steps:
        value = _ENVIRONMENT.getattr(value, step)
    return _defined(value, source)


def _evaluation(source: str, tree: nodes.Expr) -> Callable[[Names], Any]:
    """Make the evaluation of an expression: names with filters need no compiler either."""
    direct = _direct(tree)
    if direct is None:
        return _Compiled(source, tree)

    def evaluate(names: Names) -> Any:
        try:
            return _defined(direct(names), source)
        except TROUBLE as error:
            message = f"`{{{{ {source} }}}}` cannot be computed: {reason_of(error)}"
            raise ValueError(message) from None

    return evaluate


def _direct(node: nodes.Expr | None) -> Callable[[Names], Any] | None:
    """Compile names, entries and filters, as most insertions are; None: it takes Jinja2."""
    match node:
        case nodes.Name():
            return itemgetter(node.name)
        case nodes.Const():
            constant = node.value
            return lambda _names: constant
        case nodes.Getattr():
            return _direct_entry(_direct(node.node), node.attr)
        case nodes.Filter() if not (node.kwargs or node.dyn_args or node.dyn_kwargs):
            return _direct_filter(node)
        case _:
            return None


def _direct_entry(
    owner: Callable[[Names], Any] | None, attribute: str
) -> Callable[[Names], Any] | None:
    look_up = _ENVIRONMENT.getattr
    return None if owner is None else lambda names: look_up(owner(names), attribute)


def _direct_filter(node: nodes.Filter) -> Callable[[Names], Any] | None:
    function = _ENVIRONMENT.filters[node.name]
    made = [_direct(one) for one in (node.node, *node.args)]
    inputs = [one for one in made if one is not None]
    if len(inputs) < len(made) or hasattr(function, "jinja_pass_arg"):
        return None
    if len(inputs) == 1:
        only = inputs[0]
        return lambda names: function(only(names))
    return lambda names: function(*[one(names) for one in inputs])


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
        except TROUBLE as error:
            message = f"`{{{{ {self._source} }}}}` cannot be computed: {reason_of(error)}"
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


def reason_of(error: BaseException) -> str:
    """Say in words why a template cannot be computed."""
    if isinstance(error, MemoryError):
        return "the value is too large"
    return str(error) or type(error).__name__
