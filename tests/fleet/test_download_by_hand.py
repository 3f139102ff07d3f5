"""Files and trees fetched from a host made by hand."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from batchrun.model.outcome import Lost
from batchrun.model.values import Glob
from file_context import HOSTILE_NAMES, changed, message_of
from local_host import LocalHost, local_host
from remote_trees import assert_same, make_tree

NAMES = pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    with local_host(tmp_path) as made:
        yield made


@pytest.fixture
def here(host: LocalHost) -> Path:
    return Path(host.settings.base_dir)


@NAMES
def test_a_file_is_fetched_once(host: LocalHost, here: Path, name: str) -> None:
    (host.home / name).write_bytes(b"\0data" * 1000)
    (host.home / name).chmod(0o640)
    os.utime(host.home / name, ns=(1, 1_234_567_890_123_456_789))
    dest = str(here / "new" / name)
    assert changed(host.do("download", src=(name,), dest=dest))
    assert_same(host.home, here / "new")
    assert (here / "new" / name).stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert not changed(host.do("download", src=(f"~/{name}",), dest=f"{here}/new/"))
    os.utime(host.home / name, (5, 5))
    assert not changed(host.do("download", src=(name,), dest=dest, checksum=True))
    assert changed(host.do("download", src=(str(host.home / name),), dest=dest, verify=True))
    assert_same(host.home, here / "new")


def test_a_tree_is_fetched_whole_and_then_only_what_differs(host: LocalHost, here: Path) -> None:
    make_tree(host.home / "t")
    dest = str(here / "new/t")
    real, host.settings = host.settings, replace(host.settings, dry_run=True)
    assert changed(host.do("download", src=("t",), dest=dest))
    assert not (here / "new").exists()
    host.settings = real
    assert changed(host.do("download", src=("t",), dest=dest))
    assert_same(host.home / "t", here / "new/t")
    assert not changed(host.do("download", src=("t/",), dest=f"{here}/new/"))
    assert not changed(host.do("download", src=("t",), dest=dest, checksum=True))
    (host.home / "t/-rf/more").write_text("more")
    (host.home / "t/newdir").mkdir()
    (host.home / "t/long link").unlink()
    (host.home / "t/long link").symlink_to("elsewhere")
    done = host.do("download", src=("t",), dest=dest, verify=True)
    assert changed(done)
    assert done.bytes_done == 4
    assert_same(host.home / "t", here / "new/t")


def test_a_tree_from_a_host_with_small_tools(host: LocalHost, here: Path) -> None:
    tools = host.home.parent / "tools"
    tools.mkdir()
    subprocess.run(["busybox", "--install", "-s", str(tools)], check=True)
    host.session.shell = ("busybox", "sh")
    host.session.noise = f"PATH={tools}; export PATH"
    make_tree(host.home / "t")
    for path in (host.home / "t").rglob("*"):  # busybox tells no fractions of a second
        os.utime(path, (1_000_000, 1_000_000), follow_symlinks=False)
    assert changed(host.do("download", src=("t",), dest=f"{here}/t"))
    assert_same(host.home / "t", here / "t", "--omit-link-times")
    assert not changed(host.do("download", src=("t",), dest=f"{here}/t"))


def test_paths_below_the_fixed_part_of_a_pattern_are_kept(host: LocalHost, here: Path) -> None:
    for name in ("log/a/x.log", "log/b/x.log", "log/b/.hidden.log"):
        (host.home / name).parent.mkdir(parents=True, exist_ok=True)
        (host.home / name).write_text(name)
    assert changed(host.do("download", src=(Glob("log/*/*.log"),), dest=f"{here}/o/"))
    assert (here / "o/a/x.log").read_text() == "log/a/x.log"
    assert (here / "o/b/x.log").read_text() == "log/b/x.log"
    assert sorted(os.listdir(here / "o/b")) == ["x.log"]
    message = message_of(
        host.do("download", src=(Glob("log/*/*.log"),), dest=f"{here}/f/", flat=True)
    )
    assert "would both become x.log" in message
    assert not (here / "f").exists()
    assert changed(host.do("download", src=(Glob("log/a/*"),), dest=f"{here}/f/", flat=True))
    assert (here / "f/x.log").exists()
    done = host.do("download", src=(Glob("log/*.no"),), dest=f"{here}/f/")
    assert not changed(done)
    assert done.warnings


def test_a_missing_file_and_a_directory_in_the_way(host: LocalHost, here: Path) -> None:
    assert "does not exist" in message_of(host.do("download", src=("no",), dest=f"{here}/x"))
    (host.home / "f").touch()
    (here / "f").mkdir()
    assert "is a directory here" in message_of(host.do("download", src=("f",), dest=f"{here}/f"))


def test_a_symlink_here_is_never_followed_out_of_dest(host: LocalHost, here: Path) -> None:
    outside = here / "outside"
    outside.mkdir()
    (here / "o").mkdir()
    (here / "o/d").symlink_to(outside)
    (host.home / "d").mkdir()
    (host.home / "d/f").write_text("evil")
    assert "o/d is not a directory" in message_of(
        host.do("download", src=("d",), dest=f"{here}/o/")
    )
    message = message_of(host.do("download", src=(Glob("*/f"),), dest=f"{here}/o/"))
    assert "symlink" in message
    assert os.listdir(outside) == []


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "other"])
def test_a_host_that_sends_other_names_writes_nothing(
    host: LocalHost, here: Path, name: str
) -> None:
    tools = host.home.parent / "tools"
    tools.mkdir()
    (tools / "tar").write_text(f'#!/bin/sh\nexec /usr/bin/python3 {tools}/evil.py "$@"\n')
    (tools / "tar").chmod(0o755)
    (tools / "evil.py").write_text(
        "import io, sys, tarfile\n"
        "if '--version' in sys.argv: print('GNU'); sys.exit()\n"
        "t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|')\n"
        f"i = tarfile.TarInfo({name!r}); i.size = 4\n"
        "t.addfile(i, io.BytesIO(b'evil')); t.close()\n"
    )
    host.session.noise = f"PATH={tools}:$PATH; export PATH"
    (host.home / "t").mkdir()
    (host.home / "t/a").write_text("a")
    (host.home / "t/b").write_text("b")
    message = message_of(host.do("download", src=("t",), dest=f"{here}/t"))
    assert "not asked for" in message
    assert not (here / "evil").exists()
    assert not os.path.exists("/etc/evil")
    assert os.listdir(here / "t") == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("count", [1, 2])
def test_a_transfer_that_breaks_leaves_the_old_and_nothing_else(
    host: LocalHost, here: Path, count: int
) -> None:
    (host.home / "t").mkdir()
    for number in range(count):
        (host.home / f"t/{number}").write_bytes(b"new" * 5_000_000)
    (here / "t").mkdir()
    (here / "t/0").write_text("old")
    before = host.progress

    def cut(bytes_done: int) -> None:
        before(bytes_done)
        if bytes_done > 1_000_000:
            host.session.channels[-1].cut()

    host.progress = cut  # type: ignore[method-assign]
    done = host.do("download", src=("t",), dest=f"{here}/t")
    assert isinstance(done.outcome, Lost), done.outcome
    assert os.listdir(here / "t") == ["0"]
    assert (here / "t/0").read_text() == "old"


def test_growth_is_a_note(host: LocalHost, here: Path) -> None:
    (host.home / "f").write_text("x" * 100)
    original = host.stage

    def stage(words: str) -> None:
        original(words)
        if words == "fetching":
            with open(host.home / "f", "a") as file:
                file.write("more")

    host.stage = stage  # type: ignore[method-assign]
    done = host.do("download", src=("f",), dest=f"{here}/f")
    assert changed(done)
    assert (here / "f").stat().st_size == 104
    assert "has grown by 4 bytes" in done.warnings[0]
