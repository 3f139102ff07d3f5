"""The options of the commands that look back at runs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

from batchrun.cli.optionkinds import LOOK, SHOW, duration, moment, option, size
from batchrun.model.record import RunState

__all__ = [
    "AllRuns",
    "AsJson",
    "FailedUnits",
    "FormatChoice",
    "Job",
    "Keep",
    "LastRuns",
    "MaxSize",
    "OlderThan",
    "OnHosts",
    "ReportFormat",
    "Since",
    "States",
    "Target",
    "UnitName",
    "UnitOutput",
]


class ReportFormat(StrEnum):
    """What a report can be."""

    TEXT = "text"
    JSON = "json"
    NDJSON = "ndjson"
    JOBLOG = "joblog"
    JUNIT = "junit"
    METRICS = "metrics"
    HTML = "html"


Job: TypeAlias = Annotated[
    str | None,
    option(LOOK, "Only runs of this job, named by its name or its job file.", "--job",
           metavar="NAME|FILE"),
]  # fmt: skip
States: TypeAlias = Annotated[
    list[RunState] | None,
    option(LOOK, f"Only runs that stand so: {', '.join(RunState)}; may be given several times.",
           "--state", metavar="WORD"),
]  # fmt: skip
Since: TypeAlias = Annotated[
    float | None,
    option(LOOK, "Only runs that began since then: a date, with or without a time, or how long "
           "ago, such as 12h.", "--since", metavar="DATE|TIME", parser=moment("--since")),
]  # fmt: skip
LastRuns: TypeAlias = Annotated[
    int | None,
    option(LOOK, "At most so many, the newest. Default: 20.", "--last", min=1, metavar="N"),
]
AllRuns: TypeAlias = Annotated[bool, option(LOOK, "All of them.", "--all")]
AsJson: TypeAlias = Annotated[bool, option(SHOW, "Write it as one JSON document.", "--json")]
Keep: TypeAlias = Annotated[
    int | None,
    option(LOOK, "Keep the newest N runs.", "--keep", min=0, metavar="N"),
]
OlderThan: TypeAlias = Annotated[
    float | None,
    option(LOOK, "Throw away what began longer ago than this, such as 30d.", "--older-than",
           metavar="TIME", parser=duration("--older-than")),
]  # fmt: skip
MaxSize: TypeAlias = Annotated[
    int | None,
    option(LOOK, "Keep as many of the newest as fit into this, such as 500M.", "--max-size",
           metavar="SIZE", parser=size("--max-size")),
]  # fmt: skip
FailedUnits: TypeAlias = Annotated[
    bool,
    option(LOOK, "Every unit that did not end ok, each by itself.", "--failed"),
]
# A command of a unit finds its own unit in BATCHRUN_UNIT, and BATCHRUN_OUTPUT is a format.
UnitName: TypeAlias = Annotated[
    str | None,
    option(LOOK, "One unit: its number, its item, or a part of that; every attempt of it.",
           "--unit", variable="BATCHRUN_SHOW_UNIT", metavar="N|ITEM"),
]  # fmt: skip
# A command of a unit finds the host that it is for in BATCHRUN_HOST.
OnHosts: TypeAlias = Annotated[
    str | None,
    option(LOOK, "Only units for these hosts, such as web[01-20].", "--host",
           variable="BATCHRUN_SHOW_HOST", metavar="NODES"),
]  # fmt: skip
UnitOutput: TypeAlias = Annotated[
    bool,
    option(SHOW, "Nothing but what the commands wrote, as they wrote it, as far as it was kept.",
           "--output", variable="BATCHRUN_SHOW_OUTPUT"),
]  # fmt: skip
FormatChoice: TypeAlias = Annotated[ReportFormat, option(SHOW, "What is written.", "--format")]
Target: TypeAlias = Annotated[
    Path | None,
    option(SHOW, "Write it into this file. Default: standard output.", "--to", metavar="FILE",
           readable=False),
]  # fmt: skip
