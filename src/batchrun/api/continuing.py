"""A run that goes on with an earlier one: what is left of it, and the job as it is now."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from batchrun.api.loading import all_tables
from batchrun.engine.presence import alive, holders_text, presence_path
from batchrun.errors import JournalError, LockHeldError, UsageError
from batchrun.jobfile import LoadOptions, Tables
from batchrun.jobfile import load as _load
from batchrun.jobfile import load_text as _load_text
from batchrun.jobfile.loaded import LoadedJob
from batchrun.jobfile.spooled import spool_path
from batchrun.journal.alive import RunLock, current_boot_id
from batchrun.journal.earlier import (
    EarlierRuns,
    left_over,
    rerun,
    resume,
)
from batchrun.journal.history import LAST, History
from batchrun.journal.places import StateDir, unusable
from batchrun.journal.recorded import Recorded
from batchrun.model.record import Continues, RunRecord

__all__ = ["Continuation", "Wanted", "continuation"]

#: How often somebody looks whether a killed run has come to its end, in seconds.
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which run is gone on with, and how."""

    how: Continues
    #: `last`, an id, or a part of one that is like no other.
    run: str = LAST
    #: A rerun: only these kinds of outcome; empty: all that is not ok.
    kinds: tuple[str, ...] = ()
    #: Use the job file's text in the record, not the file.
    as_recorded: bool = False
    #: Instead of what was said the first time (`LoadOptions`); None: as it was.
    retries: int | None = None
    timeout_s: float | None = None
    insecure_permissions: bool = False
    #: Instead of the inventory of the first time; empty: that one.
    inventory: str = ""
    #: Node sets: each task keeps of its hosts only these, of those that it had the first time.
    hosts: tuple[str, ...] = ()
    #: Node sets: no task keeps these.
    exclude: tuple[str, ...] = ()
    #: As in `LoadOptions`, instead of what was said the first time; empty or False: as it was.
    batch: tuple[str, ...] = ()
    sudo: bool = False
    asks_sudo_password: bool = False
    #: How long what a killed run has started may still take to end, in seconds.
    patience_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuation:
    """A job that was loaded to go on with a run."""

    how: Continues
    #: The run that is gone on with.
    previous: str
    #: The first run of all that go on with each other: its time and variables are those of all.
    first: RunRecord
    loaded: LoadedJob
    earlier: EarlierRuns
    #: Sentences for people.
    notes: tuple[str, ...] = ()
    #: What its command line added (`Words.options`).
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Where the items of the first run are that could be read only once.
    items_dir: str = ""
    #: Every run that does the same job, oldest first.
    family: tuple[str, ...] = ()
    #: Hosts are left out that the first run had.
    narrowed: bool = False

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold off whoever else goes on with the same run, until this one is on record.

        Raises:
            LockHeldError: somebody was faster.
            JournalError: nobody can tell.
        """
        state = StateDir.own()
        try:
            lock = RunLock(state.run(self.family[0]).turn)
        except OSError as error:
            raise JournalError(unusable(state.path, error.strerror)) from error
        try:
            with History(state) as history:
                others = set(history.family(self.previous)) - set(self.family)
            if others:
                message = (
                    f"run {max(others)} has begun to go on with run {self.previous} meanwhile; "
                    "wait for it, and see what is left then"
                )
                raise LockHeldError(message)
            yield
        finally:
            lock.release()

    def last_words(self) -> Sequence[str]:
        """Say what was done before and is no longer planned; nothing, if that cannot be read."""
        # What is left out on purpose this time is still planned.
        if self.how != "resume" or self.narrowed or not len(self.earlier.ok):
            return ()
        job = self.loaded.job
        task_ids = [task.id for task in (*job.tasks, *job.final_tasks)]
        try:
            with ExitStack() as stack, History(StateDir.own()) as history:
                family = [stack.enter_context(history.open(one)) for one in self.family]
                sentence = left_over(self.earlier, family, task_ids)
        except JournalError as error:  # somebody has removed them: this run has its own record
            sentence = f"nobody can tell what is no longer planned: {error}"
        return (sentence,) if sentence else ()


def continuation(wanted: Wanted, tables: Tables | None = None) -> Continuation:
    """Find a run to go on with, load its job once more, and find out what is left of it.

    To be given to `run`, with its `loaded` job, as `RunConfig.goes_on`.

    Args:
        wanted: Which run, and how.
        tables: The operations that there are; None: all.

    Raises:
        UsageError: no run, or more than one, is meant.
        LockHeldError: it, or one that goes on with it, is still running, or was killed and has
            left something running.
        JournalError: a record cannot be read.
        JobFileError: the job file has mistakes now.
    """
    tables = tables or all_tables()
    with ExitStack() as stack, History(StateDir.own()) as history:
        run_id = history.find(wanted.run)
        ids = history.family(run_id)
        family = [stack.enter_context(history.open(one)) for one in ids]
        _check_rest(family)
        _await_rest(history.state, ids, wanted.patience_s)
        records = {one.run.run_id: one.record for one in family}
        asked, first = records[run_id], records[ids[0]]
        options = _options(asked, wanted)
        loaded, notes = _job(asked, _load_options(options, first), wanted, tables)
        items_dir = os.fspath(history.state.run(ids[0]).items)
        if not asked.job_file:
            _use_kept_items(loaded, items_dir)
        earlier = _earlier(run_id, family, wanted, tables)
        return Continuation(
            how=wanted.how,
            previous=run_id,
            first=first,
            loaded=loaded,
            earlier=earlier,
            notes=(*notes, *earlier.warnings),
            options=options,
            items_dir=items_dir,
            family=tuple(ids),
            narrowed=bool(wanted.hosts or wanted.exclude),
        )


def _use_kept_items(loaded: LoadedJob, items_dir: str) -> None:
    """Take the items of a command line from where they are kept: their own file was temporary."""
    kept = (task.id for task in loaded.job.tasks if spool_path(items_dir, task.id).exists())
    loaded.keep_items.update(kept)


def _check_rest(family: Sequence[Recorded]) -> None:
    """Refuse while one of the runs goes on.

    Raises:
        LockHeldError: one does.
    """
    for one in family:
        if one.is_alive:
            record = one.record
            message = (
                f"run {record.run_id} is still running (process {record.pid} on {record.host}); "
                "wait for it, or stop it"
            )
            raise LockHeldError(message)


def _await_rest(state: StateDir, run_ids: Sequence[str], patience_s: float) -> None:
    """Wait until nothing is left of what runs have started: killed ones leave workers behind.

    Raises:
        LockHeldError: something still is.
        JournalError: nobody can tell.
    """
    end = time.monotonic() + patience_s
    for run_id in run_ids:
        path = presence_path(state.path, run_id)
        try:
            while alive(path):
                if time.monotonic() >= end:
                    message = (
                        f"run {run_id} was killed, and what it has started is still ending"
                        f"{holders_text(path)}; wait for it, or end it"
                    )
                    raise LockHeldError(message)
                time.sleep(_LOOK_S)
        except OSError as error:
            message = f"nobody can tell whether run {run_id} has ended: {error}"
            raise JournalError(message) from error


def _earlier(
    run_id: str, family: Sequence[Recorded], wanted: Wanted, tables: Tables
) -> EarlierRuns:
    if wanted.how == "rerun":
        return rerun(run_id, family, wanted.kinds)

    def is_command(operation: str) -> bool:
        return operation not in tables or tables.any(operation).is_command

    return resume(run_id, family, boot_id=current_boot_id(), is_command=is_command)


def _job(
    asked: RunRecord, options: LoadOptions, wanted: Wanted, tables: Tables
) -> tuple[LoadedJob, tuple[str, ...]]:
    """Load the job; returns it and what people should know of it."""
    is_file = asked.job_file not in ("", "-")
    if wanted.as_recorded or not is_file:
        loaded = _load_text(
            asked.text,
            file=asked.job_file or asked.job_name,
            base_dir=asked.base_dir,
            table=tables,
            options=options,
        )
        loaded.path = asked.job_file
        return loaded, ()
    if not os.path.exists(asked.job_file):
        message = (
            f"the job file {asked.job_file} is not there any more; `batchrun {wanted.how} "
            f"{asked.run_id} --recorded` uses its text as it was"
        )
        raise UsageError(message)
    loaded = _load(asked.job_file, table=tables, options=options)
    if loaded.text == asked.text:
        return loaded, ()
    return loaded, (f"the job file {asked.job_file} has changed since run {asked.run_id}",)


def _options(asked: RunRecord, wanted: Wanted) -> dict[str, Any]:
    """Return what was said on the command line: the first time, and now."""
    given = asked.options.get("load", {})
    if not isinstance(given, Mapping):
        message = f"the record of run {asked.run_id} cannot be read: the file is damaged"
        raise JournalError(message)
    now = {"retries": wanted.retries, "timeout_s": wanted.timeout_s}
    load = {**given, **{name: value for name, value in now.items() if value is not None}}
    load["insecure_permissions"] = wanted.insecure_permissions or bool(
        given.get("insecure_permissions")
    )
    for name in ("inventory", "batch", "sudo", "asks_sudo_password"):
        load[name] = getattr(wanted, name) or given.get(name) or ""
    # What was left out the first time is left out of everything that goes on with it.
    load["exclude"] = [*given.get("exclude", ()), *wanted.exclude]
    if wanted.hosts:
        load["within"] = [*given.get("within", ()), list(given.get("hosts", ()))]
        load["hosts"] = list(wanted.hosts)
    return {**asked.options, "load": load}


def _load_options(options: Mapping[str, Any], first: RunRecord) -> LoadOptions:
    given = options["load"]
    return LoadOptions(
        recorded=first.variables,
        task_ids=tuple(given.get("task_ids", ())),
        tags=tuple(given.get("tags", ())),
        skip_tags=tuple(given.get("skip_tags", ())),
        inventory=given.get("inventory", ""),
        hosts=tuple(given.get("hosts", ())),
        within=tuple(tuple(some) for some in given.get("within", ()) if some),
        exclude=tuple(given.get("exclude", ())),
        batch=tuple(given.get("batch", ())),
        sudo=bool(given.get("sudo")),
        asks_sudo_password=bool(given.get("asks_sudo_password")),
        retries=given.get("retries"),
        timeout_s=given.get("timeout_s"),
        insecure_permissions=given["insecure_permissions"],
    )
