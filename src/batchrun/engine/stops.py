"""The ways in which a run can end before its time."""

from dataclasses import dataclass
from enum import Enum

__all__ = ["FINALLY_LIMIT_S", "Stop", "StopKind", "stop_sentence"]

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
    #: Whoever read the output of the commands has seen enough: what runs is stopped.
    UNREAD = "nobody reads its output any more"
    #: Too much failed: what runs may finish.
    FAIL_LIMIT = "the fail limit was passed"

    @property
    def urgent(self) -> bool:
        """Whether `finally` tasks are skipped too."""
        return self is StopKind.INSIST

    @property
    def kills_running(self) -> bool:
        """Whether running units are stopped at once."""
        return self in (StopKind.INSIST, StopKind.DEADLINE, StopKind.UNREAD)

    @property
    def has_grace(self) -> bool:
        """Whether running units are stopped after a grace."""
        return self in (StopKind.TERMINATE, StopKind.HANGUP)

    @property
    def by_user(self) -> bool:
        """Whether a signal is behind it."""
        return self not in (StopKind.DEADLINE, StopKind.UNREAD, StopKind.FAIL_LIMIT)


#: Which kind gives the exit code when several came.
_RANK = {
    StopKind.INTERRUPT: 3,
    StopKind.TERMINATE: 3,
    StopKind.HANGUP: 3,
    StopKind.DEADLINE: 2,
    StopKind.FAIL_LIMIT: 1,
    StopKind.UNREAD: 1,
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


_SIGNAL_WORDS = {
    StopKind.INTERRUPT: "interrupted",
    StopKind.TERMINATE: "asked to end (SIGTERM)",
    StopKind.HANGUP: "hung up (SIGHUP)",
}


def stop_sentence(
    kind: StopKind, *, running: int, has_finally: bool, in_finally: bool, grace_s: float
) -> str:
    """Say what a signal does to the run.

    Args:
        kind: What the signal asks for.
        running: Units that run now.
        has_finally: The job has `finally` tasks.
        in_finally: Only they are left.
        grace_s: How long running units may go on after SIGTERM or SIGHUP, in seconds.
    """
    units = f"{running} unit{'' if running == 1 else 's'}"
    if kind is StopKind.INSIST:
        skipped = "; `finally` tasks are skipped" if has_finally else ""
        return f"a second signal: stopping now what runs ({units}){skipped}"
    word = _SIGNAL_WORDS[kind]
    if has_finally and in_finally:
        limit = f"{FINALLY_LIMIT_S / 60:g} minutes"
        return f"{word}: only `finally` tasks run, for at most {limit}; once more skips them"
    if running == 0:
        return f"{word}: nothing new is started"
    if kind is StopKind.INTERRUPT:
        return f"{word}: nothing new is started, {units} may finish; once more stops them now"
    return f"{word}: nothing new is started, {units} may go on for {grace_s:g} s"
