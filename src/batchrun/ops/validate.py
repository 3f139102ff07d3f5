"""Let a command look at a new file before it gets its name: `validate`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from batchrun.errors import OperationError, UnitStoppedError
from batchrun.model.operation import Context
from batchrun.model.outcome import Cancelled, Ok, Output, TimedOut
from batchrun.model.values import NEW_FILE
from batchrun.ops.limited import Limited
from batchrun.ops.paths import shown

if TYPE_CHECKING:
    from batchrun.model.outcome import Outcome

__all__ = ["VALIDATE_LIMIT_S", "RefusedError", "check_validate", "validate"]

#: A validator reads one file; one that takes longer waits for something that does not come.
VALIDATE_LIMIT_S = 300.0
_MOST_LINES = 3
_MOST_CHARACTERS = 300


class RefusedError(OperationError):
    """The new file was refused; carries what the validator said."""

    def __init__(self, message: str, output: Output) -> None:
        super().__init__(message, retryable=False)
        self.output = output


def check_validate(given: Mapping[str, Any]) -> list[str]:
    """Refuse a command that does not look at the new file."""
    argv = given.get("validate")
    if not argv or not isinstance(argv, list | tuple):
        return []
    if any(isinstance(word, str) and NEW_FILE in word for word in argv):
        return []
    if not all(isinstance(word, str) for word in argv):
        return []
    return ["`validate` does not look at the new file; name it as `{{ new }}` in its arguments"]


def validate(argv: tuple[str, ...], new: str, path: str, context: Context) -> None:
    """Run the command that has to succeed before `new` becomes `path`.

    Raises:
        RefusedError: it did not succeed.
        UnitStoppedError: the unit has to stop.
    """
    from batchrun.ops.command import Run, run  # noqa: PLC0415 - only where a command is given

    command = tuple(word.replace(NEW_FILE, new) for word in argv)
    done = run(Run(command=command), Limited(context, VALIDATE_LIMIT_S))
    outcome = done.outcome
    if isinstance(outcome, Ok):
        return
    if isinstance(outcome, Cancelled):
        raise UnitStoppedError(timed_out=False)
    if isinstance(outcome, TimedOut):
        context.check()
    program = shown(argv[0].replace(NEW_FILE, "{{ new }}"))
    raise RefusedError(
        f"{shown(path)} was left as it was: {program} refused the new file"
        f"{_reason(outcome, done.output)}",
        done.output,
    )


def _reason(outcome: "Outcome", output: Output) -> str:
    """Say how the validator ended, and what it said last."""
    if isinstance(outcome, TimedOut):
        return f" (it did not answer within {VALIDATE_LIMIT_S:.0f} s)"
    why = getattr(outcome, "message", outcome.kind)
    stream = output.stderr or output.stdout
    text = (stream.tail or stream.head).decode("utf-8", "surrogateescape")
    lines = [line for line in text.splitlines() if line.strip()][-_MOST_LINES:]
    said = shown(" / ".join(lines))[:_MOST_CHARACTERS]
    return f" ({why}): {said}" if said else f" ({why})"
