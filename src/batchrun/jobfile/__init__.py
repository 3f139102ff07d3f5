"""The job file: YAML text to a job and its units.

    text ──document──► data ──entries──► entries ──tasks──► plans ──stream──► units

Reading a file runs nothing. Everything that is the same for all units of a task is computed at
load; templates that need an item, or the run, are compiled once and rendered as units are drawn.
The heavy libraries (yaml, jinja2) are loaded by the first call, not by the import.
"""

import os
from typing import TYPE_CHECKING, Any

from batchrun.jobfile.options import LoadOptions
from batchrun.jobfile.places import Tables, as_tables
from batchrun.model.operation import OperationTable

if TYPE_CHECKING:
    from batchrun.jobfile.loaded import LoadedJob

__all__ = ["LoadOptions", "Tables", "json_schema", "load", "load_text"]

_NO_OPTIONS = LoadOptions()


def load(
    source: str | os.PathLike[str],
    *,
    table: OperationTable | Tables,
    options: LoadOptions = _NO_OPTIONS,
) -> "LoadedJob":
    """Load a job file; `-` is standard input.

    Args:
        source: Its path.
        table: The operations that tasks may use; a plain table has none on hosts.
        options: What the command line adds.

    Raises:
        JobFileError: it has mistakes; all of them are in it, in the order of their lines.
        UsageError: the options name what the file does not have.
    """
    from batchrun.jobfile.loading import read_file  # noqa: PLC0415 - loads yaml, jinja2

    return read_file(source, tables=as_tables(table), options=options)


def load_text(
    text: str | bytes,
    *,
    file: str,
    base_dir: str,
    table: OperationTable | Tables,
    options: LoadOptions = _NO_OPTIONS,
) -> "LoadedJob":
    """Load the text of a job file.

    Args:
        text: UTF-8 when it is bytes.
        file: Its name, for messages.
        base_dir: Against which relative paths resolve.
        table: The operations that tasks may use; a plain table has none on hosts.
        options: What the command line adds.

    Raises:
        JobFileError: it has mistakes; all of them are in it, in the order of their lines.
        UsageError: the options name what the file does not have.
    """
    from batchrun.jobfile.loading import read_text  # noqa: PLC0415 - loads yaml, jinja2

    return read_text(
        text,
        file=file,
        base_dir=base_dir,
        tables=as_tables(table),
        options=options,
    )


def json_schema(table: OperationTable | Tables) -> dict[str, Any]:
    """Return the JSON Schema of a job file with these operations, here and on hosts."""
    from batchrun.jobfile.exported import job_schema  # noqa: PLC0415 - few want it

    return job_schema(as_tables(table))
