"""Trees: copied, mirrored, compared, packed, changed and deleted, beside the usual tools.

python bench/tree.py [copy] [sync] [compare] [checksum] [perms] [delete] [archive] [extract]
                     [logs] [big] [cold] [flat] [--files N] [--disk DIR]

In memory, unless a directory on a disk is named. `cold` is always on a disk: it mounts an image
afresh before each run, for which it has to be root. BENCH_ROUNDS: how often (3).

Beside the time there is the CPU time of everything that a command starts, in brackets: on a busy
machine that says more. Ratios are medians of the pairs.
"""

import argparse
import os
import random
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from beside import Peer, beside, timed
from common import BATCHRUN, Row, machine, peak_mb, print_rows, workspace

FILES = 50_000
PER_DIRECTORY = 50
BIG_GB = int(os.environ.get("BENCH_BIG_GB", "4"))
FLAT_FILES = 1_000_000
LOG_FILES = 1_000
_CHECKSUMS = "find src -type f -print0 | xargs -0 -P2 -n 500 sha256sum > sums"
_COPYTREE = 'import shutil; shutil.copytree("src", "out", symlinks=True)'


def rows(which: Sequence[str] = (), files: int = FILES, disk: str = "") -> list[Row]:
    """Measure all, or what is named."""
    small: Mapping[str, Callable[[str, str], list[Row]]] = {
        "copy": _copy, "sync": _sync, "compare": _compare, "checksum": _checksum,
        "perms": _perms, "delete": _delete, "archive": _archive, "extract": _extract,
    }  # fmt: skip
    names = [*small, "logs", "big", "cold", "flat"]
    wanted = [name for name in names if name in which or not which]
    found: list[Row] = []
    if any(name in small for name in wanted):
        with _place(disk) as cwd:
            make_tree(Path(cwd, "src"), files)
            _run("cp -a src copy", cwd)
            for name in wanted:
                if name in small:
                    found += small[name](cwd, f"{files} files")
    if "logs" in wanted:
        with _place(disk) as cwd:
            found += _logs(cwd)
    if "big" in wanted:
        with _place(disk) as cwd:
            found += _big(cwd)
    if "cold" in wanted:
        found += _cold(files, disk)
    if "flat" in wanted:
        with _place(disk) as cwd:
            found += _flat(cwd)
    return found


def _place(disk: str) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(dir=disk) if disk else workspace()


# ---- small files ------------------------------------------------------------------------------


def _copy(cwd: str, of: str) -> list[Row]:
    peers = [
        Peer(name="cp -a", command=["cp", "-a", "src", "out"], bar=0.6),
        Peer(name="rsync -aHAX", command=["rsync", "-aHAX", "src/", "out/"], bar=0.35),
        Peer(name="fpsync -n 2", command=["fpsync", "-n", "2", f"{cwd}/src/", f"{cwd}/out/"]),
        Peer(name="shutil.copytree", command=[sys.executable, "-c", _COPYTREE]),
    ]
    ours = _job(cwd, "copy: {src: src, dest: out}")
    return beside(cwd, f"copy {of}", ours, peers, _before("rm -rf out", cwd))


def _sync(cwd: str, of: str) -> list[Row]:
    command = ["rsync", "-aHAX", "--delete", "src/", "copy/"]
    peers = [
        Peer(name="rsync -aHAX --delete", command=command),
        Peer(name="rsync -an", command=["rsync", "-an", "src/", "copy/"]),
    ]
    ours = _job(cwd, "sync: {src: src, dest: copy, delete: true}")
    return beside(cwd, f"sync {of}, nothing changed", ours, peers)


def _compare(cwd: str, of: str) -> list[Row]:
    peer = Peer(name="rsync -an", command=["rsync", "-an", "src/", "copy/"], bar=0.7)
    ours = _job(cwd, "compare: {src: src, dest: copy}")
    return beside(cwd, f"compare {of}, nothing changed", ours, [peer])


def _checksum(cwd: str, of: str) -> list[Row]:
    peer = Peer(name="xargs -P2 sha256sum", command=["sh", "-c", _CHECKSUMS], bar=0.4)
    ours = _job(cwd, "checksum: {src: src, dest: manifest}")
    return beside(cwd, f"checksum {of}", ours, [peer], _before("rm -f manifest sums", cwd))


