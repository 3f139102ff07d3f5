"""Operations on trees that are spread over several workers, with independent tools as judges."""

import os
from pathlib import Path
from typing import Any

import pytest

from batchrun.model.outcome import Failed, Ok, Report
from file_context import HOSTILE_NAMES, snapshot
from tree_judges import attributes, differences, judge
from tree_runs import MAKERS, in_process, rehearsed, spread

pytestmark = pytest.mark.timeout(120)


def changed(report: Report) -> bool:
    assert isinstance(report.outcome, Ok), report.outcome
    return report.outcome.changed


def wide_tree(root: Path) -> Path:
    """Make a tree of many directories, deep and wide ones, with one of everything in some."""
    tree = root / "tree"
    for number in range(40):
        directory = tree / f"d{number % 7}" / f"e{number % 3}" / f"f{number}"
        directory.mkdir(parents=True)
        for file in range(number):
            (directory / f"file {file}").write_bytes(os.urandom(10 * file))
        os.utime(directory, ns=(number, 10**18 + number))
    wide = tree / "wide"
    wide.mkdir()
    for number in range(700):
        (wide / f"{number}").touch()
    for name in HOSTILE_NAMES.values():
        (wide / name).write_text(name, errors="surrogateescape")
        (tree / name).mkdir()
        os.link(wide / name, tree / name / "hard")
        os.link(wide / name, tree / "d1" / name)
    (tree / "/".join(["deep"] * 90)).mkdir(parents=True)
    (tree / "link").symlink_to("wide")
    (tree / "d1" / "broken").symlink_to("nowhere")
    os.mkfifo(tree / "d2" / "fifo", 0o640)
    with (tree / "d3" / "sparse").open("wb") as sparse:
        sparse.truncate(8 << 20)
        sparse.seek(3 << 20)
        sparse.write(b"data")
    (tree / "d4" / "big").write_bytes(os.urandom(3_000_000))
    judge("setfacl", "-m", "u:daemon:rw", tree / "d4" / "big")
    judge("setfacl", "-d", "-m", "g:daemon:rwx", tree / "d5")
    os.setxattr(tree / "d6", "user.kind", b"\x00\xff directory")
    (tree / "wide" / "7").chmod(0o4755)
    (tree / "d5").chmod(0o3777)
    (tree / "d6" / "e0").chmod(0o500)
    if os.geteuid() == 0:
        os.chown(tree / "d2", 1234, 4321)
        os.chown(tree / "wide" / "9", 1234, 4321)
        os.chown(tree / "link", 1234, 4321, follow_symlinks=False)
    return tree


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("slice_cost", [1, 40])
def test_a_copy_by_many_is_the_same_in_everything(
    tmp_path: Path, make: object, slice_cost: int
) -> None:
    tree, copy = wide_tree(tmp_path), tmp_path / "out/copy"

    report = spread("copy", make=make, slice_cost=slice_cost, src=(str(tree),), dest=str(copy))  # type: ignore[arg-type]  # one of MAKERS

    assert changed(report)
    assert report.warnings == ()
    assert report.bytes_done > 3_000_000
    assert differences(tree, copy) == ""
    assert attributes(tree) == attributes(copy)
    assert (copy / "d3" / "sparse").stat().st_blocks * 512 < 1 << 20
    assert list(tmp_path.rglob(".br-*")) == []


def test_a_second_copy_by_many_changes_nothing(tmp_path: Path) -> None:
    tree, copy = wide_tree(tmp_path), tmp_path / "copy"
    spread("copy", src=(str(tree),), dest=str(copy))
    before = _facts(copy)

    assert not changed(spread("copy", src=(str(tree),), dest=str(copy)))

    assert _facts(copy) == before


def _facts(root: Path) -> dict[str, tuple[object, ...]]:
    """Describe everything, but for when the inodes were changed: names may come and go."""
    return {path: (*facts[:4], facts[4][0], facts[5]) for path, facts in snapshot(root).items()}


