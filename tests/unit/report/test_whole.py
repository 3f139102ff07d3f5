"""All of a stream, from memory or from files, and the files' end."""

from pathlib import Path

import pytest

from batchrun.model.event import UnitEnded, UnitRetried
from batchrun.model.outcome import Captured, Ok, Output, Report
from batchrun.model.unit import Unit
from batchrun.report.spool import SpoolCleaner
from batchrun.report.whole import pieces, spools

UNIT = Unit(task_id="t", index=1, operation="run")


def whole(captured: Captured) -> bytes:
    return b"".join(pieces(captured))


def in_file(path: Path, data: bytes) -> Captured:
    path.write_bytes(data)
    return Captured(head=data[:1], omitted_bytes=len(data) - 1, spool=str(path))


def test_what_memory_holds_is_all_when_nothing_was_left_out() -> None:
    assert whole(Captured(head=b"a", tail=b"b")) == b"ab"
    assert whole(Captured()) == b""


def test_a_file_has_everything(tmp_path: Path) -> None:
    assert whole(in_file(tmp_path / "f", b"x" * 1_000_000)) == b"x" * 1_000_000


def test_without_its_file_beginning_and_end_are_given_with_a_word_between(tmp_path: Path) -> None:
    stream = Captured(head=b"a", tail=b"b", omitted_bytes=7, spool=str(tmp_path / "gone"))
    assert whole(stream) == b"a\n[batchrun: 7 bytes were not kept]\nb"


def test_parts_are_given_instead_of_what_is_shown(tmp_path: Path) -> None:
    parts = (Captured(head=b"1"), in_file(tmp_path / "f", b"22222"), Captured(head=b"3"))
    assert whole(Captured(head=b"3", parts=parts)) == b"1222223"


@pytest.mark.parametrize("ended", [True, False])
def test_all_files_of_an_attempt_are_removed_when_everybody_has_seen_it(
    tmp_path: Path, ended: bool
) -> None:
    stdout = Captured(
        head=b"3", parts=(in_file(tmp_path / "1", b"11"), in_file(tmp_path / "2", b"22"))
    )
    stderr = in_file(tmp_path / "3", b"33")
    report = Report(
        number=1, attempt=1, outcome=Ok(changed=True), started_at=1.0, duration_s=1.0,
        output=Output(stdout=stdout, stderr=stderr),
    )  # fmt: skip
    assert len([*spools(stdout), *spools(stderr)]) == 3
    retried = UnitRetried(unit=UNIT, report=report, delay_s=0.0)
    SpoolCleaner().handle(UnitEnded(unit=UNIT, report=report) if ended else retried)
    assert list(tmp_path.iterdir()) == []
