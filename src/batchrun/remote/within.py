"""The context of a unit, seen by a part of it that has a time limit, or must not be stopped."""

import time

from batchrun.errors import UnitStoppedError
from batchrun.model.host import Host
from batchrun.model.operation import Terms
from batchrun.model.session import HostContext, HostSession
from batchrun.model.unit import RunSettings

__all__ = ["Within"]


class Within:
    """A context with a deadline of its own.

    Args:
        context: The unit's.
        limit_s: So long from now, in seconds.
        to_the_end: Only the limit counts: the unit was stopped, and this cleans up behind it.
    """

    def __init__(self, context: HostContext, limit_s: float, *, to_the_end: bool = False) -> None:
        self._context = context
        self._to_the_end = to_the_end
        own = time.monotonic() + limit_s
        theirs = None if to_the_end else context.deadline
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
        """As the unit's, unless nobody is listened to."""
        return None if self._to_the_end else self._context.control_fd

    @property
    def host(self) -> Host:
        """As the unit's."""
        return self._context.host

    @property
    def session(self) -> HostSession:
        """As the unit's."""
        return self._context.session

    def check(self) -> None:
        """Raise when the unit has to stop, or this part of it."""
        if not self._to_the_end:
            self._context.check()
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

    @property
    def insisted(self) -> bool:
        """As the unit's."""
        return self._context.insisted

    def heard(self) -> None:
        """Pass it on."""
        self._context.heard()

    def stage(self, words: str) -> None:
        """Pass it on."""
        self._context.stage(words)
