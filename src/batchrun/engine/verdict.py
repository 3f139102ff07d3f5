"""Which exit code a run has: a pure function of what its events said."""

from batchrun.engine.stops import Stop, StopKind
from batchrun.model.counts import Tally
from batchrun.model.exitcode import ExitCode

__all__ = ["exit_code"]

_OF_STOP = {
    StopKind.INTERRUPT: ExitCode.INTERRUPTED,
    StopKind.INSIST: ExitCode.INTERRUPTED,
    StopKind.TERMINATE: ExitCode.TERMINATED,
    StopKind.HANGUP: ExitCode.HANGUP,
    StopKind.DEADLINE: ExitCode.DEADLINE,
}


def exit_code(
    total: Tally, *, stop: Stop | None, broken: bool, limit_hit: bool, source_failed: bool
) -> ExitCode:
    """Decide; when several apply: signal, deadline, 1, 5, 2, 4, in that order.

    Args:
        total: The counts of the whole run; units with `ignore_errors` count for nothing.
        stop: Why the run ended early.
        broken: Something of batchrun itself failed: a sink, the accounting.
        limit_hit: A fail limit ended a task or the job.
        source_failed: Some `foreach` could not be read to its end.
    """
    if stop is not None and stop.kind in _OF_STOP:
        return _OF_STOP[stop.kind]
    if broken or not total.accounted:
        return ExitCode.INTERNAL
    if limit_hit:
        return ExitCode.FAIL_LIMIT
    failed = sum(
        total.counted(kind) for kind in ("failed", "timed_out", "lost", "cancelled", "aborted")
    )
    if failed or source_failed:
        return ExitCode.FAILED
    return ExitCode.UNREACHABLE if total.counted("unreachable") else ExitCode.OK
