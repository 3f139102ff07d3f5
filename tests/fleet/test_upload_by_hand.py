"""Files and trees sent to a host made by hand."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.model.outcome import Lost
from batchrun.model.values import Glob
from file_context import HOSTILE_NAMES, changed, message_of, snapshot
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
def test_a_file_is_sent_once(host: LocalHost, here: Path, name: str) -> None:
    (here / name).write_bytes(b"\0data" * 1000)
    (here / name).chmod(0o640)
    os.utime(here / name, ns=(1, 1_234_567_890_123_456_789))
    source, dest = str(here / name), f"new/{name}"
    assert host.rehearse("upload", src=(source,), dest=dest)
    assert changed(host.do("upload", src=(source,), dest=dest))
    assert_same(here, host.home / "new")
    assert (host.home / dest).stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert not changed(host.do("upload", src=(source,), dest="new/"))
    assert host.bytes_seen == 5000
    os.utime(here / name, (5, 5))
    assert not changed(host.do("upload", src=(source,), dest=dest, checksum=True))
    assert changed(host.do("upload", src=(source,), dest=dest, verify=True))
    assert_same(here, host.home / "new")


def test_a_tree_is_sent_whole_and_then_only_what_differs(host: LocalHost, here: Path) -> None:
    make_tree(here / "t")
    source = str(here / "t")
    assert host.rehearse("upload", src=(source,), dest="new/t")
    assert changed(host.do("upload", src=(source,), dest="new/t"))
    assert_same(here / "t", host.home / "new/t")
    assert not changed(host.do("upload", src=(source,), dest="new/t"))
    assert not changed(host.do("upload", src=(source,), dest="new/", checksum=True))
    (here / "t/-rf/more").write_text("more")
    (here / "t/newdir/sub").mkdir(parents=True)
    (here / "t/newdir/sub/f").write_text("f")
    (here / "t/big").chmod(0o600)
    (here / "t/long link").unlink()
    (here / "t/long link").symlink_to("elsewhere")
    host.bytes_seen = 0
    done = host.do("upload", src=(source,), dest="new/t", verify=True)
    assert changed(done)
    assert done.bytes_done == 5
    assert_same(here / "t", host.home / "new/t")
    assert not changed(host.do("upload", src=(source,), dest="new/t"))
    assert [name for name in os.listdir(host.home / "new/t") if name.startswith(".br")] == []


def test_a_tree_for_a_host_with_small_tools(host: LocalHost, here: Path) -> None:
    tools = host.home.parent / "tools"
    tools.mkdir()
    subprocess.run(["busybox", "--install", "-s", str(tools)], check=True)
    host.session.shell = ("busybox", "sh")
    host.session.noise = f"PATH={tools}; export PATH"
    make_tree(here / "t")
    for path in (here / "t").rglob("*"):  # busybox keeps no fractions of a second
        os.utime(path, (1_000_000, 1_000_000), follow_symlinks=False)
    source = str(here / "t")
    assert changed(host.do("upload", src=(source,), dest="new/t", verify=True))
    assert_same(here / "t", host.home / "new/t", "--omit-link-times")
    assert not changed(host.do("upload", src=(source,), dest="new/t"))
    (here / "t/big").write_text("x")
    assert changed(host.do("upload", src=(source,), dest="new/t"))
    assert (host.home / "new/t/big").read_text() == "x"


def test_delete_removes_what_is_not_here(host: LocalHost, here: Path) -> None:
    (here / "t/kept").mkdir(parents=True)
    for number in range(4):
        (here / f"t/{number}").touch()
    source = str(here / "t")
    host.do("upload", src=(source,), dest="t")
    (host.home / "t/extra").mkdir()
    (host.home / "t/extra/f\n").touch()
    (host.home / "t/data.db").touch()
    arguments = {"src": (source,), "dest": "t", "delete": True, "exclude": ("*.db",)}
    assert host.rehearse("upload", **arguments)
    assert "2 of 8 entries" in message_of(host.do("upload", **arguments, max_delete=1))
    assert changed(host.do("upload", **arguments))
    assert sorted(os.listdir(host.home / "t")) == ["0", "1", "2", "3", "data.db", "kept"]
    assert not changed(host.do("upload", **arguments))


def test_an_empty_source_never_empties_the_host(host: LocalHost, here: Path) -> None:
    (here / "t").mkdir()
    (host.home / "t").mkdir()
    (host.home / "t/f").touch()
    message = message_of(
        host.do("upload", src=(str(here / "t"),), dest="t", delete=True, max_delete="100%")
    )
    assert "is empty" in message
    assert (host.home / "t/f").exists()


def test_patterns_and_several_sources_go_into_a_directory(host: LocalHost, here: Path) -> None:
    for name in ("a.conf", "b.conf", "c.txt"):
        (here / name).write_text(name)
    glob = Glob(f"{here}/*.conf")
    assert "write conf.d/" in message_of(host.do("upload", src=(glob,), dest="conf.d"))
    assert changed(host.do("upload", src=(glob, str(here / "c.txt")), dest="conf.d/"))
    assert sorted(os.listdir(host.home / "conf.d")) == ["a.conf", "b.conf", "c.txt"]
    done = host.do("upload", src=(Glob(f"{here}/*.no"),), dest="conf.d/")
    assert not changed(done)
    assert done.warnings


def test_what_stands_in_the_way_is_not_removed(host: LocalHost, here: Path) -> None:
    (here / "f").touch()
    (host.home / "d").mkdir()
    assert "write d/" in message_of(host.do("upload", src=(str(here / "f"),), dest="d"))
    (here / "t/f").mkdir(parents=True)
    (host.home / "t").mkdir()
    (host.home / "t/f").touch()
    assert "is not a directory" in message_of(host.do("upload", src=(str(here / "t"),), dest="t"))
    missing = host.do("upload", src=(str(here / "no"),), dest="x")
    assert "does not exist" in message_of(missing)


def test_mode_and_owner_are_those_asked_for(host: LocalHost, here: Path) -> None:
    (here / "t/d").mkdir(parents=True)
    (here / "t/d/f").touch()
    arguments = {"src": (str(here / "t"),), "dest": "t", "mode": "0640", "owner": "nobody"}
    assert changed(host.do("upload", **arguments))
    st = (host.home / "t/d/f").stat()
    assert (st.st_mode & 0o7777, st.st_uid) == (0o640, 65534)
    st = (host.home / "t/d").stat()
    assert (st.st_mode & 0o7777, st.st_uid) == (0o750, 65534)
    assert not changed(host.do("upload", **arguments))


def test_root_sends_files_of_others_to_root_as_files_of_others(host: LocalHost, here: Path) -> None:
    make_tree(here / "t")
    for path, uid, gid in (("big", 65534, 1), ("deep", 2, 65534), ("long link", 65534, 65534)):
        os.chown(here / "t" / path, uid, gid, follow_symlinks=False)
    (here / "t/big").chmod(0o4750)
    source = str(here / "t")
    assert changed(host.do("upload", src=(source,), dest="t"))
    assert_same(here / "t", host.home / "t", "-go", "--numeric-ids")
    assert not changed(host.do("upload", src=(source,), dest="t"))
    # In a tree that is there: what is sent, and what only belongs to somebody else.
    (here / "t/new").write_text("x")
    os.chown(here / "t/new", 65534, 65534)
    os.chown(host.home / "t/big", 0, 0)
    assert changed(host.do("upload", src=(source,), dest="t"))
    assert_same(here / "t", host.home / "t", "-go", "--numeric-ids")
    assert changed(host.do("upload", src=(f"{source}/big",), dest="single"))
    assert ((host.home / "single").stat().st_uid, (host.home / "single").stat().st_gid) == (
        65534,
        1,
    )


def test_who_is_not_known_there_owns_nothing(host: LocalHost, here: Path) -> None:
    (here / "f").write_text("x")
    os.chown(here / "f", 65534, 0)
    programs = host.home / "bin"
    programs.mkdir()
    (programs / "id").write_text('#!/bin/sh\n[ "$*" = -u ] && echo 0\n')
    (programs / "id").chmod(0o755)
    host.session.noise = f"PATH={programs}:$PATH"
    done = host.do("upload", src=(str(here / "f"),), dest="f")
    assert "there is no user nobody on the host" in done.warnings[0]
    assert (host.home / "f").stat().st_uid == 0


def test_what_is_not_sent_of_a_file_is_said_once(host: LocalHost, here: Path) -> None:
    (here / "t").mkdir()
    for name in ("a", "b", "c"):
        (here / "t" / name).write_text("x")
    os.setxattr(here / "t/a", "user.note", b"x")
    subprocess.run(["setfacl", "-m", "u:nobody:r", here / "t/b"], check=True)
    done = host.do("upload", src=(str(here / "t"),), dest="t")
    assert done.warnings == (
        f"2 files have attributes or an ACL, which are not sent: {here}/t/a",
    )  # fmt: skip
    assert host.do("upload", src=(str(here / "t"),), dest="t").warnings == ()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["file", "new tree", "old tree"])
def test_a_transfer_that_breaks_leaves_the_old_and_nothing_else(
    host: LocalHost, here: Path, kind: str
) -> None:
    (here / "t").mkdir()
    (here / "t/f").write_bytes(b"new" * 500_000)
    if kind != "new tree":
        (host.home / "t").mkdir()
        (host.home / "t/f").write_text("old")
    before = {path: content[0] for path, content in snapshot(host.home).items()}
    if kind == "file":
        source, dest = str(here / "t/f"), "t/f"
    else:
        source, dest = str(here / "t"), "t"
    original = host.session.open_channel

    def opening(command, context):  # type: ignore[no-untyped-def]
        if "sending" in host.stages:
            host.session.breaks_after = 600_000
        return original(command, context)

    host.session.open_channel = opening
    done = host.do("upload", src=(source,), dest=dest)
    assert isinstance(done.outcome, Lost), done.outcome
    for channel in host.session.channels:
        channel.process.wait(20)
    after = {path: content[0] for path, content in snapshot(host.home).items()}
    assert after.keys() == before.keys()
    if kind != "new tree":
        assert (host.home / "t/f").read_text() == "old"
