"""`find` and `command` as sources of items: judged by find(1), and by the process table."""

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.errors import SourceError
from batchrun.jobfile.scope import Names
from small_jobs import Waker
from source_harness import failure, items, no_leaks, read, source_of
from support import processes_with_environ, wait_until

pytestmark = pytest.mark.usefixtures(no_leaks.__name__)
__all__ = ["no_leaks"]

DAY_S = 86_400


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with old, large, hidden, linked and hostile things in it."""
    root = tmp_path / "tree"
    for name in ("a/b/c", "a-b", ".hid", "node_modules/x"):
        (root / name).mkdir(parents=True)
    for name in ("a/b/c/deep.log", "a/one.log", "a-b/two.log", ".hid/three.log", "top.log"):
        (root / name).write_bytes(b"x")
    (root / ".dot.log").write_bytes(b"x")
    (root / "a/big.bin").write_bytes(b"x" * 3000)
    (root / "node_modules/x/four.log").write_bytes(b"x")
    (root / "a/new\nline.txt").touch()
    (root / os.fsdecode(b"a/caf\xe9.txt")).touch()
    (root / "link.log").symlink_to("top.log")
    (root / "loop").symlink_to(root)
    for name in ("a/one.log", "a/b/c/deep.log"):
        os.utime(root / name, (1_000_000_000, 1_000_000_000))
    return root


def find(tree: Path, *arguments: str) -> set[str]:
    done = subprocess.run(
        ["find", str(tree), "-mindepth", "1", *arguments, "-print0"],
        capture_output=True,
        check=True,
    )
    return {os.fsdecode(one) for one in done.stdout.split(b"\0") if one}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("", "-type f"),
        (", type: any", ""),
        (", type: directory", "-type d"),
        (", type: symlink", "-type l"),
        (", older_than: 30d", "-type f -mtime +29"),
        (", newer_than: 1h", "-type f -mmin -60"),
        (", larger_than: 2K", "-type f -size +2048c"),
        (", smaller_than: 1", "-type f -size 0"),
        (", max_depth: 1", "-maxdepth 1 -type f"),
        (", max_depth: 2, type: any", "-maxdepth 2"),
        (", owner: root", "-type f -user root"),
        (", owner: 12345", "-type f -user 12345"),
        (", name: deep.log", "-type f -name deep.log"),
        (", one_file_system: true", "-xdev -type f"),
    ],
)
def test_it_finds_what_find_finds(tree: Path, ours: str, theirs: str) -> None:
    found = items(f"{{find: {{path: tree{ours}}}}}", tree.parent)

    assert set(found) == find(tree, *shlex.split(theirs))
    assert len(found) == len(set(found))


def test_wildcards_in_names_leave_names_with_a_dot_out_unless_asked(tree: Path) -> None:
    plain = items("{find: {path: tree, name: '*.log'}}", tree.parent)
    hidden = items("{find: {path: tree, name: '*.log'}, hidden: true}", tree.parent)

    assert set(hidden) == find(tree, "-type", "f", "-name", "*.log")
    assert set(hidden) - set(plain) == {str(tree / ".dot.log")}


def test_what_is_inserted_into_a_name_is_literal(tree: Path) -> None:
    (tree / "*.log").touch()

    assert items("{find: {path: tree, name: '{{ x }}.log'}}", tree.parent, x="*") == [
        str(tree / "*.log")
    ]


def test_excluded_directories_are_not_entered(tree: Path) -> None:
    (tree / "node_modules").chmod(0)
    try:
        found = items(
            "{find: {path: tree, name: '*.log', exclude: [node_modules/, /a/b]}}", tree.parent
        )
    finally:
        (tree / "node_modules").chmod(0o700)

    names = {os.path.relpath(one, tree) for one in found}
    assert names == {"a/one.log", "a-b/two.log", ".hid/three.log", "top.log"}


def test_a_directory_is_in_bytewise_order_and_comes_before_what_is_in_it(tmp_path: Path) -> None:
    for name in ("b", "a", "B", "a.d/x", "a0"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    found = items("{find: {path: ., type: any}}", tmp_path)

    assert [os.path.relpath(one, tmp_path) for one in found] == [
        "B", "a", "a.d", "a.d/x", "a0", "b",
    ]  # fmt: skip


def test_the_directories_may_be_several_and_a_link(tree: Path) -> None:
    (tree.parent / "here").symlink_to(tree / "a-b")

    found = items("{find: {path: [here, tree/.hid], name: '*.log'}}", tree.parent)

    assert found == [str(tree.parent / "here/two.log"), str(tree / ".hid/three.log")]


def test_a_job_that_deletes_what_it_finds_ends_well(tmp_path: Path) -> None:
    for at in range(30):
        (tmp_path / f"d{at:02}/inner").mkdir(parents=True)
        for number in range(100):
            (tmp_path / f"d{at:02}/inner/f{number:03}").touch()
    waker = Waker()
    found = []

    for path in read(source_of("{find: {path: .}}", tmp_path, Names(), waker), waker):
        os.unlink(path)
        Path(path + ".done").touch()
        found.append(path)

    assert len(found) == 3_000
    assert not [one for one in found if one.endswith(".done")]


def test_a_tree_that_vanishes_under_the_walk_is_no_failure(tmp_path: Path) -> None:
    for at in range(2_000):
        (tmp_path / f"root/d{at:04}/x").mkdir(parents=True)
        (tmp_path / f"root/d{at:04}/x/f").touch()
    waker = Waker()
    drawing = read(source_of("{find: {path: root}}", tmp_path, Names(), waker), waker)
    next(drawing)

    subprocess.run(["rm", "-r", str(tmp_path / "root")], check=True)

    assert len(list(drawing)) < 2_000


def test_a_directory_that_is_not_there_fails_at_the_end(tree: Path) -> None:
    found, said = failure("{find: {path: [gone, tree/a-b]}}", tree.parent)

    assert found == [str(tree / "a-b/two.log")]
    assert said == (
        f"not everything was found: cannot look into {tree.parent}/gone: No such file or directory"
    )


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A directory of a user who is not root, while this process is that user."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        was = os.geteuid()
        if was == 0:
            os.chown(name, 65534, 65534)
            os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            os.seteuid(was)


def test_a_directory_that_cannot_be_read_fails_at_the_end_and_is_named(as_nobody: Path) -> None:
    for name in ("a", "b", "c"):
        (as_nobody / name).mkdir()
        (as_nobody / name / "f").touch()
    for name in ("a", "b"):
        (as_nobody / name).chmod(0)

    found, said = failure("{find: {path: .}}", as_nobody)
    for name in ("a", "b"):
        (as_nobody / name).chmod(0o700)

    assert found == [str(as_nobody / "c/f")]
    assert said == (
        f"not everything was found: cannot open the directory {as_nobody}/a: Permission denied, "
        "and 1 more"
    )


def test_an_owner_that_does_not_exist_fails_the_source(tree: Path) -> None:
    with pytest.raises(SourceError, match="there is no user 'no-such-user'"):
        source_of("{find: {path: tree, owner: no-such-user}}", tree.parent, Names(), Waker())


# --- command


def test_the_output_lines_of_a_program_are_items(tmp_path: Path) -> None:
    (tmp_path / "made here").touch()

    assert items(r"{command: [printf, 'a b\n\n\351\nlast']}", tmp_path) == [
        "a b", "\udce9", "last",
    ]  # fmt: skip
    assert items("{command: [ls]}", tmp_path) == ["made here"]


def test_names_that_a_program_separates_with_nul_may_hold_newlines(tmp_path: Path) -> None:
    (tmp_path / "two\nlines").touch()

    found = items("{command: [find, ., -type, f, -print0], null_separated: true}", tmp_path)

    assert found == ["./two\nlines"]


def test_arguments_are_computed_when_the_task_starts_and_never_reach_a_shell(
    tmp_path: Path,
) -> None:
    text = r"{command: [printf, '%s\n', '{{ x }}', '{{ x }}.']}"

    assert items(text, tmp_path, x="$(id); a") == ["$(id); a", "$(id); a."]


@pytest.mark.parametrize(
    ("script", "before", "reason"),
    [
        ("echo a; echo no such list >&2; exit 3", ["a"], "exit status 3: no such list"),
        ("exit 1", [], "ended with exit status 1"),
        ("echo a; kill -9 $$", ["a"], "ended with signal 9"),
        ("seq 9 >&2; exit 1", [], "exit status 1: 7 / 8 / 9"),
        ("head -c 2000000 /dev/zero", [], "a line of more than 1 MiB"),
    ],
)
def test_a_program_that_fails_fails_the_source_and_is_quoted(
    tmp_path: Path, script: str, before: list[str], reason: str
) -> None:
    found, said = failure(f"{{command: [sh, -c, {script!r}]}}", tmp_path)

    assert found == before
    assert reason in said


def test_a_program_that_is_not_there_fails_the_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="command no-such-program for the items cannot be star"):
        source_of("{command: [no-such-program, a]}", tmp_path, Names(), Waker())


@pytest.mark.parametrize(
    "script",
    [
        "echo ready; exec sleep 600",
        "trap '' TERM; echo ready; sleep 600 & while true; do wait; sleep 1; done",
        "echo ready; while true; do echo more; done",
        "echo ready; exec >&- 2>&-; sleep 600",
    ],
)
def test_a_program_whose_items_nobody_wants_is_ended_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    marker = f"BATCHRUN_TEST={tmp_path}"
    monkeypatch.setenv("BATCHRUN_TEST", str(tmp_path))
    waker = Waker()
    opened = source_of(f"{{command: [sh, -c, {script!r}]}}", tmp_path, Names(), waker)
    drawing = read(opened, waker)
    assert next(drawing) == "ready"
    assert processes_with_environ(marker)

    opened.close()

    wait_until(lambda: not processes_with_environ(marker), 20, "the processes end")


def test_a_program_that_leaves_a_daemon_with_its_output_open_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "pid").touch()
    script = "sleep 600 & echo $! > pid; echo a"

    found = items(f"{{command: [sh, -c, {script!r}]}}", tmp_path)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

    assert found == ["a"]


def test_more_errors_than_a_pipe_holds_do_not_stop_a_program(tmp_path: Path) -> None:
    script = "head -c 300000 /dev/zero >&2; echo a"

    assert items(f"{{command: [sh, -c, {script!r}]}}", tmp_path) == ["a"]