def test_a_copy_by_many_repairs_what_is_different(tmp_path: Path) -> None:
    tree, copy = wide_tree(tmp_path), tmp_path / "copy"
    spread("copy", src=(str(tree),), dest=str(copy))
    (copy / "d4" / "big").write_bytes(b"else")
    (copy / "wide" / "11").unlink()
    (copy / "d2").chmod(0o700)
    os.utime(copy / "d6", (5, 5))
    judge("setfacl", "-b", copy / "d5")
    (copy / "d1" / "plain").unlink()
    (copy / "d1" / "plain").write_text("plain")

    assert changed(spread("copy", make=rehearsed, src=(str(tree),), dest=str(copy)))
    assert differences(tree, copy) != ""
    assert changed(spread("copy", src=(str(tree),), dest=str(copy)))

    assert differences(tree, copy) == ""
    assert not changed(spread("copy", src=(str(tree),), dest=str(copy)))


@pytest.mark.parametrize("operation", ["copy", "delete"])
def test_a_dry_run_of_a_spread_operation_changes_nothing(tmp_path: Path, operation: str) -> None:
    tree = wide_tree(tmp_path)
    before = snapshot(tmp_path)
    params: dict[str, Any] = {"path": (str(tree),)}
    if operation == "copy":
        params = {"src": (str(tree),), "dest": f"{tmp_path}/copy"}

    assert changed(spread(operation, make=rehearsed, **params))

    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_deletion_by_many_leaves_nothing(tmp_path: Path, make: object) -> None:
    tree = wide_tree(tmp_path)

    assert changed(spread("delete", make=make, path=(str(tree),)))  # type: ignore[arg-type]  # one of MAKERS

    assert list(tmp_path.iterdir()) == []
    assert not changed(spread("delete", path=(str(tree),)))


def test_what_is_not_to_be_deleted_keeps_the_directories_that_it_lies_in(tmp_path: Path) -> None:
    tree = wide_tree(tmp_path)

    assert changed(spread("delete", path=(str(tree),), exclude=("file 30", "9")))

    left = {str(path.relative_to(tree)) for path in tree.rglob("*") if not path.is_dir()}
    assert "wide/9" in left
    assert all(path.endswith(("file 30", "/9")) for path in left)
    kept = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_dir()}
    assert kept == {parent for path in left for parent in _parents(path)}


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def test_what_cannot_be_read_is_counted_and_the_rest_is_copied(tmp_path: Path) -> None:
    tree, copy = wide_tree(tmp_path), tmp_path / "copy"
    copy.mkdir()
    (copy / "d1").write_text("in the way")
    for number in range(30):
        (copy / "wide").mkdir(exist_ok=True)
        (copy / "wide" / str(number)).mkdir()

    report = spread("copy", src=(str(tree),), dest=str(copy))

    assert isinstance(report.outcome, Failed)
    assert report.outcome.message.startswith("31 errors: ")
    assert len(report.errors) == 31
    assert differences(tree / "d2", copy / "d2") == ""


def test_a_tree_deeper_than_the_longest_path_is_copied_and_deleted(tmp_path: Path) -> None:
    name, depth = "n" * 200, 40
    here = os.open(tmp_path, os.O_RDONLY)
    for level in ["tree", *[name] * depth]:
        os.mkdir(level, dir_fd=here)
        deeper = os.open(level, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    with open(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=here), "w") as file:
        file.write("deep")
    os.close(here)

    assert changed(spread("copy", src=(f"{tmp_path}/tree",), dest=f"{tmp_path}/copy"))

    # No other tool goes so deep.
    found = ["find", ".", "-printf", "%P %y %m %s %T@\\n"]
    assert judge(*found, cwd=tmp_path / "tree") == judge(*found, cwd=tmp_path / "copy")
    assert changed(spread("delete", path=(f"{tmp_path}/tree", f"{tmp_path}/copy")))
    assert list(tmp_path.iterdir()) == []


def test_a_tree_that_takes_too_long_is_ended_and_says_how_far_it_got(tmp_path: Path) -> None:
    tree = wide_tree(tmp_path)

    report = spread(
        "copy",
        make=in_process,
        timeout_s=0.05,
        slice_cost=1,
        src=(str(tree),),
        dest=f"{tmp_path}/c",
    )

    assert report.outcome.kind == "timed_out"
    assert list((tmp_path / "c").glob(".br-*-links")) == []


