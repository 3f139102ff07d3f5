"""`batchrun upload` and `batchrun download`: files to many hosts, and from them."""

import os
from typing import Any

from batchrun.cli.fleetjob import fleet_job, host_task, run_fleet
from batchrun.cli.jobtext import literal
from batchrun.cli.onceflags import TransferFlags
from batchrun.errors import UsageError
from batchrun.ops.paths import escape

__all__ = ["download_text", "run_download", "run_upload", "upload_text"]

#: What tells hosts apart in the name of a destination, as it is typed and as it is written.
_HOST = "{{ host }}"


def run_upload(flags: TransferFlags) -> int:
    """Copy files to hosts; return the exit code.

    Raises:
        UsageError: no source or destination, or no hosts.
        NodeSetError: a node set cannot be read.
    """
    return run_fleet("upload", upload_text(flags), flags, None)


def run_download(flags: TransferFlags) -> int:
    """Copy files from hosts; return the exit code.

    Raises:
        As `run_upload`.
    """
    return run_fleet("download", download_text(flags), flags, None)


def upload_text(flags: TransferFlags) -> str:
    """Write the equivalent job file; relative sources are those of here.

    Raises:
        UsageError: no source or destination, no hosts, or a pattern that is none for the shell.
    """
    sources, dest = _ends(flags)
    here = [_here(source) for source in sources]
    return _text("upload", flags, {"src": here if len(here) > 1 else here[0], "dest": _there(dest)})


def download_text(flags: TransferFlags) -> str:
    """Write the equivalent job file; each host has a directory of its own below the destination.

    Raises:
        UsageError: no source or destination, or no hosts.
    """
    sources, dest = _ends(flags)
    there = [_there(source) for source in sources]
    if _HOST not in dest:
        dest = f"{dest.rstrip('/')}/{_HOST}/"
    head, mark, rest = dest.partition(_HOST)
    # A name may hold what looks like another template.
    own = literal(_absolute(head))
    values = {"src": there if len(there) > 1 else there[0], "dest": f"{own}{mark}{literal(rest)}"}
    return _text("download", flags, values)


def _ends(flags: TransferFlags) -> tuple[list[str], str]:
    paths = flags.paths or []
    if len(paths) < 2:
        message = "name at least one source, and behind it the destination"
        raise UsageError(message)
    return paths[:-1], paths[-1]


def _here(path: str) -> str:
    """Write a path of this machine, which the shell has expanded already.

    Raises:
        UsageError: it is a pattern for which the shell found nothing, or which it was not given.
    """
    end = "/" if path.endswith("/") else ""
    here = os.path.abspath(os.path.expanduser(path))
    if escape(here) != here and not os.path.lexists(here):
        message = f"there is no {path}; a pattern is for the shell here: write it without quotes"
        raise UsageError(message)
    return literal(escape(here) + end)


def _absolute(head: str) -> str:
    """Make the beginning of a path absolute; it may end within a name."""
    directory, name = os.path.split(head)
    return os.path.join(os.path.abspath(os.path.expanduser(directory)), name)


def _there(path: str) -> str:
    """Write a path of the hosts, where patterns are expanded; relative to the login directory."""
    return path if _HOST in path else literal(path)


def _text(command: str, flags: TransferFlags, values: dict[str, Any]) -> str:
    task = {"name": command, "id": command, **host_task(flags), command: values}
    return fleet_job(command, flags, task)
