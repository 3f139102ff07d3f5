"""What every operation on files promises, whatever the names."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from batchrun.errors import UnitStoppedError
from batchrun.model.operation import Done
from batchrun.model.outcome import Failed
from batchrun.model.values import Doc, Glob
from batchrun.ops import OPERATIONS
from batchrun.ops.paths import escape, shown
from file_context import HOSTILE_NAMES, FileContext, changed, do, message_of, snapshot

Params = dict[str, Any]
Prepare = Callable[[Path, str], Params]


def _source(root: Path, name: str) -> str:
    """Make a small tree of that name."""
    tree = root / "in" / name
    (tree / name).mkdir(parents=True)
    (tree / name / name).write_text("deep")
    (tree / "file").write_text("content" * 100)
    (tree / "link").symlink_to(name)
    os.utime(tree / "file", ns=(1, 1_234_567_890_123_456_789))
    return str(tree)


def _file(root: Path, name: str, data: bytes = b"content" * 100) -> str:
    path = root / "in" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return str(path)


def _manifest(root: Path, name: str) -> Params:
    return {"src": (_source(root, name),), "dest": f"{root}/out/{name}.sha256"}


def _compressed(root: Path, name: str) -> Params:
    path = _file(root, name)
    assert changed(do("compress", src=(path,)))
    return {"src": (path + ".gz",)}


def _archived(root: Path, name: str) -> Params:
    archive = str(root / "a.tar.gz")
    assert changed(do("archive", src=(_source(root, name),), dest=archive))
    return {"src": archive, "dest": f"{root}/out/{name}"}


CASES: dict[str, Prepare] = {
    "mkdir": lambda root, name: {"path": (f"{root}/{name}/{name}",), "mode": "0750"},
    "touch": lambda root, name: {"path": (f"{root}/{name}/{name}",), "mtime": "@12.5"},
    "link": lambda root, name: {"src": _source(root, name), "dest": f"{root}/out/{name}"},
    "copy": lambda root, name: {"src": (_source(root, name),), "dest": f"{root}/out/"},
    "move": lambda root, name: {"src": (_source(root, name),), "dest": f"{root}/out/"},
    "sync": lambda root, name: {"src": _source(root, name), "dest": f"{root}/out/{name}"},
    "delete": lambda root, name: {"path": (_source(root, name),)},
    "prune": lambda root, name: {"path": (_source(root, name),), "older_than": 86400.0},
    "write": lambda root, name: {"dest": f"{root}/out/{name}", "text": name, "mode": "0640"},
    "template": lambda root, name: {"src": "t", "dest": f"{root}/out/{name}", "text": name},
    "replace": lambda root, name: {"path": (_file(root, name),), "find": "content", "with_": "x"},
    "perms": lambda root, name: {"path": (_source(root, name),), "mode": "0640", "recursive": True},
    "archive": lambda root, name: {"src": (_source(root, name),), "dest": f"{root}/{name}.tar.gz"},
    "extract": _archived,
    "compress": lambda root, name: {"src": (_file(root, name),), "format": "gz"},
    "decompress": _compressed,
    "checksum": _manifest,
}
WITH_SOURCE = ["copy", "move", "archive", "extract", "compress", "decompress", "checksum"]

#: Operations that look and change nothing.
ONLY_LOOK = {"compare"}

names = pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES.keys())
operations = pytest.mark.parametrize("operation", CASES)


def test_every_operation_on_files_is_here() -> None:
    on_files = {name for name, row in OPERATIONS.items() if not row.is_command}
    assert CASES.keys() == on_files - ONLY_LOOK


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_parameter_is_documented(operation: str) -> None:
    row = OPERATIONS[operation]
    hints = get_type_hints(row.params, include_extras=True)
    assert row.name == operation
    assert row.main in hints
    assert f"{operation}:" in row.example
    for hint in hints.values():
        assert any(isinstance(extra, Doc) for extra in hint.__metadata__)


@operations
@names
def test_a_dry_run_changes_nothing_and_says_what_the_run_does(
    tmp_path: Path, operation: str, name: str
) -> None:
    params = CASES[operation](tmp_path, name)
    before = snapshot(tmp_path)
    predicted = changed(do(operation, FileContext(dry_run=True), **params))
    assert snapshot(tmp_path) == before
    assert changed(do(operation, **params)) is predicted
    assert predicted


@operations
@names
def test_doing_it_again_changes_nothing(tmp_path: Path, operation: str, name: str) -> None:
    params = CASES[operation](tmp_path, name)
    assert changed(do(operation, **params))
    before = snapshot(tmp_path)
    assert not changed(do(operation, FileContext(dry_run=True), **params))
    assert not changed(do(operation, **params))
    assert snapshot(tmp_path) == before


@operations
def test_nothing_is_left_beside_the_result(tmp_path: Path, operation: str) -> None:
    params = CASES[operation](tmp_path, "x")
    assert changed(do(operation, **params))
    assert not [path for path in snapshot(tmp_path) if "/.br-" in path]


@operations
@pytest.mark.parametrize("checks", [0, 1, 2, 3])
def test_a_stop_is_obeyed_and_leaves_nothing_half_done(
    tmp_path: Path, operation: str, checks: int
) -> None:
    params = CASES[operation](tmp_path, "x")
    context = FileContext(stop_after=checks)
    try:
        do(operation, context, **params)
    except UnitStoppedError:
        assert not [path for path in snapshot(tmp_path) if "/.br-" in path]
        # What was begun is finished by the same order.
        changed(do(operation, **params))
    else:
        assert checks > 0
    assert not changed(do(operation, **params))


@pytest.mark.parametrize("operation", WITH_SOURCE)
@names
def test_a_missing_source_is_named(tmp_path: Path, operation: str, name: str) -> None:
    missing = f"{tmp_path}/none/{name}"
    suffix = {"decompress": ".gz", "extract": ".tar"}.get(operation, "")
    source: Any = missing + suffix if operation == "extract" else (missing + suffix,)
    params: Params = {"src": source, "dest": f"{tmp_path}/out"}
    if operation in {"compress", "decompress"}:
        del params["dest"]
    if operation == "archive":
        params["dest"] += ".tar"
    for dry_run in (True, False):
        message = message_of(do(operation, FileContext(dry_run=dry_run), **params))
        assert f"{tmp_path}/none/" in message
    assert not (tmp_path / "out").exists()


#: What each operation that takes patterns is given beside them; `delete` has nothing to say.
WITH_PATTERNS: dict[str, Params] = {
    "copy": {"dest": "out/"},
    "move": {"dest": "out/"},
    "compress": {},
    "decompress": {},
    "archive": {"dest": "out.tar"},
    "checksum": {"dest": "out.sha256"},
    "perms": {"mode": "0600"},
    "replace": {"find": "content", "with_": "x"},
    "delete": {},
    "prune": {"older_than": 86400.0},
}
#: There must be a result, or it would be missing without a word.
NEEDS_A_MATCH = {"archive", "checksum"}


def _with_pattern(root: Path, operation: str, *patterns: str) -> Params:
    params = {**WITH_PATTERNS[operation], _pattern_field(operation): tuple(map(Glob, patterns))}
    if "dest" in params:
        params["dest"] = f"{root}/{params['dest']}"
    return params


def _pattern_field(operation: str) -> str:
    """Return the parameter that takes patterns; empty: none does."""
    hints = get_type_hints(OPERATIONS[operation].params, include_extras=True)
    return next((name for name, hint in hints.items() if "PATTERN" in str(hint)), "")


def test_every_operation_with_patterns_is_here() -> None:
    assert WITH_PATTERNS.keys() == {name for name in OPERATIONS if _pattern_field(name)}


@pytest.mark.parametrize("operation", sorted(WITH_PATTERNS.keys() - NEEDS_A_MATCH - {"delete"}))
@pytest.mark.parametrize("dry_run", [True, False])
@names
def test_a_glob_that_matches_nothing_is_no_failure_but_a_warning(
    tmp_path: Path, operation: str, dry_run: bool, name: str
) -> None:
    patterns = [f"{tmp_path}/{escape(name)}/*.{end}.gz" for end in ("csv", "txt")]
    before = snapshot(tmp_path)
    done = do(
        operation, FileContext(dry_run=dry_run), **_with_pattern(tmp_path, operation, *patterns)
    )
    assert not changed(done)
    assert done.warnings == tuple(f"nothing matches {shown(pattern)}" for pattern in patterns)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("operation", sorted(NEEDS_A_MATCH))
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_glob_that_matches_nothing_makes_no_empty_result(
    tmp_path: Path, operation: str, dry_run: bool
) -> None:
    params = _with_pattern(tmp_path, operation, f"{tmp_path}/*.csv")
    before = snapshot(tmp_path)
    done = do(operation, FileContext(dry_run=dry_run), **params)
    assert f"{params['dest']}: nothing matches {tmp_path}/*.csv" in message_of(done)
    # What a task before would make is waited for in a dry run; a retry would find no more.
    assert isinstance(done.outcome, Failed)
    assert (done.outcome.errno, done.outcome.retryable) == (errno.ENOENT, False)
    assert snapshot(tmp_path) == before


def test_a_missing_path_is_what_delete_is_for(tmp_path: Path) -> None:
    done = do("delete", **_with_pattern(tmp_path, "delete", f"{tmp_path}/*.csv"))
    assert done == Done.unchanged()


@pytest.mark.parametrize("operation", ["copy", "archive", "checksum"])
def test_a_glob_that_matches_nothing_beside_one_that_does_is_a_warning(
    tmp_path: Path, operation: str
) -> None:
    (tmp_path / "a.csv").write_text("a")
    params = _with_pattern(tmp_path, operation, f"{tmp_path}/*.csv", f"{tmp_path}/*.txt")
    done = do(operation, **params)
    assert changed(done)
    assert done.warnings == (f"nothing matches {tmp_path}/*.txt",)


def _emptied(root: Path, operation: str) -> Params:
    """Make and do what leaves nothing for its pattern to match."""
    (root / "in").mkdir()
    (root / "in/a.csv").write_text("a")
    (root / "in/b{1}.csv").write_text("b")
    if operation == "decompress":
        assert changed(do("compress", src=(Glob(f"{root}/in/*.csv"),)))
    pattern = f"{root}/in/*.csv" + (".gz" if operation == "decompress" else "")
    params = _with_pattern(root, operation, pattern)
    assert changed(do(operation, **params))
    return params


@pytest.mark.parametrize("operation", ["move", "compress", "decompress"])
@pytest.mark.parametrize("dry_run", [True, False])
def test_what_took_all_that_a_glob_matches_has_nothing_to_say_when_repeated(
    tmp_path: Path, operation: str, dry_run: bool
) -> None:
    params = _emptied(tmp_path, operation)
    again = do(operation, FileContext(dry_run=dry_run), **params)
    assert not changed(again)
    assert again.warnings == ()


def test_a_move_from_a_directory_that_is_not_there_is_no_repetition(tmp_path: Path) -> None:
    params = _emptied(tmp_path, "move")
    for pattern in (f"{tmp_path}/im/*.csv", f"{tmp_path}/in/*.tsv", f"{tmp_path}/i[m]/*.csv"):
        done = do("move", src=(Glob(pattern),), dest=params["dest"])
        assert done.warnings == (f"nothing matches {pattern}",)
    braces = Glob(f"{tmp_path}/{{im/*.csv,in/*.csv}}")
    assert do("move", src=(braces,), dest=params["dest"]).warnings == ()


def test_a_directory_without_files_makes_no_empty_manifest(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "sums").write_text("of yesterday")
    message = message_of(do("checksum", src=(f"{tmp_path}/empty",), dest=f"{tmp_path}/sums"))
    assert "there is no file in its sources" in message
    assert (tmp_path / "sums").read_text() == "of yesterday"


@pytest.mark.parametrize("operation", ["copy", "move", "link"])
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_file_onto_a_directory_says_to_add_the_slash(
    tmp_path: Path, operation: str, dry_run: bool
) -> None:
    (tmp_path / "dir").mkdir()
    source = _file(tmp_path, "file")
    params: Params = {
        "src": source if operation == "link" else (source,),
        "dest": f"{tmp_path}/dir",
    }
    before = snapshot(tmp_path)
    message = message_of(do(operation, FileContext(dry_run=dry_run), **params))
    assert f"write {tmp_path}/dir/" in message
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("operation", ["copy", "move"])
def test_several_sources_need_the_slash(tmp_path: Path, operation: str) -> None:
    one, two = _file(tmp_path, "one"), _file(tmp_path, "two")
    message = message_of(do(operation, src=(one, two), dest=f"{tmp_path}/out"))
    assert f"write {tmp_path}/out/" in message
    assert changed(do(operation, src=(one, two), dest=f"{tmp_path}/out/"))
    assert sorted(os.listdir(tmp_path / "out")) == ["one", "two"]


@pytest.mark.parametrize("operation", ["copy", "move"])
def test_two_sources_of_one_name_are_refused(tmp_path: Path, operation: str) -> None:
    for directory in ("a", "b"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "same").write_text(directory)
    sources = (f"{tmp_path}/a/same", f"{tmp_path}/b/same")
    assert "would both become" in message_of(do(operation, src=sources, dest=f"{tmp_path}/out/"))


@pytest.mark.parametrize("operation", ["copy", "move"])
@pytest.mark.parametrize("dest", ["{src}/below", "{src}/sub/", "{link}/below"])
def test_a_tree_is_not_put_into_itself(tmp_path: Path, operation: str, dest: str) -> None:
    tree = _source(tmp_path, "tree")
    (tmp_path / "link").symlink_to(tree)
    before = snapshot(tmp_path)
    target = dest.format(src=tree, link=tmp_path / "link")
    for dry_run in (True, False):
        message = message_of(do(operation, FileContext(dry_run=dry_run), src=(tree,), dest=target))
        assert "put into itself" in message
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("operation", ["copy", "move"])
def test_a_thing_is_not_put_onto_itself(tmp_path: Path, operation: str) -> None:
    path = _file(tmp_path, "file")
    before = snapshot(tmp_path)
    for dest in (path, f"{tmp_path}/in/", f"{tmp_path}/in/../in/file"):
        assert "the same" in message_of(do(operation, src=(path,), dest=dest))
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("operation", ["copy", "move", "delete", "compress", "archive"])
def test_an_empty_path_is_refused(tmp_path: Path, operation: str) -> None:
    key = "path" if operation == "delete" else "src"
    params: Params = {key: ("",), "dest": f"{tmp_path}/out.tar"}
    if operation in {"delete", "compress"}:
        del params["dest"]
    done = do(operation, **params)
    assert "empty" in message_of(done)
