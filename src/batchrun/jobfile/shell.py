"""Shell strings: every inserted value becomes one quoted word, or the template is refused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from batchrun.jobfile.expressions import Expression
from batchrun.jobfile.scope import Names
from batchrun.jobfile.shellreader import ENDS_WORD, HOLE, ShellReader
from batchrun.jobfile.template import Part, insert_value

__all__ = ["QUOTING_SHELLS", "Insertion", "place", "quote", "shell_renderer"]

#: Shells that read single quotes as POSIX says.
QUOTING_SHELLS = frozenset(
    {"sh", "bash", "dash", "ash", "ksh", "ksh93", "mksh", "oksh", "yash", "zsh", "busybox"}
)


def quote(text: str) -> str:
    """Quote a value for the shell, always: `if`, `2` and `A=b` mean something without quotes."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Insertion:
    """A place where a value goes."""

    expression: Expression
    #: It touches other characters of the same word: an empty list must leave an empty word.
    glued: bool


def place(parts: Sequence[Part]) -> tuple[list[str | Insertion], list[str]]:
    """Decide where the values of a shell string go.

    Returns:
        The text in pieces, without the quotes around lone insertions; and a sentence for each
        insertion that is not possible.
    """
    expressions = [part for part in parts if isinstance(part, Expression)]
    text = "".join(part if isinstance(part, str) else HOLE for part in parts)
    if text.count(HOLE) != len(expressions):
        return [], ["a shell command cannot hold a NUL character"]
    reader = ShellReader(text, [expression.raw for expression in expressions])
    reader.read()
    problems = [
        f"`{{{{ {expressions[number].source} }}}}` {reason}"
        for number, reason in sorted(reader.refused.items())
    ]
    return _pieces(text, expressions, reader.dropped), problems


def _pieces(
    text: str, expressions: Sequence[Expression], dropped: frozenset[int] | set[int]
) -> list[str | Insertion]:
    pieces: list[str | Insertion] = []
    literal: list[str] = []
    number = 0
    for at, character in enumerate(text):
        if character == HOLE:
            pieces.append("".join(literal))
            literal = []
            lone = at - 1 in dropped
            before = text[at - 2 if lone else at - 1] if at - lone > 0 else " "
            after = text[at + 1 + lone : at + 2 + lone] or " "
            glued = before not in ENDS_WORD or after not in ENDS_WORD
            pieces.append(Insertion(expression=expressions[number], glued=glued))
            number += 1
        elif at not in dropped:
            literal.append(character)
    pieces.append("".join(literal))
    return [piece for piece in pieces if piece != ""]


def shell_renderer(pieces: Sequence[str | Insertion]) -> Callable[[Names], str]:
    """Make the function that renders a shell string from its pieces."""

    def render(names: Names) -> str:
        return "".join(
            [piece if isinstance(piece, str) else _inserted(piece, names) for piece in pieces]
        )

    return render


def _inserted(piece: Insertion, names: Names) -> str:
    expression = piece.expression
    value: Any = expression.evaluate(names)
    if type(value) is str and not expression.raw:
        return quote(value)
    if isinstance(value, list | tuple):
        words = [insert_value(expression, one) for one in value]
        if expression.raw:
            return " ".join(words)
        return " ".join(map(quote, words)) or ("''" if piece.glued else "")
    text = insert_value(expression, value)
    return text if expression.raw else quote(text)
