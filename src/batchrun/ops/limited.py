"""The context of a unit, seen by a part of it that has a time limit of its own."""

import time

from batchrun.errors import UnitStoppedError
from batchrun.model.operation import Context, Terms
from batchrun.model.unit import RunSettings

__all__ = ["Limited"]


class Limited:
    """A context with a deadline of its own.

    Args:
        context: The unit's.
        limit_s: So long from now, in seconds; the unit's own deadline counts too.
    """

    def __init__(self, context: Context, limit_s: float) -> None:
        self._context = context
        own, theirs = time.monotonic() + limit_s, context.deadline
        self.deadline: float | None = own if theirs is None else min(own, theirs)

    @property
    def settings(self) -> RunSettings:
        """As the unit's."""
        return self._context.settings

    @property
    def number(self) -> int:
        """As the unit's."""
        return self._context.number

    @property
    def attempt(self) -> int:
        """As the unit's."""
        return self._context.attempt

    @property
    def task_id(self) -> str:
        """As the unit's."""
        return self._context.task_id

    @property
    def label(self) -> str:
        """As the unit's."""
        return self._context.label

    @property
    def terms(self) -> Terms:
        """As the unit's."""
        return self._context.terms

    @property
    def control_fd(self) -> int | None:
        """As the unit's."""
        return self._context.control_fd

    def check(self) -> None:
        """Raise when the unit has to stop, or this part of it."""
        self._context.check()
        self._check_time()

    def _check_time(self) -> None:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise UnitStoppedError(timed_out=True)

    def command_started(self, pid: int) -> None:
        """Pass it on."""
        self._context.command_started(pid)

    def live_output(self, stream: str, data: bytes) -> bool:
        """Pass it on."""
        return self._context.live_output(stream, data)

    def progress(self, bytes_done: int) -> None:
        """Pass it on."""
        self._context.progress(bytes_done)

    def temp_name(self) -> str:
        """Return a name of the unit."""
        return self._context.temp_name()
