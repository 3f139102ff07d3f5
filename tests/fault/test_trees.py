"""Workers that die while a tree is spread over them, and a rogue that swaps directories."""

import os
import random
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from batchrun.model.event import Event, UnitEnded, UnitStarted
from batchrun.model.outcome import Failed, Ok, Report
from file_context import snapshot
from tree_judges import differences
from tree_runs import Killer, spread

pytestmark = pytest.mark.timeout(180)


def many_files(root: Path, directories: int = 40, files: int = 40) -> Path:
    """Make a tree of small files with times of their own, some with several names."""
    tree = root / "tree"
    for number in range(directories):
        directory = tree / f"d{number % 5}" / f"e{number}"
        directory.mkdir(parents=True)
        for file in range(files):
            path = directory / f"file {file}"
            path.write_bytes(os.urandom(100 * file))
            os.utime(path, ns=(file, 10**18 + number * 1000 + file))
        os.link(directory / "file 1", tree / f"d{number % 5}" / f"hard {number}")
    return tree


def went_well(report: Report) -> bool:
    return isinstance(report.outcome, Ok)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("when", ["different", "missing"])
def test_workers_that_die_again_and_again_cost_a_copy_nothing(
    tmp_path: Path, seed: int, when: str
) -> None:
    tree, copy = many_files(tmp_path), tmp_path / "copy"

    # The first slice is the only one that nobody repeats but the scheduler, which knows of retries.
    with Killer(seed) as killer:
        report = spread("copy", slice_cost=20, src=(str(tree),), dest=str(copy), if_=when)
        again = spread("copy", src=(str(tree),), dest=str(copy), if_=when)

    assert went_well(report), report
    assert went_well(again), again
    assert killer.killed
    assert differences(tree, copy) == ""


@pytest.mark.parametrize("seed", range(3))
def test_workers_that_die_again_and_again_cost_a_deletion_nothing(
    tmp_path: Path, seed: int
) -> None:
    for attempt in range(20):
        tree = many_files(tmp_path / str(attempt))
        with Killer(seed + attempt) as killer:
            report = spread("delete", slice_cost=3, path=(str(tree),))
        assert went_well(report), report
        assert not tree.exists()
        if killer.killed:
            return
    pytest.fail("every deletion had ended before its killer was given the time to kill")


