"""A dry run looks at the real files, changes nothing, and foretells exactly what a run does."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from batchrun.model.operation import Done
from batchrun.model.outcome import Failed, Ok
from batchrun.model.values import NEW_FILE, Glob
from batchrun.ops import OPERATIONS
from file_context import HOSTILE_NAMES, FileContext, as_nobody, do, snapshot

Params = dict[str, Any]
World = Callable[[Path], Params]

ODD = HOSTILE_NAMES["newline"] + HOSTILE_NAMES["latin1"]
WORLDS: dict[str, tuple[str, World]] = {}


def world(operation: str) -> Callable[[World], World]:
    """Enter a way to prepare files, and what an operation is given then, into the table."""

    def enter(prepare: World) -> World:
        WORLDS[f"{operation}: {prepare.__name__.strip('_').replace('_', ' ')}"] = operation, prepare
        return prepare

    return enter


def put(path: Path, data: str | bytes = "text\n", mode: int | None = None) -> str:
    """Make a file with the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    if mode is not None:
        path.chmod(mode)
    return str(path)


def tree(root: Path) -> str:
    """Make a small tree with odd names, links and modes."""
    put(root / "tree/a.txt", "one\ntwo\n")
    put(root / "tree/sub" / ODD, "odd")
    put(root / "tree/sub/tool.sh", "#!/bin/sh\n", 0o755)
    put(root / "tree/.br-r0-1-1-1", "half")
    (root / "tree/link").symlink_to("a.txt")
    (root / "tree/gone").symlink_to("nowhere")
    (root / "tree/empty").mkdir()
    return str(root / "tree")


# mkdir, touch, link


@world("mkdir")
def _new_below_new(root: Path) -> Params:
    return {"path": (f"{root}/a/{ODD}/c", f"{root}/a"), "mode": "0700"}


@world("mkdir")
def _there_with_another_mode(root: Path) -> Params:
    (root / "dir").mkdir(mode=0o755)
    return {"path": (f"{root}/dir",), "mode": "u=rwx,go="}


@world("mkdir")
def _a_file_is_in_the_way(root: Path) -> Params:
    return {"path": (put(root / "file") + "/dir", f"{root}/fine")}


@world("touch")
def _new_and_old(root: Path) -> Params:
    return {"path": (put(root / "old"), f"{root}/new/{ODD}"), "mtime": "@5", "mode": "0600"}


@world("touch")
def _a_dangling_symlink(root: Path) -> Params:
    (root / "link").symlink_to("nowhere")
    return {"path": (f"{root}/link",)}


@world("link")
def _a_link_that_points_elsewhere(root: Path) -> Params:
    (root / "current").symlink_to("v1")
    return {"src": f"{root}/v2", "dest": f"{root}/current"}


@world("link")
def _a_file_is_in_the_way_of_a_link(root: Path) -> Params:
    return {"src": "x", "dest": put(root / "file")}


@world("link")
def _forced_over_a_file(root: Path) -> Params:
    return {"src": put(root / "src"), "dest": put(root / "file"), "force": True, "kind": "hard"}


# copy, move, delete


@world("copy")
def _a_text_file_onto_another(root: Path) -> Params:
    put(root / "new", "a\nb\nc\n")
    return {"src": (f"{root}/new",), "dest": put(root / "old", "a\nx\nc\n")}


@world("copy")
def _a_binary_file(root: Path) -> Params:
    return {"src": (put(root / "new", b"\0\1"),), "dest": put(root / "old")}


@world("copy")
def _only_the_time_differs(root: Path) -> Params:
    put(root / "old")
    os.utime(put(root / "new"), (5, 5))
    return {"src": (f"{root}/new",), "dest": f"{root}/old"}


@world("copy")
def _a_tree_into_a_new_directory(root: Path) -> Params:
    return {"src": (tree(root),), "dest": f"{root}/x/y/"}


