"""The record of a run: opened before it begins, tidied up behind it."""

import getpass
import logging
import os
import platform
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from batchrun.api.config import Words
from batchrun.errors import BatchrunError
from batchrun.jobfile.loaded import LoadedJob
from batchrun.journal.alive import current_boot_id
from batchrun.journal.history import History
from batchrun.journal.places import StateDir
from batchrun.journal.retention import tidy
from batchrun.journal.sink import JournalSink
from batchrun.model.record import RunRecord

if TYPE_CHECKING:  # only runs that go on with one
    from batchrun.api.continuing import Continuation

__all__ = ["open_journal", "tidy_up"]

_log = logging.getLogger("batchrun.journal")


def open_journal(
    loaded: LoadedJob, run_id: str, started_at: float, words: Words, goes_on: "Continuation | None"
) -> JournalSink:
    """Begin the record of a run.

    Raises:
        JournalError: it cannot be recorded.
        LockHeldError: another run has begun to go on with the same one.
        FileExistsError: there is a run of this id already.
    """
    from batchrun import __version__  # noqa: PLC0415 - the package itself, which imports us

    first = None if goes_on is None else goes_on.first
    record = RunRecord(
        run_id=run_id,
        job_name=loaded.job.name,
        job_file=loaded.path,
        base_dir=loaded.job.base_dir,
        text=loaded.text,
        variables=loaded.recorded_variables(),
        options=words.options,
        command_line=words.command_line,
        started_at=started_at,
        now=started_at if first is None else first.now,
        shown_id=run_id if first is None else first.shown_id,
        previous="" if goes_on is None else goes_on.previous,
        continues="" if goes_on is None else goes_on.how,
        host=platform.node(),
        user=_user(),
        pid=os.getpid(),
        version=__version__,
        python=platform.python_version(),
        boot_id=current_boot_id(),
    )
    with nullcontext() if goes_on is None else goes_on.turn():
        return JournalSink(StateDir.own(), record)


def tidy_up(run_id: str) -> None:
    """Throw old records away behind a run, but not its own; what goes wrong is only logged."""
    try:
        with History(StateDir.own()) as history:
            for old_id in tidy(history, time.time(), spared=(run_id,)):
                _log.debug("the record of run %s was old and is removed", old_id)
    except BatchrunError as error:
        _log.debug("old records cannot be removed: %s", error)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no name for this number
        return str(os.getuid())
