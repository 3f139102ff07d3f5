"""`--metrics`: what the last run came to, for the textfile collector of Prometheus."""

import contextlib
import os
import re
from collections.abc import Iterator

from batchrun.model.counts import Counts, Tally, fold
from batchrun.model.event import Event, RunEnded, RunStarted
from batchrun.model.exitcode import ExitCode
from batchrun.model.outcome import KINDS
from batchrun.report.newfile import new_file
from batchrun.report.records import clean

__all__ = ["MetricsSink"]

#: The collector runs as another user, whatever the umask of a cron job.
_MODE = 0o644
#: Metrics that are written for every run, with what `# HELP` says of them.
_HELP = {
    "batchrun_units": "Units of the last run, by outcome.",
    "batchrun_units_planned": "Units that the last run had planned.",
    "batchrun_units_changed": "Units of the last run that changed something.",
    "batchrun_units_ignored": "Units of the last run whose failure is ignored.",
    "batchrun_attempts_retried": "Attempts of the last run after which another one followed.",
    "batchrun_start_timestamp_seconds": "When the last run began, in seconds since the epoch.",
    "batchrun_end_timestamp_seconds": "When the last run ended, in seconds since the epoch.",
    "batchrun_duration_seconds": "How long the last run took.",
    "batchrun_exit_code": "Exit code of the last run; 0 is good.",
    "batchrun_success_timestamp_seconds": "When a run last ended with exit code 0.",
}
_SUCCESS = "batchrun_success_timestamp_seconds"
#: A file of ours is a hundredth of it.
_MOST_BYTES = 256 * 1024


class MetricsSink:
    """Writes the file when the run has ended, under a temporary name that is then renamed.

    The time of the last success is taken over from the file that was there, so that it is known
    also after a failure. A run that broke is written as one that failed, without an end. A dry
    run writes no file.

    Args:
        path: The file; the collector reads only names that end in `.prom`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._counts = Counts()
        #: The run that is to be written; None: it was, or never began.
        self._started: RunStarted | None = None

    def handle(self, event: Event) -> None:
        """Take one event; the last one writes the file.

        Raises:
            OSError: it cannot be written.
        """
        fold(self._counts, event)
        if isinstance(event, RunStarted) and not event.dry_run:
            self._started = event
        elif isinstance(event, RunEnded):
            self._write(event)

    def close(self) -> None:
        """Write the file of a run that broke.

        Raises:
            OSError: it cannot be written.
        """
        self._write(None)

    def _write(self, ended: RunEnded | None) -> None:
        """Write the file, once."""
        started, self._started = self._started, None
        if started is None:
            return
        label = f'job="{_escaped(started.job_name)}"'
        values = _values(started, ended, self._counts.total)
        if _SUCCESS not in values and (before := _last_success(self._path, label)) is not None:
            values[_SUCCESS] = before
        lines: list[str] = []
        for name, about in _HELP.items():
            samples = list(_samples(name, label, values, self._counts.total))
            if samples:
                lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge", *samples]
        with new_file(self._path, mode=_MODE) as file:
            file.write("".join(f"{line}\n" for line in lines).encode())


def _values(started: RunStarted, ended: RunEnded | None, total: Tally) -> dict[str, str]:
    """Return the value of each metric that has one, as text."""
    values = {
        "batchrun_units_planned": str(total.planned),
        "batchrun_units_changed": str(total.changed),
        "batchrun_units_ignored": str(total.ignored),
        "batchrun_attempts_retried": str(total.retried),
        "batchrun_start_timestamp_seconds": f"{started.at:.3f}",
        "batchrun_exit_code": str(int(ExitCode.INTERNAL)),
    }
    if ended is not None:
        values["batchrun_exit_code"] = str(int(ended.exit_code))
        values["batchrun_end_timestamp_seconds"] = f"{ended.at:.3f}"
        values["batchrun_duration_seconds"] = f"{ended.duration_s:.3f}"
        if ended.exit_code == ExitCode.OK:
            values[_SUCCESS] = f"{ended.at:.3f}"
    return values


def _samples(name: str, label: str, values: dict[str, str], total: Tally) -> Iterator[str]:
    """Write the lines of a metric."""
    if name == "batchrun_units":
        for kind in KINDS:
            yield f'{name}{{{label},outcome="{kind}"}} {total.ended[kind]}'
    elif name in values:
        yield f"{name}{{{label}}} {values[name]}"


def _last_success(path: str, label: str) -> str | None:
    """Read from the file that is there when this job last ended well."""
    pattern = re.escape(f"{_SUCCESS}{{{label}}} ") + r"(\d+\.\d+)"
    text = ""
    if not os.path.isfile(path):  # a pipe would be waited for
        return None
    with contextlib.suppress(OSError), open(path, "rb") as file:
        text = file.read(_MOST_BYTES).decode("utf-8", "replace")
    found = re.search(f"^{pattern}$", text, re.MULTILINE)
    return found[1] if found else None


def _escaped(text: str) -> str:
    """Write the value of a label."""
    return clean(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
