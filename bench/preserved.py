"""What a copy keeps, measured: `batchrun do copy` beside `cp`, `rsync`, `rclone` and `shutil`.

Prints the table of the README, which was made with coreutils 9.1, rsync 3.5.0, rclone 1.60 and
Python 3.12. Needs root, and rsync, rclone, setfacl and setcap.
"""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ACL = "system.posix_acl_access"
DEFAULT_ACL = "system.posix_acl_default"


def make_tree(src: Path) -> None:
    """Make one of everything."""
    (src / "empty").mkdir(parents=True)
    (src / "dir").mkdir()
    (src / "file").write_text("text")
    os.link(src / "file", src / "dir/hard")
    (src / "broken").symlink_to("nowhere")
    (src / os.fsdecode(b"caf\xe9\n")).write_text("any bytes")
    os.mkfifo(src / "fifo")
    os.mknod(src / "device", stat.S_IFBLK | 0o600, os.makedev(7, 200))
    with (src / "sparse").open("wb") as sparse:
        sparse.truncate(64 << 20)
    (src / "program").write_text("#!/bin/sh\n")
    os.chown(src / "program", 1234, 4321)
    (src / "program").chmod(0o4751)
    (src / "dir").chmod(0o3775)
    os.setxattr(src / "file", "user.kind", b"user")
    os.setxattr(src / "dir", "user.kind", b"user")
    subprocess.run(["setcap", "cap_net_raw+ep", src / "sparse"], check=True)
    subprocess.run(["setfacl", "-m", "u:daemon:rw", src / "file"], check=True)
    subprocess.run(["setfacl", "-d", "-m", "g:daemon:rwx", src / "dir"], check=True)
    for name in ("file", "broken", "dir"):
        os.utime(src / name, ns=(1, 1_234_567_890_123_456_789), follow_symlinks=False)


def _same(what: Callable[[Path], object], *names: str) -> Callable[[Path, Path], bool]:
    def compare(src: Path, copy: Path) -> bool:
        return all(
            os.path.lexists(copy / name) and what(src / name) == what(copy / name) for name in names
        )

    return compare


def _mtime(path: Path) -> int:
    return path.lstat().st_mtime_ns


def _mode(path: Path) -> int:
    return path.lstat().st_mode


def _owner(path: Path) -> tuple[int, int]:
    return path.lstat().st_uid, path.lstat().st_gid


def _device(path: Path) -> tuple[int, int]:
    return path.lstat().st_mode, path.lstat().st_rdev


def _attribute(name: str) -> Callable[[Path], object]:
    def read(path: Path) -> bytes | None:
        return os.getxattr(path, name) if name in os.listxattr(path) else None

    return read


def _is_one_file(_: Path, copy: Path) -> bool:
    one, other = copy / "file", copy / "dir/hard"
    return one.exists() and other.exists() and one.samefile(other)


def _is_sparse(_: Path, copy: Path) -> bool:
    return (copy / "sparse").exists() and (copy / "sparse").stat().st_blocks < 1000


CHECKS: dict[str, Callable[[Path, Path], bool]] = {
    "modes, with setuid, setgid and sticky": _same(_mode, "program", "dir", "file"),
    "owner and group": _same(_owner, "program"),
    "times of files, to the nanosecond": _same(_mtime, "file"),
    "times of directories": _same(_mtime, "dir"),
    "times of symbolic links": _same(_mtime, "broken"),
    "symbolic links as they are, broken ones too": _same(os.readlink, "broken"),
    "empty directories": _same(_mode, "empty"),
    "names of any bytes": _same(Path.read_bytes, os.fsdecode(b"caf\xe9\n")),
    "hard links": _is_one_file,
    "holes of sparse files": _is_sparse,
    "extended attributes of users": _same(_attribute("user.kind"), "file", "dir"),
    "capabilities of programs": _same(_attribute("security.capability"), "sparse"),
    "ACLs": lambda src, copy: (
        _same(_attribute(ACL), "file")(src, copy)
        and _same(_attribute(DEFAULT_ACL), "dir")(src, copy)
    ),
    "named pipes": _same(_mode, "fifo"),
    "devices": _same(_device, "device"),
}


def _command(*words: str) -> Callable[[Path, Path], None]:
    def run(src: Path, copy: Path) -> None:
        given = [word.format(src=src, copy=copy) for word in words]
        subprocess.run(given, check=False, capture_output=True, timeout=120)

    return run


def _copytree(src: Path, copy: Path) -> None:
    try:
        shutil.copytree(src, copy, symlinks=True)
    except (OSError, shutil.Error) as error:
        print(f"shutil: {error}"[:200], file=sys.stderr)


TOOLS: dict[str, Callable[[Path, Path], None]] = {
    "batchrun": _command("batchrun", "do", "copy", "src={src}", "dest={copy}"),
    "`cp -a`": _command("cp", "-a", "{src}", "{copy}"),
    "`rsync -a`": _command("rsync", "-a", "{src}/", "{copy}"),
    "`rclone -lM`": _command("rclone", "copy", "-lM", "{src}", "{copy}"),
    "`shutil`": _copytree,
}


def main() -> None:
    """Copy the tree with each tool, and print what came of it."""
    found: dict[str, dict[str, bool]] = {}
    with tempfile.TemporaryDirectory() as place:
        src = Path(place, "src")
        make_tree(src)
        for number, (tool, copy_tree) in enumerate(TOOLS.items()):
            copy = Path(place, f"copy {number}")
            copy_tree(src, copy)
            found[tool] = {name: check(src, copy) for name, check in CHECKS.items()}
    print("| kept | " + " | ".join(TOOLS) + " |")
    print("|---" * (len(TOOLS) + 1) + "|")
    for name in CHECKS:
        row = ["yes" if found[tool][name] else "no" for tool in TOOLS]
        print(f"| {name} | " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
