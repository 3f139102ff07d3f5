"""Which exit code a run has: a pure function of what its events said."""

from dataclasses import dataclass

from batchrun.engine.stops import Stop, StopKind
from batchrun.model.counts import Tally
from batchrun.model.exitcode import ExitCode

__all__ = ["Trouble", "exit_code"]

_OF_STOP = {
    StopKind.INTERRUPT: ExitCode.INTERRUPTED,
    StopKind.INSIST: ExitCode.INTERRUPTED,
    StopKind.TERMINATE: ExitCode.TERMINATED,
    StopKind.HANGUP: ExitCode.HANGUP,
    StopKind.DEADLINE: ExitCode.DEADLINE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What went wrong beside units, and what explains that some of them did."""

    #: Something of batchrun itself failed: a sink, the accounting.
    broken: bool = False
    #: A fail limit ended a task or the job.
    limit_hit: bool = False
    #: Some `foreach` could not be read to its end.
    source_failed: bool = False
    #: Of the aborted units, those that are it only because a host was unreachable.
    away: int = 0


def exit_code(total: Tally, *, stop: Stop | None, trouble: Trouble) -> ExitCode:
    """Decide; when several apply: signal, deadline, 1, 5, 2, 4, in that order.

    Args:
        total: The counts of the whole run; units with `ignore_errors` count for nothing.
        stop: Why the run ended early.
        trouble: What else is known.
    """
    if stop is not None and stop.kind in _OF_STOP:
        return _OF_STOP[stop.kind]
    if trouble.broken or not total.accounted:
        return ExitCode.INTERNAL
    if trouble.limit_hit:
        return ExitCode.FAIL_LIMIT
    failed = sum(
        total.counted(kind) for kind in ("failed", "timed_out", "lost", "cancelled", "aborted")
    )
    if failed > trouble.away or trouble.source_failed:
        return ExitCode.FAILED
    return ExitCode.UNREACHABLE if total.counted("unreachable") else ExitCode.OK