@contextmanager
def swapping(tree: Path, victim: Path, pattern: str = "d*/e*") -> Iterator[None]:
    """Swap entries of a tree for symlinks to a victim, and back, while a block runs."""
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            found: list[Path] = []
            with suppress(OSError):
                found = [path for path in tree.glob(pattern) if not path.is_symlink()]
            for directory in found:
                aside = directory.with_name(f".{directory.name}")
                with suppress(OSError):
                    directory.rename(aside)
                    directory.symlink_to(victim)
                    directory.unlink()
                    aside.rename(directory)

    thread = threading.Thread(target=swap, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize(
    "operation", ["copy from", "copy into", "sync into", "delete", "perms", "move"]
)
def test_a_rogue_that_swaps_directories_leads_nobody_outside(
    tmp_path: Path, elsewhere: Path, operation: str
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    for number in range(50):
        (victim / f"file {number}").write_text("precious")
    before = snapshot(victim)
    place = elsewhere if operation == "move" else tmp_path
    tree, copy = many_files(tmp_path, 20, 20), place / "copy"

    for _ in range(3):
        if operation.endswith("into"):
            shutil.copytree(tree, copy, dirs_exist_ok=True)
            (copy / "d0" / "not in the source").touch()
        target = copy if operation.endswith("into") else tree
        with swapping(target, victim):
            _work(operation, tree, copy)
        assert snapshot(victim) == before
        secrets = [path for path in copy.rglob("*") if _holds(path, b"precious")]
        assert secrets == []


def _work(operation: str, tree: Path, copy: Path) -> None:
    match operation:
        case "delete":
            spread("delete", slice_cost=3, path=(str(tree),))
        case "move":
            spread("move", slice_cost=3, src=(str(tree),), dest=str(copy), overwrite=True)
        case "perms":
            owner = random.randrange(1, 60_000)
            spread("perms", slice_cost=3, path=(str(tree),), owner=str(owner), recursive=True)
            assert owner in set(_owners(tree))
        case "sync into":
            spread("sync", slice_cost=3, src=str(tree), dest=str(copy), delete=True, checksum=True)
        case _:
            spread("copy", slice_cost=3, src=(str(tree),), dest=str(copy), if_="always")


def _owners(tree: Path) -> Iterator[int]:
    """Yield the owners of the files that are to be seen while somebody swaps directories."""
    for directory, _, names in os.walk(tree):
        for name in names:
            with suppress(FileNotFoundError):
                yield os.lstat(f"{directory}/{name}").st_uid


def test_a_rogue_that_swaps_files_has_no_other_mode_changed(tmp_path: Path) -> None:
    victim, tree = tmp_path / "victim", many_files(tmp_path, 20, 20)
    victim.write_text("precious")
    victim.chmod(0o600)
    for mode in ("0644", "0640", "0666"):
        with swapping(tree, victim, "d*/e*/file 1*"):
            spread("perms", slice_cost=3, path=(str(tree),), mode=mode, recursive=True)
        assert victim.stat().st_mode & 0o777 == 0o600


def _holds(path: Path, text: bytes) -> bool:
    return path.is_file() and not path.parent.is_symlink() and path.read_bytes() == text


def test_one_that_is_stopped_leaves_no_trace_but_what_it_has_copied(tmp_path: Path) -> None:
    tree, copy = many_files(tmp_path), tmp_path / "copy"

    def interrupt(event: Event) -> None:
        if isinstance(event, UnitStarted):
            raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        spread("copy", slice_cost=3, on_event=interrupt, src=(str(tree),), dest=str(copy))

    assert went_well(spread("copy", src=(str(tree),), dest=str(copy)))
    assert differences(tree, copy) == ""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 2 MiB, which only root may mount."""
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=10k", "batchrun-test", str(path)]
    assert subprocess.run(mount, check=False).returncode == 0, "this test is for root"
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.mark.parametrize("operation", ["copy", "sync", "checksum"])
def test_a_full_disk_ends_it_at_once_and_afterwards_the_rest_is_done(
    tmp_path: Path, small: Path, operation: str
) -> None:
    tree = many_files(tmp_path)
    filler = small / "filler"
    filler.write_bytes(b"x" * ((3 << 19) + (7 << 16)))
    params = {"src": (str(tree),), "dest": f"{small}/copy"}
    if operation == "sync":
        params["src"] = str(tree)

    report = spread(operation, slice_cost=20, **params)  # type: ignore[arg-type]  # of one operation

    assert isinstance(report.outcome, Failed)
    said, _, got = report.outcome.message.partition("; ")
    assert said.endswith("No space left on device")
    if operation != "checksum":
        files = re.fullmatch(r"stopped after about ([\d ]+) files, [\d.]+ [KM]iB", got)
        assert files, got
        assert 0 < int(files[1].replace(" ", "")) < 1600
    left = [path.name for path in small.rglob(".br-*")]
    assert left == []
    if operation == "checksum":
        assert not (small / "copy").exists()
        return
    filler.unlink()
    for number in range(36):
        for path in (tree / f"d{number % 5}" / f"e{number}").glob("file *"):
            path.unlink()
    shutil.rmtree(small / "copy")
    assert went_well(spread(operation, **params))  # type: ignore[arg-type]  # see above


def test_a_full_disk_ends_a_move_at_once_and_the_tree_stays(tmp_path: Path, small: Path) -> None:
    tree = many_files(tmp_path)
    before = {path: row[:4] for path, row in snapshot(tree).items()}

    report = spread("move", slice_cost=20, src=(str(tree),), dest=f"{small}/moved")

    assert isinstance(report.outcome, Failed)
    assert "No space left on device" in report.outcome.message
    assert {path: row[:4] for path, row in snapshot(tree).items()} == before
    assert os.listdir(small) == []


@pytest.mark.parametrize("operation", ["copy", "sync"])
def test_a_disk_that_may_only_be_read_ends_it_at_once(
    tmp_path: Path, small: Path, operation: str
) -> None:
    tree = many_files(tmp_path, 5, 5)
    (small / "copy").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    params = {"src": (str(tree),) if operation == "copy" else str(tree), "dest": f"{small}/copy"}

    report = spread(operation, slice_cost=2, **params)  # type: ignore[arg-type]  # of one operation

    assert isinstance(report.outcome, Failed)
    assert report.outcome.message.count("Read-only file system") == 1
    assert "errors" not in report.outcome.message


def test_who_unmounts_right_after_finds_nothing_open(tmp_path: Path, small: Path) -> None:
    tree = many_files(tmp_path, 10, 5)

    def unmount(event: Event) -> None:
        # The workers are still there, waiting for what comes next.
        if isinstance(event, UnitEnded):
            subprocess.run(["umount", small], check=True)
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=2m", "batchrun-test", small], check=True
            )

    report = spread("copy", slice_cost=5, on_event=unmount, src=(str(tree),), dest=f"{small}/copy")

    assert went_well(report)
    assert list(small.iterdir()) == []
