"""How options are made: their panels in `--help`, their environment variables, their readers."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import typer

from batchrun.errors import UsageError
from batchrun.model.values import parse_duration, parse_size

__all__ = [
    "FILES",
    "HOSTS",
    "HOW",
    "LIMITS",
    "LOCKS",
    "LOOK",
    "SHOW",
    "WHAT",
    "duration",
    "moment",
    "option",
    "panel_position",
    "size",
]

WHAT = "What is run"
LOOK = "What is looked at"
HOSTS = "On which hosts, and how they are reached"
HOW = "How it is run"
LIMITS = "Limits"
SHOW = "What is shown"
FILES = "Files that are written (a dry run writes the report only)"
LOCKS = "Locks"
#: As `--help` shows them.
_PANELS = (WHAT, LOOK, HOSTS, HOW, LIMITS, SHOW, FILES, LOCKS)


def option(panel: str, text: str, *names: str, variable: str = "", **more: Any) -> Any:
    """Make an option with its environment variable.

    Args:
        panel: Under which heading `--help` shows it.
        text: What it means.
        names: Its names.
        variable: The environment variable, where `BATCHRUN_` and the long name mean something
            else already.
        more: For typer.
    """
    longest = max(names, key=len)
    variable = variable or "BATCHRUN_" + longest.removeprefix("--").upper().replace("-", "_")
    return typer.Option(*names, help=text, rich_help_panel=panel, envvar=variable, **more)


def panel_position(annotation: Any) -> int:
    """Say where in `--help` an option of this type stands; arguments come first."""
    (info,) = annotation.__metadata__
    return _PANELS.index(info.rich_help_panel) + 1 if info.rich_help_panel else 0


def duration(name: str) -> Callable[[object], float]:
    """Make the reader of durations, in seconds, of an option.

    It also gets the option's default, which is a number already.
    """
    return _reader(name, parse_duration)


def size(name: str) -> Callable[[object], int]:
    """Make the reader of sizes, in bytes, of an option."""
    return _reader(name, parse_size)


def moment(name: str) -> Callable[[object], float]:
    """Make the reader of moments, in seconds since the epoch, of an option."""
    return _reader(name, _parse_moment)


def _reader(name: str, parse: Callable[[str], Any]) -> Callable[[object], Any]:
    def read(text: object) -> Any:
        try:
            return parse(str(text))
        except ValueError as error:
            message = f"{name}: {error}"
            raise UsageError(message) from error

    return read


def _parse_moment(text: str) -> float:
    """Read a date, with or without a time, or how long ago it was; without a zone it is local.

    Raises:
        ValueError: it is neither.
    """
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError):
        pass
    try:
        return time.time() - parse_duration(text)
    except ValueError:
        message = f"{text!r} is not a date or a duration; write it like 2026-11-22, or 12h"
        raise ValueError(message) from None
