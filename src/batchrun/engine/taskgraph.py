"""Which task may begin, what its end means for others, and which is drawn from next."""

from collections import deque
from collections.abc import Iterator

from batchrun.engine.state import Phase, Stage, TaskState
from batchrun.model.job import Job, Need, Task

__all__ = ["OPEN_STREAMS", "READY_PER_TASK", "WINDOW", "TaskGraph"]

#: Units of one task that may be ready, blocked or waiting for a retry.
WINDOW = 4096
#: Units of one task that are kept ready.
READY_PER_TASK = 64
#: Streams that may be open at once: each may hold a file.
OPEN_STREAMS = 256


class TaskGraph:
    """The tasks of a job and how far each has come.

    Args:
        job: The tasks.
        slots: Units that run at the same time.
    """

    def __init__(self, job: Job, *, slots: int) -> None:
        watched = job.max_fail is not None

        def begin(task: Task, *, final: bool) -> TaskState:
            return TaskState(task, final=final, watched=watched and not final, slots=slots)

        self.tasks = {task.id: begin(task, final=False) for task in job.tasks}
        self.finals = {task.id: begin(task, final=True) for task in job.final_tasks}
        self.states = self.tasks | self.finals
        self.phase = Phase.TASKS
        # Who waits for the end of a task, and who, per item or host, for its beginning.
        self._dependants: dict[str, list[TaskState]] = {}
        self._followers: dict[str, list[TaskState]] = {}
        for state in self.states.values():
            for need in state.task.needs:
                self._listeners(need).setdefault(need.task_id, []).append(state)
        # Tasks that may be opened, and those whose streams are open. Ended ones are skipped when
        # their turn comes: taking them out of the middle would cost a search each.
        self._openable = deque(state for state in self.tasks.values() if not state.needs_left)
        self._drawable: deque[TaskState] = deque()
        self._unended = len(self.tasks)

    @property
    def phase_over(self) -> bool:
        """Whether every task of this phase has ended."""
        return not self._unended

    def hungry(self) -> TaskState | None:
        """Return the task to draw from next; None: enough is planned of each."""
        drawable = self._drawable
        for _ in range(len(drawable)):
            state = drawable[0]
            drawable.rotate(-1)
            ready = len(state.ready)
            if (
                not state.pending
                and ready < READY_PER_TASK
                # As `window` says, without the call: it would be made for each unit.
                and ready + len(state.blocked) + len(state.retrying) < WINDOW
                and state.first_of_wave is None
            ):
                return state
        return None

    def open_next(self) -> TaskState | None:
        """Begin the next task that may begin; None: there is none, or enough are open."""
        while self._openable and len(self._drawable) < OPEN_STREAMS:
            state = self._openable.popleft()
            if state.stage is Stage.WAITING:
                state.stage = Stage.OPEN
                self._drawable.append(state)
                for follower in self._followers.get(state.task.id, ()):
                    self._need_met(follower)
                return state
        return None

    def drained(self, state: TaskState) -> None:
        """Take note that an open task has no more units to plan."""
        state.stage = Stage.DRAINED
        self._drawable.remove(state)

    def end(self, first: TaskState, because: str) -> Iterator[TaskState]:
        """End a task, and with it all that need it when it did not end well.

        Args:
            first: The task that has ended.
            because: Why the run is being stopped; empty: it is not.

        Yields:
            Each task that ends thereby, `first` first; its state is final.
        """
        first.stage = Stage.ENDED
        ending = deque([first])
        while ending:
            state = ending.popleft()
            if state.final is (self.phase is Phase.FINALLY):
                self._unended -= 1
            yield state
            for dependant in self._dependants.get(state.task.id, ()):
                if dependant.stage is not Stage.WAITING:
                    continue
                if state.good or _is_good_in_part(state, dependant):
                    self._need_met(dependant)
                else:
                    ending.append(_fallen(dependant, state, because))
            if state.planned or state.good:
                continue
            # Not one unit that another could go by.
            ending.extend(
                _fallen(follower, state, because)
                for follower in self._followers.get(state.task.id, ())
                if follower.stage is Stage.WAITING
            )

    def begin_finally(self) -> list[TaskState]:
        """Enter the last phase; return its tasks that have not ended."""
        self.phase = Phase.FINALLY
        left = [state for state in self.finals.values() if state.stage is not Stage.ENDED]
        self._unended = len(left)
        self._openable.extend(state for state in left if not state.needs_left)
        return left

    def _listeners(self, need: Need) -> dict[str, list[TaskState]]:
        return self._dependants if need.per == "all" else self._followers

    def _need_met(self, state: TaskState) -> None:
        state.needs_left -= 1
        if not state.needs_left and (self.phase is Phase.FINALLY or not state.final):
            self._openable.append(state)


def _is_good_in_part(needed: TaskState, state: TaskState) -> bool:
    """Whether each host of a task can go by how it did itself in the one before."""
    return bool(needed.planned) and needed.task.on_hosts and state.task.on_hosts


def _fallen(state: TaskState, needed: TaskState, because: str) -> TaskState:
    """End a task that has not begun, because of one that it needs."""
    because = "" if state.final else because
    state.not_expanded = because or f"needs {needed.task.id}, {_why_bad(needed)}"
    state.stage = Stage.ENDED
    return state


def _why_bad(state: TaskState) -> str:
    if state.source_error:
        return "whose `foreach` failed"
    if state.not_expanded and not state.planned:
        return "which was not started"
    return "which did not end well"
