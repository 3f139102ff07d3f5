"""A unit on a host that a thread runs: what stops it, where its words go, how long it may take."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from batchrun.engine.context import STOP
from batchrun.engine.hostcontext import RUNNING, HostUnitContext
from batchrun.engine.inprocess import LocalControl
from batchrun.model.event import UnitOutput, UnitProgress, UnitStaged
from batchrun.model.outcome import Cancelled, Outcome, Report, TimedOut
from batchrun.model.ports import RunnerEvent, Started
from batchrun.model.unit import Order

__all__ = ["SILENT_S", "HostAttempt", "Patience"]

#: A host of which nothing was heard for so long is named, in seconds, and again after as long.
SILENT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long threads and hosts are waited for; in seconds."""

    #: Beyond the grace of a command: to end it on the host may take several round trips.
    spare_s: float = 15.0
    #: Instead of grace and all, after a second stop.
    insisted_s: float = 5.0
    silent_s: float = SILENT_S


class HostAttempt:
    """One attempt, seen by the thread that runs it, by the runner and by the watch.

    Args:
        order: The attempt.
        thread: Who runs it.
        say: Passes on what it has to say.

    Raises:
        OSError: no descriptor is left for its control.
    """

    def __init__(
        self,
        order: Order,
        thread: threading.Thread,
        say: "Callable[[HostAttempt, RunnerEvent], None]",
    ) -> None:
        self.order = order
        self.thread = thread
        self.control = LocalControl()
        self.context: HostUnitContext | None = None
        self.worker = order.unit.host if order.unit.place is None else order.unit.place.name
        #: What it does, as last said.
        self.at_stage = ""
        self.started_at = time.time()
        self.began = self.heard_at = time.monotonic()
        self._say = say
        self._stops = 0
        self._named_at = self.began
        # When it must have come back from a stop.
        self._back_by: float | None = None

    def started(self) -> Started:
        """Say that it is being run."""
        order = self.order
        return Started(
            number=order.number, attempt=order.attempt, at=self.started_at, worker=self.worker
        )

    @property
    def insisted(self) -> bool:
        """It was told to stop a second time."""
        return self._stops > 1

    def stop(self, grace_s: float, patience: Patience) -> None:
        """Ask for the end; the second time without grace."""
        self._stops += 1
        left_s = patience.insisted_s if self.insisted else grace_s + patience.spare_s
        back_by = time.monotonic() + left_s
        self._back_by = back_by if self._back_by is None else min(self._back_by, back_by)
        self.control.tell(STOP, self.order.number, 0)

    def overdue(self, now: float, grace_s: float, patience: Patience) -> Outcome | None:
        """Say how it ends if it has not come back in time; None: there still is time."""
        if self._back_by is not None:
            return Cancelled(was_running=True) if now >= self._back_by else None
        deadline = None if self.context is None else self.context.deadline
        if deadline is None or now < deadline + grace_s + patience.spare_s:
            return None
        return TimedOut(limit_s=self.order.unit.timeout_s or 0.0, stuck=True)

    def given_up(self, outcome: Outcome) -> Report:
        """Report it in the place of the thread that does not come back."""
        return Report(
            number=self.order.number,
            attempt=self.order.attempt,
            outcome=outcome,
            started_at=self.started_at,
            duration_s=time.monotonic() - self.began,
            worker=self.worker,
        )

    def is_silent(self, now: float, limit_s: float) -> bool:
        """Whether it is time to say that nothing was heard of it; each silence of that length."""
        since = max(self.heard_at, self._named_at)
        if now - since < limit_s:
            return False
        self._named_at = now
        return True

    # ---- what its context passes on ----

    def command_started(self, pid: int) -> None:
        """Nothing that runs here belongs to the unit."""

    def live_output(self, stream: str, data: bytes) -> None:
        """Pass on a piece of output."""
        self.heard()
        order = self.order
        self._say(self, UnitOutput(number=order.number, unit=order.unit, stream=stream, data=data))

    def progress(self, bytes_done: int) -> None:
        """Pass on how far the unit is."""
        self.heard()
        self._say(self, UnitProgress(number=self.order.number, bytes_done=bytes_done))

    def staged(self, words: str) -> None:
        """Pass on what the unit does now; that it runs goes without saying if nothing was before.

        Who finds an open connection has no other stage, and each word costs as much as a beginning.
        """
        self.heard()
        was, self.at_stage = self.at_stage, words
        if not was and words == RUNNING:
            return
        self._say(self, UnitStaged(number=self.order.number, stage=words, at=time.time()))

    def heard(self) -> None:
        """Remember when the last sign of life came."""
        self.heard_at = time.monotonic()
