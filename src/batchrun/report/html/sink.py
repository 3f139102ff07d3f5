"""`--report FILE`: a run as one HTML page, written when it has ended."""

import contextlib
import os
from datetime import tzinfo

from batchrun.model.event import Event, RunEnded, UnitEnded, UnitRetried
from batchrun.report.html.facts import Facts
from batchrun.report.html.groups import NO_GROUP, Groups
from batchrun.report.html.listing import Listing
from batchrun.report.html.page import Report, page
from batchrun.report.html.pagefile import PageFile
from batchrun.report.html.timeline import Timeline

__all__ = ["HtmlSink"]

_GOOD = frozenset({"ok", "skipped"})


class HtmlSink:
    """Writes the page of a run; depends on nothing but its events.

    Memory stays flat: counts are exact, failures are folded, and of the units the first 10 000 of
    each class have a row, which waits in an unnamed temporary file. Nothing is written when no
    run began. A run that broke gives a page that says so.

    Args:
        path: Where the page goes; see `PageFile`.
        zone: The local time; None: this machine's.

    Raises:
        OSError: no file can be written there.
    """

    def __init__(self, path: str | os.PathLike[str], *, zone: tzinfo | None = None) -> None:
        self._file = PageFile(path)
        self._zone = zone
        facts = Facts()
        self._report = Report(
            facts=facts,
            groups=Groups(),
            timeline=Timeline(),
            listing=Listing(facts.task_number),
        )
        self._is_done = False

    def handle(self, event: Event) -> None:
        """Take one event; the last one writes the page.

        Raises:
            OSError: the page, or a temporary file, cannot be written.
        """
        try:
            self._take(event)
        except OSError:
            self._is_done = True
            raise

    def close(self) -> None:
        """Write the page of a run that broke, and let go of temporary files.

        Raises:
            OSError: the page of a run that broke cannot be written.
        """
        with contextlib.closing(self._report.listing):
            if self._report.facts.started is not None and not self._is_done:
                self._write()

    def _take(self, event: Event) -> None:
        self._report.facts.handle(event)
        match event:
            case UnitEnded():
                self._unit_ended(event)
            case UnitRetried(unit=unit, report=report):
                self._report.timeline.add(report, is_bad=True, host=unit.host)
            case RunEnded():
                self._write()
            case _:
                pass

    def _unit_ended(self, event: UnitEnded) -> None:
        report = self._report
        is_good = event.report.outcome.kind in _GOOD
        group = NO_GROUP if is_good else report.groups.add(event)
        report.timeline.add(event.report, is_bad=not is_good, host=event.unit.host)
        started = report.facts.started
        report.listing.add(event, group, started.at if started else 0.0)

    def _write(self) -> None:
        self._is_done = True
        self._file.write(page(self._report, self._zone))
