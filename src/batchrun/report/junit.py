"""`--junit`: JUnit XML, a test suite for each task and a test case for each unit."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from batchrun.model.event import Event, RunEnded, RunStarted, TaskEnded, UnitEnded
from batchrun.model.exitcode import ExitCode
from batchrun.report.junitcase import Verdict, case_of, element, suite_start, verdict_of
from batchrun.report.newfile import new_file
from batchrun.report.taskspool import TaskSpool

__all__ = ["JunitSink"]


@dataclass(slots=True)
class _Suite:
    """The numbers of a task, which its suite begins with."""

    tests: int = 0
    failures: int = 0
    errors: int = 0
    skipped: int = 0
    time_s: float = 0.0
    #: Begin of the first unit that was run, seconds since the epoch; 0.0: none was.
    began_at: float = 0.0

    def add(self, verdict: Verdict, duration_s: float, started_at: float) -> None:
        """Count a test case."""
        self.tests += 1
        self.failures += verdict is Verdict.FAILURE
        self.errors += verdict is Verdict.ERROR
        self.skipped += verdict is Verdict.SKIPPED
        self.time_s += duration_s
        if started_at and (not self.began_at or started_at < self.began_at):
            self.began_at = started_at


class JunitSink:
    """Writes the file when the run has ended, also when it broke.

    Test cases wait in a file without a name, so that a million units need no memory. A run that
    did not end well though every unit did (a deadline before anything began, a source that cannot
    be read) has a test case that says so: who looks at nothing but this file must see it. A dry
    run writes no file.

    Args:
        path: The file.
        spool_dir: Where test cases wait; None: where temporary files go.
    """

    def __init__(self, path: str, *, spool_dir: str | None = None) -> None:
        self._path = path
        self._spool = TaskSpool(spool_dir)
        self._suites: dict[str, _Suite] = {}
        self._names: dict[str, str] = {}
        self._not_expanded: dict[str, str] = {}
        #: The run that is to be written; None: it was, cannot be, or never began.
        self._started: RunStarted | None = None

    def handle(self, event: Event) -> None:
        """Take one event; the last one writes the file.

        Raises:
            OSError: it, or the temporary file, cannot be written.
        """
        try:
            self._take(event)
        except OSError:
            self._started = None
            raise

    def close(self) -> None:
        """Write the file of a run that broke, and let go of what waited.

        Raises:
            OSError: it cannot be written.
        """
        started, self._started = self._started, None
        try:
            if started is not None:
                self._write(started, None)
        finally:
            with contextlib.suppress(OSError):
                self._spool.close()

    def _take(self, event: Event) -> None:
        started = self._started
        match event:
            case RunStarted() if not event.dry_run:
                self._started = event
                self._names = dict(event.tasks)
                self._suites = {task_id: _Suite() for task_id in self._names}
            case UnitEnded() if started is not None:
                self._unit_ended(started, event)
            case TaskEnded() if started is not None:
                self._task_ended(started, event)
            case RunEnded() if started is not None:
                self._started = None
                self._write(started, event)
            case _:
                pass

    def _unit_ended(self, started: RunStarted, event: UnitEnded) -> None:
        """Put the test case of a unit aside."""
        unit, report = event.unit, event.report
        name = self._names.get(unit.task_id, unit.task_id)
        case = case_of(event, class_name=f"{started.job_name}.{unit.task_id}", name=name)
        self._suite(unit.task_id).add(verdict_of(event), report.duration_s, report.started_at)
        self._spool.add(unit.task_id, case.encode())

    def _task_ended(self, started: RunStarted, event: TaskEnded) -> None:
        """Take note of why a task has less units than it should."""
        if event.not_expanded:
            self._not_expanded[event.task_id] = event.not_expanded
        if event.source_error:
            verdict = Verdict.SKIPPED if event.good else Verdict.ERROR
            inner = element(verdict.value, type="source", message=event.source_error)
            class_name = f"{started.job_name}.{event.task_id}"
            case = element("testcase", inner, name="items", classname=class_name, time="0.000")
            self._suite(event.task_id).add(verdict, 0.0, 0.0)
            self._spool.add(event.task_id, f"{case}\n".encode())

    def _suite(self, task_id: str) -> _Suite:
        return self._suites.setdefault(task_id, _Suite())

    # ---- at the end -----------------------------------------------------------------------

    def _write(self, started: RunStarted, ended: RunEnded | None) -> None:
        """Write the file."""
        last = self._about_run(started, ended)
        suites = [*self._suites.values(), *([_Suite(tests=1, errors=1)] if last else [])]
        attributes = {
            "name": started.job_name,
            "tests": str(sum(suite.tests for suite in suites)),
            "failures": str(sum(suite.failures for suite in suites)),
            "errors": str(sum(suite.errors for suite in suites)),
        }
        if ended is not None:
            attributes["time"] = f"{ended.duration_s:.3f}"
        with new_file(self._path) as file:
            file.write(b'<?xml version="1.0" encoding="UTF-8"?>\n')
            file.write(suite_start("testsuites", attributes).encode())
            for number, task_id in enumerate(self._suites):
                self._write_suite(file, number, task_id, _properties(started, ended))
            file.write(f"{last}</testsuites>\n".encode())

    def _write_suite(
        self, file: BinaryIO, number: int, task_id: str, properties: dict[str, str]
    ) -> None:
        """Write the suite of a task."""
        suite = self._suites[task_id]
        properties["task"] = task_id
        if task_id in self._not_expanded:
            properties["not_expanded"] = self._not_expanded[task_id]
        attributes = {"name": self._names.get(task_id, task_id), "id": str(number)}
        if suite.began_at:
            # Readers disagree about time zones, so there is none: it is UTC.
            attributes["timestamp"] = time.strftime(
                "%Y-%m-%dT%H:%M:%S", time.gmtime(suite.began_at)
            )
        start = suite_start("testsuite", attributes | _numbers(suite))
        file.write(f"{start}{_written(properties)}".encode())
        file.writelines(self._spool.read(task_id))
        file.write(b"</testsuite>\n")

    def _about_run(self, started: RunStarted, ended: RunEnded | None) -> str:
        """Write a suite that says what no unit says; empty: there is nothing of that kind."""
        is_red = any(suite.failures or suite.errors for suite in self._suites.values())
        if ended is not None and (ended.exit_code == ExitCode.OK or is_red):
            return ""
        code = ExitCode.INTERNAL if ended is None else ended.exit_code
        why = "the run broke" if ended is None else ended.stopped or f"exit code {int(code)}"
        error = element("error", type="run", message=why)
        case = element("testcase", error, name="run", classname=started.job_name, time="0.000")
        start = suite_start(
            "testsuite",
            {"name": "run", "id": str(len(self._suites)), **_numbers(_Suite(tests=1, errors=1))},
        )
        return f"{start}{_written(_properties(started, ended))}{case}\n</testsuite>\n"


def _numbers(suite: _Suite) -> dict[str, str]:
    """Return the attributes of a suite that are numbers."""
    return {
        "tests": str(suite.tests),
        "failures": str(suite.failures),
        "errors": str(suite.errors),
        "skipped": str(suite.skipped),
        "time": f"{suite.time_s:.3f}",
    }


def _properties(started: RunStarted, ended: RunEnded | None) -> dict[str, str]:
    """Return what is known about the run as a whole."""
    properties = {"run_id": started.run_id, "job": started.job_name}
    if ended is not None:
        properties["exit_code"] = str(int(ended.exit_code))
        if ended.stopped:
            properties["stopped"] = ended.stopped
    return properties


def _written(properties: dict[str, str]) -> str:
    """Write properties."""

    def lines() -> Iterator[str]:
        for name, value in properties.items():
            yield element("property", name=name, value=value)

    return element("properties", "".join(lines())) + "\n"