def _perms(cwd: str, of: str) -> list[Row]:
    peer = Peer(name="chmod -R", command=["chmod", "-R", "u=rwX,g=rX,o=", "copy"])
    ours = _job(cwd, "perms: {path: copy, mode: 'u=rwX,g=rX,o=', recursive: true}")
    change = _before("chmod -R u=rwX,g=rwX,o=rX copy", cwd)
    found = beside(cwd, f"perms {of}, all changed", ours, [peer], change)
    change()
    _run("chmod -R u=rwX,g=rX,o= copy", cwd)
    return found + beside(cwd, f"perms {of}, none changed", ours, [peer])


def _delete(cwd: str, of: str) -> list[Row]:
    peer = Peer(name="rm -rf", command=["rm", "-rf", "out"], bar=0.7)
    ours = _job(cwd, "delete: out")
    return beside(cwd, f"delete {of}", ours, [peer], _before("cp -a src out", cwd))


#: Suffix, and who packs as many threads as there are cores.
_PACKERS = {"tar.zst": "zstd -q -T2", "tar.gz": "pigz -p2"}


def _archive(cwd: str, of: str) -> list[Row]:
    found: list[Row] = []
    for suffix, packer in _PACKERS.items():
        peer = Peer(name=f"tar and {packer}", command=["tar", "-I", packer, "-cf", "out", "src"])
        ours = _job(cwd, f"archive: {{src: src, dest: out.{suffix}}}")
        found += beside(
            cwd, f"archive {of} as {suffix}", ours, [peer], _before(f"rm -f out.{suffix}", cwd)
        )
    return found


def _extract(cwd: str, of: str) -> list[Row]:
    found: list[Row] = []
    for suffix, packer in _PACKERS.items():
        _run(f"tar -I '{packer}' -cf packed.{suffix} src", cwd)
        command = ["tar", "-I", packer.split()[0], "-xf", f"packed.{suffix}", "-C", "out"]
        ours = _job(cwd, f"extract: {{src: packed.{suffix}, dest: out}}")
        afresh = _before("rm -rf out; mkdir out", cwd)
        peer = Peer(name="tar", command=command)
        found += beside(cwd, f"extract {of} from {suffix}", ours, [peer], afresh)
    return found


def _logs(cwd: str) -> list[Row]:
    """Compress many files of a megabyte, one operation for all of them."""
    chance = random.Random(2)
    Path(cwd, "kept").mkdir()
    for number in range(LOG_FILES):
        lines = [f"host daemon[{chance.random()}]: something happened\n" for _ in range(22_000)]
        Path(cwd, "kept", f"{number}.log").write_text("".join(lines))
    found: list[Row] = []
    for suffix, packer in {"gz": "gzip", "zst": "zstd -q --rm"}.items():
        command = f"ls *.log | xargs -P2 -n 20 {packer}"
        peer = Peer(name=f"xargs -P2 {packer.split()[0]}", command=["sh", "-c", command])
        ours = _job(cwd, f"compress: {{src: '*.log', format: {suffix}}}")
        afresh = _before("rm -f *.log *.gz *.zst; cp kept/*.log .", cwd)
        work = f"compress {LOG_FILES} log files of 1 MB to {suffix}"
        found += beside(cwd, work, ours, [peer], afresh)
    return found


# ---- one big file -----------------------------------------------------------------------------


def _big(cwd: str) -> list[Row]:
    block = random.Random(1).randbytes(1 << 20)
    with Path(cwd, "big").open("wb") as file:
        file.writelines(block for _ in range(BIG_GB * 1024))
    peer = Peer(name="cp", command=["cp", "big", "out"])
    ours = _job(cwd, "copy: {src: big, dest: out}")
    return beside(cwd, f"copy one file of {BIG_GB} GB", ours, [peer], _before("rm -f out", cwd))


# ---- cold caches ------------------------------------------------------------------------------


def _cold(files: int, disk: str) -> list[Row]:
    if os.geteuid():
        print("cold caches are left out: only root may mount", file=sys.stderr)
        return []
    # Not in memory, whatever else is: a disk is what is waited for.
    with tempfile.TemporaryDirectory(dir=disk or os.getcwd()) as cwd, _image(cwd, files) as afresh:
        of = f"{files} files, cold caches"
        inner = f"{cwd}/mounted"
        for name in ("src", "copy"):
            os.symlink(f"{inner}/{name}", f"{cwd}/{name}")

        def emptied() -> None:
            _run("rm -rf out manifest sums", cwd)
            afresh()

        checksums = _CHECKSUMS.replace("find src", "find src/")
        return [
            *beside(
                cwd, f"copy {of}", _job(cwd, f"copy: {{src: {inner}/src, dest: out}}"),
                [Peer(name="cp -a", command=["cp", "-a", f"{inner}/src", "out"], bar=0.35),
                 Peer(name="rsync -aHAX", command=["rsync", "-aHAX", "src/", "out/"])],
                emptied,
            ),
            *beside(
                cwd, f"checksum {of}",
                _job(cwd, f"checksum: {{src: {inner}/src, dest: manifest}}"),
                [Peer(name="xargs -P2 sha256sum", command=["sh", "-c", checksums])], emptied,
            ),
            *beside(
                cwd, f"compare {of}", _job(cwd, "compare: {src: src, dest: copy}"),
                [Peer(name="rsync -an", command=["rsync", "-an", "src/", "copy/"])], emptied,
            ),
        ]  # fmt: skip


