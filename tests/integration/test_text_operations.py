"""What `write`, `template`, `replace` and `perms` do to real files."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import UnitStoppedError
from batchrun.model.outcome import Failed
from batchrun.model.values import NEW_FILE, Glob
from batchrun.ops import OPERATIONS
from file_context import FileContext, as_nobody, changed, do, message_of, snapshot


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    old = os.umask(0o022)
    yield
    os.umask(old)


# validate and backup


def test_a_validator_sees_the_whole_new_file_with_its_mode_and_suffix(tmp_path: Path) -> None:
    dest = tmp_path / "app.service"
    seen = 'stat -c %a "$1" > seen; cat "$1" >> seen; echo "${1##*.}" >> seen; pwd >> seen'
    argv = ("sh", "-c", seen, "sh", NEW_FILE)
    done = do(
        "write", FileContext(tmp_path), dest=str(dest), text="new\n", mode="0640", validate=argv
    )
    assert changed(done)
    assert (tmp_path / "seen").read_text() == f"640\nnew\nservice\n{tmp_path}\n"
    assert dest.read_text() == "new\n"


def test_a_refused_file_is_never_there_and_the_validator_is_quoted(tmp_path: Path) -> None:
    dest = tmp_path / "conf"
    dest.write_text("good\n")
    before = snapshot(tmp_path)
    argv = ("sh", "-c", "echo line 7 is wrong >&2; exit 9", "sh", NEW_FILE)
    context = FileContext(tmp_path)
    done = do("write", context, dest=str(dest), text="bad\n", validate=argv, backup=True)
    message = message_of(done)
    assert message.startswith(f"{dest} was left as it was: sh refused the new file")
    assert "exit status 9" in message
    assert "line 7 is wrong" in message
    assert done.output.stderr.head == b"line 7 is wrong\n"
    assert snapshot(tmp_path).keys() == before.keys()
    assert dest.read_text() == "good\n"


def test_a_validator_that_does_not_exist_refuses(tmp_path: Path) -> None:
    done = do("write", dest=f"{tmp_path}/f", text="x", validate=("no-such-program", NEW_FILE))
    assert "no-such-program" in message_of(done)
    assert os.listdir(tmp_path) == []


def test_a_script_may_validate_itself(tmp_path: Path) -> None:
    done = do(
        "write",
        FileContext(tmp_path),
        dest=f"{tmp_path}/tool",
        text="#!/bin/sh\nexit 0\n",
        mode="0755",
        validate=(NEW_FILE,),
    )
    assert changed(done)


def test_a_stop_ends_the_validator_and_leaves_nothing(tmp_path: Path) -> None:
    context = FileContext(tmp_path)
    context.deadline = 0.0
    argv = ("sh", "-c", "sleep 1000", "sh", NEW_FILE)

    def over() -> None:
        raise UnitStoppedError(timed_out=True)

    params = OPERATIONS["write"].params(dest=f"{tmp_path}/f", text="x", validate=argv)
    context.check()
    context.meanwhile = lambda: over() if context.commands else None
    with pytest.raises(UnitStoppedError):
        OPERATIONS["write"].function(params, context)
    assert os.listdir(tmp_path) == []
    with pytest.raises(ProcessLookupError):
        os.kill(context.commands[0], 0)


@pytest.mark.parametrize("operation", ["write", "template", "replace"])
def test_a_validator_must_look_at_the_new_file(operation: str) -> None:
    check = OPERATIONS[operation].check
    assert check is not None
    given = {"find": "a"} if operation == "replace" else {}
    assert "{{ new }}" in check({**given, "validate": ("nginx", "-t")})[0]
    assert check({**given, "validate": ("nginx", "-t", "-c", NEW_FILE)}) == []


def test_a_backup_is_what_was_replaced_and_only_that(tmp_path: Path) -> None:
    dest = tmp_path / "f"
    for text in ("one", "two", "two", "three"):
        do("write", dest=str(dest), text=text, backup=True)
    assert (tmp_path / "f~").read_text() == "two"
    assert sorted(os.listdir(tmp_path)) == ["f", "f~"]


# metadata of what is replaced


def test_a_new_text_keeps_mode_owner_attributes_and_acl(tmp_path: Path) -> None:
    dest = tmp_path / "f"
    dest.write_text("old")
    os.chown(dest, 1, 2)
    dest.chmod(0o640)
    os.setxattr(dest, "user.kind", b"conf")
    subprocess.run(["setfacl", "-m", "u:daemon:rw", dest], check=True, timeout=60)
    acl = os.getxattr(dest, "system.posix_acl_access")
    assert changed(do("replace", path=(str(dest),), find="old", with_="new"))
    found = dest.stat()
    assert (found.st_uid, found.st_gid) == (1, 2)
    assert os.getxattr(dest, "user.kind") == b"conf"
    assert os.getxattr(dest, "system.posix_acl_access") == acl


def test_a_secret_makes_a_file_private_unless_a_mode_is_given(tmp_path: Path) -> None:
    dest = tmp_path / "f"
    assert changed(do("write", dest=str(dest), text="s", secret=True))
    assert mode_of(dest) == 0o600
    dest.chmod(0o644)
    assert changed(do("write", dest=str(dest), text="s", secret=True))
    assert mode_of(dest) == 0o600
    assert changed(do("write", dest=str(dest), text="s", secret=True, mode="0640"))
    assert mode_of(dest) == 0o640


def test_rights_of_the_old_owner_are_not_given_to_a_new_one(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    for operation in ("perms", "write"):
        tool.write_text("x")
        os.chown(tool, 0, 0)
        tool.chmod(0o6755)
        given: dict[str, Any] = {"path": (str(tool),)}
        if operation == "write":
            given = {"dest": str(tool), "text": "y"}
        assert changed(do(operation, owner="1", **given))
        assert mode_of(tool) == 0o755
        assert not changed(do(operation, owner="1", **given))


# replace


def test_groups_and_lines_of_an_expression(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.write_text("listen = 80\nname = a\nlisten = 81\n")
    given: dict[str, Any] = {"path": (str(path),), "regex": r"^(?P<key>listen) = (\d+)$"}
    assert changed(do("replace", with_=r"\g<key>: \2", **given))
    assert path.read_text() == "listen: 80\nname = a\nlisten: 81\n"


def test_bytes_that_are_no_text_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\xff\0 caf\xe9 old \r\n\xfe")
    assert changed(do("replace", path=(str(path),), regex="o.d", with_="n\N{EURO SIGN}"))
    assert path.read_bytes() == b"\xff\0 caf\xe9 n\xe2\x82\xac \r\n\xfe"


def test_one_file_that_is_refused_does_not_stop_the_others(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(f"old {name}\n")
    argv = ("grep", "-v", "b", NEW_FILE)
    given: dict[str, Any] = {"path": (Glob(f"{tmp_path}/*"),), "find": "old", "with_": "new"}
    done = do("replace", FileContext(tmp_path), validate=argv, **given)
    assert f"{tmp_path}/b was left as it was" in message_of(done)
    texts = [(tmp_path / name).read_text() for name in ("a", "b", "c")]
    assert texts == ["new a\n", "old b\n", "new c\n"]


def test_a_symlink_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    message = message_of(do("replace", path=(f"{tmp_path}/link",), find="old", with_="new"))
    assert f"name {tmp_path}/real itself" in message
    done = do("replace", path=(Glob(f"{tmp_path}/l*"),), find="old", with_="new")
    assert not changed(done)
    assert "symlink" in done.warnings[0]
    assert (tmp_path / "link").is_symlink()


def test_what_would_grow_with_every_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("a")
    message = message_of(do("replace", path=(str(path),), find="a", with_="ab"))
    assert "would change again" in message
    assert path.read_text() == "a"


def test_a_file_with_other_names_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    os.link(tmp_path / "a", tmp_path / "b")
    done = do("replace", path=(f"{tmp_path}/a",), find="old", with_="new")
    assert "other names" in done.warnings[0]
    assert (tmp_path / "b").read_text() == "old"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"find": "a", "regex": "a", "with_": ""}, "cannot be given together"),
        ({"find": "", "with_": ""}, "is empty"),
        ({"regex": "(", "with_": ""}, "is not a regular expression"),
        ({"regex": "(a)", "with_": r"\2"}, "does not fit"),
        ({"regex": "(?P<n>a)", "with_": r"\g<m>"}, "does not fit"),
        ({"regex": "a", "with_": "\\q"}, "does not fit"),
    ],
)
def test_mistakes_are_found_while_the_job_file_is_read(given: dict[str, Any], why: str) -> None:
    check = OPERATIONS["replace"].check
    assert check is not None
    assert why in check(given)[0]


# perms


def test_perms_are_those_of_chmod(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        (tmp_path / name / "sub").mkdir(parents=True)
        for bits in range(0, 0o10000, 0o333):
            path = tmp_path / name / "sub" / f"{bits:o}"
            path.touch()
            path.chmod(bits)
        (tmp_path / name / "sub").chmod(0o700)
        (tmp_path / name / "link").symlink_to("sub/0")
    mode = "u=rwX,g+rX-w,o-rwx"
    assert changed(do("perms", path=(f"{tmp_path}/ours",), mode=mode, recursive=True))
    subprocess.run(["chmod", "-R", mode, f"{tmp_path}/theirs"], check=True, timeout=60)

    def modes(root: Path) -> dict[str, int]:
        return {str(one.relative_to(root)): mode_of(one) for one in root.rglob("*")}

    assert modes(tmp_path / "ours") == modes(tmp_path / "theirs")
    assert not changed(do("perms", path=(f"{tmp_path}/ours",), mode=mode, recursive=True))


def test_directories_may_be_entered_by_who_may_read_them(tmp_path: Path) -> None:
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/f").touch()
    given: dict[str, Any] = {"path": (f"{tmp_path}/tree",), "recursive": True}
    assert changed(do("perms", mode="0640", **given))
    assert [mode_of(tmp_path / one) for one in ("tree", "tree/sub", "tree/sub/f")] == [
        0o750,
        0o750,
        0o640,
    ]
    assert changed(do("perms", mode="0640", dir_mode="2755", **given))
    assert mode_of(tmp_path / "tree/sub") == 0o2755
    assert mode_of(tmp_path / "tree/sub/f") == 0o640


def test_symlinks_in_a_tree_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").touch(mode=0o644)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/link").symlink_to("../outside")
    given: dict[str, Any] = {"path": (f"{tmp_path}/tree",), "recursive": True}
    assert changed(do("perms", mode="0600", owner="1", **given))
    assert mode_of(tmp_path / "outside") == 0o644
    assert (tmp_path / "outside").stat().st_uid == os.geteuid()
    assert (tmp_path / "tree/link").lstat().st_uid == 1


def test_a_symlink_that_is_named_means_its_target(tmp_path: Path) -> None:
    (tmp_path / "real").touch(mode=0o644)
    (tmp_path / "link").symlink_to("real")
    assert changed(do("perms", path=(f"{tmp_path}/link",), mode="0600"))
    assert mode_of(tmp_path / "real") == 0o600


def test_a_tree_is_not_closed_before_it_was_gone_through(public: Path) -> None:
    def close_and_open() -> list[int]:
        (public / "tree/sub").mkdir(parents=True)
        (public / "tree/sub/f").touch()
        given: dict[str, Any] = {"path": (f"{public}/tree",), "recursive": True}
        assert changed(do("perms", mode="a-rwx", **given))
        closed = mode_of(public / "tree")
        dry = do("perms", FileContext(dry_run=True), mode="u+rwX", **given)
        assert changed(dry)
        assert "cannot be looked into" in dry.warnings[0]
        assert changed(do("perms", mode="u+rwX", **given))
        return [closed, *(mode_of(public / one) for one in ("tree", "tree/sub", "tree/sub/f"))]

    assert as_nobody(close_and_open) == [0, 0o700, 0o700, 0o600]


def test_everything_is_not_changed_by_a_slip() -> None:
    assert "the root of the filesystem" in message_of(
        do("perms", FileContext(dry_run=True), path=("/",), mode="a+r", recursive=True)
    )


def test_perms_without_anything_to_change_is_a_mistake(tmp_path: Path) -> None:
    assert "needs `mode`" in message_of(do("perms", path=(str(tmp_path),)))


def test_one_path_that_is_missing_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "f").touch(mode=0o644)
    done = do("perms", path=(f"{tmp_path}/none", f"{tmp_path}/f"), mode="0600")
    assert isinstance(done.outcome, Failed)
    assert mode_of(tmp_path / "f") == 0o600