@world("copy")
def _a_tree_onto_a_damaged_copy(root: Path) -> Params:
    source = tree(root)
    assert isinstance(do("copy", src=(source,), dest=f"{root}/copy").outcome, Ok)
    put(root / "copy/a.txt", "else\n")
    (root / "copy/sub/tool.sh").unlink()
    return {"src": (source,), "dest": f"{root}/copy"}


@world("copy")
def _a_glob_with_patterns(root: Path) -> Params:
    tree(root)
    return {"src": (Glob(f"{root}/tree/*"),), "dest": f"{root}/out/", "exclude": ("*.sh",)}


@world("copy")
def _only_what_is_missing(root: Path) -> Params:
    put(root / "there/a", "mine")
    put(root / "in/a", "yours")
    put(root / "in/b", "new")
    return {"src": (Glob(f"{root}/in/*"),), "dest": f"{root}/there/", "if_": "missing"}


@world("copy")
def _a_missing_source(root: Path) -> Params:
    return {"src": (f"{root}/none", put(root / "file")), "dest": f"{root}/out/"}


@world("copy")
def _a_file_where_a_directory_should_be(root: Path) -> Params:
    put(root / "copy")
    return {"src": (tree(root),), "dest": f"{root}/copy"}


@world("copy")
def _a_file_and_a_glob_that_matches_nothing(root: Path) -> Params:
    return {"src": (put(root / "file"), Glob(f"{root}/*.csv")), "dest": f"{root}/out/"}


@world("move")
def _a_glob_that_matches_nothing(root: Path) -> Params:
    return {"src": (Glob(f"{root}/in/*.csv"),), "dest": f"{root}/out/"}


@world("move")
def _a_tree(root: Path) -> Params:
    return {"src": (tree(root),), "dest": f"{root}/moved/"}


@world("move")
def _onto_a_different_file(root: Path) -> Params:
    return {"src": (put(root / "a", "1"),), "dest": put(root / "b", "2")}


@world("move")
def _onto_a_different_file_by_force(root: Path) -> Params:
    return {"src": (put(root / "a", "1"),), "dest": put(root / "b", "2"), "overwrite": True}


@world("move")
def _a_glob_without_some(root: Path) -> Params:
    tree(root)
    return {"src": (Glob(f"{root}/tree/*"),), "dest": f"{root}/out/", "exclude": ("a.*",)}


@world("delete")
def _a_whole_tree(root: Path) -> Params:
    return {"path": (tree(root), f"{root}/none")}


@world("delete")
def _more_than_allowed(root: Path) -> Params:
    return {"path": (tree(root),), "max_delete": "10%"}


@world("delete")
def _into_the_trash(root: Path) -> Params:
    return {"path": (tree(root),), "trash": f"{root}/trash"}


@world("delete")
def _only_what_matches(root: Path) -> Params:
    return {"path": (tree(root),), "include": ("*.txt",)}


# prune, sync, compare


@world("prune")
def _by_age(root: Path) -> Params:
    path = tree(root)
    os.utime(f"{path}/a.txt", (1, 1))
    return {"path": (path,), "older_than": 86400.0, "recursive": True}


@world("prune")
def _all_but_the_newest(root: Path) -> Params:
    path = tree(root)
    os.utime(put(root / "tree/b.txt"), (1, 1))
    return {"path": (path,), "keep": 1}


@world("sync")
def _a_new_mirror(root: Path) -> Params:
    return {"src": tree(root), "dest": f"{root}/mirror", "delete": True}


@world("sync")
def _with_something_to_delete(root: Path) -> Params:
    params = _a_new_mirror(root)
    do("sync", **params)
    put(root / "mirror/own/deep", "own")
    put(root / "tree/a.txt", "one\n")
    return params


@world("sync")
def _with_something_in_the_way(root: Path) -> Params:
    params = _with_something_to_delete(root)
    put(root / "tree/own", "a file")
    return params


@world("sync")
def _too_much_to_delete(root: Path) -> Params:
    return _with_something_to_delete(root) | {"max_delete": 1}


@world("compare")
def _the_same(root: Path) -> Params:
    params = {"src": tree(root), "dest": f"{root}/mirror"}
    do("sync", **params)
    return params


