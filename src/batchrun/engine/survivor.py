"""Who ends a running command when the process that runs it, without workers, is killed.

    this process ──pipe: leader and cookie of what runs──► sh ──end of file──► processes.py

A pool needs none: its workers notice the death of their parent. Here one small shell reads a line
when a command begins and when it has ended, and starts Python only if the pipe ends in between.

Not guaranteed: it cannot help when it is killed as well, and a copy of this process that was made
by a bare `fork` keeps the pipe open while it lives.
"""

import contextlib
import os
import signal
import sys

__all__ = ["Survivor"]

#: Reads until this process has let go of the pipe; `set --` splits the last line.
_READ = """
last=
while IFS= read -r line; do last=$line; done
[ -n "$last" ] || exit 0
set -- "$@" $last
"$1" -I -S "$2" "$4" "$5" "$3" || kill -KILL -- "-$4"
"""


class Survivor:
    """The shell that outlives this process; started with the first command.

    Args:
        grace_s: Between TERM and KILL.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._fd: int | None = None
        self._pid = 0

    def watch(self, leader: int, cookie: str) -> None:
        """A command has begun."""
        if self._fd is None:
            self._start()
        self._tell(f"{leader} {cookie}\n")

    def rest(self) -> None:
        """No command runs any more."""
        if self._fd is not None:
            self._tell("\n")

    def close(self) -> None:
        """Let it end; what was announced last and not taken back is ended by it."""
        if self._fd is None:
            return
        os.close(self._fd)
        self._fd = None
        if self._pid:
            with contextlib.suppress(ChildProcessError):  # SIGCHLD is ignored in this process
                os.waitpid(self._pid, 0)

    def _start(self) -> None:
        """Start the shell; where that is not possible, commands run without it."""
        reading, self._fd = os.pipe()
        from batchrun.ops import processes  # noqa: PLC0415 - with the first command

        script = os.path.abspath(processes.__file__)
        argv = ["sh", "-c", _READ, "sh", sys.executable, script, str(self._grace_s)]
        # A run whose command we are ends what carries its cookie; this shall outlive us even then.
        environment = {name: v for name, v in os.environb.items() if name != b"BATCHRUN_UNIT"}
        null = os.open(os.devnull, os.O_RDWR)
        try:
            self._pid = os.posix_spawn(
                "/bin/sh",
                argv,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, reading, 0),
                    (os.POSIX_SPAWN_DUP2, null, 1),
                    (os.POSIX_SPAWN_DUP2, null, 2),
                ],
                setsid=True,  # no signal of the terminal reaches it
                setsigmask=(),
                setsigdef=(signal.SIGPIPE,),
            )
        except OSError:
            self._pid = 0
        finally:
            os.close(reading)
            os.close(null)

    def _tell(self, line: str) -> None:
        if self._fd is not None:
            with contextlib.suppress(BrokenPipeError):  # it was killed
                os.write(self._fd, line.encode())
