"""What the operations do to real files, with independent tools as the judges."""

import errno
import io
import os
import shutil
import socket
import stat
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import UnitStoppedError
from batchrun.model.outcome import Failed
from batchrun.model.values import Glob
from file_context import (
    HOSTILE_NAMES,
    NOBODY,
    FileContext,
    as_nobody,
    changed,
    do,
    message_of,
    snapshot,
)

TAR_FORMATS = ["tar", "tar.gz", "tar.zst", "tar.xz"]


def judge(*command: str | os.PathLike[str], cwd: Path | None = None) -> str:
    """Run a tool that must be content, and return what it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return os.fsdecode(done.stdout)


def differences(one: Path, other: Path) -> str:
    """Return what rsync would still do to make two trees the same in everything."""
    command = ["rsync", "-nacHAX", "--devices", "--specials", "--delete", "--itemize-changes"]
    return judge(*command, f"{one}/", f"{other}/")


def rich_tree(root: Path) -> Path:
    """Make a tree with one of everything a filesystem can hold."""
    tree = root / "tree"
    deep = tree / "sub" / "deep"
    deep.mkdir(parents=True)
    (tree / "plain").write_text("plain\n")
    os.link(tree / "plain", tree / "sub" / "hard")
    os.link(tree / "plain", deep / "hard")
    (tree / "link").symlink_to("plain")
    (tree / "broken").symlink_to("nowhere")
    (tree / "loop").symlink_to("loop")
    (tree / "up").symlink_to("..")
    os.link(tree / "broken", tree / "broken too", follow_symlinks=False)
    (tree / "empty").touch()
    (tree / "big").write_bytes(os.urandom(3_000_000))
    with (tree / "sparse").open("wb") as sparse:
        sparse.truncate(8 << 20)
        sparse.seek(3 << 20)
        sparse.write(b"data")
    os.mkfifo(tree / "fifo", 0o640)
    for name in HOSTILE_NAMES.values():
        (deep / name).write_text(name, errors="surrogateescape")
    judge("setfacl", "-m", "u:daemon:rw", tree / "big")
    judge("setfacl", "-d", "-m", "g:daemon:rwx", deep)
    os.setxattr(tree / "big", "user.origin", b"\x00\xff binary")
    os.setxattr(deep, "user.kind", b"directory")
    for path, mode in ((tree / "plain", 0o4755), (tree / "sub", 0o3777), (tree / "empty", 0)):
        path.chmod(mode)
    if os.geteuid() == 0:
        os.mknod(tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.chown(tree / "sub" / "deep", 1234, 4321)
        os.chown(tree / "link", 1234, 4321, follow_symlinks=False)
        os.chown(tree / "plain", 1234, 4321)
        os.chmod(tree / "plain", 0o6755)
    for path in (tree / "link", tree / "big", deep, tree / "sub", tree):
        os.utime(path, ns=(1, 981_173_106_987_654_321), follow_symlinks=False)
    return tree


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


# copy


def test_a_copy_is_the_same_in_everything(tmp_path: Path) -> None:
    tree = rich_tree(tmp_path)
    done = do("copy", src=(str(tree),), dest=f"{tmp_path}/out/copy")
    assert changed(done)
    assert done.warnings == ()
    assert differences(tree, tmp_path / "out/copy") == ""
    assert allocated(tmp_path / "out/copy/sparse") <= allocated(tree / "sparse")
    assert (tmp_path / "out/copy").stat().st_mtime_ns == tree.stat().st_mtime_ns


def test_a_copy_to_another_filesystem_is_the_same(tmp_path: Path, elsewhere: Path) -> None:
    tree = rich_tree(tmp_path)
    assert tmp_path.stat().st_dev != elsewhere.stat().st_dev
    assert changed(do("copy", src=(str(tree),), dest=f"{elsewhere}/", verify=True))
    assert differences(tree, elsewhere / "tree") == ""
    assert allocated(elsewhere / "tree/sparse") < 1 << 20


@pytest.mark.parametrize("damage", ["mode", "owner", "time", "xattr", "acl", "content", "link"])
def test_a_second_copy_repairs_what_is_different(tmp_path: Path, damage: str) -> None:
    tree = rich_tree(tmp_path)
    copy = tmp_path / "copy"
    assert changed(do("copy", src=(str(tree),), dest=str(copy)))
    match damage:
        case "mode":
            (copy / "big").chmod(0o600)
        case "owner":
            os.chown(copy / "sub", 7, 7)
        case "time":
            os.utime(copy / "sub/deep", (5, 5))
        case "xattr":
            os.setxattr(copy / "big", "user.more", b"1")
        case "acl":
            judge("setfacl", "-b", copy / "big")
        case "content":
            (copy / "plain").write_text("else")
        case _:
            (copy / "sub/hard").unlink()
            shutil.copy2(copy / "plain", copy / "sub/hard")
    assert changed(do("copy", FileContext(dry_run=True), src=(str(tree),), dest=str(copy)))
    assert changed(do("copy", src=(str(tree),), dest=str(copy)))
    assert differences(tree, copy) == ""
    assert not changed(do("copy", src=(str(tree),), dest=str(copy)))


def test_a_copy_adds_to_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/new").write_text("new")
    (tmp_path / "copy/sub").mkdir(parents=True)
    (tmp_path / "copy/sub/old").write_text("old")
    (tmp_path / "copy/sub").chmod(0o700)
    assert changed(do("copy", src=(f"{tmp_path}/tree/",), dest=f"{tmp_path}/copy"))
    assert sorted(os.listdir(tmp_path / "copy/sub")) == ["new", "old"]
    assert not changed(do("copy", src=(f"{tmp_path}/tree/",), dest=f"{tmp_path}/copy"))


def test_what_is_in_the_way_is_an_error_and_the_rest_is_copied(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "tree" / name).mkdir(parents=True)
        (tmp_path / "tree" / name / "file").write_text(name)
    (tmp_path / "copy/c/file").mkdir(parents=True)
    (tmp_path / "copy/b").write_text("in the way")
    before = (tmp_path / "copy/b").stat()
    for dry_run in (True, False):
        done = do(
            "copy",
            FileContext(dry_run=dry_run),
            src=(f"{tmp_path}/tree",),
            dest=f"{tmp_path}/copy",
        )
        message = message_of(done)
        assert message.startswith("2 errors: ")
        assert f"{tmp_path}/copy/b is not a directory" in message
        assert f"{tmp_path}/copy/c/file is a directory" in message
    assert (tmp_path / "copy/a/file").read_text() == "a"
    assert (tmp_path / "copy/b").stat().st_ino == before.st_ino


def test_a_symlink_in_the_target_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/file").write_text("new")
    (tmp_path / "tree/name").write_text("new")
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/name").write_text("old")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/sub").symlink_to(tmp_path / "victim")
    (tmp_path / "copy/name").symlink_to(tmp_path / "victim/name")
    done = do("copy", src=(f"{tmp_path}/tree",), dest=f"{tmp_path}/copy")
    assert f"{tmp_path}/copy/sub is not a directory" in message_of(done)
    assert snapshot(tmp_path / "victim").keys() == {
        f"{tmp_path}/victim/{name}" for name in (".", "name")
    }
    assert (tmp_path / "victim/name").read_text() == "old"
    assert (tmp_path / "copy/name").read_text() == "new"
    assert not (tmp_path / "copy/name").is_symlink()


def test_a_directory_swapped_for_a_symlink_meanwhile_leads_nowhere(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "tree" / name).mkdir(parents=True)
        (tmp_path / "tree" / name / "file").write_text("new")
    (tmp_path / "victim").mkdir()
    context = FileContext()

    def swap() -> None:
        for name in ("a", "b"):
            made = tmp_path / "copy" / name
            if made.is_dir() and not made.is_symlink() and not any(made.iterdir()):
                made.rmdir()
                made.symlink_to(tmp_path / "victim")

    context.meanwhile = swap
    message_of(do("copy", context, src=(f"{tmp_path}/tree",), dest=f"{tmp_path}/copy"))
    assert list((tmp_path / "victim").iterdir()) == []


def test_patterns_say_what_is_copied(tmp_path: Path) -> None:
    for name in ("keep.txt", "drop.tmp", "cache/x.txt", "sub/a.tmp", "sub/b.txt", "sub/c.log"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    params: dict[str, Any] = {"exclude": ("*.tmp", "cache/"), "include": ("*.txt", "*.log")}
    assert changed(do("copy", src=(f"{tmp_path}/tree",), dest=f"{tmp_path}/copy", **params))
    found = judge("find", ".", "-type", "f", cwd=tmp_path / "copy").split()
    assert sorted(found) == ["./keep.txt", "./sub/b.txt", "./sub/c.log"]
    assert not (tmp_path / "copy/cache").exists()
    source = Glob(f"{tmp_path}/tree/*")
    assert changed(do("copy", src=(source,), dest=f"{tmp_path}/flat/", exclude=("*.tmp", "cache/")))
    assert sorted(os.listdir(tmp_path / "flat")) == ["keep.txt", "sub"]


@pytest.mark.parametrize(
    ("when", "copied"),
    [
        ("different", {"changed": True, "touched": True, "equal": False}),
        ("checksum", {"changed": True, "touched": False, "equal": False}),
        ("missing", {"changed": False, "touched": False, "equal": False}),
        ("always", {"changed": True, "touched": True, "equal": True}),
    ],
)
def test_if_says_when_an_existing_file_is_copied_again(
    tmp_path: Path, when: str, copied: dict[str, bool]
) -> None:
    source, dest = tmp_path / "source", tmp_path / "dest"
    for name in copied:
        for directory in (source, dest):
            directory.mkdir(exist_ok=True)
            (directory / name).write_text("12345")
            os.utime(directory / name, (7, 7))
    (dest / "changed").write_text("54321")
    os.utime(dest / "changed", (7, 7))
    if when == "different":
        (dest / "changed").write_text("longer than it was")
    os.utime(dest / "touched", (8, 8))
    inodes = {name: (dest / name).stat().st_ino for name in copied}
    do("copy", src=(f"{source}",), dest=f"{dest}", if_=when)
    assert {name: (dest / name).stat().st_ino != inodes[name] for name in copied} == copied
    if when != "missing":
        assert differences(source, dest) == ""


def test_owner_group_and_mode_can_be_given(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/file").touch()
    params: dict[str, Any] = {"owner": "daemon", "group": "4321", "mode": "0640"}
    copy = tmp_path / "copy"
    assert changed(do("copy", src=(f"{tmp_path}/tree",), dest=str(copy), **params))
    st = (copy / "file").stat()
    assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (0o640, 1, 4321)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o750
    assert not changed(do("copy", src=(f"{tmp_path}/tree",), dest=str(copy), **params))
    message = message_of(do("copy", src=(f"{tmp_path}/tree",), dest=str(copy), owner="no-one"))
    assert "no user no-one" in message


def test_preserve_asks_for_less(tmp_path: Path) -> None:
    tree = rich_tree(tmp_path)
    copy = tmp_path / "copy"
    assert changed(do("copy", src=(str(tree),), dest=str(copy), preserve=()))
    assert (copy / "big").stat().st_mtime > tree.stat().st_mtime
    assert os.listxattr(copy / "big") == []
    assert (copy / "plain").stat().st_uid == os.geteuid()
    assert (copy / "plain").stat().st_mode & 0o7000 == 0
    assert (copy / "plain").stat().st_nlink == 1
    assert judge("diff", "-r", "--no-dereference", "-x", "fifo", "-x", "null", tree, copy) == ""
    assert not changed(do("copy", src=(str(tree),), dest=str(copy), preserve=()))


def test_a_socket_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/tree/socket")
        done = do("copy", src=(f"{tmp_path}/tree",), dest=f"{tmp_path}/copy")
    assert changed(done)
    assert done.warnings == (f"{tmp_path}/tree/socket is a socket, which cannot be copied",)


def test_a_file_that_grows_while_it_is_copied_is_noted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"line\n" * 100_000)
    context = FileContext()

    def grow() -> None:
        with log.open("ab") as file:
            file.write(b"more\n")

    context.meanwhile = grow
    done = do("copy", context, src=(str(log),), dest=f"{tmp_path}/copy")
    assert changed(done)
    assert done.warnings == (f"{log} changed while it was copied",)
    assert (tmp_path / "copy").read_bytes().startswith(b"line\n" * 100_000)


def test_a_deep_tree_needs_few_descriptors_and_no_recursion(tmp_path: Path) -> None:
    depth = 1500
    fd = os.open(tmp_path, os.O_RDONLY)
    for name in ["deep"] + ["d"] * depth:
        os.mkdir(name, dir_fd=fd)
        deeper = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = deeper
    os.close(os.open("bottom", os.O_CREAT, dir_fd=fd))
    os.close(fd)
    assert changed(do("copy", src=(f"{tmp_path}/deep",), dest=f"{tmp_path}/copy"))
    assert judge("find", "copy", "-name", "bottom", cwd=tmp_path).count("/d") == depth
    assert not changed(do("copy", src=(f"{tmp_path}/deep",), dest=f"{tmp_path}/copy"))
    for name in ("deep", "copy"):
        assert changed(do("delete", path=(f"{tmp_path}/{name}",)))
    assert os.listdir(tmp_path) == []


def test_an_ordinary_user_copies_what_can_be_read(public: Path) -> None:
    (public / "tree/closed").mkdir(parents=True)
    (public / "tree/open").write_text("open")
    (public / "tree/secret").write_text("secret")
    (public / "tree/secret").chmod(0)
    (public / "tree/closed").chmod(0)
    (public / "tree/suid").write_text("#!")
    (public / "tree/suid").chmod(0o4755)
    done = as_nobody(lambda: do("copy", src=(f"{public}/tree",), dest=f"{public}/copy"))
    message = message_of(done)
    assert message.startswith("2 errors: ")
    assert f"{public}/tree/secret: Permission denied" in message
    assert f"{public}/tree/closed: Permission denied" in message
    assert (public / "copy/open").stat().st_uid == NOBODY
    assert stat.S_IMODE((public / "copy/suid").stat().st_mode) == 0o755
    assert "setuid" in done.warnings[0]
    assert not [path for path in snapshot(public) if "/.br-" in path]


# move


def test_a_move_across_filesystems_loses_nothing(tmp_path: Path, elsewhere: Path) -> None:
    tree = rich_tree(tmp_path)
    twin = tmp_path / "twin"
    judge("cp", "-a", tree, twin)
    assert changed(do("move", src=(str(tree),), dest=f"{elsewhere}/moved"))
    assert not tree.exists()
    assert differences(twin, elsewhere / "moved") == ""
    assert os.listdir(elsewhere) == ["moved"]


def test_what_came_while_it_was_moved_is_kept(tmp_path: Path, elsewhere: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "old").write_bytes(b"x" * 500_000)
    context = FileContext()

    def write() -> None:
        if (elsewhere / "moved").exists():
            (tree / "late").write_text("late")

    context.meanwhile = write
    done = do("move", context, src=(str(tree),), dest=f"{elsewhere}/moved")
    message_of(done)
    assert (elsewhere / "moved/old").stat().st_size == 500_000
    assert (tree / "late").read_text() == "late"


def test_a_stopped_move_across_filesystems_leaves_the_source_whole(
    tmp_path: Path, elsewhere: Path
) -> None:
    tree = rich_tree(tmp_path)
    before = {path: row[:4] for path, row in snapshot(tree).items()}
    with pytest.raises(UnitStoppedError):
        do("move", FileContext(stop_after=12), src=(str(tree),), dest=f"{elsewhere}/moved")
    assert {path: row[:4] for path, row in snapshot(tree).items()} == before
    assert os.listdir(elsewhere) == []


def test_a_different_target_is_replaced_on_request_only(tmp_path: Path) -> None:
    for name, text in (("a", "new"), ("b", "old")):
        (tmp_path / name).write_text(text)
    message = message_of(do("move", src=(f"{tmp_path}/a",), dest=f"{tmp_path}/b"))
    assert "overwrite: true" in message
    assert (tmp_path / "b").read_text() == "old"
    assert changed(do("move", src=(f"{tmp_path}/a",), dest=f"{tmp_path}/b", overwrite=True))
    assert (tmp_path / "b").read_text() == "new"
    assert os.listdir(tmp_path) == ["b"]


def test_a_directory_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"in {name}").touch()
    message_of(do("move", src=(f"{tmp_path}/a",), dest=f"{tmp_path}/b"))
    assert changed(do("move", src=(f"{tmp_path}/a",), dest=f"{tmp_path}/b", overwrite=True))
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["b", "b/in a"]


def test_two_names_of_one_file_become_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    os.link(tmp_path / "a", tmp_path / "b")
    assert changed(do("move", src=(f"{tmp_path}/a",), dest=f"{tmp_path}/b"))
    assert os.listdir(tmp_path) == ["b"]


# delete


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/", "root of the filesystem"),
        ("//", "root of the filesystem"),
        ("/etc", "system directory"),
        ("/etc/", "system directory"),
        ("//usr//", "system directory"),
        ("/bin", "system directory"),
        ("/tmp", "system directory"),
        ("/usr/../var", "system directory"),
        ("/usr/share/../..", "root of the filesystem"),
        ("/proc", "system directory"),
        ("/dev/shm", "mount point"),
        ("{home}", "home directory"),
        ("{tmp}/to-root", None),
        ("{tmp}/to-root/etc", "system directory"),
        ("{tmp}/to-root/bin", "system directory"),
        ("{tmp}/job", "job's directory"),
        ("{tmp}/job/..", "job's directory"),
        ("{tmp}", "job's directory"),
    ],
)
def test_a_slip_does_not_delete(
    tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, path: str, reason: str | None
) -> None:
    home = elsewhere / "users" / "me"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (tmp_path / "job").mkdir()
    (tmp_path / "to-root").symlink_to("/")
    # Never for real: a guard that does not hold must not cost the machine.
    context = FileContext(tmp_path / "job", dry_run=True)
    path = path.format(tmp=tmp_path, home=home)
    done = do("delete", context, path=(path,))
    if reason is None:
        assert changed(done)
        return
    assert isinstance(done.outcome, Failed)
    assert reason in done.outcome.message
    assert not done.outcome.retryable


def test_force_names_the_exact_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "users" / "me"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for wrong in (f"{home}/x", f"{tmp_path}/users", f"{tmp_path}", ""):
        assert "`force`" in message_of(do("delete", path=(str(home),), force=(wrong,)))
    assert "holds a home directory" in message_of(do("delete", path=(f"{tmp_path}/users",)))
    assert changed(do("delete", path=(f"{home}/",), force=(str(home),)))
    assert not home.exists()


def test_deleting_a_symlink_leaves_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/file").touch()
    (tmp_path / "link").symlink_to("dir")
    assert changed(do("delete", path=(f"{tmp_path}/link/",)))
    assert sorted(os.listdir(tmp_path)) == ["dir"]
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to(tmp_path / "dir")
    assert changed(do("delete", path=(f"{tmp_path}/tree",)))
    assert (tmp_path / "dir/file").exists()


def test_nothing_is_deleted_when_it_would_be_too_much(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"file{number}").touch()
    everything = Glob(f"{tmp_path}/file*")
    for limit in (9, "9", "99%", "0%", 0):
        message = message_of(do("delete", path=(everything,), max_delete=limit))
        assert "10 of 10 entries would be deleted" in message
    assert len(os.listdir(tmp_path)) == 10
    assert changed(do("delete", path=(Glob(f"{tmp_path}/file[0-4]"),), max_delete="50%"))
    assert changed(do("delete", path=(everything,), max_delete=5))
    assert os.listdir(tmp_path) == []
    assert "is not a number" in message_of(do("delete", path=(everything,), max_delete="many"))


def test_what_is_excluded_stays_with_its_directories(tmp_path: Path) -> None:
    for name in ("a/b/keep.me", "a/b/x", "a/c/x", "d"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    done = do("delete", path=(f"{tmp_path}/tree",), exclude=("*.me",))
    assert changed(done)
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert found == ["tree", "tree/a", "tree/a/b", "tree/a/b/keep.me"]
    assert not changed(do("delete", path=(f"{tmp_path}/tree",), exclude=("*.me",)))


def test_trash_keeps_what_is_deleted_under_unique_names(tmp_path: Path, elsewhere: Path) -> None:
    for trash in (tmp_path / "trash", elsewhere):
        for text in ("one", "two"):
            (tmp_path / "tree").mkdir()
            (tmp_path / "tree/file").write_text(text)
            context = FileContext()
            context._names = 0 if text == "one" else 100
            assert changed(do("delete", context, path=(f"{tmp_path}/tree",), trash=str(trash)))
            assert not (tmp_path / "tree").exists()
        kept = sorted(trash.iterdir())
        assert sorted((path / "file").read_text() for path in kept) == ["one", "two"]
        assert all(path.name.startswith("tree.r1-") for path in kept)


def test_an_ordinary_user_deletes_what_may_be_deleted(public: Path) -> None:
    (public / "tree/mine").mkdir(parents=True)
    (public / "tree/mine/file").touch()
    (public / "tree/roots").mkdir()
    (public / "tree/roots/file").touch()
    for path in (public / "tree", public / "tree/mine", public / "tree/mine/file"):
        os.chown(path, NOBODY, NOBODY)
    message = message_of(as_nobody(lambda: do("delete", path=(f"{public}/tree",))))
    assert f"cannot delete {public}/tree/roots/file: Permission denied" in message
    assert not (public / "tree/mine").exists()


# write, mkdir, touch, link


def test_write_replaces_at_once_and_keeps_mode_and_owner(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)
    os.chown(path, 1234, 4321)
    assert changed(do("write", dest=str(path), text="new", backup=True))
    st = path.stat()
    assert (path.read_text(), stat.S_IMODE(st.st_mode)) == ("new", 0o640)
    assert (st.st_uid, st.st_gid) == (1234, 4321)
    assert (tmp_path / "file~").read_text() == "old"
    assert changed(do("write", dest=str(path), text="new", mode="u+x,g="))
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert sorted(os.listdir(tmp_path)) == ["file", "file~"]


def test_write_replaces_a_symlink_and_not_what_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("real")
    (tmp_path / "link").symlink_to("real")
    assert changed(do("write", dest=f"{tmp_path}/link", text="new"))
    assert (tmp_path / "real").read_text() == "real"
    assert not (tmp_path / "link").is_symlink()


def test_mkdir_does_not_take_a_file_for_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (f"{tmp_path}/file", f"{tmp_path}/file/below"):
        for dry_run in (True, False):
            message = message_of(do("mkdir", FileContext(dry_run=dry_run), path=(path,)))
            assert "not a directory" in message
    assert changed(
        do("mkdir", path=(f"{tmp_path}/a/b", f"{tmp_path}/c"), owner="1234", mode="0711")
    )
    st = (tmp_path / "a/b").stat()
    assert (st.st_uid, stat.S_IMODE(st.st_mode)) == (1234, 0o711)


def test_a_link_that_points_elsewhere_is_replaced(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    current = tmp_path / "current"
    for name in ("one", "two"):
        assert changed(do("link", src=f"{tmp_path}/{name}", dest=str(current)))
        assert current.read_text() == name
    assert changed(do("link", src=f"{tmp_path}/one", dest=str(current), relative=True))
    assert os.readlink(current) == "one"
    message = message_of(do("link", src=f"{tmp_path}/one", dest=f"{tmp_path}/two"))
    assert "force: true" in message
    params: dict[str, Any] = {"kind": "hard", "force": True}
    assert changed(do("link", src=f"{tmp_path}/one", dest=f"{tmp_path}/two", **params))
    assert (tmp_path / "one").samefile(tmp_path / "two")
    assert not changed(do("link", src=f"{tmp_path}/one", dest=f"{tmp_path}/two", **params))


# compress and decompress


@pytest.mark.parametrize(
    ("form", "tool"), [("gz", "gzip"), ("zst", "zstd"), ("xz", "xz"), ("bz2", "bzip2")]
)
@pytest.mark.parametrize("level", [None, 1])
def test_the_formats_own_tool_reads_it(
    tmp_path: Path, form: str, tool: str, level: int | None
) -> None:
    log = tmp_path / "app.log"
    data = os.urandom(100_000) + b"line\n" * 500_000
    log.write_bytes(data)
    log.chmod(0o640)
    os.chown(log, 1234, 4321)
    os.setxattr(log, "user.k", b"v")
    os.utime(log, ns=(1, 981_173_106_987_654_321))
    st = log.stat()
    assert changed(do("compress", src=(str(log),), format=form, level=level))
    packed = tmp_path / f"app.log.{form}"
    assert os.listdir(tmp_path) == [packed.name]
    judge(tool, "-t", packed)
    now = packed.stat()
    assert (now.st_mode, now.st_uid, now.st_gid) == (st.st_mode, st.st_uid, st.st_gid)
    assert now.st_mtime_ns == st.st_mtime_ns
    assert os.getxattr(packed, "user.k") == b"v"
    assert now.st_size < len(data) / 2
    assert changed(do("decompress", src=(str(packed),), keep=True))
    assert log.read_bytes() == data
    assert log.stat().st_mtime_ns == st.st_mtime_ns
    assert not changed(do("decompress", src=(str(packed),), keep=True))


@pytest.mark.parametrize(
    ("form", "tool"), [("gz", "gzip"), ("zst", "zstd"), ("xz", "xz"), ("bz2", "bzip2")]
)
def test_what_the_tool_made_is_decompressed_and_checked_to_its_end(
    tmp_path: Path, form: str, tool: str
) -> None:
    data = os.urandom(300_000)
    for part in ("one", "two"):
        (tmp_path / part).write_bytes(data + part.encode())
        judge(tool, "-k", "-q", tmp_path / part)
    both = [(tmp_path / f"{part}.{form}").read_bytes() for part in ("one", "two")]
    whole = tmp_path / f"both.{form}"
    whole.write_bytes(both[0] + both[1])
    assert changed(do("decompress", src=(str(whole),), keep=True))
    assert (tmp_path / "both").read_bytes() == data + b"one" + data + b"two"
    for name, broken in {
        "cut": both[0][:-5],
        "half": both[0][: len(both[0]) // 2],
        "garbage": both[0] + b"something else that is no header at all",
        "flipped": both[0][:1000] + bytes([both[0][1000] ^ 255]) + both[0][1001:],
        "empty": b"",
        "text": b"this was never compressed",
    }.items():
        path = tmp_path / f"{name}.{form}"
        path.write_bytes(broken)
        message = message_of(do("decompress", src=(str(path),)))
        assert f"{path}: not valid {form} data" in message
        assert path.exists()
        assert not (tmp_path / name).exists()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".br-")]


def test_a_file_that_changes_while_it_is_compressed_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 3_000_000)
    context = FileContext()

    def grow() -> None:
        with log.open("ab") as file:
            file.write(b"more")

    context.meanwhile = grow
    assert "changed while it was compressed" in message_of(do("compress", context, src=(str(log),)))
    assert os.listdir(tmp_path) == ["log"]


def test_what_cannot_be_compressed_is_refused_or_skipped(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "done.gz").write_bytes(b"")
    (tmp_path / "log").write_text("log")
    (tmp_path / "log.gz").write_text("something else")
    os.mkfifo(tmp_path / "fifo")
    assert "is a directory" in message_of(do("compress", src=(f"{tmp_path}/dir",)))
    assert "not a regular file" in message_of(do("compress", src=(f"{tmp_path}/fifo",)))
    assert not changed(do("compress", src=(f"{tmp_path}/done.gz",)))
    assert "not valid gz" in message_of(do("compress", src=(f"{tmp_path}/log",)))
    assert (tmp_path / "log").read_text() == "log"
    assert "level 30" in message_of(do("compress", src=(f"{tmp_path}/log",), level=30))
    done = do("compress", src=(Glob(f"{tmp_path}/[df]*"),))
    assert not changed(done)
    assert len(done.warnings) == 1


# checksum


@pytest.mark.parametrize(
    ("algorithm", "tool"),
    [("sha256", "sha256sum"), ("sha512", "sha512sum"), ("md5", "md5sum"), ("blake2b", "b2sum")],
)
def test_the_tool_agrees_with_the_manifest(tmp_path: Path, algorithm: str, tool: str) -> None:
    tree = rich_tree(tmp_path)
    manifest = tmp_path / "sums"
    params: dict[str, Any] = {"dest": str(manifest), "algorithm": algorithm}
    assert changed(do("checksum", src=(str(tree),), **params))
    judge(tool, "--check", "--strict", "--quiet", "sums", cwd=tmp_path)
    files = judge("find", "tree", "-type", "f", "-print0", cwd=tmp_path).rstrip("\0").split("\0")
    assert len(manifest.read_bytes().splitlines()) == len(files)
    assert not changed(do("checksum", verify=True, **params))
    in_order = sorted(files, key=os.fsencode)
    theirs = subprocess.run([tool, "--", *in_order], cwd=tmp_path, capture_output=True, check=True)
    assert theirs.stdout == manifest.read_bytes()


def test_a_manifest_inside_the_tree_leaves_itself_out(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("!first", "sub/file", "~last"):
        (tmp_path / name).write_text(name)
    manifest = tmp_path / "SHA256SUMS"
    assert changed(do("checksum", src=(str(tmp_path), f"{tmp_path}/sub"), dest=str(manifest)))
    names = [line[66:] for line in manifest.read_text().splitlines()]
    assert names == ["!first", "sub/file", "~last"]
    (tmp_path / "sub/gone").touch()
    assert changed(do("checksum", src=(str(tmp_path),), dest=str(manifest)))
    (tmp_path / "sub/gone").unlink()
    assert changed(do("checksum", src=(str(tmp_path),), dest=str(manifest)))
    assert [line[66:] for line in manifest.read_text().splitlines()] == names


def test_verify_names_what_differs_and_what_is_missing(tmp_path: Path) -> None:
    for name in ("good", "bad", "gone"):
        (tmp_path / name).write_text(name)
    manifest = tmp_path / "sums"
    assert changed(do("checksum", src=(Glob(f"{tmp_path}/*"),), dest=str(manifest)))
    (tmp_path / "bad").write_text("BAD")
    (tmp_path / "gone").unlink()
    with manifest.open("a") as file:
        file.write("nonsense\n")
    message = message_of(do("checksum", dest=str(manifest), verify=True))
    assert message.startswith("3 errors: ")
    assert f"{tmp_path}/bad has another checksum" in message
    assert f"{tmp_path}/gone: No such file" in message
    assert f"{manifest}:4 is not a line" in message


# archive and extract


@pytest.mark.parametrize("form", TAR_FORMATS)
def test_tar_agrees_with_the_archive(tmp_path: Path, form: str) -> None:
    tree = rich_tree(tmp_path)
    archive = tmp_path / "out" / f"a.{form}"
    assert changed(do("archive", src=(str(tree),), dest=str(archive)))
    judge("tar", "--compare", "--file", archive, cwd=tmp_path)
    members = judge("tar", "-tf", archive, "--quoting-style=literal", "--null").splitlines()
    assert members[0] == "tree/"
    target = tmp_path / "by tar"
    target.mkdir()
    judge("tar", "--xattrs", "--xattrs-include=*", "--acls", "-xpf", archive, "-C", target)
    assert differences(tree, target / "tree") == ""


@pytest.mark.parametrize("form", TAR_FORMATS)
def test_an_extracted_tree_is_the_same_but_for_setuid(tmp_path: Path, form: str) -> None:
    tree = rich_tree(tmp_path)
    archive = f"{tmp_path}/a.{form}"
    assert changed(do("archive", src=(str(tree),), dest=archive))
    assert changed(do("extract", src=archive, dest=f"{tmp_path}/out"))
    assert stat.S_IMODE((tmp_path / "out/tree/plain").stat().st_mode) == 0o755
    (tmp_path / "out/tree/plain").chmod(stat.S_IMODE((tree / "plain").stat().st_mode))
    assert differences(tree, tmp_path / "out/tree") == ""


def test_an_archive_by_tar_is_extracted_the_same(tmp_path: Path) -> None:
    tree = rich_tree(tmp_path)
    (tree / "plain").chmod(0o755)
    for form in ("gnu", "posix"):
        archive = tmp_path / f"{form}.tar.gz"
        judge("tar", f"--format={form}", "-czf", archive, "tree", cwd=tmp_path)
        assert changed(do("extract", src=str(archive), dest=f"{tmp_path}/{form}"))
        assert (
            judge(
                "diff",
                "-r",
                "--no-dereference",
                "-x",
                "fifo",
                "-x",
                "null",
                tree,
                tmp_path / form / "tree",
            )
            == ""
        )
        assert not changed(do("extract", src=str(archive), dest=f"{tmp_path}/{form}"))


def test_unzip_agrees_with_the_archive(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/script").write_text("#!/bin/sh\n")
    (tree / "sub/script").chmod(0o750)
    (tree / "caf\xe9 \N{PILE OF POO}").write_bytes(os.urandom(200_000))
    (tree / "link").symlink_to("sub")
    os.utime(tree / "sub/script", (981_173_106, 981_173_106))
    archive = tmp_path / "a.zip"
    assert changed(do("archive", src=(str(tree),), dest=str(archive)))
    assert not changed(do("archive", src=(str(tree),), dest=str(archive)))
    judge("unzip", "-tq", archive)
    for target in ("by unzip", "by us"):
        if target == "by us":
            assert changed(do("extract", src=str(archive), dest=f"{tmp_path}/{target}"))
            assert not changed(do("extract", src=str(archive), dest=f"{tmp_path}/{target}"))
        else:
            judge("unzip", "-q", archive, "-d", tmp_path / target)
        found = tmp_path / target / "tree"
        assert judge("diff", "-r", "--no-dereference", tree, found) == ""
        st = (found / "sub/script").stat()
        assert (stat.S_IMODE(st.st_mode), st.st_mtime) == (0o750, 981_173_106)
    (tree / os.fsdecode(b"\xff")).touch()
    message = message_of(do("archive", src=(str(tree),), dest=f"{tmp_path}/b.zip"))
    assert r"\xff, which is not UTF-8" in message
    assert not (tmp_path / "b.zip").exists()


@pytest.mark.parametrize("form", ["tar.gz", "zip"])
def test_sources_go_only_when_the_archive_holds_them(tmp_path: Path, form: str) -> None:
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub/file").write_bytes(b"x" * 200_000)
    archive = tmp_path / f"a.{form}"
    context = FileContext()

    def write_late() -> None:
        if archive.exists() and not (tree / "sub/late").exists():
            (tree / "sub/late").write_text("late")

    context.meanwhile = write_late
    params: dict[str, Any] = {"src": (str(tree),), "dest": str(archive), "remove": True}
    message_of(do("archive", context, **params))
    assert (tree / "sub/late").read_text() == "late"
    assert (tree / "sub/file").exists()
    assert changed(do("archive", **params))
    assert not tree.exists()
    assert not changed(do("archive", **params))
    assert changed(do("extract", src=str(archive), dest=f"{tmp_path}/out"))
    assert (tmp_path / "out/tree/sub/late").read_text() == "late"


@pytest.mark.parametrize("form", ["tar.gz", "zip"])
def test_an_archive_that_is_the_last_copy_of_its_sources_is_not_replaced(
    tmp_path: Path, form: str
) -> None:
    archive = tmp_path / f"a.{form}"
    params: dict[str, Any] = {
        "src": (f"{tmp_path}/one.log", f"{tmp_path}/two.log"),
        "dest": str(archive),
        "remove": True,
    }
    (tmp_path / "one.log").write_text("first night")
    assert changed(do("archive", **params))
    before = archive.read_bytes()

    (tmp_path / "two.log").write_text("second night")
    said = message_of(do("archive", **params))
    assert "such as one.log, and would be the last copy of it" in said
    (tmp_path / "one.log").write_text("another first")
    assert said == message_of(do("archive", **params))
    assert said == message_of(do("archive", FileContext(dry_run=True), **params))

    assert archive.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == [archive.name, "one.log", "two.log"]


def test_nothing_to_archive_yet_is_a_file_that_is_not_there(tmp_path: Path) -> None:
    pattern = Glob(f"{tmp_path}/*.gz")
    done = do("archive", src=(pattern,), dest=f"{tmp_path}/a.tar")
    assert "there is nothing to put into" in message_of(done)
    assert isinstance(done.outcome, Failed)
    assert done.outcome.errno == errno.ENOENT


def test_an_unreadable_file_means_no_archive(public: Path) -> None:
    (public / "tree").mkdir()
    (public / "tree/a").write_text("a")
    (public / "tree/secret").write_text("secret")
    (public / "tree/secret").chmod(0)
    done = as_nobody(lambda: do("archive", src=(f"{public}/tree",), dest=f"{public}/a.tar"))
    assert f"{public}/tree/secret: Permission denied" in message_of(done)
    assert os.listdir(public) == ["tree"]


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o644
    info.size = 4 if kind == tarfile.REGTYPE else 0
    return info


TRAPS = {
    "absolute": [_member("/tmp/evil")],
    "parent": [_member("a/../../evil")],
    "parent directory": [_member("..", tarfile.DIRTYPE)],
    "symlink then write": [_member("in", tarfile.SYMTYPE, "../victim"), _member("in/evil")],
    "symlink of symlink": [
        _member("a", tarfile.SYMTYPE, "."),
        _member("a/b", tarfile.SYMTYPE, "../victim"),
        _member("b/evil"),
    ],
    "hard link outside": [_member("evil", tarfile.LNKTYPE, "../victim/file")],
    "hard link through symlink": [
        _member("in", tarfile.SYMTYPE, "../victim"),
        _member("evil", tarfile.LNKTYPE, "in/file"),
    ],
    "absolute hard link": [_member("evil", tarfile.LNKTYPE, "/etc/passwd")],
}


@pytest.mark.parametrize("trap", TRAPS)
def test_extraction_never_leaves_the_destination(tmp_path: Path, trap: str) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/file").write_text("file")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for info in [_member("harmless"), *TRAPS[trap]]:
            archive.addfile(info, io.BytesIO(b"evil"))
    before = snapshot(tmp_path)
    for dry_run in (True, False):
        context = FileContext(dry_run=dry_run)
        message = message_of(
            do("extract", context, src=f"{tmp_path}/a.tar", dest=f"{tmp_path}/out")
        )
        assert f"{tmp_path}/a.tar: refused to extract" in message
        assert message.endswith("nothing was extracted")
    assert snapshot(tmp_path) == before


def test_a_symlink_in_the_destination_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out/in").symlink_to(tmp_path / "victim")
    (tmp_path / "out/file").symlink_to(tmp_path / "victim/file")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name in ("in/evil", "file"):
            archive.addfile(_member(name), io.BytesIO(b"evil"))
    message_of(do("extract", src=f"{tmp_path}/a.tar", dest=f"{tmp_path}/out"))
    assert list((tmp_path / "victim").iterdir()) == []
    assert (tmp_path / "out/file").read_text() == "evil"
    assert not (tmp_path / "out/file").is_symlink()


def test_zip_members_that_lead_outside_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("harmless", "x")
        archive.writestr("../evil", "x")
    message = message_of(do("extract", src=f"{tmp_path}/a.zip", dest=f"{tmp_path}/out"))
    assert "leads outside of the destination" in message
    assert os.listdir(tmp_path) == ["a.zip"]


def test_an_ordinary_user_gets_no_devices(public: Path) -> None:
    with tarfile.open(public / "a.tar", "w") as archive:
        archive.addfile(_member("dev", tarfile.CHRTYPE))
    done = as_nobody(lambda: do("extract", src=f"{public}/a.tar", dest=f"{public}/out"))
    assert "only root can make" in message_of(done)


@pytest.mark.parametrize("form", ["tar", "tar.gz", "tar.zst", "tar.xz", "zip"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_broken_archive_leaves_no_half_file(tmp_path: Path, form: str, damage: str) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / name).write_bytes(os.urandom(400_000))
    archive = tmp_path / f"x.{form}"
    assert changed(do("archive", src=(f"{tmp_path}/in",), dest=str(archive)))
    data = archive.read_bytes()
    middle = len(data) // 2
    if damage == "cut":
        archive.write_bytes(data[: middle + 1000])
    elif form == "tar":
        # A header, as plain tar has no sums of its contents.
        at = data.index(b"ustar", 1000)
        archive.write_bytes(data[:at] + b"USTAR" + data[at + 5 :])
    else:
        archive.write_bytes(data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])
    message_of(do("extract", src=str(archive), dest=f"{tmp_path}/out"))
    for name in ("a", "b"):
        found = tmp_path / "out/in" / name
        if found.exists():
            assert found.read_bytes() == (tmp_path / "in" / name).read_bytes()
    assert not [path for path in snapshot(tmp_path) if "/.br-" in path]
