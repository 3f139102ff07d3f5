"""Trees of any shape on a real file system: all that a file can be, named and marked at random."""

import os
import shutil
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from hypothesis import strategies as st

from file_context import HOSTILE_NAMES

__all__ = ["SEEDLINGS", "Seedling", "change", "grow"]

_ANY_BYTE = st.binary(min_size=1, max_size=12).map(
    lambda name: bytes(byte for byte in name if byte not in b"/\0") or b"_"
)
_HOSTILE = st.sampled_from([os.fsencode(name) for name in HOSTILE_NAMES.values()])
_NAMES = (_ANY_BYTE | _HOSTILE).filter(lambda name: name not in {b".", b".."})

#: User, group, others and mask of an ACL that names one user more.
_ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, rights, who)
    for tag, rights, who in (
        (0x01, 6, 0xFFFFFFFF),
        (0x02, 5, 12345),
        (0x04, 4, 0xFFFFFFFF),
        (0x10, 5, 0xFFFFFFFF),
        (0x20, 0, 0xFFFFFFFF),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seedling:
    """One thing to make below whatever directories are there by then."""

    #: Chooses the directory it is made in, and what a hard link is to.
    place: int
    name: bytes
    kind: str
    mode: int
    #: Nanoseconds, before 1970 also.
    mtime_ns: int
    #: User and group.
    owner: int
    content: bytes
    #: Which of `_EXTRAS` it gets, if any.
    extra: str


def _file(path: bytes, seedling: Seedling, _: list[bytes]) -> None:
    with open(path, "xb") as file:
        file.write(seedling.content)


def _sparse(path: bytes, seedling: Seedling, _: list[bytes]) -> None:
    with open(path, "xb") as file:
        file.seek(200_000)
        file.write(seedling.content)
        file.truncate(1 << 20)


def _directory(path: bytes, _seedling: Seedling, _files: list[bytes]) -> None:
    os.mkdir(path)


def _symlink(path: bytes, seedling: Seedling, _: list[bytes]) -> None:
    target = seedling.content.replace(b"\0", b"0")[:200]
    os.symlink(target or os.path.basename(path), path)  # which loops


def _hard_link(path: bytes, seedling: Seedling, files: list[bytes]) -> None:
    if files:
        os.link(files[seedling.place % len(files)], path, follow_symlinks=False)


def _fifo(path: bytes, _seedling: Seedling, _files: list[bytes]) -> None:
    os.mkfifo(path)


def _device(path: bytes, seedling: Seedling, _: list[bytes]) -> None:
    kind = stat.S_IFCHR if seedling.place % 2 else stat.S_IFBLK
    if os.geteuid() == 0:
        os.mknod(path, kind | 0o600, os.makedev(7, seedling.place % 200))


def _socket(path: bytes, _seedling: Seedling, _files: list[bytes]) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


_MAKERS: dict[str, Callable[[bytes, Seedling, list[bytes]], None]] = {
    "file": _file,
    "sparse": _sparse,
    "directory": _directory,
    "symlink": _symlink,
    "hard link": _hard_link,
    "fifo": _fifo,
    "device": _device,
    "socket": _socket,
}
_EXTRAS: dict[str, tuple[str, bytes]] = {
    "user": ("user.kind", b"\x00\xff any bytes"),
    "acl": ("system.posix_acl_access", _ACL),
    "trusted": ("trusted.kind", b"root's own"),
}

#: What a tree is made of; directories and files are more likely than the rest.
SEEDLINGS = st.lists(
    st.builds(
        Seedling,
        place=st.integers(0, 10_000),
        name=_NAMES,
        kind=st.sampled_from(["directory", "directory", "file", "file", *_MAKERS]),
        mode=st.integers(0, 0o7777),
        mtime_ns=st.integers(-(10**17), 4 * 10**18),
        owner=st.sampled_from([0, 0, 1234, 54321]),
        content=st.binary(max_size=300),
        extra=st.sampled_from(["", "", "", *_EXTRAS]),
    ),
    max_size=40,
)


def grow(root: Path, seedlings: list[Seedling]) -> None:
    """Make a tree of all that can be made; a name that is taken stays what it is."""
    top = os.fsencode(root)
    os.makedirs(top, exist_ok=True)
    directories: list[bytes] = [top]
    files: list[bytes] = []
    marked: list[tuple[bytes, Seedling]] = []
    for seedling in seedlings:
        path = os.path.join(directories[seedling.place % len(directories)], seedling.name)
        if os.path.lexists(path):
            continue
        _MAKERS[seedling.kind](path, seedling, files)
        if os.path.lexists(path):
            marked.append((path, seedling))
            if seedling.kind == "directory" and os.path.isdir(path) and not os.path.islink(path):
                directories.append(path)
            elif stat.S_ISREG(os.lstat(path).st_mode):
                files.append(path)
    for path, seedling in reversed(marked):  # a directory after what is in it
        _mark(path, seedling)


def _mark(path: bytes, seedling: Seedling) -> None:
    """Give one thing its owner, mode, attributes and time, as far as this user may."""
    is_link = os.path.islink(path)
    if os.geteuid() == 0:
        os.chown(path, seedling.owner, seedling.owner, follow_symlinks=False)
    if not is_link:
        os.chmod(path, seedling.mode)
        if stat.S_IFMT(os.lstat(path).st_mode) in {stat.S_IFREG, stat.S_IFDIR}:
            _give(path, seedling.extra)
    os.utime(path, ns=(0, seedling.mtime_ns), follow_symlinks=False)


def _give(path: bytes, extra: str) -> None:
    if extra in _EXTRAS:
        name, value = _EXTRAS[extra]
        with suppress(PermissionError):
            os.setxattr(path, name, value, follow_symlinks=False)


def change(root: Path, seedlings: list[Seedling], at: list[int]) -> None:
    """Take a few things out of a tree, wherever they are, and make others in it."""
    names = count()
    for chosen in at:
        found = sorted(_all_below(os.fsencode(root)))
        if not found:
            break
        path = found[chosen % len(found)]
        if chosen % 3:
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(
                path
            )
        else:
            os.rename(path, os.path.join(os.fsencode(root), b"moved %d" % next(names)))
    grow(root, seedlings)


def _all_below(top: bytes) -> list[bytes]:
    return [
        os.path.join(directory, name)
        for directory, names, files in os.walk(top)
        for name in [*names, *files]
    ]
