"""A small table of operations, and short ways to load a job and to draw its units."""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from batchrun.errors import JobFileError
from batchrun.jobfile import LoadOptions, Tables, load_text
from batchrun.jobfile.loaded import Binding, LoadedJob
from batchrun.model.operation import Context, Done, Operation, OperationTable
from batchrun.model.outcome import Failed
from batchrun.model.ports import Drawn, UnitStream
from batchrun.model.unit import Unit
from batchrun.model.values import (
    Doc,
    Mark,
    ModeText,
    PathPattern,
    PathText,
    Seconds,
    ShellText,
    SizeBytes,
)
from support import wait_until

__all__ = [
    "BASE",
    "HOST_TABLE",
    "TABLE",
    "TABLES",
    "Waker",
    "drawn",
    "loaded",
    "mistakes",
    "only_unit",
    "units",
]

BASE = "/base/dir"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    src: Annotated[tuple[PathPattern, ...], Doc("What is copied.")]
    dest: Annotated[PathText, Doc("Where it goes.")]
    if_: Annotated[Literal["different", "always"], Doc("When a file is copied.")] = "different"
    mode: Annotated[ModeText | None, Doc("The mode of the copies.")] = None
    verify: Annotated[bool, Doc("Read again and compare.")] = False
    level: Annotated[int | None, Doc("How hard to try.")] = None
    above: Annotated[SizeBytes, Doc("Only files above this size.")] = 0
    older: Annotated[Seconds | None, Doc("Only files older than this.")] = None
    ratio: Annotated[float, Doc("A number.")] = 1.0
    at_most: Annotated[int | str | None, Doc("A number or a share.")] = None
    note: Annotated[str, Doc("Any text.")] = ""
    extra: Annotated[Mapping[str, int], Doc("Named numbers.")] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    path: Annotated[tuple[PathPattern, ...], Doc("What is deleted.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    command: Annotated[ShellText | tuple[str, ...], Doc("What is run.")]
    env: Annotated[Mapping[str, str], Doc("Environment.")] = field(default_factory=dict)
    cwd: Annotated[PathText | None, Doc("Directory.")] = None
    stdin: Annotated[str | None, Doc("Standard input.")] = None
    shell: Annotated[str, Doc("Shell.")] = "/bin/sh"
    ok_codes: Annotated[tuple[int, ...], Doc("Success.")] = (0,)
    changed_codes: Annotated[tuple[int, ...], Doc("Changed.")] = ()
    readonly: Annotated[bool, Doc("Changes nothing.")] = False
    idle_timeout: Annotated[Seconds | None, Doc("Silence.")] = None
    sudo: Annotated[bool | str | Mapping[str, str], Doc("Somebody else."), Mark.SUDO] = False


def _nothing(params: object, context: Context) -> Done:
    del params, context
    return Done.unchanged()


def _check_copy(given: Mapping[str, Any]) -> list[str]:
    return ["`level` and `verify` exclude each other"] if {"level", "verify"} <= set(given) else []


TABLE: OperationTable = {
    "copy": Operation(
        name="copy", summary="Copy.", params=Copy, function=_nothing, main="src", check=_check_copy
    ),
    "delete": Operation(
        name="delete", summary="Delete.", params=Delete, function=_nothing, main="path"
    ),
    "run": Operation(
        name="run",
        summary="Run.",
        params=Run,
        function=_nothing,
        main="command",
        is_command=True,
        repeatable=False,
    ),
}


#: On hosts: what is there too, and what is only there.
HOST_TABLE: OperationTable = {
    "run": TABLE["run"],
    "delete": TABLE["delete"],
    "upload": replace(TABLE["copy"], name="upload", check=None),
    "download": replace(TABLE["copy"], name="download", check=None),
}
TABLES = Tables(here=TABLE, on_hosts=HOST_TABLE)


class Waker:
    """Counts how often a stream called."""

    def __init__(self) -> None:
        self.called = threading.Event()

    def __call__(self) -> None:
        self.called.set()


def loaded(
    text: str | bytes,
    *,
    base_dir: str = BASE,
    options: LoadOptions | None = None,
    table: OperationTable | Tables = TABLES,
) -> LoadedJob:
    job = load_text(
        text, file="job.yml", base_dir=base_dir, table=table, options=options or LoadOptions()
    )
    job.bind(Binding(run_id="run-1", started_at=time.time()))
    return job


def mistakes(text: str | bytes, options: LoadOptions | None = None) -> list[str]:
    """Return what is wrong with a job file, a line each; none: an empty list."""
    try:
        loaded(text, options=options)
    except JobFileError as error:
        return [str(problem) for problem in error.problems]
    return []


def drawn(stream: UnitStream, waker: Waker) -> Iterator[Unit]:
    """Draw a stream to its end, waiting where it says so."""
    while (unit := stream.draw()) is not Drawn.EXHAUSTED:
        if isinstance(unit, Unit):
            yield unit
        else:
            wait_until(waker.called.is_set, 20, "the stream calls the waker")
            waker.called.clear()


def units(job: LoadedJob, task: int = 0, scope: Mapping[str, Any] | None = None) -> list[Unit]:
    """Plan all units of a task, by its position."""
    waker = Waker()
    stream = job.open((*job.job.tasks, *job.job.final_tasks)[task].id, scope or {}, waker)
    try:
        return list(drawn(stream, waker))
    finally:
        stream.close()


def only_unit(text: str | bytes, **given: Any) -> Unit:
    """Plan the one unit of a job's first task; a failed template is a failed test."""
    (unit,) = units(loaded(text, **given))
    assert not isinstance(unit.verdict, Failed), unit.verdict.message
    return unit
