"""What every source of items promises: order, any name, no blocking, no leak, honest failures."""

import errno
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batchrun.errors import SourceError
from batchrun.model.ports import Drawn
from batchrun.model.unit import Unit
from small_jobs import Waker, drawn, loaded, units
from support import wait_until

#: Names that people, programs and enemies give to files.
HOSTILE = [
    b"plain", b"with space", b" leading", b"-rf", b"--", b"quote'", b'double"', b"back\\slash",
    b"$(touch pwned)", b"`id`", b"{{ 7 * 7 }}", b"{% raw %}", b"*", b"[ab]", b"{a,b}", b"?", b"~",
    b"#hash", b"semi;colon", b"tab\there", b"carriage\r", b"caf\xc3\xa9", b"caf\xe9", b"\xff\xfe",
    "\N{PILE OF POO}".encode(), "\u202egnp.exe".encode(), b"=", b"true", b"1.10", b"null",
]  # fmt: skip
WITH_NEWLINE = [b"new\nline", b"\n", b"end\n"]


def labels(text: str, base_dir: Path) -> list[bytes]:
    return [os.fsencode(unit.label) for unit in units(loaded(text, base_dir=str(base_dir)))]


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Nothing of a source is left: no descriptor, no thread."""
    gc.collect()  # what earlier tests have dropped must not be let go of in the middle of this one
    before = len(open_fds())
    yield
    wait_until(
        lambda: not [t for t in threading.enumerate() if t.name == "foreach"], 10, "threads end"
    )
    wait_until(lambda: len(open_fds()) <= before, 10, "its descriptors are closed")


pytestmark = pytest.mark.usefixtures("no_leaks")


def test_lines_hand_over_every_name_unharmed(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"\n".join(HOSTILE) + b"\n\n\nlast without newline")

    text = "tasks: [{run: 'a {{ item }}', foreach: {lines: list}}]"

    assert labels(text, tmp_path) == [*HOSTILE, b"last without newline"]


def test_null_separated_lines_may_hold_newlines(tmp_path: Path) -> None:
    names = [*HOSTILE, *WITH_NEWLINE]
    (tmp_path / "list").write_bytes(b"\0".join(names) + b"\0\0")

    text = "tasks: [{run: a, foreach: {lines: list, null_separated: true}}]"

    assert labels(text, tmp_path) == names


def test_a_glob_finds_every_name_as_an_absolute_path_sorted_bytewise(tmp_path: Path) -> None:
    names = [*HOSTILE, *WITH_NEWLINE]
    (tmp_path / "in").mkdir()
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/in/" + name)).touch()
    (tmp_path / "in" / ".hidden").touch()

    text = "tasks: [{run: a, foreach: {glob: 'in/*'}}]"

    wanted = sorted(os.fsencode(tmp_path) + b"/in/" + name for name in names)
    assert labels(text, tmp_path) == wanted


def test_names_that_start_with_a_dot_are_found_when_asked_for(tmp_path: Path) -> None:
    for name in (".a", "b"):
        (tmp_path / name).touch()

    text = "tasks: [{run: a, foreach: {glob: '*', hidden: true}}]"

    assert labels(text, tmp_path) == [os.fsencode(tmp_path / name) for name in (".a", "b")]


def test_a_glob_may_be_a_list_and_may_name_one_file_and_insertions_are_literal(
    tmp_path: Path,
) -> None:
    for name in ("a.c", "b.h", "[x]", "x"):
        (tmp_path / name).touch()

    text = (
        "vars: {v: '[x]'}\n"
        "tasks: [{run: a, foreach: {glob: ['*.c', b.h, '{{ v }}', gone, '{{ v }}*']}}]"
    )

    found = [os.path.basename(one).decode() for one in labels(text, tmp_path)]
    assert found == ["a.c", "b.h", "[x]", "[x]"]


def test_hostile_items_reach_a_command_as_one_argument_each(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"\0".join([*HOSTILE, *WITH_NEWLINE]))
    text = (
        "tasks: [{run: \"printf '%s.' {{ item }} '{{ item }}'\", "
        "foreach: {lines: list, null_separated: true}}]"
    )

    for unit, name in zip(
        units(loaded(text, base_dir=str(tmp_path))), [*HOSTILE, *WITH_NEWLINE], strict=True
    ):
        command = unit.params["command"]
        assert isinstance(command, str)
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=True)
        assert done.stdout == name + b"." + name + b"."


@pytest.mark.parametrize("size_bytes", [65_535, 65_536, 262_143, 262_144, 262_145])
def test_lines_are_whole_wherever_a_block_ends(tmp_path: Path, size_bytes: int) -> None:
    first = b"x" * (size_bytes - 4)
    (tmp_path / "list").write_bytes(first + b"\n" + "äö".encode() + b"\nlast")

    text = "tasks: [{run: a, foreach: {lines: list}}]"

    assert labels(text, tmp_path) == [first, "äö".encode(), b"last"]


def test_an_empty_file_has_no_items(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"\n\n")

    assert labels("tasks: [{run: a, foreach: {lines: list}}]", tmp_path) == []


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda _path: None, "No such file or directory"),
        (lambda path: path.mkdir(), "it is a directory"),
        (lambda path: path.symlink_to(path), os.strerror(errno.ELOOP)),
    ],
)
def test_a_file_that_cannot_be_opened_fails_the_task_with_its_name(
    tmp_path: Path, prepare: Callable[[Path], None], reason: str
) -> None:
    prepare(tmp_path / "list")
    job = loaded("tasks: [{run: a, foreach: {lines: list}}]", base_dir=str(tmp_path))

    with pytest.raises(SourceError, match=reason) as caught:
        job.open("run-1", {}, Waker())

    assert f"{tmp_path}/list" in str(caught.value)


def test_a_source_that_fails_half_way_gives_what_came_before(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"a\nb\n" + b"x" * 2_000_000)
    job = loaded("tasks: [{run: a, foreach: {lines: list}}]", base_dir=str(tmp_path))
    stream = job.open("run-1", {}, Waker())
    waker = Waker()
    found: list[str] = []

    with pytest.raises(SourceError, match="more than 1 MiB"):
        found.extend(unit.label for unit in drawn(stream, waker))
    stream.close()

    assert found == ["a", "b"]


def test_a_pipe_that_fails_half_way_gives_what_came_before(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    job = loaded("tasks: [{run: a, foreach: {lines: pipe}}]", base_dir=str(tmp_path))
    waker = Waker()
    stream = job.open("run-1", {}, waker)
    writer = os.open(tmp_path / "pipe", os.O_WRONLY)
    os.write(writer, b"a\nb\n")
    units_drawn = drawn(stream, waker)
    found = [next(units_drawn).label, next(units_drawn).label]

    def write_much() -> None:
        with open(writer, "wb", closefd=True) as file:
            try:
                file.write(b"x" * 2_000_000)
            except BrokenPipeError:
                return

    thread = threading.Thread(target=write_much)
    thread.start()
    with pytest.raises(SourceError, match="more than 1 MiB"):
        next(units_drawn)
    stream.close()
    thread.join(10)

    assert found == ["a", "b"]


def test_a_pipe_that_nobody_writes_to_blocks_neither_open_nor_draw_nor_close(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "pipe")
    job = loaded("tasks: [{run: a, foreach: {lines: pipe}}]", base_dir=str(tmp_path))

    stream = job.open("run-1", {}, Waker())
    answers = [stream.draw(), stream.draw()]
    stream.close()

    assert answers == [Drawn.PENDING, Drawn.PENDING]


def test_items_of_a_pipe_are_there_as_soon_as_they_are_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    job = loaded("tasks: [{run: a, foreach: {lines: pipe}}]", base_dir=str(tmp_path))
    waker = Waker()
    stream = job.open("run-1", {}, waker)
    assert stream.draw() is Drawn.PENDING
    writer = os.open(tmp_path / "pipe", os.O_WRONLY)

    os.write(writer, b"one\ntw")
    wait_until(waker.called.is_set, 10, "the waker is called")
    first = stream.draw()
    assert stream.draw() is Drawn.PENDING
    os.write(writer, b"o\n")
    os.close(writer)
    rest = [unit.label for unit in drawn(stream, waker)]

    assert isinstance(first, Unit)
    assert [first.label, *rest] == ["one", "two"]


def test_a_fast_writer_is_held_back_when_nobody_draws(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    job = loaded("tasks: [{run: a, foreach: {lines: pipe}}]", base_dir=str(tmp_path))
    waker = Waker()
    stream = job.open("run-1", {}, waker)
    written: list[int] = [0]

    def write() -> None:
        with open(tmp_path / "pipe", "wb", buffering=0) as file:
            try:
                for _ in range(1_000):
                    written.append(written[-1] + (file.write(b"/some/file/name\n" * 4_096) or 0))
            except BrokenPipeError:
                return

    thread = threading.Thread(target=write)
    thread.start()
    assert next(drawn(stream, waker)).label == "/some/file/name"
    seen: list[int] = []

    def stands_still() -> bool:
        seen.append(written[-1])
        return len(seen) > 30 and len(set(seen[-30:])) == 1

    wait_until(stands_still, 20, "the writer waits")
    stream.close()
    thread.join(10)

    assert not thread.is_alive()
    assert written[-1] < 8_000_000


@pytest.mark.parametrize("separated", ["", ", null_separated: true"])
def test_standard_input_is_a_list_of_items(separated: str) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from small_jobs import loaded, units\n"
        f"job = loaded(\"tasks: [{{run: a, foreach: {{lines: '-'{separated}}}}}]\")\n"
        "print([unit.label for unit in units(job)])\n"
    )
    tests = str(Path(__file__).parent.parent)
    data = b"a b\0c\nd\0" if separated else b"a b\n\nc\xe9\n"

    done = subprocess.run(
        [sys.executable, "-c", program, tests],
        input=data,
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.stderr == b""
    wanted = ["a b", "c\nd"] if separated else ["a b", "c\udce9"]
    assert done.stdout.decode() == f"{wanted}\n"


def test_closing_half_way_lets_go_of_everything(tmp_path: Path) -> None:
    for number in range(3_000):
        (tmp_path / f"f{number}").touch()
    (tmp_path / "list").write_text("a\nb\n")
    text = "tasks: [{run: a, foreach: {glob: '*'}}, {run: a, foreach: {lines: list}}]"
    job = loaded(text, base_dir=str(tmp_path))

    for task in ("run-1", "run-2"):
        waker = Waker()
        stream = job.open(task, {}, waker)
        assert next(drawn(stream, waker)).index == 1
        stream.close()
        stream.close()
        assert stream.draw() is Drawn.EXHAUSTED


def test_a_command_for_items_inherits_the_environment_without_what_holds_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BR_TOKEN", "hunter22")
    monkeypatch.setenv("BR_OTHER", "kept")
    text = (
        "secrets: {token: {env: BR_TOKEN}, gone: {env: BR_UNSET}}\n"
        "tasks:\n- run: a\n"
        '  foreach: {command: [sh, -c, \'echo "${BR_TOKEN-none}"; echo "$BR_OTHER"\']}\n'
    )

    assert labels(text, tmp_path) == [b"none", b"kept"]
