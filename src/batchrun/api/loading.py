"""Job files, read with all operations that there are."""

import os

from batchrun.jobfile import LoadOptions, Tables
from batchrun.jobfile import load as _load
from batchrun.jobfile import load_text as _load_text
from batchrun.jobfile.loaded import LoadedJob
from batchrun.model.operation import OperationTable
from batchrun.plugins import HOST_OPERATIONS, OPERATIONS

__all__ = ["all_tables", "host_operations", "load", "load_text", "operations"]


def operations() -> OperationTable:
    """Return every operation on this machine, by name."""
    return OPERATIONS


def host_operations() -> OperationTable:
    """Return every operation on hosts, by name."""
    return HOST_OPERATIONS


def all_tables() -> Tables:
    """Return both tables."""
    return Tables(here=OPERATIONS, on_hosts=HOST_OPERATIONS)


def load_text(
    text: str, *, file: str, base_dir: str, options: LoadOptions | None = None
) -> LoadedJob:
    """Read the text of a job file; nothing is run.

    Args:
        text: YAML or JSON.
        file: A name for messages.
        base_dir: Against which relative paths resolve.
        options: Variables and selections from outside the text.

    Raises:
        JobFileError: it has mistakes; it carries all of them.
    """
    return _load_text(
        text,
        file=file,
        base_dir=base_dir,
        table=all_tables(),
        options=options or LoadOptions(),
    )


def load(path: str | os.PathLike[str], options: LoadOptions | None = None) -> LoadedJob:
    """Read a job file; nothing is run.

    Args:
        path: The file; `-` reads standard input.
        options: Variables and selections from outside the file.

    Raises:
        JobFileError: the file has mistakes; it carries all of them.
    """
    return _load(
        path,
        table=all_tables(),
        options=options or LoadOptions(),
    )
