"""Hard links of trees that go to a host made by hand, or come from there; rsync is the judge."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from file_context import HOSTILE_NAMES, changed
from local_host import LocalHost, local_host
from remote_trees import assert_same, make_tree

SIDES = pytest.mark.parametrize("operation", ["upload", "download"])


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    with local_host(tmp_path) as made:
        yield made


class Trees:
    """A tree that is sent or fetched, and what becomes of it on the other side."""

    def __init__(self, host: LocalHost, operation: str) -> None:
        here = Path(host.settings.base_dir)
        self.host = host
        self.operation = operation
        sides = (here, host.home) if operation == "upload" else (host.home, here)
        self.source, self.copy = sides[0] / "t", sides[1] / "new/t"

    def transfer(self, **more: object) -> bool:
        src, dest = (str(self.source),), str(self.copy)
        return changed(self.host.do(self.operation, src=src, dest=dest, **more))

    def assert_same(self) -> None:
        assert_same(self.source, self.copy, "-H")


@pytest.fixture
def trees(host: LocalHost, operation: str) -> Trees:
    made = Trees(host, operation)
    make_tree(made.source)
    for name in HOSTILE_NAMES.values():
        os.link(made.source / name / name, made.source / "empty" / name)
    os.link(made.source / "big", made.source / ("b" * 120))
    os.link(made.source / "big", made.source / "deep/third")
    return made


@SIDES
def test_names_of_the_same_file_stay_names_of_the_same_file(trees: Trees) -> None:
    assert trees.transfer(verify=True)
    trees.assert_same()
    assert (trees.copy / "big").stat().st_nlink == 3
    assert not trees.transfer()
    assert not trees.transfer(checksum=True)


@SIDES
def test_a_link_that_is_missing_or_apart_is_made_again(trees: Trees) -> None:
    trees.transfer()
    (trees.copy / "deep/third").unlink()
    apart = trees.copy / "empty/plain"
    data, st = apart.read_bytes(), apart.stat()
    apart.unlink()
    apart.write_bytes(data)
    apart.chmod(st.st_mode)
    os.utime(apart, ns=(st.st_atime_ns, st.st_mtime_ns))
    assert trees.transfer()
    trees.assert_same()
    assert not trees.transfer()


@SIDES
def test_a_new_name_and_a_new_content_reach_all_names(trees: Trees) -> None:
    trees.transfer()
    (trees.source / "big").write_bytes(b"new")
    os.link(trees.source / "-rf/-rf", trees.source / "deep/another")
    assert trees.transfer()
    trees.assert_same()
    assert not trees.transfer()


@SIDES
def test_the_host_may_have_small_tools(trees: Trees) -> None:
    host, tools = trees.host, trees.host.home.parent / "tools"
    tools.mkdir()
    subprocess.run(["busybox", "--install", "-s", str(tools)], check=True)
    host.session.shell = ("busybox", "sh")
    host.session.noise = f"PATH={tools}; export PATH"
    for path in trees.source.rglob("*"):  # busybox knows no fractions of a second
        os.utime(path, (1_000_000, 1_000_000), follow_symlinks=False)
    assert trees.transfer()
    assert_same(trees.source, trees.copy, "-H", "--omit-link-times")
    assert not trees.transfer()


def test_two_symlinks_to_the_same_file_are_fetched_as_files(host: LocalHost) -> None:
    here = Path(host.settings.base_dir)
    (host.home / "file").write_text("x")
    for name in ("a", "b"):
        (host.home / name).symlink_to("file")
    assert changed(host.do("download", src=("a", "b"), dest=f"{here}/new/"))
    assert [(here / "new" / name).read_text() for name in ("a", "b")] == ["x", "x"]
