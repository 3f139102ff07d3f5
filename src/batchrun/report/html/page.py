"""The page, a piece at a time: a file that asks nobody for anything and runs our scripts only."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import tzinfo
from functools import cache
from importlib import resources

from batchrun.model.outcome import KINDS
from batchrun.report.html.facts import Facts
from batchrun.report.html.failed import failures
from batchrun.report.html.groups import Groups
from batchrun.report.html.listing import Listing
from batchrun.report.html.markup import Markup, element, join, script_json, void
from batchrun.report.html.moments import offset_s
from batchrun.report.html.summary import header, notes, numbers, tasks, verdict
from batchrun.report.html.timeline import Timeline
from batchrun.report.recap import kind_words

__all__ = ["Report", "page"]

_STYLE = ("page.css",)
#: One module: what comes first is there for those behind it.
_SCRIPTS = ("data.js", "choice.js", "rows.js", "table.js", "timeline.js", "page.js")


@dataclass(slots=True, kw_only=True)
class Report:
    """All that the page is made of."""

    facts: Facts
    groups: Groups
    timeline: Timeline
    listing: Listing


def page(report: Report, zone: tzinfo | None = None) -> Iterator[str]:
    """Write the page of a run.

    Args:
        report: The run, ended or broken.
        zone: The local time; None: this machine's.
    """
    facts = report.facts
    _, words = verdict(facts)
    job = facts.started.job_name if facts.started else ""
    style, script = _asset(_STYLE), _asset(_SCRIPTS)
    yield '<!doctype html>\n<html lang="en">\n'
    yield element("head", *_head(f"{job}: {words}", style, script))
    yield '\n<body>\n<a class="skip" href="#units">To the table of units</a>\n<main>\n'
    for section in (
        header(facts, zone),
        numbers(facts),
        notes(facts),
        failures(facts, report.groups),
        tasks(facts),
        _timeline(),
        _units(report),
    ):
        yield f"{section}\n"
    yield '</main>\n<script type="application/json" id="data">\n'
    yield from _data(report, zone)
    yield f'\n</script>\n<script type="module">{script}</script>\n</body>\n</html>\n'


def _head(title: str, style: Markup, script: Markup) -> Iterator[Markup]:
    """Write what browsers must know; the policy comes before anything that it governs."""
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    yield void("meta", charset="utf-8")
    yield void("meta", http_equiv="Content-Security-Policy", content=policy)
    yield void("meta", name="viewport", content="width=device-width, initial-scale=1")
    yield void("meta", name="color-scheme", content="light dark")
    yield void("meta", name="referrer", content="no-referrer")
    yield void("meta", name="robots", content="noindex")
    # Browsers ask the server for an icon when a page has none.
    yield void("link", rel="icon", href="data:,")
    yield element("title", title)
    yield element("style", style)


@cache
def _asset(names: tuple[str, ...]) -> Markup:
    """Read files of this package, one after the other."""
    folder = resources.files(__package__)
    texts = (folder.joinpath(name).read_text(encoding="utf-8") for name in names)
    return Markup("\n" + "\n".join(texts))


def _hash(text: Markup) -> str:
    """Return the source expression that allows exactly this inline text."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _timeline() -> Markup:
    """Write the place of the timeline, which a script draws."""
    return element(
        "section",
        element("h2", "Timeline", id="timeline-title"),
        element("div", id="timeline", class_="scroll"),
        element("p", id="readout", class_="readout", role="status"),
        id="timeline-section",
        aria_labelledby="timeline-title",
        hidden="",
    )


def _units(report: Report) -> Markup:
    """Write the place of the table, which a script fills, and what is not in it."""
    facts, listing = report.facts, report.listing
    said = [element("span", listing.sentence())]
    if listing.left_out:
        run_id = facts.started.run_id if facts.started else "RUN"
        command = element("code", f"batchrun show {run_id}")
        said.append(join([" ", command, " shows all of them."]))
    return element(
        "section",
        element("h2", "Units", id="units-title"),
        element("p", *said, class_="said"),
        element("noscript", element("p", "Timeline and table need JavaScript.", class_="remark")),
        element("div", id="table", tabindex=-1, hidden=""),
        id="units",
        aria_labelledby="units-title",
    )


def _data(report: Report, zone: tzinfo | None) -> Iterator[str]:
    """Write what the scripts read, as one JSON object."""
    facts, lanes = report.facts, report.timeline.lanes()
    began_at = facts.started.at if facts.started else 0.0
    head = {
        "began_ms": round(began_at * 1000),
        "offset_s": offset_s(began_at, zone),
        "took_ms": round(facts.ended.duration_s * 1000) if facts.ended else None,
        "kinds": [[kind, kind_words(kind)] for kind in KINDS],
        "changed": "would change" if facts.is_dry_run else "changed",
        "tasks": [task.name for task in facts.tasks.values()],
        "groups": {
            group.at: group.first_message if group.number == 1 else group.message
            for group in report.groups.shown()
        },
        "lanes": [[lane.name, lane.attempts, round(lane.busy_s * 1000)] for lane in lanes],
        "spans": report.timeline.as_json(began_at, lanes),
    }
    yield f"{script_json(head)[:-1]},\n"
    yield '"texts":'
    yield from report.listing.outputs.pieces()
    yield ',\n"units":'
    yield from report.listing.pieces()
    yield "}"
