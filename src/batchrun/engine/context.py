"""What an operation sees of the runner, the same in a worker process and in process."""

import time
from typing import Protocol

from batchrun.errors import UnitStoppedError
from batchrun.model.operation import Terms
from batchrun.model.unit import Order, RunSettings

__all__ = ["ACKNOWLEDGE", "STOP", "Control", "UnitContext", "Upward"]

#: Kinds of control message. End the unit of this number.
STOP = 1
#: So many bytes of this unit's live output have been shown.
ACKNOWLEDGE = 2

#: Live output sent ahead of its acknowledgement, in bytes, before the operation is held up.
_WINDOW_BYTES = 1024 * 1024
#: Between two progress records of a unit, in seconds: more often nobody can read them.
_PROGRESS_S = 0.2


class Upward(Protocol):
    """Where a context passes on what its unit has to say while it runs."""

    def command_started(self, pid: int) -> None:
        """A command runs now, in the process group led by `pid`."""

    def live_output(self, stream: str, data: bytes) -> None:
        """A piece of output; `stream` is `stdout` or `stderr`."""

    def progress(self, bytes_done: int) -> None:
        """So many bytes of file data are done in this attempt."""


class Control(Protocol):
    """Where stops and acknowledgements arrive.

    It outlives units: what was meant for one that has ended is read and dropped by the next.
    """

    #: The other end was closed: whoever would take an answer is dead.
    parent_gone: bool

    def fileno(self) -> int:
        """Return the descriptor that polls readable when there is a message."""

    def next(self) -> tuple[int, int, int] | None:
        """Read one message, as (kind, number, size); None when there is none now."""


class UnitContext:
    """The Context of one attempt, over a control socket and a way up."""

    __slots__ = (
        "_control",
        "_names",
        "_order",
        "_progress_due",
        "_slot",
        "_stopped",
        "_terms",
        "_unacknowledged",
        "_upward",
        "attempt",
        "control_fd",
        "deadline",
        "label",
        "number",
        "settings",
        "task_id",
    )

    control_fd: int | None
    deadline: float | None

    def __init__(
        self,
        order: Order,
        settings: RunSettings,
        control: Control,
        upward: Upward,
        *,
        slot: int = 1,
    ) -> None:
        unit = order.unit
        self._order = order
        self._slot = slot
        self._terms: Terms | None = None
        self.settings = settings
        self.number = order.number
        self.attempt = order.attempt
        self.task_id = unit.task_id
        self.label = unit.label
        self.deadline = None if unit.timeout_s is None else time.monotonic() + unit.timeout_s
        self.control_fd = control.fileno()
        self._control = control
        self._upward = upward
        self._names = 0
        self._progress_due = 0.0
        self._stopped = False
        self._unacknowledged = 0

    @property
    def terms(self) -> Terms:
        """What only commands want to know; made when it is first asked for."""
        terms = self._terms
        if terms is None:
            terms = self._terms = self._make_terms()
        return terms

    def _make_terms(self) -> Terms:
        order, mask = self._order, None
        if order.secrets:
            from batchrun.engine.hiding import the_mask  # noqa: PLC0415 - see there

            mask = the_mask(order.secrets)
        unit = order.unit
        around = unit.around
        return Terms(
            slot=self._slot,
            timeout_s=unit.timeout_s,
            capture_bytes=unit.capture_bytes,
            mask=mask,
            nice=None if around is None else around.nice,
            ionice=None if around is None else around.ionice,
        )

    def check(self) -> None:
        """Raise UnitStoppedError when the unit was told to stop or its time is over."""
        self._listen()
        if self._stopped or self._control.parent_gone:
            raise UnitStoppedError(timed_out=False)
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise UnitStoppedError(timed_out=True)

    def command_started(self, pid: int) -> None:
        """Pass on which process leads the command's group."""
        self._upward.command_started(pid)

    def live_output(self, stream: str, data: bytes) -> bool:
        """Pass on output; False when a window's worth of it is unacknowledged."""
        self._unacknowledged += len(data)
        self._upward.live_output(stream, data)
        if self._unacknowledged >= _WINDOW_BYTES:
            self._listen()
        return self._unacknowledged < _WINDOW_BYTES

    def progress(self, bytes_done: int) -> None:
        """Pass on the count of bytes, at most five times a second."""
        now = time.monotonic()
        if now >= self._progress_due:
            self._progress_due = now + _PROGRESS_S
            self._upward.progress(bytes_done)

    def temp_name(self) -> str:
        """Return a file name that no other attempt of any unit of any run uses."""
        self._names += 1
        return f".br-{self.settings.run_id}-{self.number}-{self.attempt}-{self._names}"

    def _listen(self) -> None:
        """Take in what has arrived on the control socket."""
        while (message := self._control.next()) is not None:
            kind, number, size = message
            if number != self.number:
                continue
            if kind == STOP:
                self._stopped = True
            elif kind == ACKNOWLEDGE:
                self._unacknowledged = max(0, self._unacknowledged - size)
