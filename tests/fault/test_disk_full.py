"""A disk that is full: a clear sentence, and no half file under a final name."""

import os
import re
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchrun.engine.lockfile import hold, lock_path
from batchrun.engine.presence import Presence, presence_path
from file_context import FileContext, changed, do, message_of
from program import COMMAND, Ended, Program

SIZE = 1 << 20


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A directory that takes less than 1 MiB, and what the system says then.

    A small filesystem where we may mount one; else a limit on the size of files.
    """
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "batchrun-test", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        try:
            yield path, "No space left on device"
        finally:
            subprocess.run(["umount", path], check=True)
        return
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, limits[1]))
    try:
        yield path, "File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def _big(tmp_path: Path) -> Path:
    """Make a file of 3 MiB that cannot be compressed below 1 MiB; in pieces, for the limit."""
    path = tmp_path / "in" / "big"
    path.parent.mkdir(exist_ok=True)
    subprocess.run(
        ["dd", "if=/dev/urandom", f"of={path}", "bs=1M", "count=3"],
        check=True,
        capture_output=True,
        preexec_fn=_unlimited,
    )
    return path


def _unlimited() -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def _copy(tmp_path: Path, small: Path) -> dict[str, Any]:
    return {"src": (str(_big(tmp_path)),), "dest": f"{small}/"}


def _copy_tree(tmp_path: Path, small: Path) -> dict[str, Any]:
    _big(tmp_path)
    return {"src": (f"{tmp_path}/in",), "dest": f"{small}/out"}


def _move(tmp_path: Path, small: Path) -> dict[str, Any]:
    return {"src": (str(_big(tmp_path)),), "dest": f"{small}/moved"}


def _write(_tmp_path: Path, small: Path) -> dict[str, Any]:
    return {"dest": f"{small}/text", "text": "x" * 2 * SIZE}


def _template(_tmp_path: Path, small: Path) -> dict[str, Any]:
    return {"src": "t", "dest": f"{small}/text", "text": "x" * 2 * SIZE}


def _archive(tmp_path: Path, small: Path) -> dict[str, Any]:
    _big(tmp_path)
    return {"src": (f"{tmp_path}/in",), "dest": f"{small}/a.tar.gz", "remove": True}


def _extract(tmp_path: Path, small: Path) -> dict[str, Any]:
    tree = tmp_path / "in"
    tree.mkdir()
    (tree / "zeros").write_bytes(b"")
    archive = tmp_path / "a.tar.gz"
    with (tree / "zeros").open("wb") as file:
        file.truncate(3 * SIZE if resource.getrlimit(resource.RLIMIT_FSIZE)[0] < 0 else SIZE)
    (tree / "zeros").chmod(0o600)
    for number in range(3):
        os.link(tree / "zeros", tree / f"more{number}")
    assert changed(do("archive", src=(str(tree),), dest=str(archive)))
    return {"src": str(archive), "dest": f"{small}/out"}


def _decompress(_tmp_path: Path, small: Path) -> dict[str, Any]:
    packed = small / "zeros.gz"
    zeros = subprocess.run(
        ["head", "-c", str(3 * SIZE), "/dev/zero"], capture_output=True, check=True
    ).stdout
    with packed.open("wb") as file:
        subprocess.run(["gzip", "-c"], input=zeros, stdout=file, check=True)
    return {"src": (str(packed),)}


CASES: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "copy": _copy,
    "copy a tree": _copy_tree,
    "move": _move,
    "write": _write,
    "template": _template,
    "archive": _archive,
    "extract": _extract,
    "decompress": _decompress,
}


@pytest.mark.parametrize("case", CASES)
def test_a_full_disk_is_said_and_nothing_half_is_left(
    tmp_path: Path, small: tuple[Path, str], case: str
) -> None:
    directory, reason = small
    params = CASES[case](tmp_path, directory)
    sources = sorted(path for path in tmp_path.rglob("in/*"))
    message = message_of(do(case.split(maxsplit=1)[0], **params))
    assert reason in message
    assert str(directory) in message
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert [path.name for path in files] in ([], ["zeros.gz"])
    assert sorted(path for path in tmp_path.rglob("in/*")) == sources


def test_a_new_text_that_does_not_fit_leaves_the_old_one(small: tuple[Path, str]) -> None:
    directory, reason = small
    for name in ("a", "b"):
        (directory / name).write_text("x" * (SIZE * 2 // 5))
    done = do(
        "replace", path=(f"{directory}/a", f"{directory}/b"), regex="x", with_="yyyy", backup=True
    )
    assert reason in message_of(done)
    assert sorted(os.listdir(directory)) == ["a", "b"]
    assert {(directory / name).read_text() for name in ("a", "b")} == {"x" * (SIZE * 2 // 5)}


def test_a_tree_stops_at_once_and_is_finished_when_there_is_room(
    tmp_path: Path, small: tuple[Path, str]
) -> None:
    directory, reason = small
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(40):
        (tree / f"{number:02}").write_bytes(os.urandom(60_000))
    ballast = directory / "ballast"
    ballast.write_bytes(b"x" * 500_000)
    done = do("copy", src=(str(tree),), dest=f"{directory}/copy")
    if reason == "File too large":
        assert changed(done)
        return
    assert message_of(done).count(reason) == 1
    copied = list((directory / "copy").iterdir())
    assert 0 < len(copied) < 20
    for path in copied:
        assert path.read_bytes() == (tree / path.name).read_bytes()
        assert path.stat().st_mtime_ns == (tree / path.name).stat().st_mtime_ns
    assert message_of(do("copy", FileContext(), src=(str(tree),), dest=f"{directory}/copy"))
    for path in list(tree.iterdir())[5:]:
        path.unlink()
    ballast.unlink()
    done = do("copy", FileContext(), src=(str(tree),), dest=f"{directory}/copy")
    assert isinstance(changed(done), bool)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def test_a_full_disk_does_not_keep_a_lock_from_telling_whose_it_is(
    tmp_path: Path, small: tuple[Path, str]
) -> None:
    directory, reason = small
    path, present = lock_path(directory, "n"), Presence(presence_path(tmp_path, "x"))
    with hold(path, "n"):
        size = path.stat().st_size
    with pytest.raises(OSError, match=reason):
        _fill(directory / "ballast")
    with hold(path, "n") as lock:
        lock.sign(present)
        record = path.read_text()
    present.close()
    assert record.strip("\0") == f"{os.getpid()}\n{present.path}"
    assert path.read_text().strip("\0") == ""
    assert path.stat().st_size == size


def test_a_read_only_filesystem_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for dest in ("/proc/batchrun-test", "/sys/batchrun-test"):
        message = message_of(do("copy", src=(f"{tmp_path}/file",), dest=dest))
        assert f"cannot write {dest}" in message


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    (tmp_path / "here").mkdir()
    with Program(tmp_path / "here") as made:
        yield made


@pytest.mark.parametrize("option", ["--joblog", "--junit", "--metrics", "--output-dir"])
def test_a_file_of_a_run_that_does_not_fit_is_said_once_and_the_run_goes_on(
    small: tuple[Path, str], program: Program, option: str
) -> None:
    directory, reason = small
    path = directory / "file"
    if option in ("--junit", "--metrics"):  # a job log would have the room of the last one
        path.write_text("of the last run")
    (directory / "filler").write_bytes(b"x" * (SIZE - 64 * 1024))
    while True:  # not a page is left, whatever the system needs for itself
        try:
            with (directory / "filler").open("ab") as file:
                file.write(b"x" * 4096)
        except OSError:
            break
    ended = program.run("each", "-j2", option, str(path), "touch {}; echo {}", ":::", *"abcdef")
    assert ended.code == 1
    assert sorted(ended.out.split()) == list("abcdef")
    assert sorted(os.listdir(program.dir)) == list("abcdef")
    (said,) = [line for line in ended.err.splitlines() if reason in line]
    assert "an output of this run cannot be written any more" in said
    assert str(path) in said
    assert "6 ok" in ended.err
    assert [one for one in os.listdir(directory) if one.startswith(".batchrun")] == []
    if option in ("--junit", "--metrics"):
        assert path.read_text() == "of the last run"


#: What a unit of `_long_output` writes: its item, as often as it takes, and a last line.
_OUTPUT = re.compile(r"(a*)(?:\n\[batchrun: ([\d ]+) bytes were not kept\]\n(a*))?<(\d+)>\n")


def _long_output(size: int, first: str = "true") -> str:
    """Write a command with `size` bytes and a last line of output; for item 1 it begins so."""
    many = f"head -c {size} /dev/zero | tr '\\0' a"
    return f"test {{}} != 1 || {first}; {many}; echo '<'{{}}'>'"


_FAILS_FOR_3 = "test {} != 3"


def _sizes(ended: Ended) -> list[tuple[int, int, int]]:
    """Return item, bytes shown and bytes said to be missing of each unit, and see nothing else."""
    assert _OUTPUT.sub("", ended.out) == ""
    return [
        (int(item), len(head + tail), int((missing or "0").replace(" ", "")))
        for head, missing, tail, item in _OUTPUT.findall(ended.out)
    ]


def test_output_too_long_for_the_disk_is_cut_and_the_run_goes_on(
    small: tuple[Path, str], program: Program
) -> None:
    directory, reason = small
    size = 2 * SIZE
    items = [str(number) for number in range(1, 7)]
    command = f"{_long_output(size)}; {_FAILS_FOR_3}"
    ended = program.run("each", "-j2", command, ":::", *items, env={"TMPDIR": str(directory)})
    assert ended.code == 2
    found = _sizes(ended)
    assert sorted(item for item, _, _ in found) == [1, 2, 3, 4, 5, 6]
    for _, shown, missing in found:
        assert shown + missing == size
        assert missing > 0
        assert shown > 200_000
    said = f"Its standard output could not be kept whole: {reason}; only the beginning and the end"
    assert ended.err.count(said) == 1
    assert "each: 5 ok (5 changed), 1 failed of 6 planned" in ended.err
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("size", [100_000, 400_000])
def test_output_that_waits_where_there_is_no_room_is_cut_and_the_run_goes_on(
    small: tuple[Path, str], program: Program, size: int
) -> None:
    directory, reason = small
    count = 80
    wait = "until test -e last; do sleep 0.01; done"
    last = f"test {{}} != {count} || touch last"
    command = f"{_long_output(size, wait)}; {last}; {_FAILS_FOR_3}"
    items = [str(number) for number in range(1, count + 1)]
    ended = program.run(
        "each", "-j2", "--keep-order", command, ":::", *items, env={"TMPDIR": str(directory)}
    )
    assert ended.code == 2
    found = _sizes(ended)
    assert [item for item, _, _ in found] == list(range(1, count + 1))
    for _, shown, missing in found:
        assert shown + missing == size
    # What was first found its place, what came last did not.
    assert found[1][2] == 0
    assert found[-1][2] > 0
    said = f"output that waits for its turn could not be kept whole: {reason}; set TMPDIR to"
    assert ended.err.count(said) == 1
    assert f"each: {count - 1} ok ({count - 1} changed), 1 failed of {count} planned" in ended.err
    assert list(directory.iterdir()) == []


def test_without_any_place_for_temporary_files_output_is_cut(program: Program) -> None:
    command = f"{_long_output(SIZE)}; {_FAILS_FOR_3}"
    words = ["each", "-j2", "--no-journal", command, ":::", "1", "2", "3"]
    # A file may not have a single byte: no directory is usable.
    ended = subprocess.run(
        ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *COMMAND, *words],
        cwd=program.dir,
        capture_output=True,
        check=False,
        timeout=60,
    )
    found = _sizes(Ended(code=ended.returncode, stdout=ended.stdout, stderr=ended.stderr))
    assert ended.returncode == 2
    assert [(shown + missing, missing > 0) for _, shown, missing in found] == [(SIZE, True)] * 3
    assert b"each: 2 ok (2 changed), 1 failed of 3 planned" in ended.stderr
