"""How an operation counts what went wrong, and says it in sentences."""

import errno
import os
from typing import TYPE_CHECKING, TypeAlias

from batchrun.errors import OperationError
from batchrun.model.operation import Done
from batchrun.model.outcome import NO_OUTPUT, Failed, Ok, Output
from batchrun.model.quantities import how_far
from batchrun.ops.paths import shown

if TYPE_CHECKING:
    from batchrun.ops.diff import Diffs

__all__ = ["FATAL", "Counted", "Tally", "failure", "refusal"]

#: The next file would fail as well: these stop a tree at once.
FATAL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

_MOST_WARNINGS = 20
_MOST_ERRORS = 5
#: Kept for the record of the run; of a tree with more, something else is wrong.
_MOST_RECORDED = 10_000

#: What a tally holds, in standard types: changed, bytes and files, errors and how many of them are
#: findings, warnings.
Counted: TypeAlias = tuple[
    bool,
    tuple[int, int],
    tuple[int, int, list[tuple[str, int | None, bool]], list[str]],
    tuple[int, list[str], bool],
]

_UNCHANGED = Done.unchanged()
_CHANGED = Done.changed()
_OK_CHANGED = Ok(changed=True)


def failure(error: OSError, doing: str, path: str) -> OperationError:
    """Put a system error into a sentence: `cannot write /srv/x: No space left on device`."""
    number = error.errno
    reason = os.strerror(number) if number else str(error)
    return OperationError(f"cannot {doing} {shown(path)}: {reason}", errno=number)


def refusal(message: str) -> OperationError:
    """Make the error for something that no second attempt would do either."""
    return OperationError(message, retryable=False)


class Tally:
    """What one unit did, counted: bounded, whatever happens to a million files."""

    __slots__ = (
        "_diffs",
        "_errors",
        "_every",
        "_findings",
        "_first",
        "_found_nothing",
        "_warning_count",
        "_warnings",
        "bytes_done",
        "changed",
        "files_done",
        "output",
    )

    def __init__(self) -> None:
        #: Something is different now, or would be in a dry run.
        self.changed = False
        #: File data read or written so far.
        self.bytes_done = 0
        #: Files and other entries of trees that were worked on so far.
        self.files_done = 0
        #: What a command said that refused something.
        self.output: Output = NO_OUTPUT
        self._diffs: Diffs | None = None
        self._errors = 0
        #: Errors that only say that what was looked at is not as it should be.
        self._findings = 0
        self._first: list[OperationError] = []
        #: What went wrong, as sentences: at most `_MOST_RECORDED`.
        self._every: list[str] = []
        self._found_nothing = False
        self._warnings: list[str] = []
        self._warning_count = 0

    @property
    def failed(self) -> bool:
        """Whether any part of the work was given up."""
        return self._errors > 0

    def warn(self, sentence: str) -> None:
        """Count something that could not be preserved."""
        self._warning_count += 1
        if len(self._warnings) < _MOST_WARNINGS:
            self._warnings.append(sentence)

    def vanished(self, path: str) -> None:
        """Count something that was listed and is gone: somebody else has deleted it, no failure."""
        self.warn(f"{shown(path)} vanished meanwhile")

    def found_nothing(self, pattern: str) -> None:
        """Count a pattern that matches nothing.

        Mostly there is nothing to do, which fails no cron job; but a slip of the pen looks the
        same, and would never do anything without a word.
        """
        self._found_nothing = True
        self.warn(f"nothing matches {shown(pattern)}")

    def differ(self, text: str) -> None:
        """Add to the diff of the unit; only with `--diff`."""
        if self._diffs is None:
            from batchrun.ops.diff import Diffs  # noqa: PLC0415 - only where one is asked for

            self._diffs = Diffs()
        self._diffs.add(text)

    def fail(self, error: OperationError) -> None:
        """Count a part that failed while the rest goes on.

        Raises:
            OperationError: this one, when the rest would fail as well.
        """
        if error.errno in FATAL:
            raise error
        self._errors += 1
        if len(self._first) < _MOST_ERRORS:
            self._first.append(error)
        if len(self._every) < _MOST_RECORDED:
            self._every.append(str(error))

    def find(self, error: OperationError) -> None:
        """Count something that was looked at and is not as it should be: see `Failed.finding`."""
        self._findings += 1
        self.fail(error)

    def refused(self, error: OperationError) -> None:
        """Count a part that a command may have refused, with what the first of them said.

        Raises:
            OperationError: as for `fail`.
        """
        self.output = self.output or getattr(error, "output", NO_OUTPUT)
        self.fail(error)

    def counted(self) -> Counted:
        """Return everything counted so far, to be added to another tally with `add`."""
        first = [(str(error), error.errno, error.retryable) for error in self._first]
        return (
            self.changed,
            (self.bytes_done, self.files_done),
            (self._errors, self._findings, first, self._every),
            (self._warning_count, self._warnings, self._found_nothing),
        )

    def add(self, counted: Counted) -> None:
        """Add what another tally has counted, in this process or another one."""
        changed, (size_bytes, files), failed, (warned, warnings, found_nothing) = counted
        errors, findings, first, every = failed
        self.changed |= changed
        self.bytes_done += size_bytes
        self.files_done += files
        self._errors += errors
        self._findings += findings
        for message, number, retryable in first[: _MOST_ERRORS - len(self._first)]:
            self._first.append(OperationError(message, errno=number, retryable=retryable))
        self._every += every[: _MOST_RECORDED - len(self._every)]
        self._warning_count += warned
        self._warnings += warnings[: _MOST_WARNINGS - len(self._warnings)]
        self._found_nothing |= found_nothing

    def ended_early(self, error: OperationError) -> OperationError:
        """Say with an error that ends everything how far the unit got, unless it just began."""
        if error.errno not in FATAL or self.files_done < 2:
            return error
        message = f"{error}; {how_far(self.files_done, self.bytes_done)}"
        return OperationError(message, errno=error.errno, retryable=error.retryable)

    def done(self, note: str = "") -> Done:
        """Return the answer of the unit."""
        if not self._errors and not self._warning_count and not note and self._diffs is None:
            if not self.bytes_done:
                return _CHANGED if self.changed else _UNCHANGED
            if self.changed:
                return Done(outcome=_OK_CHANGED, bytes_done=self.bytes_done)
        if self._errors:
            outcome: Ok | Failed = self._failed()
        else:
            outcome = Ok(changed=self.changed, note=note, found_nothing=self._found_nothing)
        return Done(
            outcome=outcome,
            output=self.output,
            warnings=self._sentences(),
            errors=tuple(self._every) if self._errors > len(self._first) else (),
            bytes_done=self.bytes_done,
            diff="" if self._diffs is None else self._diffs.text(),
        )

    def _failed(self) -> Failed:
        first = self._first[0]
        if self._errors == 1:
            message = str(first)
        else:
            message = f"{self._errors} errors: " + "; ".join(map(str, self._first))
            more = self._errors - len(self._first)
            message += f"; and {more} more" if more else ""
        retryable = any(error.retryable for error in self._first)
        finding = self._findings == self._errors
        return Failed(message=message, errno=first.errno, retryable=retryable, finding=finding)

    def _sentences(self) -> tuple[str, ...]:
        if self._warning_count <= _MOST_WARNINGS:
            return tuple(self._warnings)
        more = self._warning_count - _MOST_WARNINGS + 1
        return (*self._warnings[:-1], f"and {more} more")
