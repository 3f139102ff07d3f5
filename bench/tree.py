"""A tree of 50 000 small files: copied, compared, checksummed, deleted, beside the usual tools.

`tree.py NUMBER` measures with another number of files, `tree.py NUMBER --disk DIR` on a disk.
"""

import argparse
import os
import random
import shlex
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from common import BATCHRUN, Row, machine, measure, print_rows, workspace

FILES = 50_000
PER_DIRECTORY = 50
#: Peers that are not measured when they are missing.
_OPTIONAL = frozenset({"fpsync"})


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One piece of work, done by us and by others."""

    work: str
    #: The operation, as in a job file.
    operation: str
    #: Peers by name: a command of a shell, and our bar against it.
    peers: dict[str, tuple[str, float]]
    #: Commands of a shell before each run.
    before: str = "true"


CLAIMS = (
    Claim(
        work="copy",
        operation="copy: {src: src, dest: out}",
        peers={
            "cp -a": ("cp -a src out", 0.6),
            "rsync -aHAX": ("rsync -aHAX src/ out/", 0.35),
            "fpsync -n 2": ("fpsync -n 2 $PWD/src/ $PWD/out/", 1.0),
            "shutil.copytree": (
                'python3 -c \'import shutil; shutil.copytree("src", "out", symlinks=True)\'',
                1.0,
            ),
        },
        before="rm -rf out",
    ),
    Claim(
        work="sync, nothing changed",
        operation="sync: {src: src, dest: copy, delete: true}",
        peers={"rsync -aHAX --delete": ("rsync -aHAX --delete src/ copy/", 0.7)},
    ),
    Claim(
        work="compare, nothing changed",
        operation="compare: {src: src, dest: copy}",
        peers={"rsync -an": ("rsync -an src/ copy/", 0.7)},
    ),
    Claim(
        work="checksum",
        operation="checksum: {src: src, dest: manifest}",
        peers={
            "xargs -P2 sha256sum": (
                "find src -type f -print0 | xargs -0 -P2 -n 500 sha256sum > sums",
                0.4,
            )
        },
        before="rm -f manifest sums",
    ),
    Claim(
        work="perms",
        operation="perms: {path: copy, mode: 'u=rwX,g=rX,o=', recursive: true}",
        peers={"chmod -R": ("chmod -R u=rwX,g=rX,o= copy", 1.0)},
        before="chmod -R u=rwX,g=rwX,o=rX copy",
    ),
    Claim(
        work="delete",
        operation="delete: out",
        peers={"rm -rf": ("rm -rf out", 0.7)},
        before="cp -a src out",
    ),
)


def rows(files: int = FILES, rounds: int = 5, disk: str = "") -> list[Row]:
    """Measure every claim; on a filesystem in memory unless a directory on a disk is named."""
    where = tempfile.TemporaryDirectory(dir=disk) if disk else workspace()
    with where as cwd:
        make_tree(Path(cwd, "src"), files)
        shutil.copytree(Path(cwd, "src"), Path(cwd, "copy"), symlinks=True)
        _run("rm -rf copy; cp -a src copy", cwd)
        return [row for claim in CLAIMS for row in _measured(claim, cwd, files, rounds)]


def _measured(claim: Claim, cwd: str, files: int, rounds: int) -> list[Row]:
    Path(cwd, "job.yml").write_text(f"tasks:\n  - {claim.operation}\n")
    peers = {
        name: peer for name, peer in claim.peers.items()
        if name.split()[0] not in _OPTIONAL or shutil.which(name.split()[0])
    }  # fmt: skip
    commands: list[Sequence[str]] = [[*BATCHRUN, "job.yml", "-j2", "-q"]]
    commands += [["sh", "-c", command] for command, _ in peers.values()]
    ours_s, *theirs_s = measure(commands, cwd, rounds=rounds, before=_before(claim.before, cwd))
    found = []
    for (name, (_, bar)), peer_s in zip(peers.items(), theirs_s, strict=True):
        found.append(
            Row(
                work=f"{claim.work}, {files} files, 2 procs",
                ours=f"{ours_s:.2f} s",
                peer=f"{name} {peer_s:.2f} s",
                ratio=f"{ours_s / peer_s:.2f}",
                bar=f"≤ {bar}",
                met=ours_s / peer_s <= bar,
            )
        )
    return found


def _before(command: str, cwd: str) -> Callable[[], None]:
    return lambda: _run(command, cwd)


def _run(command: str, cwd: str) -> None:
    if os.system(f"cd {shlex.quote(cwd)} && {{ {command}; }}"):
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
    parser.add_argument("files", nargs="?", type=int, default=FILES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--disk", default="")
    given = parser.parse_args()
    print(machine())
    print_rows(rows(given.files, given.rounds, given.disk))
