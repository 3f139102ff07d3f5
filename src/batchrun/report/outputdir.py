r"""`--output-dir`: complete standard output and standard error of every unit, as files.

    DIR/20261122-031500-7f3a/index.tsv
    DIR/20261122-031500-7f3a/stage/000001-data_in_a.csv.out
    DIR/20261122-031500-7f3a/stage/000001-data_in_a.csv.err
    DIR/20261122-031500-7f3a/reload/000001-web01.out

Each run has a directory of its own, so that nothing is mixed or overwritten. Files are named by
the unit's number in its task and what is harmless of its host and item; only those that hold
something are made. `index.tsv` leads from the item, written exactly, to the files: a backslash, a
tab and a newline in it are `\\`, `\t` and `\n`, a byte that is not UTF-8 is such as `\xe9`.

Below DIR everything is opened relative to the directory that was made for this run, and nothing
that somebody else puts there is followed or written to.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from batchrun.model.event import Event, RunStarted, UnitEnded
from batchrun.model.outcome import Captured
from batchrun.report.filenames import clean_name, directory_names
from batchrun.report.newfile import about
from batchrun.report.who import who
from batchrun.report.whole import pieces

__all__ = ["OutputDirSink"]

_INDEX = "index.tsv"
_COLUMNS = ("Task", "Index", "Outcome", "Stdout", "Stderr", "Item", "Host")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_UNSAFE = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NAMED = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


class OutputDirSink:
    """Writes the output of a unit when it has ended, that of its last attempt.

    Must come before sinks that take the files with whole output away (`--keep-order`). A dry run
    writes nothing.

    Args:
        path: The directory; made when it is not there.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        #: Of this run, for the messages of errors.
        self._run_path = path
        self._directory = -1
        self._index: BinaryIO | None = None
        #: By task; those that were made are in `_made`.
        self._names: dict[str, str] = {}
        self._made: set[str] = set()

    def handle(self, event: Event) -> None:
        """Take one event.

        Raises:
            OSError: a file cannot be written.
        """
        if isinstance(event, RunStarted) and not event.dry_run:
            self._begin(event)
        elif isinstance(event, UnitEnded) and self._index is not None:
            self._ended(event)

    def close(self) -> None:
        """Let go of the directory; never raises: every file has been written, or was told of."""
        index, self._index = self._index, None
        if index is not None:
            with contextlib.suppress(OSError):
                index.close()
        if self._directory >= 0:
            os.close(self._directory)
            self._directory = -1

    def _begin(self, event: RunStarted) -> None:
        """Make the directory of the run."""
        name = clean_name(event.run_id) or "run"
        self._run_path = os.path.join(self._path, name)
        self._names = directory_names(task_id for task_id, _ in event.tasks)
        with about(self._path):
            os.makedirs(self._path, exist_ok=True)
            # The user may have named a link; what is in it is reached from here.
            parent = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with about(self._run_path):
                # It must be new: what others have put there cannot be trusted.
                os.mkdir(name, dir_fd=parent)
                self._directory = os.open(name, _DIRECTORY, dir_fd=parent)
                self._index = self._create(_INDEX, self._directory)
                self._list(_COLUMNS)
        finally:
            os.close(parent)

    def _ended(self, event: UnitEnded) -> None:
        """Write the files of a unit, and its line in the index."""
        unit, output = event.unit, event.report.output
        written = {
            suffix: self._write_stream(event, captured, suffix)
            for suffix, captured in (("out", output.stdout), ("err", output.stderr))
        }
        if any(written.values()):
            kind = event.report.outcome.kind
            item = _exact(unit.label)
            about_unit = (_exact(unit.task_id), str(unit.index), kind)
            columns = (*about_unit, *written.values(), item, _exact(unit.host))
            with about(os.path.join(self._run_path, _INDEX)):
                self._list(columns)

    def _write_stream(self, event: UnitEnded, captured: Captured, suffix: str) -> str:
        """Write a stream, if there is any of it; return its path within the run's directory."""
        if not captured and not any(captured.parts):
            return ""
        task, label = self._task_name(event.unit.task_id), clean_name(who(event.unit))
        name = f"{event.unit.index:06d}{'-' if label else ''}{label}.{suffix}"
        path = os.path.join(task, name)
        with about(os.path.join(self._run_path, path)), self._open_task(task) as directory:
            if captured.spool and not captured.parts and _linked(captured.spool, name, directory):
                return path
            with self._create(name, directory) as file:
                file.writelines(pieces(captured))
        return path

    def _task_name(self, task_id: str) -> str:
        """Return the name of a task's directory."""
        if task_id not in self._names:
            self._names = directory_names([*self._names, task_id])
        return self._names[task_id]

    @contextmanager
    def _open_task(self, name: str) -> Iterator[int]:
        """Open the directory of a task; made when it is wanted first."""
        if name not in self._made:
            os.mkdir(name, dir_fd=self._directory)
            self._made.add(name)
        directory = os.open(name, _DIRECTORY, dir_fd=self._directory)
        try:
            yield directory
        finally:
            os.close(directory)

    def _create(self, name: str, directory: int) -> BinaryIO:
        """Make a file that is not there yet."""
        return open(os.open(name, _CREATE, 0o666, dir_fd=directory), "wb")

    def _list(self, columns: tuple[str, ...]) -> None:
        """Write a line of the index."""
        if self._index is not None:
            self._index.write(("\t".join(columns) + "\n").encode())
            self._index.flush()


def _linked(spool: str, name: str, directory: int) -> bool:
    """Give the file that holds a whole stream a second name; False: it must be copied.

    Where both are on one filesystem this takes no time, however long the output is.
    """
    try:
        os.link(spool, name, dst_dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    # It was made for nobody else's eyes; as the directory, so the files in it.
    os.chmod(name, os.fstat(directory).st_mode & 0o666, dir_fd=directory)
    return True


def _exact(text: str) -> str:
    """Write a text on one line, so that it can be read back."""
    return text if text.isalnum() else _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"
