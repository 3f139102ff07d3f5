"""Complete output as files: where it is, and that nobody can lead it elsewhere."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.model.outcome import NO_OUTPUT, Captured, Failed, Ok, Output
from batchrun.report.outputdir import OutputDirSink
from batchrun.report.spool import SpoolCleaner
from scripted_run import Script

OK = Ok(changed=True)
RUN = "20261122-031500-7f3a"


class Written:
    """A run whose output is written."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = tmp_path / "out"
        self.sink = OutputDirSink(str(self.path))
        self.script = Script()

    def files(self) -> dict[str, bytes]:
        """Return what is in the directory of the run, but the index."""
        root = self.path / RUN
        found = {path.relative_to(root): path for path in root.rglob("*") if path.is_file()}
        return {str(name): path.read_bytes() for name, path in found.items()
                if str(name) != "index.tsv"}  # fmt: skip

    def index(self) -> list[list[str]]:
        lines = (self.path / RUN / "index.tsv").read_text().splitlines()
        return [line.split("\t") for line in lines]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Written]:
    written = Written(tmp_path)
    yield written
    written.sink.close()


def both(stdout: bytes = b"", stderr: bytes = b"") -> Output:
    return Output(stdout=Captured(head=stdout), stderr=Captured(head=stderr))


def spooled(path: Path, data: bytes) -> Captured:
    path.write_bytes(data)
    path.chmod(0o600)
    return Captured(head=data[:2], tail=data[-2:], omitted_bytes=len(data) - 4, spool=str(path))


def test_each_stream_that_holds_something_is_a_file(run: Written) -> None:
    run.script.start(run.sink, ("stage", "stage the exports"))
    run.script.end(run.sink, OK, "/data/a.csv", output=both(b"out\n", b"err\n"))
    run.script.end(run.sink, OK, "/data/b.csv", output=both(b"\xff\0"))
    run.script.end(run.sink, OK, "/data/c.csv", output=NO_OUTPUT)
    assert run.files() == {
        "stage/000001-data_a.csv.out": b"out\n",
        "stage/000001-data_a.csv.err": b"err\n",
        "stage/000002-data_b.csv.out": b"\xff\0",
    }


def test_a_unit_without_an_item_is_its_number(run: Written) -> None:
    run.script.start(run.sink)
    run.script.end(run.sink, OK, output=both(b"x"))
    assert run.files() == {"stage/000001.out": b"x"}


def test_the_index_leads_from_the_item_to_the_files(run: Written) -> None:
    label = "a\tb\\\n" + os.fsdecode(b"\xe9")
    run.script.start(run.sink)
    run.script.end(run.sink, OK, "quiet")
    failed = Failed(message="exit status 3", exit_status=3)
    run.script.end(run.sink, failed, label, output=both(stderr=b"oh"))
    assert run.index() == [
        ["Task", "Index", "Outcome", "Stdout", "Stderr", "Item", "Host"],
        ["stage", "2", "failed", "", "stage/000002-a_b.err", r"a\tb\\\n\xe9", ""],
    ]


def test_items_that_look_alike_have_files_of_their_own(run: Written) -> None:
    run.script.start(run.sink, ("a/b", "one"), ("a b", "two"))
    for task_id in ("a/b", "a b"):
        for label in ("x/y", "x y", "x y"):
            run.script.end(run.sink, OK, label, task_id=task_id, output=both(b"x"))
    assert set(run.files()) == {
        f"{task}/00000{number}-x_y.out" for task in ("a_b", "a_b-2") for number in (1, 2, 3)
    }


