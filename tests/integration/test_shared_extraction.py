"""Archives that several workers extract: the same as one worker, and as tar, would make of them."""

import io
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

from batchrun.model.outcome import Failed, Report
from file_context import changed, do, snapshot
from tree_judges import differences, judge
from tree_runs import spread
from varied_tree import shared, varied_tree


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.zst", "tar.xz"])
def test_what_several_workers_extract_is_the_same_in_everything(tmp_path: Path, form: str) -> None:
    tree, out = varied_tree(tmp_path), tmp_path / "out"
    with (tree / "d1" / "big").open("wb") as big:
        big.truncate(9 << 20)
        big.seek(5 << 20)
        big.write(b"in the middle")
    (tree / "d2").chmod(0o2750)
    (tree / "d2" / "e2").chmod(0o500)
    os.utime(tree / "d2", ns=(1, 981_173_106_987_654_321))
    assert shared("archive", src=(str(tree),), dest=f"{tmp_path}/a.{form}")

    assert shared("extract", src=f"{tmp_path}/a.{form}", dest=str(out))

    assert differences(tree, out / "tree") == ""
    assert not shared("extract", src=f"{tmp_path}/a.{form}", dest=str(out))


def test_what_is_different_is_replaced_and_the_rest_is_left_alone(tmp_path: Path) -> None:
    tree, out = varied_tree(tmp_path), tmp_path / "out"
    assert shared("archive", src=(str(tree),), dest=f"{tmp_path}/a.tar.zst")
    assert shared("extract", src=f"{tmp_path}/a.tar.zst", dest=str(out))
    (out / "tree/d0/e0/file-5").write_text("changed")
    (out / "tree/d1/e1/file-6").unlink()
    (out / "tree/d1/e1/link").unlink()
    (out / "tree/mine").write_text("mine")
    kept = (out / "tree/d2/e2/file-7").stat().st_ino

    assert shared("extract", src=f"{tmp_path}/a.tar.zst", dest=str(out))

    (out / "tree/mine").unlink()
    os.utime(out / "tree", ns=(0, tree.stat().st_mtime_ns))
    assert differences(tree, out / "tree") == ""
    assert (out / "tree/d2/e2/file-7").stat().st_ino == kept


def test_patterns_say_what_several_workers_extract(tmp_path: Path) -> None:
    tree, out = varied_tree(tmp_path), tmp_path / "out"
    assert shared("archive", src=(str(tree),), dest=f"{tmp_path}/a.tar.zst")
    params: dict[str, Any] = {
        "src": f"{tmp_path}/a.tar.zst",
        "exclude": ("d0/", "*-hard-*", "file-1"),
    }
    assert shared("extract", dest=str(out), **params)
    assert changed(do("extract", dest=f"{tmp_path}/one", **params))
    assert differences(tmp_path / "one" / "tree", out / "tree") == ""
    assert not (out / "tree" / "d0").exists()


@pytest.mark.parametrize("trap", ["twice", "below a file", "a file above"])
def test_members_that_get_in_each_others_way_are_extracted_in_order(
    tmp_path: Path, trap: str
) -> None:
    names = {"twice": "a/file", "below a file": "a/1/deeper", "a file above": "a"}
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in ["a/file", *(f"a/{number}" for number in range(1500)), names[trap]]:
            info = tarfile.TarInfo(name)
            data = name.encode() if tar.getmembers()[:1] else b"first"
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    ours = spread("extract", src=f"{tmp_path}/a.tar", dest=f"{tmp_path}/out")
    alone = do("extract", src=f"{tmp_path}/a.tar", dest=f"{tmp_path}/one")
    assert _message(ours) == _message(alone).replace("/one/", "/out/")
    assert judge("diff", "-r", tmp_path / "one", tmp_path / "out") == ""
    if trap == "twice":
        assert (tmp_path / "out/a/file").read_text() == "a/file"


def _message(done: Any) -> str:
    return done.outcome.message if isinstance(done.outcome, Failed) else ""


def test_nothing_is_extracted_when_one_member_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name in [*(f"a/{number}" for number in range(1500)), "../evil"]:
            tar.addfile(tarfile.TarInfo(name))
    before = snapshot(tmp_path)
    report: Report = spread("extract", src=f"{tmp_path}/a.tar", dest=f"{tmp_path}/out")
    assert "leads outside of the destination" in _message(report)
    assert snapshot(tmp_path) == before


def test_setuid_is_not_restored_by_several_workers_either(tmp_path: Path) -> None:
    tree = varied_tree(tmp_path)
    (tree / "d0" / "e0" / "file-1").chmod(0o6755)
    assert shared("archive", src=(str(tree),), dest=f"{tmp_path}/a.tar.gz")
    assert shared("extract", src=f"{tmp_path}/a.tar.gz", dest=f"{tmp_path}/out")
    mode = (tmp_path / "out/tree/d0/e0/file-1").stat().st_mode
    assert stat.S_IMODE(mode) == 0o755
    assert not changed(do("extract", src=f"{tmp_path}/a.tar.gz", dest=f"{tmp_path}/out"))
