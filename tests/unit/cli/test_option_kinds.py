"""How options are read that mean a moment or a size."""

import time
from datetime import UTC, datetime

import pytest

from batchrun.cli.lookoptions import ReportFormat
from batchrun.cli.optionkinds import moment, size
from batchrun.cli.reporting import _WRITERS
from batchrun.errors import UsageError
from support import local_zone


@pytest.mark.parametrize(
    "text", ["2026-11-22", "20261122", "2026-11-22T00:00", "2026-11-22 00:00:00"]
)
def test_a_date_is_local_time(text: str) -> None:
    with local_zone("TEST-01:30"):
        found = moment("--since")(text)
    assert found == datetime(2026, 11, 21, 22, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("text", ["2026-11-22T03:15:00Z", "2026-11-22T04:15:00+01:00"])
def test_a_zone_is_respected(text: str) -> None:
    assert moment("--since")(text) == datetime(2026, 11, 22, 3, 15, tzinfo=UTC).timestamp()


def test_a_duration_is_so_long_ago() -> None:
    assert moment("--since")("1h30m") == pytest.approx(time.time() - 5400, abs=60)


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "-1h", "0001-01-01"])
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match=r"--since: .* write it like 2026-11-22, or 12h"):
        moment("--since")(text)


def test_a_size_is_read_as_in_job_files() -> None:
    assert size("--max-size")("1G") == 1024**3
    with pytest.raises(UsageError, match="--max-size: 'x' is not a size"):
        size("--max-size")("x")


def test_every_format_of_a_report_has_a_writer() -> None:
    assert set(_WRITERS) == set(ReportFormat)
