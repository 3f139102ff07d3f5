"""What people say to a run while it goes on: signals, and answers to its questions."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue

from batchrun.engine.commands import AskPause
from batchrun.engine.interrupt import kind_of
from batchrun.engine.looks import Looks
from batchrun.engine.messages import Message, PauseAnswered
from batchrun.engine.options import RunOptions
from batchrun.engine.scheduler import Scheduler
from batchrun.engine.stops import StopKind, stop_sentence
from batchrun.model.event import Event, Note, StatusAsked

__all__ = ["People"]


@dataclass(slots=True, kw_only=True)
class People:
    """Obeys signals and puts questions; only for the loop's thread."""

    scheduler: Scheduler
    #: The job has `finally` tasks.
    has_finally: bool
    looks: Looks
    options: RunOptions
    #: Where answers go.
    queue: "SimpleQueue[Message]"
    #: Shows an event.
    emit: Callable[[Event], None]
    #: Carries out what the scheduler has decided.
    act: Callable[[], None]

    def obey(self, number: int) -> None:
        """Obey a signal: the first one lets running units finish, a further one does not.

        A SIGHUP that is not the first changes nothing.
        """
        kind = kind_of(number)
        if kind is None:
            self._ask_status()
            return
        before = self.scheduler.stop_reason
        if before is not None and before.by_user:
            # A closed terminal gives two, one from the kernel and one from the shell, and systemd
            # may send one right behind SIGTERM: nobody insists by that.
            if kind is StopKind.HANGUP:
                return
            kind = StopKind.INSIST
        self.scheduler.stop(kind, self.options.clock(), self.options.grace_s)
        # What has not begun is taken back before anybody is told that nothing more will start.
        self.act()
        sentence = stop_sentence(
            kind,
            running=self.scheduler.running,
            has_finally=self.has_finally,
            in_finally=self.scheduler.in_finally,
            grace_s=self.options.grace_s,
        )
        self.emit(Note(message=sentence, level="info"))
        if kind is not StopKind.INSIST:
            self._ask_status()

    def ask(self, command: AskPause) -> None:
        """Ask whether the next wave may begin; the answer comes over the Queue."""
        answer = partial(self._answer, command.task_id)
        if self.options.ask is not None:
            self.options.ask(command.question, answer)
            return
        message = f"{command.question} nobody can answer without a terminal, so the answer is no"
        self.emit(Note(message=message, task_id=command.task_id))
        answer(go_on=False)

    def _answer(self, task_id: str, go_on: bool) -> None:  # noqa: FBT001 - as `ask` calls it
        """Take an answer, from any thread."""
        self.queue.put(PauseAnswered(task_id, go_on))

    def _ask_status(self) -> None:
        self.emit(StatusAsked(at=self.options.wall_clock()))
        for sentence in self.looks.sentences():
            self.emit(Note(message=sentence, level="info"))
