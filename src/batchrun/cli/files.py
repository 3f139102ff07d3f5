"""The files that a run leaves behind: checked before it starts, written by sinks."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from batchrun.cli.flags import Flags
from batchrun.errors import UsageError
from batchrun.model.ports import Sink
from batchrun.report.joblog import JoblogSink
from batchrun.report.junit import JunitSink
from batchrun.report.metrics import MetricsSink
from batchrun.report.outputdir import OutputDirSink

__all__ = ["check_files", "file_sinks", "spool_in", "unwritten_options"]


def check_files(flags: Flags) -> None:
    """Refuse files that could not be written, while nothing has been run yet.

    Raises:
        UsageError: one of them is no file, or is where nothing can be written.
    """
    seen: dict[str, str] = {}
    for option, path in _files(flags):
        problem = _problem_of_file(path)
        if not problem and not _is_special(path):
            other = seen.setdefault(os.path.realpath(path), option)
            problem = "" if other == option else f"{other} writes it too; name another file"
        if problem:
            message = f"{option}: {path}: {problem}"
            raise UsageError(message)
    if flags.output_dir is not None:
        problem = _problem_of_directory(flags.output_dir)
        if problem:
            message = f"--output-dir: {flags.output_dir}: {problem}"
            raise UsageError(message)


def file_sinks(flags: Flags) -> tuple[Sink, ...]:
    """Make the sinks that write files.

    They come before those that show results: complete output is gone once it was shown in order.
    """
    sinks: list[Sink] = []
    if flags.output_dir is not None:
        sinks.append(OutputDirSink(str(flags.output_dir)))
    if flags.joblog is not None:
        sinks.append(JoblogSink(str(flags.joblog)))
    if flags.junit is not None:
        sinks.append(JunitSink(str(flags.junit)))
    if flags.metrics is not None:
        sinks.append(MetricsSink(str(flags.metrics)))
    return tuple(sinks)


def spool_in(flags: Flags) -> str:
    """Return where complete output waits, made if need be; empty: anywhere.

    Beside its final place a long output only needs a second name there.

    Raises:
        UsageError: the directory cannot be made.
    """
    if flags.output_dir is None or flags.dry_run:
        return ""
    try:
        os.makedirs(flags.output_dir, exist_ok=True)
    except OSError as error:
        message = f"--output-dir: {flags.output_dir}: it cannot be made: {error.strerror}"
        raise UsageError(message) from error
    return str(flags.output_dir)


def unwritten_options(flags: Flags) -> list[str]:
    """Name the options whose files are not written, because nothing is run."""
    if not flags.dry_run:
        return []
    wanted = [option for option, _ in _files(flags)]
    return [*wanted, *(["--output-dir"] if flags.output_dir is not None else [])]


def _files(flags: Flags) -> Iterator[tuple[str, Path]]:
    """Name the files that were asked for, with their options."""
    found = (("--joblog", flags.joblog), ("--junit", flags.junit), ("--metrics", flags.metrics))
    for option, path in found:
        if path is not None:
            yield option, path


def _problem_of_file(path: Path) -> str:
    """Say why a file cannot be written, and what to do; empty: it can."""
    if str(path) == "-":
        return "that would be a file of this name; write /dev/stdout for standard output"
    if path.is_dir():
        return "that is a directory; name a file in it"
    if path.exists() and not _may(path, os.W_OK):
        return "it cannot be written by this user; choose another file or correct its permissions"
    return "" if _is_special(path) else _problem_of_parent(Path(os.path.realpath(path)).parent)


def _problem_of_directory(path: Path) -> str:
    """Say why no files can be made in a directory, which may have to be made itself."""
    if not os.path.lexists(path):
        return _problem_of_parent(Path(os.path.realpath(path)).parent)
    if not path.is_dir():
        return "that is no directory; name one"
    if not _may(path, os.W_OK | os.X_OK):
        return "nothing can be made in it by this user; choose another or correct its permissions"
    return ""


def _problem_of_parent(parent: Path) -> str:
    if not parent.is_dir():
        return f"there is no directory {parent}; make it first"
    if not _may(parent, os.W_OK | os.X_OK):
        return f"nothing can be made in {parent} by this user; choose another place"
    return ""


def _may(path: Path, what: int) -> bool:
    return os.access(path, what, effective_ids=True)


def _is_special(path: Path) -> bool:
    """Whether it is a device or a pipe, which is written to as it is."""
    with suppress(OSError):
        kind = path.stat().st_mode
        return not stat.S_ISREG(kind) and not stat.S_ISDIR(kind)
    return False
