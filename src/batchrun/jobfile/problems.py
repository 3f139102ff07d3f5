"""Collects the mistakes of a job file, so that all of them are told in one go."""

import difflib
from collections.abc import Callable, Iterable
from typing import TypeAlias

from batchrun.errors import JobFileError, Problem

__all__ = [
    "AFTER_A_COMMA",
    "Path",
    "Problems",
    "close_to",
    "did_you_mean",
    "shown_path",
    "slip_in",
]

#: Where in the structure: keys and positions from the top.
Path: TypeAlias = tuple[str | int, ...]


def shown_path(path: Path) -> str:
    """Write a path as people read it.

    >>> shown_path(("tasks", 3, "copy", "mode"))
    'tasks[3].copy.mode'
    """
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def slip_in(word: str) -> str:
    """Say which blank is missing, or is none, in what should be a key; empty: none is.

    >>> slip_in("src:/a"), slip_in("-run"), slip_in("run")
    ('write a space after `src:`', 'write a space after `-`', '')
    """
    if "\N{NO-BREAK SPACE}" in word:
        return "there is a no-break space in it; write a plain one"
    if word[:1] == "-" and len(word) > 1:
        return "write a space after `-`"
    before, colon, after = word.partition(":")
    is_key = colon and after and before.isidentifier()
    return f"write a space after `{before}:`" if is_key else ""


def close_to(word: str, known: Iterable[str]) -> str | None:
    """Return what is written much like a word; None: nothing is."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean ...?` when something known is close, else nothing."""
    if slip := slip_in(word):
        return f"; {slip}"
    close = close_to(word, known)
    return f"; did you mean `{close}`?" if close else ""


#: Of a key without a value that is none: `{mode: u=rwx,go=rx}`.
AFTER_A_COMMA = (
    "in `{ }` a comma ends a value; if this belongs to the one before, put that in quotes"
)

#: `adopt` is told of an entry of a top-level key, or of one inside such an entry.
_DEEPEST_ADOPTED = 3


class Problems:
    """The mistakes of one file, and of the files that it includes.

    A path names a place in the structure that all files make together. `adopt` says which part
    of it another file has written; whoever notes a mistake needs not know.

    Args:
        file: The file as the user named it.
        line_of: Finds the line of a path; called only when there is a mistake to tell.
    """

    def __init__(self, file: str, line_of: Callable[[Path], int | None]) -> None:
        self.file = file
        self._line_of = line_of
        self._found: dict[tuple[Path, str], int | None] = {}
        #: Mistakes that came with their place, each once.
        self._ready: dict[Problem, None] = {}
        #: Where a part of the structure is really written.
        self._elsewhere: dict[Path, tuple[Problems, Path]] = {}
        #: Files in the order in which they were adopted.
        self._files: dict[str, int] = {file: 0}

    def __len__(self) -> int:
        return len(self._found) + len(self._ready)

    def add(self, path: Path, message: str, *, line: int | None = None) -> None:
        """Note one mistake; the same one is noted once."""
        self._found.setdefault((path, message), line)

    def note(self, problems: Iterable[Problem]) -> None:
        """Note mistakes of another file, which know their place."""
        for problem in problems:
            self._files.setdefault(problem.file, len(self._files))
            self._ready.setdefault(problem)

    def adopt(self, path: Path, other: "Problems", at: Path) -> None:
        """Let what stands at `path`, and below, be what another file says at `at`."""
        self._files.setdefault(other.file, len(self._files))
        self._elsewhere[path] = (other, at)

    def _home(self, path: Path) -> tuple["Problems", Path]:
        """Return the file in which a path is written, and where in it."""
        if self._elsewhere:
            for length in range(min(len(path), _DEEPEST_ADOPTED), 0, -1):
                found = self._elsewhere.get(path[:length])
                if found is not None:
                    return found[0], (*found[1], *path[length:])
        return self, path

    def line_of(self, path: Path) -> int | None:
        """Return the line in which a path is written, in whichever file that is."""
        home, at = self._home(path)
        return home._line_of(at)  # noqa: SLF001 - one of us

    def place(self, path: Path) -> str:
        """Say where a path is written, for the middle of a sentence: `line 7`, `FILE:7`."""
        home, at = self._home(path)
        line = home._line_of(at)  # noqa: SLF001 - one of us
        return f"line {line}" if home.file == self.file else f"{home.file}:{line}"

    def is_elsewhere(self, path: Path) -> bool:
        """Whether a path is written in an included file."""
        return self._home(path)[0] is not self

    def where(self, path: Path) -> str:
        """Write a place as `FILE:LINE: PATH`."""
        return str(self._problem(path, "", None))

    def _problem(self, path: Path, message: str, line: int | None) -> Problem:
        home, at = self._home(path)
        return Problem(
            file=home.file,
            line=home._line_of(at) if line is None else line,  # noqa: SLF001 - one of us
            path=shown_path(at),
            message=message,
        )

    def listed(self) -> list[Problem]:
        """Return what was found, in the order of the lines, file by file."""
        found = [
            self._problem(path, message, line) for (path, message), line in self._found.items()
        ]
        files = self._files
        return sorted(
            [*found, *self._ready], key=lambda problem: (files[problem.file], problem.line or 0)
        )

    def raise_if_any(self) -> None:
        """End the loading when there was a mistake.

        Raises:
            JobFileError: with everything found so far.
        """
        if len(self):
            raise JobFileError(self.listed())
