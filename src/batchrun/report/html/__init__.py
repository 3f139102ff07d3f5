"""The report of a run as one HTML page, for `--report FILE`.

sink.py      HtmlSink: what users see
             folds of events, each of limited size:
  facts.py     the run and its tasks            groups.py   failures, alike ones once
  listing.py   which units have a row           timeline.py who was busy when
  outputs.py   what commands wrote, once        shelf.py    JSON that waits in a file
             what is written of them:
  page.py      the page, a piece at a time      markup.py   the only place that escapes
  summary.py   the sections that need no script, with failed.py
  pagefile.py  where it goes
page.css, and the scripts in their order: data.js, choice.js (search, filters, sorting), rows.js,
table.js, timeline.js, page.js.
"""

from batchrun.report.html.sink import HtmlSink

__all__ = ["HtmlSink"]
