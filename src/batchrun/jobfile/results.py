"""What `register` keeps.

Results are kept as long as the run goes: an entry for each unit of a task that registers, with at
most 1 MiB of output each and 64 MiB in all.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from batchrun.jobfile.problems import did_you_mean
from batchrun.jobfile.records import (
    Lookup,
    Origin,
    Registration,
    TaskResult,
    UnitResult,
    empty_result,
)
from batchrun.model.event import Kept
from batchrun.model.outcome import Captured, Failed, Ok, Outcome, Report, Skipped

__all__ = ["CAPTURE_BYTES", "Results"]

_MOST_BYTES = 1024 * 1024
_MOST_BYTES_OF_RUN = 64 * _MOST_BYTES
#: One byte more than is kept tells a value that is too long from one that just fits.
CAPTURE_BYTES = _MOST_BYTES + 1
_UNKNOWN = "unknown until run"


class Results:
    """The results of one run."""

    def __init__(self, registered: Mapping[str, Registration]) -> None:
        self._registered = registered
        self._units: dict[str, dict[int, UnitResult]] = {name: {} for name in registered}
        #: By item and host.
        self._by_key: dict[str, dict[tuple[str, str], list[int]]] = {
            name: defaultdict(list) for name in registered
        }
        self._tasks = {name: TaskResult(one, self._units[name]) for name, one in registered.items()}
        self._bytes = 0
        #: `results` in templates.
        self.view = Lookup(self._of_task)

    def keep(self, name: str, origin: Origin, report: Report, *, rehearsed: bool) -> Report:
        """Keep the result of an attempt, instead of that of an earlier one.

        Args:
            name: As it is registered.
            origin: The unit.
            report: What came of it.
            rehearsed: Only a dry run has ended it, without doing its work.

        Returns:
            The report; with another outcome when it wrote more than can be kept.
        """
        stdout, outcome = report.output.stdout, report.outcome
        if stdout.omitted_bytes or stdout.size_bytes > _MOST_BYTES:
            report = replace(report, outcome=_too_much(name, outcome, "a result can have (1 MiB)"))
            stdout = Captured()
        data = stdout.head + stdout.tail
        if self._bytes + len(data) > _MOST_BYTES_OF_RUN:
            what = "all results of a run can have (64 MiB)"
            report = replace(report, outcome=_too_much(name, outcome, what))
            data = b""
        unknown = _unknown(name, outcome, rehearsed=rehearsed)
        self._put(name, UnitResult(origin, report.outcome, data, unknown))
        return report

    def keep_unrun(self, name: str, origin: Origin, outcome: Outcome) -> None:
        """Keep how a unit ended that was not run at all."""
        self._put(name, UnitResult(origin, outcome, b"", _unknown(name, outcome)))

    def restore(self, origin: Origin, kept: Kept) -> None:
        """Take over what an equal unit registered in an earlier run."""
        if kept.name in self._units:
            self._put(kept.name, UnitResult(origin, kept.outcome, kept.data))

    def kept(self, name: str, index: int) -> Kept | None:
        """Return what a unit has registered, for the record; None: nothing, or it is not known."""
        result = self._units[name].get(index)
        return None if result is None else result.as_kept(name)

    def _put(self, name: str, result: UnitResult) -> None:
        units = self._units[name]
        before = units.get(result.index)
        if before is None:
            self._by_key[name][result.target].append(result.index)
        else:
            self._bytes -= before.size_bytes
        units[result.index] = result
        self._bytes += result.size_bytes

    def forget(self, name: str, origin: Origin) -> None:
        """Drop the result of a unit that begins anew."""
        gone = self._units[name].pop(origin.index, None)
        if gone is not None:
            self._bytes -= gone.size_bytes
            self._by_key[name][origin.target].remove(origin.index)

    def of_unit(self, name: str, index: int) -> UnitResult:
        """Return what was kept of a unit, which must have been."""
        return self._units[name][index]

    def _of_task(self, name: str) -> TaskResult:
        found = self._tasks.get(name)
        if found is None:
            message = f"nothing is registered as `{name}`{did_you_mean(name, self._tasks)}"
            raise ValueError(message)
        return found

    def mine(self, name: str, key: str, host: str) -> UnitResult:
        """Return the result of the unit with the same item and host.

        Of a task that is for no hosts, or has no items, this does not count.

        Raises:
            ValueError: there is not exactly one.
        """
        self._of_task(name)
        registration = self._registered[name]
        indices = self._by_key[name].get(registration.target(key, host), ())
        if len(indices) == 1:
            return self._units[name][indices[0]]
        if not indices and (registration.single or registration.step is not None):
            return empty_result(Origin(index=1, key=key, host=host))
        found = f"{len(indices)} units" if indices else "no unit"
        of = f" with the item {key!r}" if registration.with_items else ""
        of += f" on {host}" if registration.on_hosts else ""
        message = f"`mine.{name}`: `{registration.task_id}` has {found}{of}"
        raise ValueError(message)


def _unknown(name: str, outcome: Outcome, *, rehearsed: bool = False) -> str:
    """Say why a result is not known; empty: it is."""
    if isinstance(outcome, Skipped) and outcome.is_unknown:
        return outcome.because
    if rehearsed:
        return f"{_UNKNOWN}: it uses the result of `{name}`, which a dry run does not run"
    return ""


def _too_much(name: str, outcome: Outcome, what: str) -> Outcome:
    if not isinstance(outcome, Ok):
        return outcome
    return Failed(
        message=(
            f"it wrote more output than {what}, and `register: {name}` keeps it whole; write it "
            "to a file, or register a command that writes less"
        ),
        exit_status=outcome.exit_status,
        retryable=False,
    )
