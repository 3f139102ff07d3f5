"""Files on a host made by hand: made, linked, deleted, given a mode, written."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.model.outcome import Failed, Lost, Ok
from batchrun.model.unit import RunSettings
from batchrun.model.values import NEW_FILE, Glob
from file_context import HOSTILE_NAMES, changed, message_of
from local_host import LocalHost, local_host

NAMES = pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    with local_host(tmp_path) as made:
        yield made


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o7777


@NAMES
def test_mkdir_makes_once(host: LocalHost, name: str) -> None:
    path = f"new/{name}"
    assert host.rehearse("mkdir", path=(path,), mode="0751")
    assert changed(host.do("mkdir", path=(path,), mode="0751"))
    assert mode(host.home / path) == 0o751
    assert not changed(host.do("mkdir", path=(path,), mode="0751"))
    assert changed(host.do("mkdir", path=(f"~/{path}/",), mode="g-x"))
    assert mode(host.home / path) == 0o741


def test_mkdir_gives_the_owner_asked_for(host: LocalHost) -> None:
    assert changed(host.do("mkdir", path=("d",), owner="nobody", group="daemon"))
    st = (host.home / "d").stat()
    assert (st.st_uid, st.st_gid) == (65534, 1)
    assert not changed(host.do("mkdir", path=("d",), owner="65534", group="daemon"))
    assert "no user nosuch" in message_of(host.do("mkdir", path=("d",), owner="nosuch"))
    assert "no group nosuch" in message_of(host.do("mkdir", path=("d",), group="nosuch"))


def test_mkdir_refuses_what_is_no_directory(host: LocalHost) -> None:
    (host.home / "f").touch()
    assert "not a directory" in message_of(host.do("mkdir", path=("f",)))
    (host.home / "l").symlink_to(host.home)
    assert not changed(host.do("mkdir", path=("l",)))


@NAMES
def test_link_points_where_asked(host: LocalHost, name: str) -> None:
    assert host.rehearse("link", src=name, dest="d/l")
    assert changed(host.do("link", src=name, dest="d/l"))
    assert os.readlink(host.home / "d/l") == name
    assert not changed(host.do("link", src=name, dest="d/l"))
    assert changed(host.do("link", src="/elsewhere", dest="d/l"))
    assert os.readlink(host.home / "d/l") == "/elsewhere"
    assert changed(host.do("link", src=f"/x/{name}", dest="d/"))
    assert os.readlink(host.home / "d" / name) == f"/x/{name}"


def test_link_replaces_a_file_only_when_told_to(host: LocalHost) -> None:
    (host.home / "f").touch()
    assert "force" in message_of(host.do("link", src="/x", dest="f"))
    assert changed(host.do("link", src="/x", dest="f", force=True))
    (host.home / "dir").mkdir()
    assert "is a directory" in message_of(host.do("link", src="/x", dest="dir", force=True))
    # A link to a directory is replaced itself.
    (host.home / "to-dir").symlink_to("dir")
    assert changed(host.do("link", src="/x", dest="to-dir"))
    assert os.listdir(host.home / "dir") == []


def test_hard_links(host: LocalHost) -> None:
    (host.home / "f").write_text("x")
    assert changed(host.do("link", src="f", dest="g", kind="hard"))
    assert (host.home / "f").samefile(host.home / "g")
    assert not changed(host.do("link", src="f", dest="g", kind="hard"))
    assert "does not exist" in message_of(host.do("link", src="no", dest="h", kind="hard"))


@NAMES
def test_delete_takes_files_and_trees_and_what_is_missing(host: LocalHost, name: str) -> None:
    (host.home / "d" / name).mkdir(parents=True)
    (host.home / "d" / name / "f").touch()
    assert host.rehearse("delete", path=(f"d/{name}",))
    assert changed(host.do("delete", path=(f"d/{name}",)))
    assert os.listdir(host.home / "d") == []
    assert not changed(host.do("delete", path=(f"d/{name}",)))


def test_delete_by_pattern_takes_only_what_matches(host: LocalHost) -> None:
    for name in ("a.log", "b.log", "c.txt", ".hidden.log"):
        (host.home / name).touch()
    (host.home / "to-dir.log").symlink_to("/etc")
    assert changed(host.do("delete", path=(Glob("*.log"),)))
    assert sorted(os.listdir(host.home)) == [".hidden.log", "c.txt"]
    assert os.path.exists("/etc/passwd")
    assert not changed(host.do("delete", path=(Glob("*.log"),)))


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/usr/", "/./etc", "/etc/../usr", "/proc", "/root", "/usr/.", "~", "."]
)
def test_delete_refuses_what_must_not_go_by_a_slip(host: LocalHost, path: str) -> None:
    host.settings = RunSettings(run_id="r", base_dir="/", dry_run=True)
    assert "refused to delete" in message_of(host.do("delete", path=(path,)))


def test_delete_refuses_what_holds_a_mount_point(host: LocalHost) -> None:
    host.settings = RunSettings(run_id="r", base_dir="/", dry_run=True)
    assert "a mount point" in message_of(host.do("delete", path=("/dev/pts",)))


def test_delete_more_than_allowed_deletes_nothing(host: LocalHost) -> None:
    for number in range(5):
        (host.home / f"{number}\n.log").touch()
    (host.home / "rest").touch()
    message = message_of(host.do("delete", path=(Glob("*.log"),), max_delete=4))
    assert "5 of 6 entries" in message
    assert "nothing was deleted" in message
    assert "5 of 6" in message_of(host.do("delete", path=(Glob("*.log"),), max_delete="50%"))
    assert len(os.listdir(host.home)) == 6
    assert changed(host.do("delete", path=(Glob("*.log"),), max_delete="90%"))


@NAMES
def test_perms_changes_what_is_different(host: LocalHost, name: str) -> None:
    (host.home / name).touch(0o600)
    assert host.rehearse("perms", path=(name,), mode="u=rw,go=r")
    assert changed(host.do("perms", path=(name,), mode="u=rw,go=r"))
    assert mode(host.home / name) == 0o644
    assert not changed(host.do("perms", path=(name,), mode="0644"))


@NAMES
def test_perms_below_a_directory(host: LocalHost, name: str) -> None:
    (host.home / "t" / name).mkdir(parents=True, mode=0o700)
    (host.home / "t" / name / name).touch(0o600)
    (host.home / "t/link").symlink_to("/etc/passwd")
    before = os.stat("/etc/passwd").st_mode
    assert changed(host.do("perms", path=("t",), mode="0640", recursive=True))
    assert mode(host.home / "t") == mode(host.home / "t" / name) == 0o750
    assert mode(host.home / "t" / name / name) == 0o640
    assert not changed(host.do("perms", path=("t",), mode="0640", recursive=True))
    assert os.stat("/etc/passwd").st_mode == before
    assert "does not exist" in message_of(host.do("perms", path=("no",), mode="0640"))


@NAMES
def test_write_changes_by_content(host: LocalHost, name: str) -> None:
    path = f"d/{name}"
    assert host.rehearse("write", dest=path, text="one\n")
    assert changed(host.do("write", dest=path, text="one\n"))
    assert (host.home / path).read_text() == "one\n"
    assert not changed(host.do("write", dest=path, text="one\n"))
    assert changed(host.do("write", dest=path, text="two\n", mode="0604", backup=True))
    assert (host.home / path).read_text() == "two\n"
    assert mode(host.home / path) == 0o604
    assert (host.home / f"{path}~").read_text() == "one\n"
    assert changed(host.do("write", dest=path, text="two\n", mode="0600"))
    assert changed(host.do("write", dest=path, text="owo\n"))
    assert mode(host.home / path) == 0o600
    assert sorted(os.listdir(host.home / "d")) == sorted([name, f"{name}~"])


def test_write_gives_usual_and_secret_modes(host: LocalHost) -> None:
    host.do("write", dest="usual", text="x")
    host.do("write", dest="secret", text="x", secret=True)
    umask = os.umask(0)
    os.umask(umask)
    assert mode(host.home / "usual") == 0o666 & ~umask
    assert mode(host.home / "secret") == 0o600
    assert changed(host.do("write", dest="symbolic", text="x", mode="u=rw,g=r"))
    assert mode(host.home / "symbolic") == 0o640


def test_write_keeps_the_owner_of_what_it_replaces(host: LocalHost) -> None:
    (host.home / "f").write_text("old")
    os.chown(host.home / "f", 65534, 1)
    assert changed(host.do("write", dest="f", text="new"))
    assert ((host.home / "f").stat().st_uid, (host.home / "f").stat().st_gid) == (65534, 1)
    assert changed(host.do("write", dest="f", text="newer", owner="root"))
    assert (host.home / "f").stat().st_uid == 0


def test_write_replaces_a_symlink_and_refuses_a_directory(host: LocalHost) -> None:
    (host.home / "target").write_text("kept")
    (host.home / "l").symlink_to("target")
    assert changed(host.do("write", dest="l", text="new"))
    assert not (host.home / "l").is_symlink()
    assert (host.home / "target").read_text() == "kept"
    (host.home / "d").mkdir()
    assert "is a directory" in message_of(host.do("write", dest="d", text="x"))
    assert "names a directory" in message_of(host.do("write", dest="d/", text="x"))


def test_write_shows_what_changes(host: LocalHost) -> None:
    (host.home / "f").write_text("a\nb\n")
    host.settings = RunSettings(run_id="r", base_dir="/", diff=True, dry_run=True)
    diff = host.do("write", dest="f", text="a\nc\n").diff
    assert "--- f\n+++ f\n" in diff
    assert "-b\n+c\n" in diff
    assert "/dev/null" in host.do("write", dest="g", text="a\n").diff
    assert "hidden" in host.do("write", dest="f", text="a\nc\n", secret=True).diff


def test_a_file_that_is_refused_does_not_get_its_name(host: LocalHost) -> None:
    (host.home / "f").write_text("old")
    check = ("grep", "-q", "good", NEW_FILE)
    done = host.do(
        "write", dest="f", text="bad", validate=("sh", "-c", "echo no >&2; exit 1", NEW_FILE)
    )
    assert "refused the new file: no" in message_of(done)
    assert b"no" in done.output.stderr.head
    assert "refused" in message_of(
        host.do("template", src="t", dest="f", text="bad", validate=check)
    )
    assert (host.home / "f").read_text() == "old"
    assert os.listdir(host.home) == ["f"]
    assert changed(host.do("write", dest="f", text="good", validate=check))


@pytest.mark.timeout(60)
def test_a_text_that_did_not_arrive_whole_is_never_under_the_final_name(host: LocalHost) -> None:
    (host.home / "f").write_text("old")

    def cut_during_the_second(host: LocalHost) -> None:
        original = host.session.open_channel

        def opening(command, context):  # type: ignore[no-untyped-def]
            if len(host.session.channels) == 1:
                host.session.breaks_after = 300_000
            return original(command, context)

        host.session.open_channel = opening

    cut_during_the_second(host)
    done = host.do("write", dest="f", text="x" * 1_000_000)
    assert isinstance(done.outcome, Lost), done.outcome
    host.session.channels[-1].process.wait(20)
    assert (host.home / "f").read_text() == "old"
    assert os.listdir(host.home) == ["f"]


def test_a_script_is_sent_run_and_removed(host: LocalHost) -> None:
    script = Path(host.settings.base_dir) / "s.sh"
    script.write_text('#!/bin/sh\necho "$0" "$1"; pwd\n')
    done = host.do("script", file="s.sh", args=("a b",))
    assert done.outcome == Ok(changed=True, exit_status=0)
    name, args, *_ = done.output.stdout.head.decode().split(" ", 1)
    assert args == f"a b\n{host.home}\n"
    assert not os.path.exists(name)
    assert not os.path.exists(os.path.dirname(name))
    script.write_text('echo "plain $1"')
    done = host.do("script", file="s.sh", args=("x",))
    assert done.output.stdout.head == b"plain x\n"
    assert isinstance(host.do("script", file="no").outcome, Failed)
