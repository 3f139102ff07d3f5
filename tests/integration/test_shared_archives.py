"""Archives that several workers make: read by the formats' own programs, and the same each time."""

import os
import random
from pathlib import Path
from typing import Any

import pytest

from batchrun.model.outcome import Ok
from batchrun.model.values import Glob
from file_context import HOSTILE_NAMES, changed, do, message_of
from tree_judges import differences, judge
from tree_runs import spread

TESTS = {"tar": None, "tar.gz": "gzip", "tar.zst": "zstd", "tar.xz": "xz"}


def archived(**params: Any) -> None:
    """Have several workers make an archive that was not there."""
    outcome = spread("archive", **params).outcome
    assert isinstance(outcome, Ok), outcome
    assert outcome.changed


def varied_tree(root: Path) -> Path:
    """Make a tree that is more than one slice, with several names of files in several places."""
    tree, chance = root / "tree", random.Random(3)
    for number in range(12):
        directory = tree / f"d{number % 3}" / f"e{number}"
        directory.mkdir(parents=True)
        for file in range(12):
            path = directory / f"file-{file}"
            path.write_bytes(chance.randbytes(chance.randint(0, 3000)))
            os.utime(path, ns=(file, 10**18 + number * 1000 + file))
        os.link(directory / "file-1", tree / f"d{(number + 1) % 3}-hard-{number}")
        (directory / "link").symlink_to("file-1")
        os.setxattr(directory / "file-2", "user.kind", b"\x00binary")
    for name in HOSTILE_NAMES.values():
        (tree / "d0" / name).write_text(name, errors="surrogateescape")
    (tree / "empty").mkdir()
    os.mkfifo(tree / "fifo", 0o640)
    (tree / ("long " * 40)).write_text("long")
    judge("setfacl", "-m", "u:daemon:rw", tree / "d1" / "e1" / "file-3")
    return tree


@pytest.mark.parametrize("form", TESTS)
def test_the_formats_own_programs_agree_with_what_several_workers_made(
    tmp_path: Path, form: str
) -> None:
    tree, archive = varied_tree(tmp_path), tmp_path / f"a.{form}"
    with (tree / "d1" / "big").open("wb") as big:
        big.truncate(9 << 20)
        big.seek(5 << 20)
        big.write(b"in the middle")

    archived(src=(str(tree),), dest=str(archive))

    assert sorted(os.listdir(tmp_path)) == [archive.name, "tree"]
    program = TESTS[form]
    if program is not None:
        judge(program, "-t", "-q", archive)
    judge("tar", "--compare", "--file", archive, cwd=tmp_path)
    target = tmp_path / "out"
    target.mkdir()
    judge("tar", "--xattrs", "--xattrs-include=*", "--acls", "-xpf", archive, "-C", target)
    assert differences(tree, target / "tree") == ""
    assert not changed(do("archive", src=(str(tree),), dest=str(archive)))
    assert changed(do("extract", src=str(archive), dest=f"{tmp_path}/by us"))
    assert differences(tree, tmp_path / "by us" / "tree") == ""


def test_several_workers_make_the_same_archive_each_time(tmp_path: Path) -> None:
    tree = varied_tree(tmp_path)
    for name in ("one", "two"):
        archived(src=(str(tree),), dest=f"{tmp_path}/{name}.tar.zst")
    assert (tmp_path / "one.tar.zst").read_bytes() == (tmp_path / "two.tar.zst").read_bytes()
    assert changed(do("archive", src=(str(tree),), dest=f"{tmp_path}/alone.tar"))
    unpacked = judge("sh", "-c", f"zstd -dc {tmp_path}/one.tar.zst | sha256sum")
    assert judge("sh", "-c", f"sha256sum < {tmp_path}/alone.tar") == unpacked


def test_many_sources_are_archived_by_name_in_order(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"log.{number}").write_text(f"{number}\n" * number)
    sources = tuple(f"{tmp_path}/log.{number}" for number in range(40))
    archived(src=sources, dest=f"{tmp_path}/logs.tar.gz")
    names = judge("tar", "-tzf", tmp_path / "logs.tar.gz").splitlines()
    assert names == sorted(f"log.{number}" for number in range(40))
    judge("tar", "--compare", "--file", tmp_path / "logs.tar.gz", cwd=tmp_path)


def test_an_archive_among_its_sources_is_not_put_into_itself(tmp_path: Path) -> None:
    archive = tmp_path / "all.tar.gz"
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        assert changed(do("archive", src=(Glob(f"{tmp_path}/*"),), dest=str(archive)))
        assert not changed(do("archive", src=(Glob(f"{tmp_path}/*"),), dest=str(archive)))
    assert judge("tar", "-tzf", archive).split() == ["one", "two"]
    done = do("archive", src=(str(archive), f"{tmp_path}/one"), dest=str(archive))
    assert "is the archive" in message_of(done)
    (tmp_path / "tree").mkdir()
    done = do("archive", src=(f"{tmp_path}/tree",), dest=f"{tmp_path}/tree/a.tar.gz")
    assert "would be put into itself" in message_of(done)


def test_sources_are_deleted_when_what_several_workers_made_was_read_again(tmp_path: Path) -> None:
    tree = varied_tree(tmp_path)
    judge("cp", "-a", tree, tmp_path / "kept")
    archived(src=(str(tree),), dest=f"{tmp_path}/a.tar.zst", remove=True)
    assert not tree.exists()
    assert changed(do("extract", src=f"{tmp_path}/a.tar.zst", dest=f"{tmp_path}/out"))
    assert differences(tmp_path / "kept", tmp_path / "out" / "tree") == ""
