"""What an attempt means once it has ended: `changed_when` and `register`."""

from dataclasses import replace

from batchrun.jobfile.plan import Work
from batchrun.jobfile.records import Origin, UnknownUntilRunError, lines_of, text_of_stream
from batchrun.jobfile.rendering import Desk
from batchrun.jobfile.scope import Names
from batchrun.model.outcome import Failed, Ok, Outcome, Report

__all__ = ["judged"]


def judged(
    work: Work, desk: Desk, origin: Origin, scope: Names, report: Report
) -> tuple[Report, bool]:
    """Apply `changed_when`, then keep what is registered.

    Returns:
        The report as it shall count; and whether it is only that of a rehearsal.
    """
    outcome = report.outcome
    rehearsed = desk.dry_run and work.frame.is_command and _not_run(outcome)
    if work.frame.changed_when is not None and isinstance(outcome, Ok) and not rehearsed:
        names = _seen(work, scope, report, outcome)
        report = replace(report, outcome=_decided(work, desk, names, outcome))
    if work.frame.register:
        report = desk.results.keep(work.frame.register, origin, report, rehearsed=rehearsed)
    return report, rehearsed


def _not_run(outcome: Outcome) -> bool:
    """Tell of a command of a dry run whether it was not run: guards and `readonly` ones are."""
    return isinstance(outcome, Ok) and outcome.exit_status is None


def _seen(work: Work, scope: Names, report: Report, outcome: Ok) -> Names:
    """Return what `changed_when` sees: the unit's scope, and what the attempt made."""
    names = Names(outer=scope)
    names["changed"] = outcome.changed
    if work.frame.is_command:
        stdout = text_of_stream(report.output.stdout)
        names.update(
            stdout=stdout,
            stderr=text_of_stream(report.output.stderr),
            lines=lines_of(stdout),
            exit_status=outcome.exit_status,
        )
    return names


def _decided(work: Work, desk: Desk, names: Names, outcome: Ok) -> Outcome:
    condition = work.frame.changed_when
    if condition is None:
        return outcome
    try:
        return replace(outcome, changed=condition.compute(names))
    except ValueError as error:
        where = desk.where(work.entry.place_of("changed_when"))
        message = f"{where}: {error}"
        return Failed(message=message, exit_status=outcome.exit_status, retryable=False)
    except UnknownUntilRunError:
        return outcome
