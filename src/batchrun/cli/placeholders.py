"""GNU parallel's placeholders in a command, as templates of a job file that quote by themselves."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from batchrun.errors import UsageError
from batchrun.jobfile.shellreader import HOLE, ShellReader

__all__ = ["ItemShape", "Placed", "argv_command", "shell_command"]

_PATTERN = r"\{(?P<which>\d*)(?P<part>\.|//|/\.|/|#|%)?\}"
_FILTERS = {
    "": "",
    ".": "with_suffix('')",
    "/": "basename",
    "//": "dirname",
    "/.": "stem",
}
_SLOT = "BATCHRUN_SLOT"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemShape:
    """What one command gets."""

    #: Groups behind `:::`; each item is then a combination.
    groups: int = 1
    #: Items of `-N`; None: one item.
    chunk: int | None = None
    #: What stands for the item.
    replace: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A command with its placeholders as templates."""

    command: str | list[str]
    #: Variables through which items reach places where they cannot be quoted.
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placeholder:
    text: str
    #: A template expression; empty: the slot.
    expression: str
    is_list: bool = False


def argv_command(words: Sequence[str], shape: ItemShape) -> Placed:
    """Put the placeholders into words that no shell sees.

    Raises:
        UsageError: a placeholder that means nothing here.
    """
    command: list[str] = []
    found = False
    for word in words:
        parts = list(_split(word, shape))
        found = found or any(not isinstance(part, str) for part in parts)
        command += _argv_word(parts, shape)
    if not found:
        command += _argv_word([_placeholder("", "", shape)], shape)
    return Placed(command=command)


def _argv_word(parts: Sequence[str | _Placeholder], shape: ItemShape) -> list[str]:
    """Write one word; a list that stands alone becomes a word for each place in it."""
    for part in parts:
        if isinstance(part, _Placeholder) and not part.expression:
            message = "{%} needs a shell; leave --argv out, or read $BATCHRUN_SLOT in the command"
            raise UsageError(message)
    if len(parts) == 1 and isinstance(parts[0], _Placeholder) and parts[0].is_list:
        if shape.chunk is not None:
            message = (
                "with --argv the words of a command are fixed, but the last command may get "
                "fewer items than -N says; name them {1} {2} ..., or leave --argv out"
            )
            raise UsageError(message)
        singles = [_placeholder(str(at), "", shape) for at in range(1, shape.groups + 1)]
        return [_template(one.expression) for one in singles]
    return ["".join(_in_text(part) for part in parts)]


def _in_text(part: str | _Placeholder) -> str:
    """Write a piece of text that nothing quotes."""
    if isinstance(part, str):
        return _literal(part)
    return _template(f"{part.expression} | join(' ')" if part.is_list else part.expression)


def shell_command(words: Sequence[str], shape: ItemShape) -> Placed:
    """Join words as a shell would read them, with the placeholders quoted.

    Where quotes of the user's own are around a placeholder, it becomes a variable, which the
    shell puts in without reading it again.

    Raises:
        UsageError: a placeholder stands where the shell would read an item as program text.
    """
    parts = list(_split(" ".join(words), shape))
    appended = all(isinstance(part, str) for part in parts)
    if appended:
        parts += [" ", _placeholder("", "", shape)]
    reader = ShellReader(
        "".join(part if isinstance(part, str) else HOLE for part in parts),
        [False] * sum(not isinstance(part, str) for part in parts),
    )
    reader.read()
    if appended and reader.refused:
        message = (
            "no item can be appended, because the command ends inside quotes, a comment or a "
            "here-document; end that, or write {} where the item goes"
        )
        raise UsageError(message)
    env: dict[str, str] = {}
    pieces: list[str] = []
    number = 0
    for part in parts:
        if isinstance(part, str):
            pieces.append(_literal(part, " | raw"))
        else:
            pieces.append(_inserted(part, reader.refused.get(number, ""), env))
            number += 1
    return Placed(command="".join(pieces), env=env)


