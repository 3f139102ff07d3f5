"""Guards that only look, and the output file: skipped, fresh, half-written, renamed."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from batchrun.errors import OperationError, UnitStoppedError
from batchrun.model.around import Around, OutputFile
from batchrun.model.operation import Done
from batchrun.model.outcome import Failed, Ok, Outcome, Skipped
from batchrun.model.values import Glob
from batchrun.ops.around import within
from batchrun.ops.outputfile import discard_output
from file_context import FileContext

RAN = Ok(changed=False, note="it ran")


def outcome_of(
    base: Path,
    around: Around,
    operation: Callable[[], Done] | None = None,
    *,
    dry_run: bool = False,
) -> Outcome:
    """Run something with this around it."""
    context = FileContext(base, dry_run=dry_run)
    return within(around, operation or (lambda: Done(outcome=RAN)), context).outcome


def writing(path: Path, text: str = "made", outcome: Outcome = RAN) -> Callable[[], Done]:
    """Make an operation that writes a file and ends so."""

    def operation() -> Done:
        path.write_text(text)
        return Done(outcome=outcome)

    return operation


def test_without_anything_around_it_an_operation_just_runs(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, Around()) is RAN


def test_a_path_that_is_no_mount_point_fails_the_unit_before_anything_else(tmp_path: Path) -> None:
    around = Around(mounted=("/proc", str(tmp_path)), creates=(str(tmp_path),))
    with pytest.raises(OperationError, match=f"^{tmp_path} is no mount point"):
        outcome_of(tmp_path, around)
    with pytest.raises(OperationError, match=r"^missing is not mounted .*No such file"):
        outcome_of(tmp_path, Around(mounted=("missing",)))
    (tmp_path / "link").symlink_to("/proc")
    assert outcome_of(tmp_path, Around(mounted=("/", "/proc", "link"))) is RAN


def test_creates_skips_when_all_are_there(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    assert outcome_of(tmp_path, Around(creates=("a",))) == Skipped(because="creates: a is there")
    both = Around(creates=("a", "dangling"))
    assert outcome_of(tmp_path, both) == Skipped(because="creates: a, dangling are there")
    assert outcome_of(tmp_path, Around(creates=("a", "b"))) is RAN
    assert isinstance(outcome_of(tmp_path, Around(creates=(Glob("[a-c]"),))), Skipped)
    assert outcome_of(tmp_path, Around(creates=(Glob("*.csv"),))) is RAN
    assert outcome_of(tmp_path, Around(creates=("[a-c]",))) is RAN


def test_removes_skips_unless_all_are_there(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert outcome_of(tmp_path, Around(removes=("a",))) is RAN
    skipped = outcome_of(tmp_path, Around(removes=("a", Glob("*.csv"))))
    assert skipped == Skipped(because="removes: *.csv is not there")


def output(*sources: str) -> Around:
    """Make the modifier, with relative names as in a job file."""
    made = OutputFile(path="out/a.txt", temporary="out/.br-a.txt", sources=sources)
    return Around(output=made)


def test_what_was_written_gets_its_name_in_a_directory_that_was_made(tmp_path: Path) -> None:
    temporary = tmp_path / "out" / ".br-a.txt"
    outcome = outcome_of(tmp_path, output(), writing(temporary))
    assert outcome == Ok(changed=True, note="it ran")
    assert os.listdir(tmp_path / "out") == ["a.txt"]
    assert (tmp_path / "out" / "a.txt").read_text() == "made"


def test_a_file_that_is_not_older_than_its_sources_is_not_made_again(tmp_path: Path) -> None:
    made = tmp_path / "out" / "a.txt"
    made.parent.mkdir()
    made.touch()
    source = tmp_path / "source"
    source.touch()
    os.utime(made, ns=(0, 5_000))
    os.utime(source, ns=(0, 5_000))
    because = "output: out/a.txt is there and not older than what it is made from"
    assert outcome_of(tmp_path, output("source", "gone")) == Skipped(because=because)
    os.utime(source, ns=(0, 5_001))
    again = writing(tmp_path / "out" / ".br-a.txt", "again")
    assert outcome_of(tmp_path, output("gone", "source"), again).kind == "ok"
    assert made.read_text() == "again"
    assert outcome_of(tmp_path, output()) == Skipped(because="output: out/a.txt is there")


@pytest.mark.parametrize("ending", ["failed", "stopped", "defect"])
def test_half_a_file_is_removed_and_the_old_one_kept(tmp_path: Path, ending: str) -> None:
    made = tmp_path / "out" / "a.txt"
    made.parent.mkdir()
    made.write_text("old")
    (tmp_path / "newer").touch()
    os.utime(made, ns=(0, 0))
    errors = {"stopped": UnitStoppedError(timed_out=True), "defect": ZeroDivisionError()}

    def operation() -> Done:
        (made.parent / ".br-a.txt").write_text("half")
        if ending in errors:
            raise errors[ending]
        return Done(outcome=Failed(message="no"))

    if ending in errors:
        with pytest.raises(type(errors[ending])):
            outcome_of(tmp_path, output("newer"), operation)
    else:
        assert outcome_of(tmp_path, output("newer"), operation) == Failed(message="no")
    assert os.listdir(made.parent) == ["a.txt"]
    assert made.read_text() == "old"


def test_what_an_earlier_attempt_left_is_never_taken_for_the_result(tmp_path: Path) -> None:
    stale = tmp_path / "out" / ".br-a.txt"
    stale.parent.mkdir()
    stale.write_text("half of it")
    with pytest.raises(OperationError, match=r"ended well but wrote no \{\{ output \}\}"):
        outcome_of(tmp_path, output())
    assert os.listdir(stale.parent) == []


def test_a_directory_instead_of_a_file_is_refused_and_removed(tmp_path: Path) -> None:
    def operation() -> Done:
        (tmp_path / "out" / ".br-a.txt").mkdir()
        (tmp_path / "out" / ".br-a.txt" / "x").touch()
        return Done(outcome=RAN)

    with pytest.raises(OperationError, match="has made a directory"):
        outcome_of(tmp_path, output(), operation)
    assert os.listdir(tmp_path / "out") == []


def test_a_directory_under_the_final_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out" / "a.txt").mkdir(parents=True)
    (tmp_path / "newer").touch()
    os.utime(tmp_path / "out" / "a.txt", ns=(0, 0))
    with pytest.raises(OperationError, match="is a directory"):
        outcome_of(tmp_path, output("newer"))


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, output(), dry_run=True)
    assert outcome == Ok(changed=True, note=f"would write {tmp_path}/out/a.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_skips_what_the_run_would_skip(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    around = Around(creates=("a",))
    assert outcome_of(tmp_path, around, dry_run=True) == outcome_of(tmp_path, around)


def test_what_a_dead_worker_has_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".br-a.txt").touch()
    discard_output(output(), str(tmp_path))
    discard_output(output(), str(tmp_path))
    discard_output(Around(), str(tmp_path))
    discard_output(None, str(tmp_path))
    assert os.listdir(tmp_path / "out") == []
