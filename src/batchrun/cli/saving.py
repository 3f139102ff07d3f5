"""Jobs that were made of a command line: loaded, and written where `--save` says."""

import os
from pathlib import Path
from typing import Any

from batchrun import api
from batchrun.cli.flags import Flags
from batchrun.cli.jobtext import limit_word
from batchrun.errors import JobFileError, NodeSetError, UsageError

__all__ = ["job_limits", "load_made", "made_line", "save", "task_limits"]

#: A file that begins so was written here, and may be written again.
_MARK = "# Written by `batchrun "


def made_line(command: str) -> str:
    """Return what stands at the top of a job file that was made of a command line."""
    return f"Written by `batchrun {command} --save`."


def job_limits(flags: Flags) -> dict[str, Any]:
    """Return the flags that stand at the top of a job file."""
    found: dict[str, Any] = {}
    if flags.procs is not None:
        found["procs"] = flags.procs
    if flags.max_fail is not None:
        found["max_fail"] = limit_word(flags.max_fail)
    if flags.deadline is not None:
        found["deadline"] = f"{flags.deadline:.12g}s"
    return found


def task_limits(flags: Flags) -> dict[str, Any]:
    """Return the flags that are modifiers of a task."""
    found: dict[str, Any] = {}
    if flags.timeout is not None:
        found["timeout"] = f"{flags.timeout:.12g}s"
    if flags.retries is not None:
        found["retries"] = flags.retries
    return found


def load_made(text: str, command: str, *, insecure: bool = False) -> api.LoadedJob:
    """Load the text that a command line was made into; relative paths are those of here.

    Args:
        text: The job.
        command: What it was made of.
        insecure: As root, take files that others can write.

    Raises:
        UsageError: the command line asks for something that the language does not have.
        NodeSetError: a node set cannot be read, or means no host.
        JobFileError: another file that it names has mistakes, such as the inventory.
    """
    try:
        options = api.LoadOptions(insecure_permissions=insecure)
        return api.load_text(text, file=command, base_dir=os.getcwd(), options=options)
    except JobFileError as error:
        others = [problem for problem in error.problems if problem.file != command]
        if others:
            raise JobFileError(others) from error
        # Lines and paths of a text that nobody has seen help nobody.
        sentences = "; ".join(dict.fromkeys(problem.message for problem in error.problems))
        paths = [problem.path for problem in error.problems]
        if any(path.endswith(".hosts") or path.startswith("inventory") for path in paths):
            raise NodeSetError(sentences) from error
        raise UsageError(sentences) from error


def save(path: Path, text: str) -> None:
    """Write a job file; only one that was written here before is replaced.

    Raises:
        UsageError: another file is there, or it cannot be written.
    """
    try:
        if os.path.lexists(path) and not _is_ours(path):
            message = f"--save: {path} exists already and was written by hand; choose another name"
            raise UsageError(message)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"--save: {path} cannot be written: {error.strerror}"
        raise UsageError(message) from error


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MARK)) == _MARK.encode()
