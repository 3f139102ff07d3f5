"""Which hosts the command line means, as one node set of the job language."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from batchrun.cli.flags import TargetFlags
from batchrun.errors import UsageError

__all__ = [
    "excluded_nodes",
    "excluded_sets",
    "inventory_path",
    "named_nodes",
    "node_set",
    "wanted_nodes",
]

_STDIN = "-"
_ALL = "@*"
#: All but union.
_OPERATORS = frozenset("!&^")


def node_set(flags: TargetFlags) -> str:
    """Return the hosts that are meant, without those that are excluded.

    Raises:
        UsageError: none are named, or those that are excluded are not names, ranges and groups.
        BatchrunError: a file of hosts cannot be read.
    """
    wanted = wanted_nodes(flags)
    if not wanted:
        message = "no hosts are named; name them with -w NODES, -g GROUP, --hostfile FILE or -a"
        raise UsageError(message)
    return "".join((",".join(_in_order(wanted)), *(f"!{one}" for one in excluded_nodes(flags))))


def _in_order(wanted: Sequence[str]) -> list[str]:
    """Put node sets so that together they mean what each of them means by itself.

    Operators count from left to right, and there are no parentheses.

    Raises:
        UsageError: there is no such order.
    """
    plain = [text for text in wanted if not _OPERATORS & set(text)]
    others = [text for text in wanted if _OPERATORS & set(text)]
    if len(others) > 1:
        message = (
            f"`{others[0]}` and `{others[1]}` cannot be put together, because each has operators; "
            "write one node set, or name what is left out with -x"
        )
        raise UsageError(message)
    return others + plain


def wanted_nodes(flags: TargetFlags) -> tuple[str, ...]:
    """Return the node sets of which the hosts are meant; none: nothing is said about it.

    Raises:
        UsageError: standard input is to be read twice, or has no hosts; a file cannot be read.
    """
    return tuple(_wanted(flags))


def excluded_nodes(flags: TargetFlags) -> tuple[str, ...]:
    """Return what is excluded, one operand each: after `!` a comma would begin what is wanted.

    Raises:
        UsageError: an operator is in it, or nothing is.
    """
    found = [operand for text in excluded_sets(flags) for operand in _operands(text)]
    for operand in found:
        if _OPERATORS & set(operand):
            message = f"-x {operand}: takes names, ranges and groups; put operators behind -w"
            raise UsageError(message)
    return tuple(found)


def excluded_sets(flags: TargetFlags) -> tuple[str, ...]:
    """Return the node sets of hosts that are excluded.

    Raises:
        UsageError: one of them is empty.
    """
    found = tuple(flags.exclude or ())
    if not all(text.strip() for text in found):
        message = "-x: the node set is empty; name at least one host, or leave it out"
        raise UsageError(message)
    return found


def named_nodes(flags: TargetFlags) -> bool:
    """Whether anything is said about which hosts are meant."""
    return bool(
        flags.hosts or flags.group or flags.hostfile or flags.all_hosts or flags.exclude
    )  # fmt: skip


def inventory_path(flags: TargetFlags) -> str:
    """Return where the inventory is, from wherever the job file is read; empty: where it says."""
    return "" if flags.inventory is None else os.path.abspath(flags.inventory)


def _wanted(flags: TargetFlags) -> Iterator[str]:
    reads_stdin = [_STDIN in (flags.hosts or ()), Path(_STDIN) in (flags.hostfile or ())]
    if all(reads_stdin):
        message = "-w - and --hostfile - would both read standard input; give one of them"
        raise UsageError(message)
    for text in flags.hosts or ():
        if not text.strip():
            message = "-w: the node set is empty; name at least one host"
            raise UsageError(message)
        yield _listed(sys.stdin.read(), "standard input") if text == _STDIN else text.strip()
    for path in flags.hostfile or ():
        yield _read(path)
    for name in flags.group or ():
        if not name.strip():
            message = "-g: the name of the group is empty"
            raise UsageError(message)
        yield f"@{name}"
    if flags.all_hosts:
        yield _ALL


def _read(path: Path) -> str:
    """Read a file of hosts.

    Raises:
        UsageError: it cannot be read, or there are none in it.
    """
    if str(path) == _STDIN:
        return _listed(sys.stdin.read(), "standard input")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        message = f"--hostfile: {path}: cannot be read: {reason}"
        raise UsageError(message) from error
    return _listed(text, str(path))


def _listed(text: str, source: str) -> str:
    """Return the hosts of a text; what follows a `#` on a line is a comment.

    Raises:
        UsageError: there are none: nobody means all hosts by that.
    """
    lines = (line.partition("#")[0].strip().strip(",") for line in text.splitlines())
    found = ",".join(line for line in lines if line)
    if not found:
        message = f"{source} holds no hosts"
        raise UsageError(message)
    return found


def _operands(text: str) -> Sequence[str]:
    """Cut a node set at commas and white space that are not inside of brackets."""
    found, depth = [""], 0
    for char in text:
        depth += (char == "[") - (char == "]")
        if depth == 0 and (char == "," or char.isspace()):
            found.append("")
        else:
            found[-1] += char
    return [operand for operand in found if operand]