def test_output_that_is_in_a_file_already_only_gets_another_name(
    run: Written, tmp_path: Path
) -> None:
    stream = spooled(tmp_path / "spool", b"0123456789" * 100)
    inode = os.stat(stream.spool).st_ino
    run.script.start(run.sink)
    run.script.end(run.sink, OK, "a", output=Output(stdout=stream))
    path = run.path / RUN / "stage" / "000001-a.out"
    assert path.read_bytes() == b"0123456789" * 100
    assert path.stat().st_ino == inode
    # As readable as all the others.
    usual = stat.S_IMODE((run.path / RUN / "index.tsv").stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == usual


def test_it_is_still_there_when_the_other_name_is_gone(run: Written, tmp_path: Path) -> None:
    cleaner = SpoolCleaner()
    run.script.start(run.sink)

    class Both:
        def handle(self, event: object) -> None:
            run.sink.handle(event)  # type: ignore[arg-type]  # an event
            cleaner.handle(event)  # type: ignore[arg-type]  # an event

    stream = spooled(tmp_path / "spool", b"0123456789" * 100)
    run.script.end(Both(), OK, "a", output=Output(stdout=stream))
    assert not (tmp_path / "spool").exists()
    assert run.files() == {"stage/000001-a.out": b"0123456789" * 100}


def test_the_output_of_several_steps_is_put_together(run: Written, tmp_path: Path) -> None:
    first, last = spooled(tmp_path / "1", b"first" * 9), spooled(tmp_path / "3", b"third" * 9)
    stream = Captured(head=b"th", omitted_bytes=9, parts=(first, Captured(head=b"2nd"), last))
    run.script.start(run.sink)
    run.script.end(run.sink, OK, "a", output=Output(stderr=stream))
    assert run.files() == {"stage/000001-a.err": b"first" * 9 + b"2nd" + b"third" * 9}


def test_what_an_earlier_step_wrote_is_there_though_the_one_that_failed_wrote_nothing(
    run: Written,
) -> None:
    stream = Captured(parts=(Captured(head=b"earlier\n"),))
    run.script.start(run.sink)
    run.script.end(run.sink, OK, "a", output=Output(stdout=stream))
    assert run.files() == {"stage/000001-a.out": b"earlier\n"}


def test_output_that_could_not_be_kept_whole_says_so(run: Written) -> None:
    stream = Captured(head=b"begin", tail=b"end", omitted_bytes=7)
    run.script.start(run.sink)
    run.script.end(run.sink, OK, "a", output=Output(stdout=stream))
    (text,) = run.files().values()
    assert text == b"begin\n[batchrun: 7 bytes were not kept]\nend"


def test_another_run_has_another_directory(run: Written) -> None:
    yesterday = run.path / "20261121-031500-0000" / "stage" / "000001-a.out"
    yesterday.parent.mkdir(parents=True)
    yesterday.write_text("yesterday")
    run.script.start(run.sink)
    run.script.end(run.sink, OK, "a", output=both(b"today"))
    assert yesterday.read_text() == "yesterday"
    assert run.files() == {"stage/000001-a.out": b"today"}


def test_a_directory_that_others_have_made_for_the_run_is_refused(
    run: Written, tmp_path: Path
) -> None:
    (tmp_path / "victim").mkdir()
    run.path.mkdir()
    (run.path / RUN).symlink_to(tmp_path / "victim")
    with pytest.raises(FileExistsError, match=RUN):
        run.script.start(run.sink)
    assert os.listdir(tmp_path / "victim") == []


@pytest.mark.parametrize("planted", ["stage", "stage/000001-a.out"])
def test_a_link_that_appears_in_the_middle_is_not_followed(
    run: Written, tmp_path: Path, planted: str
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    run.script.start(run.sink)
    if "/" in planted:
        run.script.end(run.sink, OK, "first", output=both(b"x"))
        (run.path / RUN / "stage" / "000002-a.out").symlink_to(victim / "written")
    else:
        (run.path / RUN / "stage").symlink_to(victim)
    with pytest.raises(OSError, match=r"stage/00000\d-a\.out"):
        run.script.end(run.sink, OK, "a", output=both(b"secret"))
    assert os.listdir(victim) == []


def test_a_directory_that_is_moved_away_still_gets_the_output(run: Written, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    run.script.start(run.sink)
    (run.path / RUN).rename(tmp_path / "moved")
    (run.path / RUN).symlink_to(victim)
    run.script.end(run.sink, OK, "a", output=both(b"x"))
    assert os.listdir(victim) == []
    assert (tmp_path / "moved" / "stage" / "000001-a.out").read_bytes() == b"x"


def test_a_dry_run_makes_no_directory(run: Written) -> None:
    run.script.start(run.sink, dry_run=True)
    run.script.end(run.sink, OK, "a", output=both(b"x"))
    assert not run.path.exists()
