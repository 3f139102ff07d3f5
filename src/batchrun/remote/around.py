"""What is looked at on a host before an operation begins there, and its output file.

Everything is asked in one text: mount points, guards by path, guards by command, and whether the
output file is fresh. Only patterns in `creates` and `removes` are looked up on their own.
"""

import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from batchrun.errors import BatchrunError, OperationError
from batchrun.model.around import Around, GuardCommand, OutputFile
from batchrun.model.operation import Done
from batchrun.model.outcome import Ok, Skipped
from batchrun.model.session import HostContext
from batchrun.model.values import Glob
from batchrun.ops.failures import refusal
from batchrun.ops.launch import argv_of, given_env
from batchrun.ops.paths import shown
from batchrun.ops.spawn import encode
from batchrun.ops.sudo import SudoValue
from batchrun.remote.broken import lost
from batchrun.remote.errand import Answer, ask
from batchrun.remote.globs import expand_there
from batchrun.remote.talk import BrokenError
from batchrun.remote.within import Within
from batchrun.remote.words import path_word, words

__all__ = ["within"]

_SHOWN_CHARACTERS = 80
_CLEANUP_S = 10.0
_FUNCTIONS = rb"""
here() { [ -e "$1" ] || [ -L "$1" ]; }
mounted() {
  (CDPATH= cd -- "$1/.") || { echo "absent $2"; exit 0; }
  if command -v mountpoint >/dev/null 2>&1; then mountpoint -q -- "$1"
  else [ "$(stat -c %d -- "$1/.")" != "$(stat -c %d -- "$1/..")" ]; fi ||
    { echo "unmounted $2"; exit 0; }
}
"""


def within(around: Around, operation: Callable[[], Done], context: HostContext) -> Done:
    """Run an operation on a host if its guards let it, and see to its output file.

    Raises:
        OperationError: a guard could not be asked, or something is not as it must be.
        UnitStoppedError: the unit was stopped, or its time is over.
    """
    guards = _Guards(around, context)
    try:
        because = guards.reason_to_skip()
        if because:
            return Done(outcome=Skipped(because=because))
        if around.output is None:
            return operation()
        return _make_output(around.output, guards.sudo, operation, context)
    except BrokenError as error:
        return Done(outcome=lost(error, context))


class _Guards:
    """The guards of one unit, and the text that asks for them."""

    def __init__(self, around: Around, context: HostContext) -> None:
        self._around = around
        self._context = context
        self.sudo: SudoValue = around.command.get("sudo", False)
        self._cwd = around.command.get("cwd")

    def reason_to_skip(self) -> str:
        """Ask; return because of what there is nothing to do, empty when there is.

        Raises:
            OperationError: there is no answer, or something is not mounted.
        """
        around = self._around
        globs = [path for path in (*around.creates, *around.removes) if isinstance(path, Glob)]
        there = {glob: bool(expand_there(glob, self._context, self.sudo)) for glob in globs}
        text = self._text(there)
        if not text:
            return ""
        env = given_env(around.command.get("env", {}))
        answer = ask(_FUNCTIONS + text + b"echo go\n", self._context, self.sudo, env=env)
        said = answer.stdout.decode("ascii", "replace").split()
        return self._read(said or ["nothing"], answer)

    def _text(self, there: dict[Glob, bool]) -> bytes:
        around = self._around
        parts = [
            b"mounted %b %d\n" % (path_word(path), number)
            for number, path in enumerate(around.mounted)
        ]
        if around.creates:
            tests = b" && ".join(_test(path, there) for path in around.creates)
            parts.append(b"if %b; then echo creates; exit 0; fi\n" % tests)
        for number, path in enumerate(around.removes):
            parts.append(b"%b || { echo removes %d; exit 0; }\n" % (_test(path, there), number))
        if around.unless is not None:
            parts.append(self._ask_command(b"unless", around.unless, b'[ "$s" -ne 0 ]'))
        if around.onlyif is not None:
            parts.append(self._ask_command(b"onlyif", around.onlyif, b'[ "$s" -eq 0 ]'))
        if around.output is not None:
            parts.append(_ask_fresh(around.output))
        return b"".join(parts)

    def _ask_command(self, name: bytes, command: GuardCommand, goes_on: bytes) -> bytes:
        shell = self._around.command.get("shell", "/bin/sh")
        argv = argv_of(command, shell)
        enter = b"CDPATH= cd -- %b || exit 126; " % path_word(self._cwd) if self._cwd else b""
        run = words(*(encode(word, "An argument of the command") for word in argv))
        return (
            b"(%bexec %b) </dev/null >/dev/null; s=$?\n" % (enter, run)
            + b'[ "$s" -lt 126 ] || { echo failed %b "$s"; exit 0; }\n' % name
            + b'%b || { echo %b "$s"; exit 0; }\n' % (goes_on, name)
        )

    def _read(self, said: Sequence[str], answer: Answer) -> str:
        """Put the answer into words."""
        if said == ["go"]:
            return ""
        self._raise_unmounted(said, answer)
        because = self._because(said)
        if because:
            return because
        match said:
            case ["directory"] if self._around.output is not None:
                path = shown(self._around.output.path)
                raise refusal(f"{path} is a directory; `output` needs the name of a file")
            case ["failed", name, status]:
                command = _command(getattr(self._around, name))
                raise _no_answer(name, command, status, answer.complaint)
        message = f"the guards could not be asked on the host: {answer.complaint or 'no answer'}"
        raise OperationError(message)

    def _raise_unmounted(self, said: Sequence[str], answer: Answer) -> None:
        """Raise when something is not mounted."""
        around = self._around
        match said:
            case ["absent", number]:
                path = shown(around.mounted[int(number)])
                raise OperationError(
                    f"{path} is not mounted (`mounted`): {answer.complaint}; mount it first"
                )
            case ["unmounted", number]:
                path = shown(around.mounted[int(number)])
                raise OperationError(
                    f"{path} is no mount point (`mounted`): nothing was done; mount it"
                )

    def _because(self, said: Sequence[str]) -> str:
        """Return because of what there is nothing to do."""
        around = self._around
        match said:
            case ["creates"]:
                verb = "is" if len(around.creates) == 1 else "are"
                return f"creates: {', '.join(map(_name, around.creates))} {verb} there"
            case ["removes", number]:
                return f"removes: {_name(around.removes[int(number)])} is not there"
            case ["unless", _]:
                return f"unless: {_command(around.unless)} succeeded"
            case ["onlyif", status]:
                return f"onlyif: {_command(around.onlyif)} ended with exit status {status}"
            case ["fresh"] if around.output is not None:
                newer = " and not older than what it is made from" if around.output.sources else ""
                return f"output: {shown(around.output.path)} is there{newer}"
        return ""


