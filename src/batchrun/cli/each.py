"""`batchrun each`: one command for many items, as a job like any other."""

import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchrun.cli.jobtext import is_text, job_text, literal
from batchrun.cli.onceflags import EachFlags
from batchrun.cli.options import Output
from batchrun.cli.placeholders import ItemShape, Placed, argv_command, shell_command
from batchrun.cli.results import Grouping
from batchrun.cli.saving import job_limits, load_made, made_line, save, task_limits
from batchrun.cli.wiring import check_flags, execute
from batchrun.errors import UsageError
from batchrun.report.text import shorten, visible

__all__ = ["each_text", "run_each"]

_MARK = ":::"
_NAME_COLUMNS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """The words, taken apart."""

    command: tuple[str, ...]
    #: The items behind each `:::`; none: they are read.
    groups: tuple[tuple[str, ...], ...]


def run_each(flags: EachFlags) -> int:
    """Run a command for each item; return the exit code.

    Raises:
        UsageError: words and flags that make no sense together.
    """
    check_flags(flags)
    with ExitStack() as stack:
        text = each_text(flags, stack)
        loaded = load_made(text, "each")
        if not all(map(is_text, flags.words or ())):
            loaded.keep_items.add("each")  # they are in a file that goes away with this process
        if flags.save is not None:
            save(flags.save, text)
        grouping = Grouping(tag=flags.tag, keep_order=flags.keep_order)
        return execute(loaded, flags, grouping)


def _line(flags: EachFlags) -> _Line:
    """Take command and items apart."""
    words = list(flags.words or ())
    marks = [at for at, word in enumerate(words) if word == _MARK]
    ends = [*marks[1:], len(words)]
    return _Line(
        command=tuple(words[: marks[0]] if marks else words),
        groups=tuple(tuple(words[at + 1 : end]) for at, end in zip(marks, ends, strict=False)),
    )


def _check_sources(flags: EachFlags, line: _Line) -> None:
    """Refuse items from two places, and shapes that do not fit together.

    Raises:
        UsageError: they do not fit.
    """
    message = ""
    if line.groups and flags.arg_file is not None:
        message = "items behind ::: and from a file (-a) contradict each other; give one of them"
    elif line.groups and flags.null:
        message = "-0 is for items that are read; those behind ::: are words already"
    elif len(line.groups) > 1 and flags.max_args is not None:
        message = "-N and several ::: groups contradict each other; give one of them"
    elif (flags.tag or flags.keep_order) and (flags.verbose or flags.output is not Output.TEXT):
        message = "--tag and --keep-order are for output that comes whole; leave -v, --output out"
    elif flags.save is not None and not is_text(os.getcwd()):
        message = "--save: the current directory's name is not valid UTF-8, as a file's text is"
    if message:
        raise UsageError(message)


def each_text(flags: EachFlags, stack: ExitStack) -> str:
    """Write the equivalent job file.

    Args:
        flags: The command line.
        stack: Takes files away that the run needs and that no job file can hold.

    Raises:
        UsageError: words and flags that make no sense together.
    """
    line = _line(flags)
    _check_sources(flags, line)
    placed = _placed(flags, line)
    shown = " ".join(line.command) or "the items"
    task: dict[str, Any] = {
        "name": literal(shorten(visible(shown), _NAME_COLUMNS)),
        "id": "each",
        "foreach": _source(flags, line, stack),
        "run": placed.command,
    }
    if placed.env:
        task["env"] = placed.env
    if is_text(directory := os.getcwd()):
        task["cwd"] = literal(directory)
    task |= {**task_limits(flags), "print": "always"}
    job = {"name": "each", **job_limits(flags), "tasks": [task]}
    return job_text(job, about=made_line("each"))


def _placed(flags: EachFlags, line: _Line) -> Placed:
    """Put the placeholders into the command; without a command the items are commands."""
    if not line.command:
        if flags.argv or flags.max_args is not None or len(line.groups) > 1:
            message = "there is no command; only single items, run by the shell, can be commands"
            raise UsageError(message)
        return Placed(command="{{ item | raw }}")
    shape = ItemShape(groups=max(len(line.groups), 1), chunk=flags.max_args, replace=flags.replace)
    return (argv_command if flags.argv else shell_command)(line.command, shape)


def _source(flags: EachFlags, line: _Line, stack: ExitStack) -> Any:
    """Write where the items come from."""
    if len(line.groups) > 1:
        matrix = {f"arg{at}": _values(group) for at, group in enumerate(line.groups, 1)}
        return {"matrix": matrix}
    if line.groups and all(map(is_text, line.groups[0])):
        values = _values(line.groups[0])
        size = flags.max_args
        return (
            values
            if size is None
            else [values[at : at + size] for at in range(0, len(values), size)]
        )
    if line.groups:
        source: dict[str, Any] = {"lines": _items_file(flags, line.groups[0], stack)}
        return _chunked(flags, {**source, "null_separated": True})
    path = "-" if flags.arg_file is None else str(flags.arg_file)
    if path == "-":
        _tell_terminal()
    else:
        path = literal(os.path.abspath(path))
    return _chunked(flags, {"lines": path, **({"null_separated": True} if flags.null else {})})


def _chunked(flags: EachFlags, source: dict[str, Any]) -> dict[str, Any]:
    return source if flags.max_args is None else {**source, "chunk": flags.max_args}


def _values(items: Sequence[str]) -> list[str]:
    return [literal(item) for item in items]


def _items_file(flags: EachFlags, items: Sequence[str], stack: ExitStack) -> str:
    """Write items that no job file can hold beside the one that is saved, or for this run only."""
    if flags.save is not None:
        path = Path(f"{flags.save.absolute()}.items")
    else:
        made = stack.enter_context(tempfile.TemporaryDirectory(prefix="batchrun-"))
        path = Path(made, "items")
    path.write_bytes(b"".join(os.fsencode(item) + b"\0" for item in items))
    return literal(str(path))


def _tell_terminal() -> None:
    """Say that somebody's typing is waited for."""
    if sys.stdin.isatty():
        sys.stderr.write("batchrun: reading the items from the terminal; Ctrl-D ends them\n")
