"""Many files, and parts of big ones, compressed by several workers: the programs read them."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from batchrun.model.outcome import Failed, Ok, Report
from batchrun.model.values import Glob
from file_context import HOSTILE_NAMES, FileContext, changed, do, message_of
from tree_judges import judge
from tree_runs import rehearsed, spread

PROGRAMS = {"gz": "gzip", "zst": "zstd", "xz": "xz", "bz2": "bzip2"}
BIG = 65 << 20


def logs(root: Path, count: int = 40) -> Path:
    """Make a directory of logs, each with a time of its own."""
    directory = root / "logs"
    directory.mkdir()
    for number in range(count):
        path = directory / f"{number}.log"
        path.write_bytes(os.urandom(500) + f"line {number}\n".encode() * 2000)
        path.chmod(0o640)
        os.utime(path, ns=(1, 10**18 + number))
    for name in HOSTILE_NAMES.values():
        (directory / f"{name}.log").write_text(name, errors="surrogateescape")
    return directory


def went_well(report: Report) -> bool:
    assert isinstance(report.outcome, Ok), report.outcome
    return report.outcome.changed


@pytest.mark.parametrize("form", PROGRAMS)
def test_the_programs_read_every_file_and_give_back_what_it_was(tmp_path: Path, form: str) -> None:
    directory = logs(tmp_path)
    shutil.copytree(directory, tmp_path / "kept", copy_function=shutil.copy2)
    sources: dict[str, Any] = {"src": (Glob(f"{directory}/*.log"),), "format": form}

    assert went_well(spread("compress", **sources))

    packed = sorted(directory.iterdir())
    assert len(packed) == 40 + len(HOSTILE_NAMES)
    assert {path.suffix for path in packed} == {f".{form}"}
    judge(PROGRAMS[form], "-t", "-q", "--", *packed)
    assert not went_well(spread("compress", **sources))
    assert went_well(spread("decompress", src=(Glob(f"{directory}/*"),)))
    command = ["rsync", "-nacO", "--delete", "--itemize-changes"]
    assert judge(*command, f"{tmp_path}/kept/", f"{directory}/") == ""


@pytest.mark.parametrize("form", ["gz", "zst"])
def test_a_big_file_is_compressed_in_ranges_and_is_one_to_every_program(
    tmp_path: Path, form: str
) -> None:
    big = tmp_path / "big.log"
    with big.open("wb") as file:
        file.truncate(BIG)
        for place in range(0, BIG, 1 << 20):
            file.seek(place)
            file.write(b"%d: a line\n" % place)
    (tmp_path / "small.log").write_text("small")
    big.chmod(0o640)
    os.setxattr(big, "user.kind", b"log")
    os.utime(big, ns=(1, 981_173_106_987_654_321))
    before = judge("sha256sum", big).split()[0]

    assert went_well(spread("compress", src=(Glob(f"{tmp_path}/*.log"),), format=form))

    packed = tmp_path / f"big.log.{form}"
    assert sorted(os.listdir(tmp_path)) == [packed.name, f"small.log.{form}"]
    judge(PROGRAMS[form], "-t", "-q", packed)
    assert judge("sh", "-c", f"{PROGRAMS[form]} -dc {packed} | sha256sum").split()[0] == before
    st = packed.stat()
    assert (st.st_mode & 0o777, st.st_mtime_ns) == (0o640, 981_173_106_987_654_321)
    assert os.getxattr(packed, "user.kind") == b"log"
    assert changed(do("decompress", src=(str(packed),)))
    assert judge("sha256sum", big).split()[0] == before


def test_a_file_that_cannot_be_done_stops_no_other(tmp_path: Path) -> None:
    directory = logs(tmp_path)
    (directory / "3.log.gz").write_text("something else")
    (directory / "7.log").unlink()
    (directory / "7.log").mkdir()
    sources = tuple(f"{directory}/{number}.log" for number in range(40))

    report = spread("compress", src=(*sources, f"{directory}/none.log"))

    assert isinstance(report.outcome, Failed)
    assert "3 errors: " in report.outcome.message
    left = sorted(path.name for path in directory.iterdir() if path.name.endswith("[0-9].log"))
    assert left == []
    assert (directory / "3.log").is_file()
    assert (directory / "3.log.gz").read_text() == "something else"
    assert not (directory / "8.log").exists()


def test_two_files_never_become_one(tmp_path: Path) -> None:
    for name in ("one.tgz", "one.tar.gz"):
        judge("sh", "-c", f"echo {name} | gzip > {tmp_path}/{name}")
    sources = f"{tmp_path}/one.tgz", f"{tmp_path}/one.tar.gz"
    assert "would both become" in message_of(do("decompress", src=sources))
    assert (tmp_path / "one.tar").read_text() == "one.tgz\n"
    assert sorted(os.listdir(tmp_path)) == ["one.tar", "one.tar.gz"]


def test_a_dry_run_of_a_big_file_makes_nothing(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(BIG)
    assert changed(do("compress", FileContext(dry_run=True), src=(f"{tmp_path}/big",)))
    report = spread("compress", make=rehearsed, src=(f"{tmp_path}/big",))
    assert isinstance(report.outcome, Ok)