@world("compare")
def _different(root: Path) -> Params:
    params = _the_same(root)
    put(root / "mirror/sub/own", "own")
    return params | {"report": f"{root}/out/list"}


# write, template, replace, perms


@world("write")
def _a_new_file(root: Path) -> Params:
    return {"dest": f"{root}/a/{ODD}", "text": "hello\n", "mode": "0640"}


@world("write")
def _other_lines_and_another_mode(root: Path) -> Params:
    return {"dest": put(root / "f", "a\nb\n", 0o644), "text": "a\nc", "mode": "go=", "backup": True}


@world("write")
def _only_another_mode(root: Path) -> Params:
    return {"dest": put(root / "f", "a\n", 0o644), "text": "a\n", "mode": "0600"}


@world("write")
def _over_a_symlink(root: Path) -> Params:
    (root / "link").symlink_to(put(root / "f"))
    return {"dest": f"{root}/link", "text": "new\n"}


@world("write")
def _over_a_directory(root: Path) -> Params:
    (root / "dir").mkdir()
    return {"dest": f"{root}/dir", "text": "new\n"}


@world("write")
def _a_secret(root: Path) -> Params:
    return {"dest": put(root / "f", "old\n", 0o644), "text": "s3cret\n", "secret": True}


@world("write")
def _what_the_validator_likes(root: Path) -> Params:
    return {"dest": put(root / "f"), "text": "good\n", "validate": ("grep", "good", NEW_FILE)}


@world("write")
def _for_nobody_known(root: Path) -> Params:
    return {"dest": f"{root}/f", "text": "x", "owner": "no-such-user"}


@world("template")
def _a_rendered_file(root: Path) -> Params:
    return {"src": "t.conf", "dest": put(root / "f", "port 1\n"), "text": "port 2\n"}


@world("replace")
def _text_in_some_files(root: Path) -> Params:
    for name, text in (("a.conf", "x=1\ny=1\n"), ("b.conf", "nothing"), (f"{ODD}.conf", "x=1")):
        put(root / name, text)
    return {"path": (Glob(f"{root}/*.conf"),), "find": "x=1", "with_": "x=2", "backup": True}


@world("replace")
def _a_whole_line(root: Path) -> Params:
    path = put(root / "sshd", "#PermitRootLogin yes\nPort 22\n", 0o600)
    return {"path": (path,), "regex": "^#?PermitRootLogin .*$", "with_": "PermitRootLogin no"}


@world("replace")
def _what_would_grow_for_ever(root: Path) -> Params:
    return {"path": (put(root / "f", "a"), put(root / "g", "b")), "find": "a", "with_": "aa"}


@world("replace")
def _in_a_binary_file(root: Path) -> Params:
    return {"path": (put(root / "f", b"\0old\xff\n"),), "find": "old", "with_": "new"}


@world("replace")
def _in_a_missing_file_and_a_directory(root: Path) -> Params:
    return {"path": (f"{root}/none", tree(root)), "find": "a", "with_": "b"}


@world("perms")
def _a_tree_by_symbols(root: Path) -> Params:
    return {"path": (tree(root),), "mode": "u=rwX,go=", "recursive": True}


@world("perms")
def _a_tree_by_number(root: Path) -> Params:
    return {"path": (tree(root),), "mode": "0640", "recursive": True, "exclude": ("sub/",)}


@world("perms")
def _owner_and_group(root: Path) -> Params:
    return {"path": (tree(root),), "owner": "1", "group": "2", "recursive": True}


@world("perms")
def _a_setuid_file_for_another_owner(root: Path) -> Params:
    return {"path": (put(root / "f", mode=0o6755),), "owner": "1"}


@world("perms")
def _what_is_not_there(root: Path) -> Params:
    return {"path": (f"{root}/none", put(root / "f", mode=0o644)), "mode": "0600"}


# archive, extract, compress, decompress, checksum


@world("archive")
def _a_tree_in_a_new_archive(root: Path) -> Params:
    return {"src": (tree(root),), "dest": f"{root}/new/a.tar.gz"}


