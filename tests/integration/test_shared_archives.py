"""Archives that several workers make: read by the formats' own programs, and the same each time."""

import os
from pathlib import Path

import pytest

from batchrun.model.values import Glob
from file_context import changed, do, message_of
from tree_judges import differences, judge
from varied_tree import shared, varied_tree

TESTS = {"tar": None, "tar.gz": "gzip", "tar.zst": "zstd", "tar.xz": "xz"}


@pytest.mark.parametrize("form", TESTS)
def test_the_formats_own_programs_agree_with_what_several_workers_made(
    tmp_path: Path, form: str
) -> None:
    tree, archive = varied_tree(tmp_path), tmp_path / f"a.{form}"
    with (tree / "d1" / "big").open("wb") as big:
        big.truncate(9 << 20)
        big.seek(5 << 20)
        big.write(b"in the middle")

    assert shared("archive", src=(str(tree),), dest=str(archive))

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
        assert shared("archive", src=(str(tree),), dest=f"{tmp_path}/{name}.tar.zst")
    assert (tmp_path / "one.tar.zst").read_bytes() == (tmp_path / "two.tar.zst").read_bytes()
    assert changed(do("archive", src=(str(tree),), dest=f"{tmp_path}/alone.tar"))
    unpacked = judge("sh", "-c", f"zstd -dc {tmp_path}/one.tar.zst | sha256sum")
    assert judge("sh", "-c", f"sha256sum < {tmp_path}/alone.tar") == unpacked


def test_many_sources_are_archived_by_name_in_order(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"log.{number}").write_text(f"{number}\n" * number)
    sources = tuple(f"{tmp_path}/log.{number}" for number in range(40))
    assert shared("archive", src=sources, dest=f"{tmp_path}/logs.tar.gz")
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
    assert shared("archive", src=(str(tree),), dest=f"{tmp_path}/a.tar.zst", remove=True)
    assert not tree.exists()
    assert changed(do("extract", src=f"{tmp_path}/a.tar.zst", dest=f"{tmp_path}/out"))
    assert differences(tmp_path / "kept", tmp_path / "out" / "tree") == ""
