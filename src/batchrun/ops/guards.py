"""The commands of `unless` and `onlyif`: run as the unit's own would be, to see how they end."""

import shlex
from dataclasses import dataclass

from batchrun.errors import OperationError
from batchrun.model.around import GuardCommand
from batchrun.model.operation import Context
from batchrun.model.outcome import Output
from batchrun.ops.command import signal_name
from batchrun.ops.launch import CommandFields, argv_of, execute
from batchrun.ops.watch import Ending, Listening

__all__ = ["Guard"]

#: Nobody sees what a guard writes, except the end of it when it could not be run.
_KEPT_BYTES = 4096
_LISTENING = Listening(stdout=(0, 0), stderr=(0, _KEPT_BYTES))
_SHOWN_CHARACTERS = 80
#: From here on a shell means that it could not run the command: 126, 127, 128 + signal.
_NOT_RUN = 126


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One command that decides whether its unit has anything to do."""

    #: `unless` or `onlyif`.
    name: str
    command: GuardCommand
    fields: CommandFields

    def __str__(self) -> str:
        """Show it as people wrote it, on one line."""
        command = self.command
        text = " ".join(command.split()) if isinstance(command, str) else shlex.join(command)
        return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."

    def status(self, context: Context) -> int:
        """Run it; return its exit status, below 126.

        Raises:
            OperationError: it could not be run, or was killed: that is no answer.
            UnitStoppedError: the unit was stopped, or its time is over; the command is ended.
        """
        argv = argv_of(self.command, self.fields.shell)
        try:
            ending = execute(argv, self.fields, context, _LISTENING)
        except OperationError as error:
            message = f"`{self.name}` could not be run: {error}"
            raise OperationError(message, errno=error.errno, retryable=error.retryable) from error
        if ending.stopped is not None:
            raise ending.stopped
        if ending.exit_status is not None and ending.exit_status < _NOT_RUN and not ending.refused:
            return ending.exit_status
        message = f"`{self.name}` gave no answer: `{self}` {_end_of(ending)}{_said(ending.output)}"
        raise OperationError(message, retryable=not ending.refused)


def _end_of(ending: Ending) -> str:
    """Say how a guard ended that gave no answer."""
    if ending.refused:
        return f"was not begun: {ending.refused}"
    if ending.signal is not None:
        return f"was killed by signal {ending.signal}{signal_name(ending.signal)}"
    if ending.exit_status is None:
        return "ended in a way that is not known"
    return f"ended with exit status {ending.exit_status}; correct it, 1 to 125 mean no"


def _said(output: Output) -> str:
    """Quote the last line that it wrote to standard error, if it wrote any."""
    lines = output.stderr.tail.decode("utf-8", "replace").splitlines()
    return f" ({lines[-1]})" if lines and lines[-1].isprintable() else ""