@world("archive")
def _a_tree_that_is_removed(root: Path) -> Params:
    source = tree(root)
    (root / "tree/.br-r0-1-1-1").unlink()
    return {"src": (source,), "dest": f"{root}/a.tar.zst", "remove": True}


@world("archive")
def _a_stale_archive(root: Path) -> Params:
    source = tree(root)
    assert isinstance(do("archive", src=(source,), dest=f"{root}/a.tgz").outcome, Ok)
    put(root / "tree/more")
    return {"src": (source,), "dest": f"{root}/a.tgz", "include": ("*.txt", "more")}


@world("archive")
def _a_name_that_zip_cannot_hold(root: Path) -> Params:
    return {"src": (tree(root),), "dest": f"{root}/a.zip"}


@world("archive")
def _a_zip_archive(root: Path) -> Params:
    put(root / "in/sub/a.txt", "a")
    return {"src": (f"{root}/in",), "dest": f"{root}/a.zip"}


@world("archive")
def _nothing_to_archive(root: Path) -> Params:
    return {"src": (f"{root}/none",), "dest": f"{root}/a.tar"}


@world("archive")
def _everything_is_excluded(root: Path) -> Params:
    put(root / "in/a.txt")
    return {"src": (Glob(f"{root}/in/*"),), "dest": f"{root}/a.tar", "exclude": ("*",)}


@world("extract")
def _over_an_older_state(root: Path) -> Params:
    source = tree(root)
    assert isinstance(do("archive", src=(source,), dest=f"{root}/a.tar.xz").outcome, Ok)
    put(root / "out/tree/a.txt", "else\n")
    return {"src": f"{root}/a.tar.xz", "dest": f"{root}/out"}


@world("extract")
def _some_members(root: Path) -> Params:
    source = tree(root)
    assert isinstance(do("archive", src=(source,), dest=f"{root}/a.tar").outcome, Ok)
    return {"src": f"{root}/a.tar", "dest": f"{root}/out", "exclude": ("sub/",)}


@world("extract")
def _what_is_no_archive(root: Path) -> Params:
    return {"src": put(root / "a.tar.gz"), "dest": f"{root}/out"}


@world("compress")
def _some_logs(root: Path) -> Params:
    for name in ("a.log", "b.log", "c.txt", "d.log.gz"):
        put(root / name)
    return {"src": (Glob(f"{root}/*"),), "include": ("*.log",)}


@world("compress")
def _beside_another_result(root: Path) -> Params:
    put(root / "f.xz", "not it")
    return {"src": (put(root / "f"),), "format": "xz"}


@world("compress")
def _and_kept(root: Path) -> Params:
    return {"src": (put(root / "f"),), "format": "bz2", "keep": True, "threads": 0}


@world("decompress")
def _good_and_broken(root: Path) -> Params:
    assert isinstance(do("compress", src=(put(root / "good"),)).outcome, Ok)
    return {"src": (Glob(f"{root}/*.gz"), f"{root}/none.gz")}


@world("decompress")
def _what_is_not_compressed(root: Path) -> Params:
    return {"src": (put(root / "f.gz"), put(root / "empty.xz", ""))}


@world("checksum")
def _a_manifest_beside(root: Path) -> Params:
    return {"src": (tree(root),), "dest": f"{root}/all.sha256", "algorithm": "md5"}


@world("checksum")
def _a_new_manifest(root: Path) -> Params:
    return {"src": (tree(root),), "dest": f"{root}/sums/all.sha256", "exclude": ("*.sh",)}


@world("checksum")
def _nothing_to_list(root: Path) -> Params:
    (root / "empty").mkdir()
    return {"src": (f"{root}/empty", Glob(f"{root}/*.csv")), "dest": f"{root}/sums/all.sha256"}


@world("checksum")
def _a_manifest_that_is_right(root: Path) -> Params:
    params: Params = {"src": (tree(root),), "dest": f"{root}/all.sha256"}
    assert isinstance(do("checksum", **params).outcome, Ok)
    return params