@contextmanager
def _image(cwd: str, files: int) -> Iterator[Callable[[], None]]:
    """Make a filesystem with a tree and its copy; yields what mounts it with nothing in memory."""
    image, mounted = Path(cwd, "image"), Path(cwd, "mounted")
    mounted.mkdir()
    size_mb = 200 + files * 2 * 9 // 1000
    _run(f"truncate -s {size_mb}M image && mkfs.ext4 -q -N {files * 3} image", cwd)
    _run("mount -o loop image mounted", cwd)
    try:
        make_tree(mounted / "src", files)
        _run("cp -a src copy", str(mounted))

        def afresh() -> None:
            _run("umount mounted", cwd)
            with image.open("rb") as file:
                # Only what is on the disk can be let go of.
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            _run("mount -o loop,ro image mounted", cwd)

        yield afresh
    finally:
        with suppress(RuntimeError):
            _run("umount mounted", cwd)


# ---- one huge directory -----------------------------------------------------------------------


def _flat(cwd: str) -> list[Row]:
    """Work on one directory of a million files, once: memory is what is looked at."""
    for name in ("flat", "flat2"):
        _make_flat(Path(cwd, name))
    found = []
    for work, operation, peer in (
        ("list", "prune: {path: flat, older_than: 100d}", "find flat -mtime +100 -delete"),
        ("compare", "compare: {src: flat, dest: flat2}", "rsync -an flat/ flat2/"),
        ("delete", "delete: flat", "rm -rf flat2"),
    ):
        took_s, memory_mb = peak_mb(_job(cwd, operation), cwd)
        other = timed(cwd, shlex.split(peer), {})
        name = f"{work} {FLAT_FILES} empty files in one directory"
        found += [
            Row(work=f"{name}, beside {peer.split(' flat')[0]}", ours=f"{took_s:.2f} s",
                peer=f"{other.wall_s:.2f} s", ratio=f"{took_s / other.wall_s:.2f}", bar="",
                met=None),
            Row(work="the same: peak memory of the parent", ours=f"{memory_mb:.0f} MB", peer="",
                ratio="", bar="< 200 MB", met=memory_mb < 200),
        ]  # fmt: skip
    return found


def _make_flat(directory: Path) -> None:
    """Make empty files of the same time, as a copy would have."""
    directory.mkdir()
    at = os.open(directory, os.O_RDONLY)
    for number in range(FLAT_FILES):
        name = f"file-{number}"
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=at))
        os.utime(name, (1_900_000_000, 1_900_000_000), dir_fd=at)
    os.close(at)
    os.utime(directory, (1_900_000_000, 1_900_000_000))


# ---- trees and commands -----------------------------------------------------------------------


def _job(cwd: str, operation: str) -> list[str]:
    """Write a job of one operation; returns what runs it."""
    Path(cwd, "job.yml").write_text(f"tasks:\n  - {operation}\n")
    return [*BATCHRUN, "job.yml", "-j2", "-q"]


def _before(command: str, cwd: str) -> Callable[[], None]:
    return lambda: _run(command, cwd)


def _run(command: str, cwd: str) -> None:
    if subprocess.run(["sh", "-c", command], cwd=cwd, check=False).returncode:
        message = f"{command} failed"
        raise RuntimeError(message)


def make_tree(root: Path, files: int) -> None:
    """Make a tree of files of 0 to 8 KiB in directories of fifty."""
    chance = random.Random(1)
    data = chance.randbytes(8192)
    for number in range(files // PER_DIRECTORY):
        directory = root / f"d{number % 40}" / f"e{number}"
        directory.mkdir(parents=True)
        for file in range(PER_DIRECTORY):
            (directory / f"file-{file}.txt").write_bytes(data[: chance.randint(0, 8192)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--disk", default="")
    given = parser.parse_args()
    print(machine(), flush=True)
    print_rows(rows(given.parts, given.files, given.disk))
