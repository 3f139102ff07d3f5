"""Text with `{{ }}` in it: taken apart once, rendered for every unit."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from batchrun.jobfile.expressions import Expression, parse_expression
from batchrun.jobfile.scalars import text_of
from batchrun.jobfile.scope import Names

__all__ = [
    "Part",
    "insert",
    "insert_value",
    "is_template",
    "sole_expression",
    "split",
    "text_renderer",
]

#: Literal text, or something to be computed.
Part: TypeAlias = str | Expression

_OPENING = frozenset("([{")
_CLOSING = frozenset(")]}")


def is_template(text: str) -> bool:
    """Tell whether there is anything to compute in a text."""
    return "{{" in text


def split(text: str) -> list[Part]:
    """Take a text apart into literal text and expressions.

    Only `{{ }}` is special; `{%` and `{#` are plain text. `{{-` and `-}}` strip white space.

    Raises:
        ValueError: a `{{` without its `}}`, or no expression between them.
    """
    parts: list[Part] = []
    at = 0
    strip = False
    while (start := text.find("{{", at)) >= 0:
        end = _end_of_expression(text, start + 2)
        literal = text[at:start]
        source = text[start + 2 : end]
        if strip:
            literal = literal.lstrip()
        if source.startswith("-"):
            literal, source = literal.rstrip(), source[1:]
        strip = source.endswith("-")
        if literal:
            parts.append(literal)
        parts.append(parse_expression(source.removesuffix("-")))
        at = end + 2
    rest = text[at:].lstrip() if strip else text[at:]
    return [*parts, rest] if rest else parts


def _end_of_expression(text: str, at: int) -> int:
    """Find the `}}` that ends an expression: not one in a string, nor in a mapping."""
    depth = 0
    quote = ""
    start = at
    while at < len(text):
        character = text[at]
        if quote:
            if character == "\\":
                at += 1
            elif character == quote:
                quote = ""
        elif depth == 0 and text.startswith("}}", at):
            return at
        elif character in "\"'":
            quote = character
        elif character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
        at += 1
    beginning = text[start - 2 : start + 18].split("\n", maxsplit=1)[0]
    message = (
        f"`{beginning}` has no `}}}}` at its end; for the two braces themselves write "
        "{{ '{{' }}"
    )
    raise ValueError(message)


def sole_expression(parts: Sequence[Part]) -> Expression | None:
    """Return the expression when a text is nothing else, so that its value keeps its type."""
    if len(parts) == 1 and isinstance(parts[0], Expression):
        return parts[0]
    return None


def text_renderer(parts: Sequence[Part]) -> Callable[[Names], str]:
    """Make the function that renders a text."""
    sole = sole_expression(parts)
    if sole is not None:
        return _sole_text(sole)

    def render(names: Names) -> str:
        return "".join(
            [part if type(part) is str else insert(part, names) for part in parts]  # type: ignore[arg-type]
        )

    return render


def _sole_text(expression: Expression) -> Callable[[Names], str]:
    evaluate = expression.evaluate

    def render(names: Names) -> str:
        value = evaluate(names)
        return value if type(value) is str else insert_value(expression, value)

    return render


def insert(expression: Expression, names: Names) -> str:
    """Compute what an expression inserts into text.

    Raises:
        ValueError: it cannot be computed, or has no text.
    """
    value = expression.evaluate(names)
    return value if type(value) is str else insert_value(expression, value)


def insert_value(expression: Expression, value: Any) -> str:
    """Turn the value of an expression into text."""
    try:
        return text_of(value)
    except ValueError as error:
        message = f"`{expression.source}` {error}"
        raise ValueError(message) from None
