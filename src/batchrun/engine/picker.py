"""Lets the hosts of tasks with `pick` be tried, one after the other, until enough were reached."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from batchrun.engine.endings import report_of_unbegun
from batchrun.engine.pick import Choice, Pick
from batchrun.engine.state import Stage, TaskState, UnitState
from batchrun.engine.wavekeeper import WaveKeeper
from batchrun.model.outcome import Aborted, Outcome, Report, Skipped, Unreachable

__all__ = ["Picker"]


class Picker:
    """The choices of a run's tasks.

    A host that cannot be reached is `skipped` when another takes its place, and `unreachable`
    when there is none. One that did not end well in what the task needs is replaced as well, and
    stays `aborted` when there is none. As long as further hosts may be planned, its unit is held
    for that. Not with `batch`, where nothing is planned beyond a wave, and not when the stream has
    nothing now and nothing of the task moves, as it may be this very unit that the stream waits
    for: what is planned by then decides.

    All units of a host that is tried belong to the wave of its first one, also while they wait.

    Args:
        finish: Gives a unit its outcome, for good.
        admit: Lets a planned unit of a host that is taken go on, or wait for its wave.
        place: Lets a unit go on whose wave is under way.
        waves: The waves of the run's tasks.
    """

    def __init__(
        self,
        finish: Callable[[UnitState, Report], None],
        admit: Callable[[UnitState], None],
        place: Callable[[UnitState], None],
        waves: WaveKeeper,
    ) -> None:
        self._finish = finish
        self._admit = admit
        self._place = place
        self._waves = waves
        #: Hosts whose turn has come; the first one is being taken.
        self._due: deque[tuple[str, Pick]] = deque()

    def planned(self, one: UnitState, pick: Pick) -> None:
        """Take a planned unit: it goes on, waits, or ends as others of its host did."""
        host = one.unit.host
        choice = pick.choices.get(host)
        if choice is None:
            self._take_host(one, pick)
        elif choice is Choice.REACHED:
            self._admit(one)
        elif choice is Choice.TRIED:
            self._join(one)
            pick.hold(one)
        elif choice in (Choice.SPARE, Choice.OPEN):
            pick.hold(one)
        else:
            self._end(one, self._outcome(one, choice))

    def ended(self, one: UnitState, report: Report, pick: Pick) -> None:
        """Take the last word of a unit, and let go those that waited for it."""
        state, host = one.task, one.unit.host
        if pick.choices.get(host) is not Choice.TRIED or state.stopped:
            self._finish(one, report)
        elif isinstance(report.outcome, Unreachable | Aborted):
            self._not_reached(one, report, pick)
        else:
            pick.choose(host, Choice.REACHED)
            self._finish(one, report)
            for other in pick.let_go(host):
                self._place(other)
            if pick.is_done:
                self._leave_spares(pick)
        self.looked(state, pick)

    def looked(self, state: TaskState, pick: Pick) -> None:
        """Decide about hosts that wait for another, unless one may come: after each change."""
        if not pick.missed:
            return
        moves = state.in_flight or state.ready or state.retrying
        if state.stage is Stage.OPEN and not pick.has_all and (moves or not state.pending):
            return
        missed, pick.missed = pick.missed, []
        for one in missed:
            if one in state.blocked and one.last_word is not None:
                state.blocked.remove(one)
                self._miss(one, one.last_word, pick)

    # ---- hosts ----------------------------------------------------------------------------

    def _take_host(self, one: UnitState, pick: Pick) -> None:
        """Decide about a host of which nothing was planned before."""
        host = one.unit.host
        if not pick.is_full:
            pick.choose(host, Choice.TRIED)
            self._admit(one)
        elif pick.is_done:
            pick.choose(host, Choice.LEFT)
            self._end(one, self._outcome(one, Choice.LEFT))
        else:
            pick.choose(host, Choice.SPARE)
            pick.hold(one)
        while pick.missed and pick.is_full:
            self._replaced(pick.missed.pop(0), pick)
        self.looked(one.task, pick)

    def _not_reached(self, one: UnitState, report: Report, pick: Pick) -> None:
        state, spare = one.task, pick.next_spare
        pick.choose(one.unit.host, Choice.OPEN)
        if spare is not None:
            one.last_word = report
            if state.waves is not None:
                state.waves.make_room()
            self._replaced(one, pick)
            if not state.stopped:
                self._try(spare, pick)
        elif state.waves is None:
            one.last_word = report
            state.blocked.add(one)
            pick.missed.append(one)
        else:
            self._miss(one, report, pick)

    def _try(self, host: str, pick: Pick) -> None:
        """Take a host that was held.

        Its unit may end at once, which gives the next host its turn: of thousands one after the
        other, not one within the other.
        """
        pick.choose(host, Choice.TRIED)
        self._due.append((host, pick))
        if len(self._due) > 1:
            return
        while self._due:
            self._begin(*self._due[0])
            self._due.popleft()

    def _begin(self, host: str, pick: Pick) -> None:
        """Let the first unit of a host begin; the others wait on."""
        first = pick.first_of(host)
        if first is None:
            return
        # Before it is admitted: it may end at once.
        for other in pick.held[host]:
            self._join(other)
        self._admit(first)

    def _join(self, one: UnitState) -> None:
        """Let a unit belong to the wave of the first one of its host."""
        waves = one.task.waves
        if waves is not None:
            self._waves.join(one, waves)

    def _replaced(self, one: UnitState, pick: Pick) -> None:
        """End the units of a host that was not reached, as another takes its place."""
        one.task.blocked.discard(one)
        report = one.last_word or report_of_unbegun(one, Skipped(because=""))
        outcome = self._outcome(one, Choice.PASSED)
        pick.choose(one.unit.host, Choice.PASSED)
        self._finish(one, replace(report, outcome=outcome))
        for other in pick.let_go(one.unit.host):
            self._end(other, outcome)

    def _miss(self, one: UnitState, report: Report, pick: Pick) -> None:
        """End the units of a host that was not reached, and that no other replaces."""
        host = one.unit.host
        pick.choose(host, Choice.MISSED)
        self._finish(one, report)
        for other in pick.let_go(host):
            self._end(other, report.outcome)

    def _leave_spares(self, pick: Pick) -> None:
        """End the units of hosts that are not needed any more."""
        while (host := pick.next_spare) is not None:
            pick.choose(host, Choice.LEFT)
            for one in pick.let_go(host):
                self._end(one, self._outcome(one, Choice.LEFT))

    # ---- endings --------------------------------------------------------------------------

    def _end(self, one: UnitState, outcome: Outcome) -> None:
        """End a unit that no runner had."""
        self._finish(one, report_of_unbegun(one, outcome))

    def _outcome(self, one: UnitState, choice: Choice) -> Outcome:
        """Say why a unit is not run, or does not count."""
        if choice is Choice.LEFT:
            most = one.task.task.pick
            hosts = "another host was" if most == 1 else f"{most} other hosts were"
            return Skipped(because=f"{hosts} picked")
        if choice is Choice.MISSED:
            return Unreachable(message=f"{one.unit.host} could not be reached before")
        why = "" if one.last_word is None else _why(one.last_word.outcome)
        return Skipped(because=f"another host was picked instead{why}")


def _why(outcome: Outcome) -> str:
    match outcome:
        case Unreachable(message=reason) | Aborted(because=reason):
            return f": {reason}"
        case _:
            return ""
