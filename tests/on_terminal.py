"""The program on a terminal of its own, with somebody who types answers."""

import os
import pty
import select
from collections.abc import Mapping

from program import COMMAND, DEFAULT_SIGNALS, Program

__all__ = ["on_terminal"]

_NOTHING: Mapping[str, str] = {}


def on_terminal(
    program: Program,
    answers: list[tuple[str, str]],
    *words: str,
    env: Mapping[str, str] = _NOTHING,
) -> tuple[int, str]:
    """Run on a terminal of its own; type each answer when its question has been shown.

    Returns:
        The exit code, and everything that was shown.
    """
    environment = program.environment({"TERM": "dumb", **env})
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(program.dir)
        argv = [*DEFAULT_SIGNALS, *COMMAND, *words]
        os.execvpe(argv[0], argv, environment)
    shown, asked = "", 0
    waiting = list(answers)
    while select.select([fd], [], [], 30)[0]:
        try:
            data = os.read(fd, 4096)
        except OSError:  # the other end was closed
            break
        if not data:
            break
        shown += data.decode()
        if waiting and waiting[0][0] in shown[asked:]:
            asked = len(shown)
            os.write(fd, waiting.pop(0)[1].encode())
    os.close(fd)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, shown.replace("\r\n", "\n")