def test_a_manifest_by_many_is_what_sha256sum_reads(tmp_path: Path) -> None:
    tree, manifest = wide_tree(tmp_path), tmp_path / "tree" / "manifest"

    assert changed(spread("checksum", src=(str(tree),), dest=str(manifest)))

    judge("sha256sum", "-c", "--quiet", "--strict", manifest, cwd=tree)
    files = sum(path.is_file() and not path.is_symlink() for path in tree.rglob("*"))
    assert len(manifest.read_bytes().splitlines()) == files - 1
    assert not changed(spread("checksum", src=(str(tree),), dest=str(manifest)))
    assert list(tree.rglob(".br-*")) == []


def test_a_manifest_is_verified_by_many(tmp_path: Path) -> None:
    tree, manifest = wide_tree(tmp_path), tmp_path / "manifest"
    spread("checksum", src=(str(tree),), dest=str(manifest))
    lines = len(manifest.read_bytes().splitlines())

    report = spread("checksum", verify=True, dest=str(manifest))
    (tree / "wide" / "7").write_text("else")
    (tree / "wide" / "9").unlink()
    bad = spread("checksum", verify=True, dest=str(manifest))

    assert isinstance(report.outcome, Ok)
    assert report.outcome.note == f"{lines} files verified"
    assert isinstance(bad.outcome, Failed)
    assert bad.outcome.message.startswith("2 errors: ")


def test_a_manifest_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    tree, manifest = wide_tree(tmp_path), tmp_path / "manifest"
    manifest.mkdir()

    report = spread("checksum", src=(str(tree),), dest=str(manifest))

    assert isinstance(report.outcome, Failed)
    assert list(tmp_path.rglob(".br-*")) == []


def test_a_change_of_mode_and_owner_by_many_reaches_everything(tmp_path: Path) -> None:
    tree = wide_tree(tmp_path)

    report = spread("perms", path=(str(tree),), mode="u=rwX,g=rX,o=", group="7", recursive=True)

    assert changed(report)
    for path in [tree, *tree.rglob("*")]:
        st = path.lstat()
        if not path.is_symlink():
            wanted = 0o750 if path.is_dir() or path.name == "7" else 0o640
            assert st.st_mode & 0o777 == wanted, path
        assert st.st_gid == 7
    assert not changed(
        spread("perms", path=(str(tree),), mode="u=rwX,g=rX,o=", group="7", recursive=True)
    )


def test_directories_that_would_be_closed_are_changed_last(tmp_path: Path) -> None:
    tree = wide_tree(tmp_path)

    assert changed(spread("perms", path=(str(tree),), dir_mode="0", recursive=True, slice_cost=2))

    for path in [tree, *tree.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            assert path.stat().st_mode & 0o7777 == 0, path


def test_a_big_file_is_copied_in_ranges_by_many(tmp_path: Path) -> None:
    tree, copy = tmp_path / "tree", tmp_path / "copy"
    (tree / "deep" / "er").mkdir(parents=True)
    big = tree / "deep" / "er" / "big"
    big.write_bytes(os.urandom(1 << 20) * 150 + b"end")
    (tree / "small").touch()
    os.setxattr(big, "user.kind", b"big")
    os.utime(big, ns=(1, 10**18 + 7))

    report = spread("copy", src=(str(tree),), dest=str(copy))

    assert changed(report)
    assert report.bytes_done == big.stat().st_size
    assert differences(tree, copy) == ""
    assert not changed(spread("copy", src=(str(tree),), dest=str(copy)))
    (copy / "deep/er/big").write_bytes(b"else")
    assert changed(spread("copy", src=(str(tree),), dest=str(copy)))
    assert differences(tree, copy) == ""
    assert list(tmp_path.rglob(".br-*")) == []


def test_a_big_file_that_is_not_completed_leaves_no_trace(tmp_path: Path) -> None:
    tree, copy = tmp_path / "tree", tmp_path / "copy"
    tree.mkdir()
    (tree / "big").write_bytes(b"x" * (200 << 20))

    report = spread("copy", make=in_process, timeout_s=0.03, src=(str(tree),), dest=str(copy))

    assert report.outcome.kind == "timed_out"
    assert list(tmp_path.rglob(".br-*")) == []
