"""The ways in which a run can end before its time."""

from dataclasses import dataclass
from enum import Enum

__all__ = ["FINALLY_LIMIT_S", "Stop", "StopKind"]

#: How long `finally` tasks may take in all once a run was stopped, in seconds.
FINALLY_LIMIT_S = 300.0


class StopKind(Enum):
    """Who wants the run to end, and how urgently."""

    #: First SIGINT: what runs may finish.
    INTERRUPT = "interrupted"
    #: SIGTERM, SIGHUP: what runs may go on for the grace.
    TERMINATE = "terminated"
    HANGUP = "hung up"
    #: A further signal: everything stops now, `finally` is skipped.
    INSIST = "interrupted again"
    #: The time of the whole run is over: what runs is stopped.
    DEADLINE = "the deadline was reached"
    #: Too much failed: what runs may finish.
    FAIL_LIMIT = "the fail limit was passed"

    @property
    def urgent(self) -> bool:
        """Whether `finally` tasks are skipped too."""
        return self is StopKind.INSIST

    @property
    def kills_running(self) -> bool:
        """Whether running units are stopped at once."""
        return self in (StopKind.INSIST, StopKind.DEADLINE)

    @property
    def has_grace(self) -> bool:
        """Whether running units are stopped after a grace."""
        return self in (StopKind.TERMINATE, StopKind.HANGUP)

    @property
    def by_user(self) -> bool:
        """Whether a signal is behind it."""
        return self not in (StopKind.DEADLINE, StopKind.FAIL_LIMIT)


#: Which kind gives the exit code when several came.
_RANK = {
    StopKind.INTERRUPT: 3,
    StopKind.TERMINATE: 3,
    StopKind.HANGUP: 3,
    StopKind.DEADLINE: 2,
    StopKind.FAIL_LIMIT: 1,
    StopKind.INSIST: 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a run ends early: the first kind of the highest rank, and whether it was insisted on."""

    kind: StopKind
    insisted: bool = False

    @property
    def because(self) -> str:
        """Say it as a sentence fragment."""
        return self.kind.value

    @property
    def by_user(self) -> bool:
        """Whether a signal is behind it."""
        return self.kind.by_user

    def then(self, kind: StopKind) -> "Stop":
        """Add a further stop."""
        insisted = self.insisted or kind is StopKind.INSIST
        winner = kind if _RANK[kind] > _RANK[self.kind] else self.kind
        return Stop(kind=winner, insisted=insisted)
