"""Start a command behind sudo, and see it through to its end."""

import contextlib
import os
from dataclasses import dataclass, replace
from functools import partial

from batchrun.model.operation import Context
from batchrun.ops.dialogue import Dialogue, Speaker, Words
from batchrun.ops.others import through_sudo
from batchrun.ops.processes import end_command
from batchrun.ops.spawn import Launch, start
from batchrun.ops.sudo import Sudo, SudoValue, prelude, refusal, sudo_argv, sudo_of
from batchrun.ops.watch import Ending, Listening, NeverRanError, watch

__all__ = ["Wanted", "run_behind_sudo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A command, and what sudo is given to run it."""

    argv: list[bytes]
    #: The environment that the command gets beside what sudo lets through.
    env: dict[bytes, bytes]
    #: The environment of sudo itself.
    outer_env: dict[bytes, bytes]
    #: Entered as that user, absolute.
    cwd: bytes
    #: Where sudo is started.
    outer_cwd: bytes
    stdin: bytes
    #: By which the processes are known.
    cookie: str


def run_behind_sudo(
    wanted: Wanted, value: SudoValue, context: Context, listening: Listening
) -> Ending:
    """Start a command as another user and wait until it has ended, or was ended.

    Args:
        wanted: The command.
        value: As whom it runs; not false.
        context: As for any command.
        listening: Likewise.

    Raises:
        OperationError: it could not be started.
    """
    sudo = sudo_of(value, wanted.outer_env)
    run = _Run(wanted, sudo, context, listening)
    while True:
        with contextlib.suppress(NeverRanError):
            return run.unasked() if sudo.password is None else run.asked(sudo.password)


class _Run:
    """One command behind sudo."""

    def __init__(self, wanted: Wanted, sudo: Sudo, context: Context, listening: Listening) -> None:
        self._wanted = wanted
        self._sudo = sudo
        others = through_sudo(sudo, wanted.cookie)
        end = partial(end_command, cookie=wanted.cookie, others=others)
        self._watch = partial(watch, context=context, end=end, listening=listening)

    def unasked(self) -> Ending:
        """Run it where sudo needs no password."""
        text = prelude(self._wanted.env, None)
        launch = self._launch(text, None)
        child = start(replace(launch, stdin=text + self._wanted.stdin, keep_stdin=True))
        try:
            ending = self._watch(child)
            begun = ending.exit_status != 1 or os.lseek(child.stdin_fd, 0, os.SEEK_CUR) > 0
        finally:
            os.close(child.stdin_fd)
        return ending if begun else self._refused(ending)

    def asked(self, password: bytes) -> Ending:
        """Run it where sudo may ask for the password."""
        words = Words.fresh()
        text = prelude(self._wanted.env, words)
        dialogue = Dialogue(words, password, (text, self._wanted.stdin))
        child = start(replace(self._launch(text, words), talk=True))
        ending = self._watch(child, speaker=Speaker(child.stdin_fd, dialogue))
        if ending.stopped is not None:
            return ending
        unbegun = ending.exit_status is not None and not dialogue.reached_shell
        return self._refused(ending, dialogue.trouble) if dialogue.trouble or unbegun else ending

    def _launch(self, text: bytes, words: Words | None) -> Launch:
        wanted = self._wanted
        before = sudo_argv(self._sudo, os.fsencode(wanted.cookie), wanted.cwd, text, words)
        return Launch(
            argv=[*before, *wanted.argv],
            env=wanted.outer_env,
            cwd=wanted.outer_cwd,
        )

    def _refused(self, ending: Ending, trouble: str = "") -> Ending:
        stderr = ending.output.stderr
        return replace(ending, refused=refusal(self._sudo, stderr.head + stderr.tail, trouble))
