"""Files with the whole output of commands: gone as soon as everybody has seen them."""

import contextlib
import os

from batchrun.model.event import Event, UnitEnded, UnitRetried
from batchrun.model.outcome import Report
from batchrun.report.whole import spools

__all__ = ["SpoolCleaner"]


class SpoolCleaner:
    """The last sink in the row: removes the output files of each attempt after it was handled.

    A sink that needs one for longer renames it.
    """

    def handle(self, event: Event) -> None:
        """Take one event; never raises."""
        if isinstance(event, UnitEnded | UnitRetried):
            _remove(event.report)

    def close(self) -> None:
        """Do nothing: what is left goes with its directory."""


def _remove(report: Report) -> None:
    for captured in (report.output.stdout, report.output.stderr):
        for path in spools(captured):
            with contextlib.suppress(OSError):
                os.unlink(path)
