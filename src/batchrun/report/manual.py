"""What `ops` prints: the operations of the language, wrapped to the width of the terminal."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batchrun.model.operation import Operation
from batchrun.report.text import PLAIN, Palette, measure, visible

__all__ = ["Described", "Listed", "list_text", "notes_of", "operation_text"]

_INDENT = "      "


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An operation in the list of all."""

    name: str
    summary: str
    #: The installed package that it comes from; empty: batchrun.
    package: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One parameter of an operation."""

    key: str
    #: What it takes, such as `a path, or a list of them`.
    takes: str
    doc: str
    #: `required`, or what it is without being given; empty: nothing.
    default: str = ""


def list_text(rows: Sequence[Listed], *, columns: int, palette: Palette = PLAIN) -> str:
    """Write all operations, one after the other, each line with its newline."""
    width = max(measure(row.name) for row in rows)
    lines: list[str] = []
    for row in rows:
        name = row.name + " " * (width - measure(row.name))
        package = f" (from {row.package})" if row.package else ""
        text = _wrapped(visible(row.summary) + package, columns, name + "  ", " " * (width + 2))
        lines += [palette.green(name) + line[width:] if not at else line
                  for at, line in enumerate(text)]  # fmt: skip
    lines += ["", *_wrapped("`batchrun ops NAME` tells everything about one of them.", columns)]
    return "".join(f"{line}\n" for line in lines)


def operation_text(
    operation: Operation,
    parameters: Sequence[Described],
    *,
    package: str = "",
    columns: int,
    palette: Palette = PLAIN,
) -> str:
    """Write everything about one operation, each line with its newline."""
    lines = [palette.green(operation.name), *_wrapped(visible(operation.summary), columns)]
    lines += [f"from the package {visible(package)}"] if package else []
    lines += ["", "parameters"]
    for parameter in parameters:
        lines += _parameter(parameter, operation, columns, palette)
    notes = list(notes_of(operation))
    lines += ["", *(line for note in notes for line in _wrapped(note, columns))] if notes else []
    if operation.example:
        lines += ["", "example", *textwrap.indent(operation.example.strip(), "  ").splitlines()]
    return "".join(f"{line}\n" for line in lines)


def _parameter(
    parameter: Described, operation: Operation, columns: int, palette: Palette
) -> Iterator[str]:
    """Write one parameter: its name and what it takes, then its sentence."""
    facts = [parameter.takes, *([parameter.default] if parameter.default else [])]
    if parameter.key == operation.main.removesuffix("_"):
        facts.append("the main parameter")
    head = f"  {parameter.key}  "
    first, *more = _wrapped(", ".join(facts), columns, head, _INDENT)
    yield "  " + palette.green(parameter.key) + first[len(head) - 2 :]
    yield from more
    yield from _wrapped(visible(parameter.doc), columns, _INDENT, _INDENT) if parameter.doc else ()


def notes_of(operation: Operation) -> Iterator[str]:
    """Say what follows from the kind of operation."""
    main = operation.main.removesuffix("_")
    yield f"A text or a list instead of a mapping is `{main}`."
    if operation.is_command:
        yield "It is a command: its output is kept, and a timeout or a stop ends all it started."
    if not operation.repeatable:
        yield "Not repeated by itself when it timed out or was lost: how far it got is not known."


def _wrapped(text: str, columns: int, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        columns,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]
