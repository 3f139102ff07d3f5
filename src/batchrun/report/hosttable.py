"""What `hosts` prints: how hosts would be reached, as a table, or each as a JSON object."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from batchrun.model.access import ReachedHost
from batchrun.report.records import clean
from batchrun.report.text import PLAIN, Palette, measure, visible

__all__ = ["host_record", "hosts_table"]

_GAP = "  "


def _key_word(row: ReachedHost) -> str:
    match row.is_known:
        case None:
            return "?"
        case True:
            return "known"
        case _:
            return "unknown"


#: A column that says nothing of any host is left out, but for the first ones.
_COLUMNS: Mapping[str, Callable[[ReachedHost], str]] = {
    "NAME": lambda row: row.host.name,
    "ADDRESS": lambda row: row.address,
    "PORT": lambda row: str(row.port or ""),
    "USER": lambda row: row.user,
    "KEY": _key_word,
    "THROUGH": lambda row: ", ".join(row.jump) or row.proxy_command,
    "IDENTITY": lambda row: ", ".join(row.identity),
    "GROUPS": lambda row: ", ".join(row.host.groups),
    "PROBLEM": lambda row: row.problem,
}
_ALWAYS = ("NAME", "ADDRESS", "PORT", "USER", "KEY")


def hosts_table(rows: Sequence[ReachedHost], *, palette: Palette = PLAIN) -> str:
    """Write the table, each line with its newline.

    Args:
        rows: The hosts, in this order.
        palette: Colours.
    """
    cells = {name: [visible(text(row)) for row in rows] for name, text in _COLUMNS.items()}
    shown = [name for name, texts in cells.items() if name in _ALWAYS or any(texts)]
    widths = {name: max(map(measure, (name, *cells[name]))) for name in shown}
    lines = [_line({name: name for name in shown}, widths)]
    for at, row in enumerate(rows):
        line = _line({name: cells[name][at] for name in shown}, widths)
        lines.append(line if row.is_known and not row.problem else palette.yellow(line))
    return "".join(f"{line}\n" for line in lines)


def host_record(row: ReachedHost) -> dict[str, Any]:
    """Write a host as a JSON object; what is not known is null, or empty."""
    return {
        "name": clean(row.host.name),
        "address": clean(row.address),
        "port": row.port or None,
        "user": clean(row.user),
        "jump": [clean(hop) for hop in row.jump],
        "proxy_command": clean(row.proxy_command),
        "identity": [clean(path) for path in row.identity],
        "groups": [clean(group) for group in row.host.groups],
        "key_known": row.is_known,
        "problem": clean(row.problem),
    }


def _line(cells: Mapping[str, str], widths: Mapping[str, int]) -> str:
    padded = (text + " " * (widths[name] - measure(text)) for name, text in cells.items())
    return _GAP.join(padded).rstrip()
