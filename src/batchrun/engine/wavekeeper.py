"""Lets the waves of each task follow one another: pauses, questions, and when not to go on."""

import heapq
from collections import deque
from collections.abc import Callable, Mapping

from batchrun.engine.commands import AskPause, Command
from batchrun.engine.endings import Endings
from batchrun.engine.state import TaskState, UnitState
from batchrun.engine.waves import Between, Waves
from batchrun.model.event import Note

__all__ = ["WaveKeeper"]

_NO = "the answer was no"


class WaveKeeper:
    """The waves of a run's tasks.

    The first unit of the next wave is planned while a wave is under way, and held: without it
    nobody could tell whether there is anything to wait for, or to ask about. Nothing else of the
    task is drawn until that wave begins, so a pause holds one planned unit and no slot.

    Args:
        states: Every task by id.
        endings: Ends a task that may not go on, and knows the time.
        out: Where questions and notes go.
        place: Lets a planned unit start, wait for its item, or end at once.
    """

    def __init__(
        self,
        states: Mapping[str, TaskState],
        endings: Endings,
        out: deque[Command],
        place: Callable[[UnitState], None],
    ) -> None:
        self._states = states
        self._endings = endings
        self._out = out
        self._place = place
        # When each pause is over, and whose; those of stopped tasks are passed over.
        self._pauses: list[tuple[float, str]] = []

    @property
    def next_wakeup(self) -> float | None:
        """When the next pause is over; None: there is no pause."""
        return self._pauses[0][0] if self._pauses else None

    def planned(self, one: UnitState, waves: Waves) -> bool:
        """Count a planned unit into the wave under way; False: it was held for the next one."""
        if waves.number and not waves.takes(one.unit):
            one.task.first_of_wave = one
            one.task.blocked.add(one)
            self.went_on(one.task, waves)
            return False
        if not waves.number:
            self._begin(one.task, waves)
        self.join(one, waves)
        return True

    def join(self, one: UnitState, waves: Waves) -> None:
        """Count a unit into the wave under way, which takes it."""
        one.in_wave = True
        waves.plan(one.unit)

    def went_on(self, state: TaskState, waves: Waves) -> None:
        """Take note that a unit was planned or has ended: the wave may be over."""
        if not waves.over or state.first_of_wave is None or state.stopped:
            return
        if waves.between is not Between.NOTHING:
            return  # what has ended was no part of a wave
        because = waves.nothing_ok()
        if because:
            self._endings.hit_limit(state, because)
            return
        waves.between = Between.PAUSE
        if waves.batch.pause_s:
            due = self._endings.now + waves.batch.pause_s
            heapq.heappush(self._pauses, (due, state.task.id))
        else:
            self._pause_over(state, waves)

    def time_passes(self) -> None:
        """Take note that the time has moved: pauses may be over."""
        while self._pauses and self._pauses[0][0] <= self._endings.now:
            state = self._states[heapq.heappop(self._pauses)[1]]
            if state.waves is not None:
                self._pause_over(state, state.waves)

    def answered(self, task_id: str, *, go_on: bool) -> None:
        """Take the answer to a question; one that comes after a stop changes nothing."""
        state = self._states[task_id]
        waves = state.waves
        if waves is None or waves.between is not Between.ANSWER or state.stopped:
            return
        if go_on:
            self._next(state, waves)
        else:
            self._endings.stop_task(state, _NO)

    def _pause_over(self, state: TaskState, waves: Waves) -> None:
        if state.stopped:
            return
        if waves.batch.ask:
            waves.between = Between.ANSWER
            self._out.append(AskPause(state.task.id, waves.question()))
        else:
            self._next(state, waves)

    def _next(self, state: TaskState, waves: Waves) -> None:
        """Begin the wave whose first unit is held."""
        one, state.first_of_wave = state.first_of_wave, None
        if one is not None:
            state.blocked.remove(one)
            self._begin(state, waves)
            self.join(one, waves)
            self._place(one)

    def _begin(self, state: TaskState, waves: Waves) -> None:
        waves.begin()
        self._out.append(Note(message=waves.describe(), level="info", task_id=state.task.id))
