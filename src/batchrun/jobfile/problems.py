"""Collects the mistakes of a job file, so that all of them are told in one go."""

import difflib
from collections.abc import Callable, Iterable
from typing import TypeAlias

from batchrun.errors import JobFileError, Problem

__all__ = ["Path", "Problems", "did_you_mean", "shown_path"]

#: Where in the structure: keys and positions from the top.
Path: TypeAlias = tuple[str | int, ...]


def shown_path(path: Path) -> str:
    """Write a path as people read it.

    >>> shown_path(("tasks", 3, "copy", "mode"))
    'tasks[3].copy.mode'
    """
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` when something known is close, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""


class Problems:
    """The mistakes of one file.

    Args:
        file: The file as the user named it.
        line_of: Finds the line of a path; called only when there is a mistake to tell.
    """

    def __init__(self, file: str, line_of: Callable[[Path], int | None]) -> None:
        self.file = file
        self._line_of = line_of
        self._found: dict[tuple[Path, str], int | None] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, path: Path, message: str, *, line: int | None = None) -> None:
        """Note one mistake; the same one is noted once."""
        self._found.setdefault((path, message), line)

    def line_of(self, path: Path) -> int | None:
        """Return the line in which a path is written."""
        return self._line_of(path)

    def where(self, path: Path) -> str:
        """Write a place as `FILE:LINE: PATH`."""
        return str(
            Problem(file=self.file, line=self._line_of(path), path=shown_path(path), message="")
        )

    def listed(self) -> list[Problem]:
        """Return what was found, in the order of the lines."""
        found = [
            Problem(
                file=self.file,
                line=self._line_of(path) if line is None else line,
                path=shown_path(path),
                message=message,
            )
            for (path, message), line in self._found.items()
        ]
        return sorted(found, key=lambda problem: problem.line or 0)

    def raise_if_any(self) -> None:
        """End the loading when there was a mistake.

        Raises:
            JobFileError: with everything found so far.
        """
        if self._found:
            raise JobFileError(self.listed())
