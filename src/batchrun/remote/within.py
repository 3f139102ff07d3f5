"""The context of a unit on a host, seen by a part of it that has a time limit of its own."""

import time

from batchrun.model.host import Host
from batchrun.model.session import HostContext, HostSession
from batchrun.ops.limited import Limited

__all__ = ["Within"]


class Within(Limited):
    """A context with a deadline of its own.

    Args:
        context: The unit's.
        limit_s: So long from now, in seconds; the unit's own deadline counts too.
        to_the_end: Only the limit counts: the unit was stopped, and this cleans up behind it.
    """

    def __init__(self, context: HostContext, limit_s: float, *, to_the_end: bool = False) -> None:
        super().__init__(context, limit_s)
        self._on_host = context
        self._to_the_end = to_the_end
        if to_the_end:
            self.deadline = time.monotonic() + limit_s

    @property
    def control_fd(self) -> int | None:
        """As the unit's, unless nobody is listened to."""
        return None if self._to_the_end else super().control_fd

    @property
    def host(self) -> Host:
        """As the unit's."""
        return self._on_host.host

    @property
    def session(self) -> HostSession:
        """As the unit's."""
        return self._on_host.session

    def check(self) -> None:
        """Raise when the unit has to stop, or this part of it."""
        if self._to_the_end:
            self._check_time()
        else:
            super().check()

    @property
    def insisted(self) -> bool:
        """As the unit's."""
        return self._on_host.insisted

    def heard(self) -> None:
        """Pass it on."""
        self._on_host.heard()

    def stage(self, words: str) -> None:
        """Pass it on."""
        self._on_host.stage(words)
