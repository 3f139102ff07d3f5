"""What the tests of file operations use: a context made by hand, snapshots, an ordinary user."""

import os
import pickle
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from batchrun.errors import OperationError, UnitStoppedError
from batchrun.model.operation import Context, Done, Terms
from batchrun.model.outcome import Failed, Ok
from batchrun.model.unit import RunSettings
from batchrun.ops import OPERATIONS
from batchrun.ops.tree import metadata

__all__ = [
    "HOSTILE_NAMES",
    "NOBODY",
    "FileContext",
    "as_nobody",
    "changed",
    "do",
    "message_of",
    "snapshot",
]

NOBODY = 65534

HOSTILE_NAMES = {
    "plain": "plain",
    "newline": "two\nlines",
    "quotes": 'it\'s "quoted"',
    "dash": "-rf",
    "spaces": " a  b ",
    "glob": "a*b[c]?{d,e}",
    "emoji": "\N{PILE OF POO}",
    "latin1": os.fsdecode(b"caf\xe9"),
    "backslash": "back\\slash\\n",
    "escape": "\x1b[31mred",
}


class FileContext:
    """A context for one unit; `stop_after` checks it tells the operation to stop."""

    def __init__(
        self,
        base: Path | str = "/nonexistent",
        *,
        dry_run: bool = False,
        diff: bool = False,
        stop_after: int = -1,
        attempt: int = 1,
    ) -> None:
        self.settings = RunSettings(run_id="r1", base_dir=str(base), dry_run=dry_run, diff=diff)
        self.number = 1
        self.attempt = attempt
        self.task_id = "task"
        self.label = ""
        self.deadline: float | None = None
        self.control_fd: int | None = None
        self.terms = Terms()
        self.bytes_seen = 0
        #: Process ids of the commands that were started.
        self.commands: list[int] = []
        self._stop_after = stop_after
        self._names = 0
        #: Called at every check: what happens meanwhile.
        self.meanwhile: Callable[[], None] | None = None

    def check(self) -> None:
        if self.meanwhile is not None:
            self.meanwhile()
        if self._stop_after == 0:
            raise UnitStoppedError(timed_out=True)
        self._stop_after -= 1

    def command_started(self, pid: int) -> None:
        self.commands.append(pid)

    def live_output(self, stream: str, data: bytes) -> bool:
        raise AssertionError(stream, data)

    def progress(self, bytes_done: int) -> None:
        self.bytes_seen = bytes_done

    def temp_name(self) -> str:
        self._names += 1
        return f".br-r1-1-{self.attempt}-{self._names}"


def do(name: str, context: Context | None = None, /, **params: Any) -> Done:
    """Run an operation as run_unit() would: an OperationError is an outcome, too."""
    operation = OPERATIONS[name]
    try:
        done: Done = operation.function(operation.params(**params), context or FileContext())
    except OperationError as error:
        failed = Failed(message=str(error), errno=error.errno, retryable=error.retryable)
        return Done(outcome=failed)
    return done


def changed(done: Done) -> bool:
    """Return whether an operation that went well changed something."""
    assert isinstance(done.outcome, Ok), done.outcome
    return done.outcome.changed


def message_of(done: Done) -> str:
    """Return what an operation that failed said, which must be printable."""
    assert isinstance(done.outcome, Failed), done.outcome
    assert done.outcome.message.isprintable(), done.outcome.message
    return done.outcome.message


def snapshot(root: Path | str) -> Mapping[str, tuple[Any, ...]]:
    """Describe everything below a directory: kind, mode, owner, times, content."""
    found: dict[str, tuple[Any, ...]] = {}
    for directory, names, files in os.walk(root):
        for name in [".", *names, *files]:
            path = os.path.join(directory, name)
            st = os.lstat(path)
            content: str | bytes = b""
            if os.path.islink(path):
                content = os.readlink(path)
            elif os.path.isfile(path):
                with suppress(PermissionError):
                    content = Path(path).read_bytes()
            times = (st.st_mtime_ns, st.st_ctime_ns)
            found[path] = (st.st_mode, st.st_uid, st.st_gid, st.st_ino, times, content)
    return found


def as_nobody(work: Callable[[], Any]) -> Any:
    """Run a function in a child process without root's rights, and return what it returns."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            metadata._rights.cache_clear()
            with open(writer, "wb") as pipe:
                pickle.dump(work(), pipe)
            status = 0
        except BaseException:  # noqa: BLE001 - told, and then this process ends
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with open(reader, "rb") as pipe:
        answer = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0, "see the traceback on standard error"
    return pickle.loads(answer)