def _test(path: str | Glob, there: dict[Glob, bool]) -> bytes:
    if isinstance(path, Glob):
        return b"true" if there[path] else b"false"
    return b"here " + path_word(path)


def _ask_fresh(output: OutputFile) -> bytes:
    path = path_word(output.path)
    newer = b"".join(
        b" && [ ! %b -nt %b ]" % (path_word(source), path) for source in output.sources
    )
    return (
        b"if [ -d %b ]; then echo directory; exit 0; fi\n" % path
        + b"if [ -e %b ]%b; then echo fresh; exit 0; fi\n" % (path, newer)
    )


def _no_answer(name: str, command: str, status: str, complaint: str) -> OperationError:
    said = f" ({complaint})" if complaint else ""
    return OperationError(
        f"`{name}` gave no answer: `{command}` ended with exit status {status}; correct it, 1 to "
        f"125 mean no{said}"
    )


def _name(path: str | Glob) -> str:
    return shown(path.pattern if isinstance(path, Glob) else path)


def _command(command: Any) -> str:
    """Show a guard as people wrote it, on one line."""
    text = " ".join(command.split()) if isinstance(command, str) else shlex.join(command or ())
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _make_output(
    output: OutputFile, sudo: SudoValue, operation: Callable[[], Done], context: HostContext
) -> Done:
    """Run the operation; what it has written gets its name if it ends well."""
    if context.settings.dry_run:
        return Done.changed(f"would write {shown(output.path)}")
    path, temporary = path_word(output.path), path_word(output.temporary)
    folder = path_word(os.path.dirname(output.path) or ".")
    prepared = ask(b"mkdir -p -- %b && rm -rf -- %b" % (folder, temporary), context, sudo)
    if prepared.status:
        message = f"cannot prepare {shown(output.path)}: {prepared.complaint}"
        raise OperationError(message)
    complete = False
    try:
        done = operation()
        if not isinstance(done.outcome, Ok):
            return done
        _publish(output, path, temporary, context, sudo)
        complete = True
        return replace(done, outcome=replace(done.outcome, changed=True))
    finally:
        if not complete:
            with suppress(BatchrunError):
                ask(b"rm -rf -- " + temporary, Within(context, _CLEANUP_S, to_the_end=True), sudo)


def _publish(
    output: OutputFile, path: bytes, temporary: bytes, context: HostContext, sudo: SudoValue
) -> None:
    text = (
        b"if [ -d %b ] && [ ! -L %b ]; then exit 41; fi\n" % (temporary, temporary)
        + b"[ -e %b ] || [ -L %b ] || exit 42\n" % (temporary, temporary)
        + b"[ ! -d %b ] || exit 43\n" % path
        + b"mv -f -- %b %b\n" % (temporary, path)
    )
    answer = ask(text, context, sudo)
    name = shown(output.temporary)
    match answer.status:
        case 0:
            return
        case 41:
            raise refusal(f"the command has made a directory of {name}, not a file")
        case 42:
            raise refusal(
                "the command ended well but wrote no {{ output }}: nothing is at "
                f"{name}; have it write to {{{{ output }}}}"
            )
        case 43:
            raise refusal(f"{shown(output.path)} is a directory; `output` needs a file")
    message = f"cannot rename what was written to {shown(output.path)}: {answer.complaint}"
    raise OperationError(message)
