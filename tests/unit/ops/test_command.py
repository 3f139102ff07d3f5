"""What needs no process: capturing, parameters, dry runs, messages."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.model.operation import Operation, Terms
from batchrun.model.outcome import Captured, Failed, Ok
from batchrun.model.unit import RunSettings
from batchrun.model.values import Doc, Mark
from batchrun.ops.capture import Capture
from batchrun.ops.command import OPERATIONS, Run, Script, run, script
from batchrun.ops.processes import cookie


@dataclass(kw_only=True)
class IdleContext:
    settings: RunSettings
    number: int = 1
    attempt: int = 1
    task_id: str = "task"
    label: str = ""
    deadline: float | None = None
    terms: Terms = field(default_factory=Terms)
    control_fd: int | None = None
    pids: list[int] = field(default_factory=list)

    def check(self) -> None:
        """Nothing ever stops it."""

    def command_started(self, pid: int) -> None:
        self.pids.append(pid)

    def live_output(self, stream: str, data: bytes) -> bool:
        raise AssertionError(stream, data)

    def progress(self, bytes_done: int) -> None:
        raise AssertionError(bytes_done)

    def temp_name(self) -> str:
        return ".br-test-1"


def dry(base_dir: str = "/nowhere") -> IdleContext:
    return IdleContext(settings=RunSettings(run_id="r", base_dir=base_dir, dry_run=True))


def wet(base_dir: str) -> IdleContext:
    return IdleContext(settings=RunSettings(run_id="r", base_dir=base_dir))


@given(
    pieces=st.lists(st.binary(max_size=40)),
    head_bytes=st.integers(0, 50),
    tail_bytes=st.integers(0, 50),
)
def test_capture_keeps_the_exact_head_and_tail_and_counts_the_rest(
    pieces: list[bytes], head_bytes: int, tail_bytes: int
) -> None:
    capture = Capture(head_bytes, tail_bytes)
    for piece in pieces:
        capture.feed(piece)
    whole = b"".join(pieces)
    captured = capture.result()
    rest = whole[head_bytes:]
    assert captured.head == whole[:head_bytes]
    assert captured.tail == rest[max(0, len(rest) - tail_bytes) :]
    assert captured.size_bytes == len(whole)


def test_output_that_fits_the_head_has_no_tail() -> None:
    capture = Capture(10, 10)
    capture.feed(b"1234567890")
    assert capture.result() == Captured(head=b"1234567890")


def test_a_dry_run_quotes_a_list_and_shows_a_text_as_it_is() -> None:
    listed = run(Run(command=("ls", "-l", "a b", "$x")), dry())
    text = run(Run(command="ls -l\n  $HOME"), dry())
    assert listed.outcome == Ok(changed=True, note="would run ls -l 'a b' '$x'")
    assert text.outcome == Ok(changed=True, note="would run ls -l $HOME")


def test_a_dry_run_cuts_a_long_command_short() -> None:
    outcome = run(Run(command="echo " + "x" * 500), dry()).outcome
    assert isinstance(outcome, Ok)
    assert len(outcome.note) < 100
    assert outcome.note.endswith("...")


def test_a_dry_run_names_a_script_and_its_arguments_without_looking_for_it() -> None:
    outcome = script(Script(file="missing.sh", args=("a b",)), dry()).outcome
    assert outcome == Ok(changed=True, note="would run missing.sh 'a b'")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (Run(command=()), "command is empty"),
        (Run(command=("a\0b",)), "NUL"),
        (Run(command="echo a\0b"), "NUL"),
        (Run(command=("\ud800",)), "no encoding"),
        (Run(command=("true",), env={"A": "x\0"}), "NUL"),
        (Run(command=("true",), env={"A\0": "x"}), "NUL"),
        (Run(command=("true",), env={"A=B": "x"}), "'A=B' cannot be the name"),
        (Run(command=("true",), env={"": "x"}), "'' cannot be the name"),
        (Run(command=("true",), stdin="\ud800"), "`stdin`"),
        (Run(command=("true",), cwd="a\0b"), "working directory holds a NUL"),
        (Run(command=("true",), cwd="nowhere"), "/nowhere' cannot be used: No such file"),
        (Run(command=("",)), "'' was not found (127)"),
        (Run(command=("no-such-program",)), "'no-such-program' was not found (127) on PATH"),
        (Run(command=("./no-such",)), "'./no-such' was not found (127) in"),
        (Run(command="true", shell="no-shell"), "'no-shell' was not found (127) on PATH"),
        (Run(command=("/etc",)), "'/etc' may not be executed (126)"),
        (Run(command=("/etc/passwd",)), "'/etc/passwd' may not be executed (126)"),
        (Run(command=("true",), env={"PATH": "/none"}), "on PATH ('/none')"),
    ],
)
def test_what_cannot_be_started_fails_for_good_and_says_why(
    params: Run, words: str, tmp_path: os.PathLike[str]
) -> None:
    context = wet(os.fspath(tmp_path))
    outcome = run(params, context).outcome
    assert isinstance(outcome, Failed)
    assert words in outcome.message
    assert not outcome.retryable
    assert context.pids == []


@pytest.mark.parametrize("file", ["missing.sh", ".", "a\0b"])
def test_a_script_that_is_no_file_fails_for_good_and_is_named(
    file: str, tmp_path: os.PathLike[str]
) -> None:
    outcome = script(Script(file=file), wet(os.fspath(tmp_path))).outcome
    assert isinstance(outcome, Failed)
    assert repr(os.path.join(tmp_path, file)) in outcome.message
    assert not outcome.retryable


def test_the_cookie_names_run_unit_and_attempt() -> None:
    assert cookie("20260101-abc", 17, 2) == "BATCHRUN_UNIT=20260101-abc-17-2"


def _extras(hint: Any) -> tuple[object, ...]:
    return getattr(hint, "__metadata__", ())


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
def test_every_parameter_of_a_command_is_documented(operation: Operation) -> None:
    hints = get_type_hints(operation.params, include_extras=True)
    names = {one.name for one in fields(operation.params)}
    documented = {
        name
        for name, hint in hints.items()
        if any(isinstance(extra, Doc) for extra in getattr(hint, "__metadata__", ()))
    }
    assert documented == names
    assert names >= {"env", "cwd", "stdin", "shell", "sudo", "readonly", "idle_timeout"}
    assert names >= {"ok_codes", "changed_codes", operation.main}
    marked = {name for name, hint in hints.items() if Mark.MAY_HOLD_SECRET in _extras(hint)}
    assert marked == {"env", "stdin"}
    assert operation.is_command
    assert not operation.repeatable


@pytest.mark.parametrize(
    ("given_params", "count"),
    [
        ({"command": "true"}, 0),
        ({}, 0),
        ({"command": "  "}, 1),
        ({"command": ()}, 1),
        ({"command": "x", "ok_codes": (0, 256, -1)}, 2),
        ({"command": "x", "changed_codes": (300,)}, 1),
        ({"command": "x", "changed_codes": (2,), "readonly": True}, 1),
        ({"command": "x", "sudo": ""}, 1),
        ({"command": "x", "sudo": True, "readonly": True, "changed_codes": "{{ later }}"}, 1),
        ({"command": "x", "env": {"A=": "1", "": "2", "B": "3"}}, 2),
        ({"command": "x", "env": "{{ later }}", "ok_codes": "{{ later }}"}, 0),
    ],
)
def test_impossible_parameters_are_found_at_load(
    given_params: Mapping[str, Any], count: int
) -> None:
    check = OPERATIONS["run"].check
    assert check is not None
    assert len(check(given_params)) == count