def _literal(text: str, marker: str = "") -> str:
    """Write what the user typed so that templates leave it as it is.

    A single brace at the end would open a template together with what follows.

    Args:
        text: What was typed.
        marker: The filter that keeps it from being quoted.
    """
    pairs, alone = divmod(len(text) - len(text.rstrip("{")), 2)
    start = text.rstrip("{") + "{{" * pairs
    braces, brace = f"{{{{ '{{{{'{marker} }}}}", f"{{{{ '{{'{marker} }}}}"
    return start.replace("{{", braces) + brace * alone


def _inserted(part: _Placeholder, reason: str, env: dict[str, str]) -> str:
    """Write a placeholder for the place where it stands."""
    quoted = reason.startswith("is inside double quotes")
    if not part.expression and (quoted or not reason):
        return f"${{{_SLOT}}}" if quoted else f'"${_SLOT}"'
    if not reason:
        return _template(part.expression)
    inside = reason.startswith("is inside `$( )`")
    if not quoted and not inside:
        raise UsageError(_advice(part, reason))
    name = _SLOT if not part.expression else _variable(part, env)
    return f"${{{name}}}" if quoted else f'"${{{name}}}"'


def _advice(part: _Placeholder, reason: str) -> str:
    """Say why a placeholder cannot stand where it does, and what to write."""
    where = reason.partition(",")[0].partition(";")[0]
    if "single quotes" in reason:
        return (
            f"{part.text} {where}, where a name could be read as program text; put it behind "
            f"them as a word of its own (awk '...' {part.text}), or use double quotes"
        )
    return f'{part.text} {where}; write "$BATCHRUN_ITEM" there, which holds the item as well'


def _variable(part: _Placeholder, env: dict[str, str]) -> str:
    """Return the variable that holds a placeholder's value; equal ones share it."""
    value = _template(f"{part.expression} | join(' ')" if part.is_list else part.expression)
    for name, known in env.items():
        if known == value:
            return name
    name = "BR_ITEM" if not env else f"BR_ITEM_{len(env) + 1}"
    env[name] = value
    return name


def _template(expression: str) -> str:
    return f"{{{{ {expression} }}}}"


def _split(text: str, shape: ItemShape) -> Iterator[str | _Placeholder]:
    """Take a text apart into what is literal and what is replaced."""
    if "\0" in text:
        message = "a command cannot hold a NUL character"
        raise UsageError(message)
    pattern = _PATTERN if shape.replace == "{}" else f"{re.escape(shape.replace)}|{_PATTERN}"
    at = 0
    for match in re.finditer(pattern, text):
        which, part = match["which"] or "", match["part"] or ""
        is_other = match[0] == "{}" and shape.replace != "{}"
        if is_other or (part in ("#", "%") and which):
            continue
        if match.start() > at:
            yield text[at : match.start()]
        yield _placeholder(which, part, shape, match[0])
        at = match.end()
    if at < len(text):
        yield text[at:]


def _placeholder(which: str, part: str, shape: ItemShape, text: str = "{}") -> _Placeholder:
    """Write what a placeholder stands for as an expression."""
    if part == "%":
        return _Placeholder(text=text, expression="")
    if part == "#":
        return _Placeholder(text=text, expression="index")
    chosen = _FILTERS[part]
    if which:
        base = _positional(int(which), shape, text)
    elif shape.groups > 1:
        base = "[" + ", ".join(f"item.arg{at}" for at in range(1, shape.groups + 1)) + "]"
    else:
        base = "item"
    if not which and (shape.groups > 1 or shape.chunk is not None):
        name, _, argument = chosen.partition("(")
        more = f", {argument}" if argument else ")"
        each = f" | map('{name}'{more} | list" if chosen else ""
        return _Placeholder(text=text, expression=base + each, is_list=True)
    return _Placeholder(text=text, expression=f"{base} | {chosen}" if chosen else base)


def _positional(number: int, shape: ItemShape, text: str) -> str:
    """Return the expression for `{1}`, `{2}` ...

    Raises:
        UsageError: there is no such thing.
    """
    most = shape.chunk if shape.chunk is not None else shape.groups
    if not 1 <= number <= most:
        one = "one item" if most == 1 else f"{most} items"
        message = f"{text} means nothing here: each command gets {one}"
        raise UsageError(message)
    if shape.chunk is not None:
        # The last command may get fewer than the others.
        return f"(item[{number - 1}] | default(''))"
    return "item" if shape.groups == 1 else f"item.arg{number}"
