"""Compress one big file, and a tree into an archive, beside the formats' own programs."""

import random
import shutil
import sys
from pathlib import Path

from common import BATCHRUN, Row, machine, measure, print_rows, workspace

#: Enough that starting up is not what is measured; the slow formats take a quarter of it.
MEGABYTES = 256
#: Format, its program with as many threads as there are CPUs, and what is asked of us.
PEERS = {
    "gz": ("pigz -6 -k -c big > out", "compress: {src: big, format: gz, keep: true, threads: 0}"),
    "gz, one thread": (
        "gzip -6 -k -c big > out",
        "compress: {src: big, format: gz, keep: true}",
    ),
    "gz, level 6": (
        "pigz -6 -k -c big > out",
        "compress: {src: big, format: gz, keep: true, threads: 0, level: 6}",
    ),
    "zst": (
        "zstd -q -3 -T0 -k -c big > out",
        "compress: {src: big, format: zst, keep: true, threads: 0}",
    ),
    "zst, one thread": (
        "zstd -q -3 --single-thread -k -c big > out",
        "compress: {src: big, format: zst, keep: true}",
    ),
    "xz, level 1": (
        "xz -1 -T0 -k -c part > out",
        "compress: {src: part, format: xz, keep: true, threads: 0, level: 1}",
    ),
    "bz2": (
        "pbzip2 -k -c part > out",
        "compress: {src: part, format: bz2, keep: true, threads: 0}",
    ),
    "tree to tar.gz": (
        "tar -I pigz -cf out tree",
        "archive: {src: tree, dest: out.tar.gz}",
    ),
    "tree to tar.zst": (
        "tar -I 'zstd -q -T0' -cf out tree",
        "archive: {src: tree, dest: out.tar.zst}",
    ),
}


def log_lines(megabytes: int) -> bytes:
    """Make what a web server might write: it compresses to about a quarter."""
    chance = random.Random(7)
    paths = [f"/api/v{chance.randint(1, 3)}/things/{chance.randint(1, 9999)}" for _ in range(500)]
    lines: list[str] = []
    size = 0
    while size < 4 << 20:
        line = (
            f"10.{chance.randint(0, 255)}.{chance.randint(0, 255)}.{chance.randint(1, 254)} - - "
            f"[22/Nov/2026:03:{chance.randint(10, 59)}:{chance.randint(10, 59)} +0000] "
            f'"GET {chance.choice(paths)} HTTP/1.1" {chance.choice([200, 200, 304, 404])} '
            f'{chance.randint(100, 99999)} "-" "{chance.getrandbits(64):x}"\n'
        )
        lines.append(line)
        size += len(line)
    block = "".join(lines).encode()
    return (block * (megabytes * (1 << 20) // len(block) + 1))[: megabytes << 20]


def rows(megabytes: int = MEGABYTES, rounds: int = 3) -> list[Row]:
    """Measure each format; every round begins without results."""
    found = []
    with workspace() as cwd:
        data = log_lines(megabytes)
        Path(cwd, "big").write_bytes(data)
        Path(cwd, "part").write_bytes(data[: len(data) // 4])
        tree = Path(cwd, "tree")
        tree.mkdir()
        step = 64 * 1024
        for number in range(len(data) // step):
            (tree / f"{number:05}.log").write_bytes(data[number * step : (number + 1) * step])

        def empty() -> None:
            for pattern in ("out*", "big.*", "part.*"):
                for path in Path(cwd).glob(pattern):
                    path.unlink()

        for name, (peer, operation) in PEERS.items():
            if shutil.which(peer.split()[0]) is None:
                print(f"{peer.split()[0]} is not installed; `{name}` is left out", file=sys.stderr)
                continue
            Path(cwd, "job.yml").write_text(f"tasks:\n  - {operation}\n")
            ours_s, peer_s = measure(
                [[*BATCHRUN, "job.yml", "-j1", "-q"], ["sh", "-c", peer]],
                cwd,
                rounds=rounds,
                before=empty,
            )
            found.append(
                Row(
                    work=f"{megabytes >> 2 * ('part' in peer)} MB of log lines: {name}",
                    ours=f"{ours_s:.2f} s",
                    peer=f"`{peer.partition(' > ')[0]}` {peer_s:.2f} s",
                    ratio=f"{ours_s / peer_s:.2f}",
                    bar="≤ 1.0",
                    met=ours_s <= peer_s,
                )
            )
    return found


if __name__ == "__main__":
    print(machine())
    print_rows(rows())
