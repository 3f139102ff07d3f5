"""Begin a command on a host and see it through to its end, whatever that is."""

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from batchrun.errors import BatchrunError, OperationError, UnitStoppedError, UnreachableError
from batchrun.model.session import HostContext
from batchrun.ops.dialogue import Dialogue
from batchrun.ops.processes import cookie
from batchrun.ops.spawn import encode
from batchrun.ops.sudo import Sudo, SudoValue, refusal, sudo_by
from batchrun.remote.opening import Opening
from batchrun.remote.priorities import NOT_TO_BE_HAD, priority_steps
from batchrun.remote.stopping import end_remote
from batchrun.remote.talk import BrokenError, Ears, Ending, Source, Spoken, Talk
from batchrun.remote.watch import watch_step
from batchrun.remote.within import Within
from batchrun.remote.words import words
from batchrun.remote.wrapper import Inner, Marks, login_text, preamble

__all__ = ["Begun", "HostCommand", "NoShellError", "NotBegunError", "mark_of", "run_there"]

_MOST_CHARACTERS = 200


class NotBegunError(OperationError):
    """The command was not begun; the message says what stood against it."""


class NoShellError(NotBegunError):
    """The host gives no shell: where files are meant, there may be another way."""


class _StaleError(UnreachableError):
    """The connection was dead when a channel that had been opened ahead was used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCommand:
    """What is run on a host."""

    argv: Sequence[str]
    env: Mapping[bytes, bytes] = field(default_factory=dict)
    #: A quoted path; empty: the login directory.
    cwd: bytes = b""
    sudo: SudoValue = False
    source: Source | None = None
    idle_s: float | None = None
    #: By which its processes are found when they have to be ended; empty: it is never ended.
    mark: str = ""
    #: It ends with the connection, if it is given no standard input.
    watched: bool = False
    #: A path that goes with the connection then; empty: none.
    scrap: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """How a command that was begun ended: by itself, or because we ended it."""

    ending: Ending | None
    #: Why we ended it; None: it ended by itself.
    stopped: UnitStoppedError | None = None
    #: We have ended it, and it may still run.
    left: bool = False


def run_there(command: HostCommand, context: HostContext, ears: Ears) -> Begun:
    """Run a command on the unit's host.

    Raises:
        BrokenError: the connection broke while it ran.
        NotBegunError: it was not begun.
        UnreachableError: the connection broke before it was begun, or there is none.
        OperationError: it cannot be given to a host.
    """
    sudo = sudo_by(command.sudo, b"sudo") if command.sudo else None
    try:
        return _run(command, sudo, context, ears)
    except _StaleError:  # nothing was sent, as with a connection that is seen to be dead
        return _run(command, sudo, context, ears)


def _run(command: HostCommand, sudo: Sudo | None, context: HostContext, ears: Ears) -> Begun:
    marks = Marks.fresh()
    spoken = _spoken(command, sudo, marks, _first_steps(command, context))
    with closing(context.session.open_channel(login_text(marks), context)) as channel:
        talk = Talk(channel, context, spoken, ears, command.idle_s)
        try:
            ending = talk.follow()
        except UnitStoppedError as stopped:
            if spoken.dialogue is not None and spoken.dialogue.trouble and not _must_stop(context):
                raise _refused(sudo, talk.opening, spoken) from None
            left = not end_remote(
                channel, talk.opening.pid, command.mark, _killer(command, context)
            )
            talk.read_rest()
            return Begun(ending=None, stopped=stopped, left=left)
        except BrokenError as error:
            if talk.opening.pid is None:
                message = f"{context.host.name}: the connection broke before the command was begun"
                raise (_StaleError if channel.ahead else UnreachableError)(message) from error
            raise
    if not talk.opening.begun:
        if channel.refused:
            raise NoShellError("channel: the host refuses to run commands", retryable=False)
        raise _refused(sudo, talk.opening, spoken)
    return Begun(ending=ending)


def _must_stop(context: HostContext) -> bool:
    try:
        context.check()
    except UnitStoppedError:
        return True
    return False


def _first_steps(command: HostCommand, context: HostContext) -> list[bytes]:
    """Return what the wrapper does for a command before anything that was asked for."""
    if not command.mark:
        return []  # it ends a command, and must wait for nothing
    steps = priority_steps(context.terms.nice, context.terms.ionice)
    if command.watched and command.source is None:
        steps.insert(0, watch_step(context.settings.kill_grace_s, command.scrap))
    return steps


def _spoken(
    command: HostCommand, sudo: Sudo | None, marks: Marks, first: Sequence[bytes]
) -> Spoken:
    """Put together what is said.

    Raises:
        OperationError: an argument or a variable cannot be given to a command.
    """
    if not command.argv:
        message = "The command is empty; give a program."
        raise OperationError(message, retryable=False)
    argv = [encode(argument, "An argument of the command") for argument in command.argv]
    env = dict(command.env)
    if command.mark:
        name, _, value = os.fsencode(command.mark).partition(b"=")
        env[name] = value
    inner = Inner(
        command=words(*argv),
        env=env,
        cwd=command.cwd,
        has_input=command.source is not None,
        first=first,
    )
    lines = preamble(inner, sudo, marks)
    dialogue = None
    if sudo is not None and sudo.password is not None:
        dialogue = Dialogue(marks.words, sudo.password, (lines[1], b""))
    return Spoken(marks=marks, lines=lines, dialogue=dialogue, source=command.source)


def _killer(command: HostCommand, context: HostContext) -> "_Killer":
    return _Killer(command.sudo, context)


class _Killer:
    """Runs the text that ends a command, over a second channel, though the unit has to stop."""

    def __init__(self, sudo: SudoValue, context: HostContext) -> None:
        self._sudo = sudo
        self._context = context
        self.grace_s = 0.0 if context.insisted else context.settings.kill_grace_s

    def __call__(self, argv: Sequence[str], limit_s: float) -> bytes:
        """Run it; return what it says, or nothing when it could not be run."""
        ears = _Memory()
        within = Within(self._context, limit_s, to_the_end=True)
        try:
            run_there(HostCommand(argv=argv, sudo=self._sudo), within, ears)
        except BatchrunError:
            return b""
        return bytes(ears.heard)


class _Memory:
    """Keeps the beginning of what is said."""

    def __init__(self) -> None:
        self.heard = bytearray()

    def stdout(self, data: bytes) -> bool:
        self.heard += data[: 4096 - len(self.heard)]
        return True

    def stderr(self, data: bytes) -> bool:  # noqa: ARG002 - errors are no answer
        return True


def _refused(sudo: Sudo | None, opening: Opening, spoken: Spoken) -> NotBegunError:
    """Say why a command was not begun."""
    if opening.pid is None:
        said = _last(opening.complaint) or _last(opening.noise)
        message = "its login shell did not begin the command"
        message += f": {said}" if said else "; the account may have no shell"
        return NoShellError(message, retryable=False)
    reason = _last(opening.complaint)
    if NOT_TO_BE_HAD in reason:
        return NotBegunError(f"{reason}; ask for less, or use `sudo`", retryable=False)
    trouble = spoken.dialogue.trouble if spoken.dialogue is not None else ""
    in_shell = spoken.dialogue is not None and spoken.dialogue.reached_shell and not trouble
    if sudo is None or in_shell:
        reason = reason or "it gave no reason"
        message = f"the command was not begun: {reason}; correct `cwd` or `env`"
        return NotBegunError(message, retryable=False)
    return NotBegunError(refusal(sudo, opening.complaint, trouble), retryable=False)


def _last(said: bytes) -> str:
    """Return the last line that says something, as people may see it."""
    lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    text = lines[-1].strip().rstrip(".")[:_MOST_CHARACTERS] if lines else ""
    return "".join(character if character.isprintable() else "?" for character in text)


def mark_of(context: HostContext) -> str:
    """Return by what the processes of this attempt are known on its host."""
    return cookie(context.settings.run_id, context.number, context.attempt)
