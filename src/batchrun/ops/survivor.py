"""Who ends what this process has started when it is killed, with everything that could end it.

    batchrun, workers ──board: what runs now, one line for each place──┐
                      ──pipe, held open by all of them──► sh ──end of file──► processes.py

Workers notice the death of their parent and end their commands themselves. What is left is
ended here: the command of a run without workers, programs that give items and secrets, and all
commands when parent and workers were killed together. One small shell waits for the end of the
pipe, and starts Python only if the board is not blank by then.

Not guaranteed: it cannot help when it is killed as well, and a copy of this process that was made
by a bare `fork` keeps the pipe open while it lives.
"""

import contextlib
import fcntl
import os
import signal
import sys
import threading
from collections.abc import Iterator

from batchrun.ops.board import BLANK, LINE_BYTES, Board, put
from batchrun.ops.spawn import open_memory

__all__ = ["Survivor", "keep_open", "let_go", "new_cookie"]

#: Reads one line, or notices that nobody is left to write one: an empty line means that nothing
#: is to be ended. Then it takes the board down, and ends what stands there.
_WAIT = """
IFS= read -r order && [ -z "$order" ] && exit 0
lines=
while read -r leader cookie; do
    [ -z "$leader" ] || lines="$lines$leader $cookie
"
done <&3
[ -n "$lines" ] || exit 0
printf %s "$lines" | "$1" -I -S "$2" "$3" || printf %s "$lines" | while read -r leader _; do
    [ "$leader" -gt 1 ] && kill -s KILL -- "-$leader"
done
"""
#: Where the shell finds the board, and behind it what it keeps open.
_BOARD_FD = 3
#: By which the processes of units are known, and those of programs that give items or secrets.
_COOKIES = (b"BATCHRUN_UNIT", b"BATCHRUN_ITEMS", b"BATCHRUN_QUIET")

#: Kept open by every shell, and handed to every worker: locks that shall last as long as anything
#: that this process has started. One set for all runs of a process, for they die together.
_kept: set[int] = set()
_kept_changes = threading.Lock()


def keep_open(descriptor: int) -> None:
    """Have every shell and worker that is started from now on keep a descriptor open."""
    with _kept_changes:
        _kept.add(descriptor)


def let_go(descriptor: int) -> None:
    """Take that back; who has it keeps it. Must come before it is closed."""
    with _kept_changes:
        _kept.discard(descriptor)


def new_cookie(name: str) -> str:
    """Make an entry of the environment by which the processes of one program are known.

    Args:
        name: `ITEMS` or `SECRET`: what the program gives.
    """
    return f"BATCHRUN_{name}={os.urandom(8).hex()}"


class Survivor:
    """The shell that outlives this process; nothing is there before `start` or `watch`.

    Belongs to one thread at a time.

    Args:
        grace_s: Between TERM and KILL.
        places: How many commands may run at once, each with a place of its own.
    """

    def __init__(self, grace_s: float, *, places: int = 1) -> None:
        self._grace_s = grace_s
        self._places = places
        self._pipe = self._board = -1
        self._own: Board | None = None
        self._keeps: tuple[int, ...] = ()
        self._pid = 0

    @property
    def handed(self) -> tuple[int, ...]:
        """What another process that runs commands must hold open; the board first."""
        return () if self._own is None else (self._board, self._pipe, *self._keeps)

    def start(self) -> None:
        """Start the shell, if that was not done; where none can be, there is only the board.

        Raises:
            OSError: no descriptor or no memory is left.
        """
        if self._own is not None:
            return
        with contextlib.ExitStack() as on_failure:
            board = open_memory("board")
            on_failure.callback(os.close, board)
            put(board, BLANK * self._places, 0)
            with _kept_changes:
                keeps = tuple(_duplicate(fd, on_failure) for fd in sorted(_kept))
            reading, pipe = os.pipe()
            on_failure.callback(os.close, pipe)
            with contextlib.closing(os.fdopen(reading, "rb", buffering=0)):
                self._pid = self._spawn(reading, board, keeps)
            on_failure.pop_all()
        self._board, self._pipe, self._keeps = board, pipe, keeps
        self._own = Board(board, 1)

    def watch(self, cookie: str, leader: int = 0) -> None:
        """Note in the first place what is about to begin, or has begun (see `Board`)."""
        self.start()
        if self._own is not None:
            self._own.note(cookie, leader)

    def rest(self, place: int = 1) -> None:
        """What was noted in a place has ended, or may go on."""
        if self._own is not None:
            Board(self._board, place).wipe()

    def close(self) -> None:
        """Let the shell end; what was noted and not taken back is ended by it first."""
        if self._own is None:
            return
        blank = os.pread(self._board, LINE_BYTES * self._places, 0).isspace()
        with contextlib.suppress(BrokenPipeError):  # it was killed
            os.write(self._pipe, b"\n" if blank else b"end\n")
        for descriptor in self.handed:
            os.close(descriptor)
        self._own = None
        if self._pid:
            with contextlib.suppress(ChildProcessError):  # SIGCHLD is ignored in this process
                os.waitpid(self._pid, 0)

    def _spawn(self, reading: int, board: int, keeps: tuple[int, ...]) -> int:
        """Start the shell; return its id, 0 when that is not possible."""
        processes = os.path.join(os.path.dirname(os.path.abspath(__file__)), "processes.py")
        argv = ["sh", "-c", _WAIT, "sh", sys.executable, processes, str(self._grace_s)]
        # A run whose command we are ends what carries its cookie; this shall outlive us even then.
        environment = {name: v for name, v in os.environb.items() if name not in _COOKIES}
        with contextlib.ExitStack() as theirs:
            try:
                return os.posix_spawn(
                    "/bin/sh",
                    argv,
                    environment,
                    file_actions=list(_placed(theirs, reading, board, *keeps)),
                    setsid=True,  # no signal of the terminal reaches it
                    setsigmask=(),
                    setsigdef=(signal.SIGPIPE,),
                )
            except OSError:
                return 0


def _placed(
    stack: contextlib.ExitStack, reading: int, *others: int
) -> Iterator[tuple[int, int, int]]:
    """Say which descriptor becomes which in the shell: input, output, errors, the others."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    stack.callback(os.close, null)
    for number, descriptor in enumerate((reading, null, null, *others)):
        # From above all the numbers: one duplication would overwrite the source of another.
        source = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _BOARD_FD + len(others))
        stack.callback(os.close, source)
        yield os.POSIX_SPAWN_DUP2, source, number


def _duplicate(descriptor: int, on_failure: contextlib.ExitStack) -> int:
    """Duplicate a descriptor, so that whoever closes the other one closes nothing of ours."""
    made = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _BOARD_FD)
    on_failure.callback(os.close, made)
    return made
