"""What the steps of one attempt came to, and the one report that is made of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import assert_never

from batchrun.engine.joining import joined, with_everything
from batchrun.model.outcome import (
    NO_OUTPUT,
    Aborted,
    Cancelled,
    Captured,
    Failed,
    Lost,
    Ok,
    Outcome,
    Output,
    Report,
    Skipped,
    TimedOut,
    Unreachable,
)
from batchrun.model.steps import StepFailure

__all__ = ["Ledger", "why"]

_MOST_WARNINGS = 20
_MOST_NOTES = 5
#: Of all steps together; as much as is kept of a command's output.
_MOST_DIFF_CHARS = 256 * 1024


@dataclass(slots=True)
class Ledger:
    """A fold over the last attempts of the steps; grows with what a job file can write down."""

    changed: bool = False
    #: File data of all attempts of all steps.
    bytes_done: int = 0
    #: When the first one began, seconds since the epoch; 0.0: none did.
    started_at: float = 0.0
    #: Who ran the last one.
    worker: str = ""
    #: What `rescue` and `always` may know of the step that failed.
    failure: StepFailure | None = None
    #: The steps of `rescue` have all ended well.
    rescued: bool = False
    #: Ended from outside before all of `steps` had ended.
    stopped: bool = False
    #: What went wrong besides: in `rescue`, in `always`.
    _troubles: list[str] = field(default_factory=list)
    #: The step that was running when the unit's time was over, and how the unit ended by that.
    _over: tuple[str, TimedOut] | None = None
    _failed: tuple[str, Report] | None = None
    _always_failed: tuple[str, Report] | None = None
    _output: Output = NO_OUTPUT
    _notes: list[str] = field(default_factory=list)
    _warnings: list[str] = field(default_factory=list)
    _diff: str = ""
    #: Nothing is done, only told: each step that would change something is named.
    is_rehearsal: bool = False

    @property
    def troubled(self) -> bool:
        """Whether a step of `rescue` or `always` failed."""
        return bool(self._troubles)

    def attempt(self, report: Report) -> None:
        """Take in one attempt of a step, whether or not another one follows."""
        self.bytes_done += report.bytes_done
        self.started_at = self.started_at or report.started_at
        self.worker = report.worker or self.worker

    def went_well(self, step: str, report: Report) -> None:
        """Take in a step that ended as it should, or was skipped."""
        self._collect(report)
        match report.outcome:
            case Ok(changed=changed, note=note):
                self.changed |= changed
                if not note and changed and self.is_rehearsal:
                    note = "would change"
                if note:
                    self._notes.append(f"`{step}`: {note}")
            case Skipped(because=because, is_unknown=True):
                self._notes.append(f"`{step}`: {because}")
            case _:
                pass

    def ignored(self, step: str, report: Report) -> None:
        """Take in a step that failed and has `ignore_errors`."""
        self._collect(report)
        self._warn([f"step `{step}` did not end well, which is ignored: {why(report.outcome)}"])

    def failed(self, step: str, report: Report) -> None:
        """Take in the step that ended `steps`."""
        self._collect(report)
        self._failed = (step, report)
        outcome = report.outcome
        self.failure = StepFailure(
            step=step,
            outcome=outcome.kind,
            message=why(outcome),
            exit_status=outcome.exit_status if isinstance(outcome, Failed) else None,
            stdout=_text(report.output.stdout),
            stderr=_text(report.output.stderr),
        )

    def ran_out_of_time(self, step: str, report: Report, limit_s: float) -> None:
        """Take in the step that was running, or was next, when the unit's time was over."""
        outcome = report.outcome
        stuck = isinstance(outcome, TimedOut) and outcome.stuck
        over = TimedOut(limit_s=limit_s, stuck=stuck)
        self._over = (step, over)
        if self._failed is None:
            self.failed(step, replace(report, outcome=over))
        else:
            self._collect(report)

    def rescue_failed(self, step: str, report: Report) -> None:
        """Take in a step of `rescue` that failed."""
        self._collect(report)
        self._troubles.append(f"rescue step `{step}`: {why(report.outcome)}")

    def always_failed(self, step: str, report: Report) -> None:
        """Take in a step of `always` that failed."""
        self._collect(report)
        self._troubles.append(f"always step `{step}`: {why(report.outcome)}")
        if self._always_failed is None:
            self._always_failed = (step, report)

    def result(self, *, number: int, attempt: int, duration_s: float, rescue_ok: bool) -> Report:
        """Make the report of the whole unit."""
        outcome = self._outcome(rescue_ok=rescue_ok)
        blamed = None if isinstance(outcome, Ok) else (self._failed or self._always_failed)
        shown = self._output if blamed is None else blamed[1].output
        if isinstance(outcome, Cancelled):  # it has no room for words
            reason = [] if self._failed is None else [_of_step(*self._failed)]
            self._warn([*reason, *self._troubles])
        return Report(
            number=number,
            attempt=attempt,
            outcome=outcome,
            started_at=self.started_at,
            duration_s=duration_s,
            output=with_everything(shown, self._output),
            warnings=tuple(self._warnings[:_MOST_WARNINGS]),
            errors=() if blamed is None else blamed[1].errors,
            bytes_done=self.bytes_done,
            diff=self._diff,
            worker=self.worker,
        )

    def _collect(self, report: Report) -> None:
        self._output = joined([self._output, report.output])
        self._warn(report.warnings)
        room = _MOST_DIFF_CHARS - len(self._diff)
        if report.diff and room > 0:
            self._diff += report.diff if len(report.diff) <= room else f"{report.diff[:room]}\n…\n"

    def _warn(self, sentences: Iterable[str]) -> None:
        self._warnings.extend(sentences)
        del self._warnings[_MOST_WARNINGS:]

    def _outcome(self, *, rescue_ok: bool) -> Outcome:
        """Decide how the unit ended; what came first and from outside weighs most."""
        if self._over is not None:
            return replace(self._over[1], note=self._words())
        if self._failed is not None and not isinstance(self._failed[1].outcome, Cancelled):
            if self.rescued and rescue_ok and not self.troubled:
                return Ok(changed=self.changed, note=f"rescued: {_of_step(*self._failed)}")
            return self._blame(self._failed)
        if self.stopped or self._failed is not None:
            return Cancelled(was_running=True)
        return self._outcome_of_always()

    def _outcome_of_always(self) -> Outcome:
        """Decide for a unit whose `steps` all ended well."""
        if self._always_failed is None:
            return Ok(changed=self.changed, note=_few(self._notes))
        if isinstance(self._always_failed[1].outcome, Cancelled):
            return Cancelled(was_running=True)
        return self._blame(self._always_failed)

    def _blame(self, failed: tuple[str, Report]) -> Outcome:
        """Give the unit the ending of a step, and say which step it was."""
        outcome = failed[1].outcome
        match outcome:
            case Failed() | Lost() | Unreachable():
                return replace(outcome, message=self._words())
            case TimedOut():
                return replace(outcome, note=self._words())
            case _:
                return outcome

    def _words(self) -> str:
        """Say which step failed and why, whether that was rescued, and what went wrong besides."""
        words: list[str] = []
        if self._over is not None:
            step, outcome = self._over
            if self._failed is not None and self._failed[1].outcome is not outcome:
                words.append(_of_step(*self._failed))
            words.append(f"step `{step}` was not done by then")
        elif self._failed is not None:
            timed_out = isinstance(self._failed[1].outcome, TimedOut)
            # Then the outcome says the rest.
            words.append(f"step `{self._failed[0]}`" if timed_out else _of_step(*self._failed))
        if self.rescued:
            words.append("rescued")
        return "; ".join([*words, *self._troubles])


def why(outcome: Outcome) -> str:
    """Say in a sentence fragment how a step ended."""
    match outcome:
        case Failed(message=message) | Lost(message=message) | Unreachable(message=message):
            return message
        case TimedOut(limit_s=limit_s, idle=idle, note=note):
            what = "wrote nothing for" if idle else "ran longer than"
            return f"{what} {limit_s:g} s{': ' if note else ''}{note}"
        case Cancelled(was_running=was_running):
            return "stopped while it ran" if was_running else "stopped before it began"
        case Aborted(because=because) | Skipped(because=because):
            return because
        case Ok(note=note):
            return note
        case _:
            assert_never(outcome)


def _of_step(step: str, report: Report) -> str:
    return f"step `{step}`: {why(report.outcome)}"


def _few(notes: list[str]) -> str:
    """Join notes; of many only the first ones."""
    more = len(notes) - _MOST_NOTES
    return "; ".join([*notes[:_MOST_NOTES], *([f"and {more} more"] if more > 0 else [])])


def _text(stream: Captured) -> str:
    """Return what was kept of a stream as text; bytes that are not UTF-8 become surrogates."""
    return (stream.head + stream.tail).decode("utf-8", "surrogateescape")
