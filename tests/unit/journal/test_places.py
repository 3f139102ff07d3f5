"""Where runs are recorded: made for their owner only, or refused with what to do."""

import os
from pathlib import Path

import pytest

from batchrun.errors import JournalError
from batchrun.journal.places import StateDir

RUN = "20260101-000000-0001"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_all_directories_are_for_their_owner_only_whatever_the_umask(
    tmp_path: Path, umask: int
) -> None:
    state = StateDir(tmp_path / "state")
    before = os.umask(umask)
    try:
        run = state.make(RUN)
    finally:
        os.umask(before)
    modes = [one.stat().st_mode & 0o777 for one in (state.path, state.runs, run.path)]
    assert modes == [0o700] * 3


def test_the_directory_of_a_run_is_made_once(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    state.make(RUN)
    with pytest.raises(FileExistsError):
        state.make(RUN)


@pytest.mark.parametrize("place", ["", "state", "state/runs", f"state/runs/{RUN}"])
def test_a_file_where_a_directory_must_be_is_told_with_what_to_do(
    tmp_path: Path, place: str
) -> None:
    file = tmp_path / "top" / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    state = StateDir(tmp_path / "top" / "state")
    with pytest.raises(JournalError) as caught:
        state.make(RUN)
    begin, end = str(caught.value).split(": ", 1)
    assert begin == f"the run cannot be recorded in {state.path}"
    assert end in (
        f"{why}; set BATCHRUN_STATE_DIR to another directory, or give --no-journal to run without "
        "a record"
        for why in ("a file is in its place", "Not a directory")
    )


def test_only_directories_with_a_record_are_runs_by_name_the_oldest_first(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    assert state.run_ids() == []
    for name in ("20260102-000000-0001", RUN, ".20260103-000000-0001"):
        state.make(name)
        state.run(name).database.touch()
    state.make("20260104-000000-0001")
    (state.runs / "20260105-000000-0001").touch()
    assert state.run_ids() == [RUN, "20260102-000000-0001"]


def test_a_state_directory_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(JournalError, match=r"the state directory .* cannot be read: Not a dir"):
        StateDir(tmp_path).run_ids()
