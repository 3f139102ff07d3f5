"""The files that a run leaves behind: checked before it starts, written by sinks."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from batchrun.cli.flags import Flags
from batchrun.errors import UsageError
from batchrun.model.ports import Sink

__all__ = ["check_files", "file_sinks", "spool_in", "unwritten_options"]


def check_files(flags: Flags) -> None:
    """Refuse files that could not be written, while nothing has been run yet.

    Raises:
        UsageError: one of them is no file, or is where nothing can be written.
    """
    seen: dict[str, str] = {}
    for option, path in _files(flags):
        problem = _problem_of_file(path)
        if not problem and (os.path.isfile(path) or not os.path.exists(path)):
            other = seen.setdefault(os.path.realpath(path), option)
            problem = "" if other == option else f"{other} writes it too; name another file"
        if problem:
            message = f"{option}: {path}: {problem}"
            raise UsageError(message)
    if flags.output_dir is not None and (problem := _problem_of_directory(str(flags.output_dir))):
        message = f"--output-dir: {flags.output_dir}: {problem}"
        raise UsageError(message)


def file_sinks(flags: Flags) -> tuple[Sink, ...]:
    """Make the sinks that write files.

    They come before those that show results: complete output is gone once it was shown in order.

    Raises:
        UsageError: the page of `--report` cannot be begun.
    """
    sinks: list[Sink] = []
    # Each is imported when it is wanted: few runs write any of these.
    if flags.output_dir is not None:
        from batchrun.report.outputdir import OutputDirSink  # noqa: PLC0415

        sinks.append(OutputDirSink(str(flags.output_dir)))
    if flags.joblog is not None:
        from batchrun.report.joblog import JoblogSink  # noqa: PLC0415

        sinks.append(JoblogSink(str(flags.joblog)))
    if flags.junit is not None:
        from batchrun.report.junit import JunitSink  # noqa: PLC0415

        sinks.append(JunitSink(str(flags.junit)))
    if flags.metrics is not None:
        from batchrun.report.metrics import MetricsSink  # noqa: PLC0415

        sinks.append(MetricsSink(str(flags.metrics)))
    if flags.report is not None:
        sinks.append(_page(flags.report))
    return tuple(sinks)


def _page(path: Path) -> Sink:
    """Begin the page of `--report`.

    Raises:
        UsageError: it cannot be written.
    """
    from batchrun.report.html import HtmlSink  # noqa: PLC0415

    try:
        return HtmlSink(path)
    except OSError as error:
        message = f"--report: {path} cannot be written: {error.strerror}"
        raise UsageError(message) from error


def spool_in(flags: Flags) -> str:
    """Return where complete output waits, made if need be; empty: where temporary files go.

    Beside its final place a long output only needs a second name there. But it is written and
    read by its path, and in a directory of others that could come to lead anywhere.

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
    return str(flags.output_dir) if _is_ours_alone(str(flags.output_dir)) else ""


def unwritten_options(flags: Flags) -> list[str]:
    """Name the options whose files are not written, because nothing is run."""
    if not flags.dry_run:
        return []
    # A page about a dry run says so, and is worth having.
    wanted = [option for option, _ in _files(flags) if option != "--report"]
    return [*wanted, *(["--output-dir"] if flags.output_dir is not None else [])]


def _files(flags: Flags) -> Iterator[tuple[str, str]]:
    """Name the files that were asked for, with their options."""
    found = (
        ("--joblog", flags.joblog),
        ("--junit", flags.junit),
        ("--metrics", flags.metrics),
        ("--report", flags.report),
    )
    for option, path in found:
        if path is not None:
            yield option, str(path)


def _problem_of_file(path: str) -> str:
    """Say why a file cannot be written, and what to do; empty: it can."""
    if path == "-":
        return "that would be a file of this name; write /dev/stdout for standard output"
    try:
        kind = os.stat(path).st_mode
    except FileNotFoundError:
        return _problem_of_parent(path)
    except OSError as error:
        return f"it cannot be written: {error.strerror}"
    if stat.S_ISDIR(kind):
        return "that is a directory; name a file in it"
    if not _may(path, os.W_OK):
        return "it cannot be written by this user; choose another file or correct its permissions"
    return _problem_of_parent(path) if stat.S_ISREG(kind) else ""


def _problem_of_directory(path: str) -> str:
    """Say why no files can be made in a directory, which may have to be made itself."""
    try:
        kind = os.stat(path).st_mode
    except FileNotFoundError:
        return _problem_of_parent(path)
    except OSError as error:
        return f"nothing can be made in it: {error.strerror}"
    if not stat.S_ISDIR(kind):
        return "that is no directory; name one"
    if not _may(path, os.W_OK | os.X_OK):
        return "nothing can be made in it by this user; choose another or correct its permissions"
    return ""


def _problem_of_parent(path: str) -> str:
    """Say why nothing can be made where a path leads; empty: it can."""
    parent = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(parent):
        return f"there is no directory {parent}; make it first"
    if not _may(parent, os.W_OK | os.X_OK):
        return f"nothing can be made in {parent} by this user; choose another place"
    return ""


def _may(path: str, what: int) -> bool:
    return os.access(path, what, effective_ids=True)


def _is_ours_alone(directory: str) -> bool:
    """Whether nobody but us and root can exchange what a path below it leads to."""
    at = os.path.realpath(directory)
    while True:
        found = os.stat(at)
        others_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if found.st_uid not in (0, os.geteuid()):
            return False
        if others_write and not found.st_mode & stat.S_ISVTX:
            return False
        if at == os.path.dirname(at):
            return True
        at = os.path.dirname(at)