@world("checksum")
def _verified(root: Path) -> Params:
    params: Params = {"src": (tree(root),), "dest": f"{root}/all.sha256"}
    assert isinstance(do("checksum", **params).outcome, Ok)
    return {"dest": params["dest"], "verify": True}


@world("checksum")
def _verified_and_wrong(root: Path) -> Params:
    params: Params = {"src": (tree(root),), "dest": f"{root}/all.sha256"}
    assert isinstance(do("checksum", **params).outcome, Ok)
    put(root / "tree/a.txt", "damaged")
    return {"dest": params["dest"], "verify": True}


def essence(done: Done) -> Mapping[str, Any]:
    """Return what a dry run has to foretell."""
    outcome = done.outcome
    if isinstance(outcome, Failed):
        return {"failed": True, "diff": done.diff}
    assert isinstance(outcome, Ok), outcome
    nothing = [sentence for sentence in done.warnings if sentence.startswith("nothing matches ")]
    assert outcome.found_nothing is bool(nothing)
    return {"changed": outcome.changed, "diff": done.diff, "nothing": nothing}


def context(root: Path, *, dry_run: bool) -> FileContext:
    return FileContext(root, dry_run=dry_run, diff=True)


def foretold(operation: str, params: Params, root: Path) -> Mapping[str, Any]:
    """Do a dry run and the run, compare, and return what both said."""
    before = snapshot(root)
    predicted = essence(do(operation, context(root, dry_run=True), **params))
    assert snapshot(root) == before
    assert essence(do(operation, context(root, dry_run=False), **params)) == predicted
    return predicted


def test_every_operation_on_files_has_its_worlds() -> None:
    prepared = {operation for operation, _ in WORLDS.values()}
    assert prepared == {name for name, row in OPERATIONS.items() if not row.is_command}


@pytest.mark.parametrize("key", WORLDS)
def test_a_dry_run_foretells_the_run_and_its_diff(tmp_path: Path, key: str) -> None:
    operation, prepare = WORLDS[key]
    params = prepare(tmp_path)
    predicted = foretold(operation, params, tmp_path)
    again = do(operation, context(tmp_path, dry_run=False), **params)
    assert again.diff == ""
    if "changed" in predicted:
        assert essence(again) == {**predicted, "changed": False, "diff": ""}


@pytest.mark.parametrize("key", WORLDS)
def test_a_run_without_diff_has_none(tmp_path: Path, key: str) -> None:
    operation, prepare = WORLDS[key]
    assert do(operation, FileContext(tmp_path), **prepare(tmp_path)).diff == ""


@pytest.mark.parametrize("key", WORLDS)
def test_an_ordinary_user_is_foretold_the_same(public: Path, key: str) -> None:
    operation, prepare = WORLDS[key]
    (public / "own").mkdir()
    os.chmod(public / "own", 0o777)
    as_nobody(lambda: foretold(operation, prepare(public / "own"), public))


@pytest.mark.parametrize("key", WORLDS)
def test_what_belongs_to_root_is_foretold_to_be_refused(public: Path, key: str) -> None:
    operation, prepare = WORLDS[key]
    (public / "own").mkdir()
    params = prepare(public / "own")
    subprocess.run(["chmod", "-R", "go-w", public / "own"], check=True, timeout=60)
    as_nobody(lambda: foretold(operation, params, public))


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("copy", {"src": ("f",), "dest": "g"}),
        ("archive", {"src": ("f",), "dest": "g.tar"}),
        ("compress", {"src": ("f",)}),
        ("replace", {"path": ("f",), "find": "t", "with_": "u"}),
        ("checksum", {"src": ("f",), "dest": "sum"}),
    ],
)
def test_a_source_that_may_not_be_read_is_foretold(
    public: Path, monkeypatch: pytest.MonkeyPatch, operation: str, params: Params
) -> None:
    put(public / "f", mode=0o600)
    monkeypatch.chdir(public)
    assert as_nobody(lambda: foretold(operation, params, public))["failed"]
