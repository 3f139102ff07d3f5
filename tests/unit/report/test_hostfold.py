"""Output of commands on hosts, the same output once."""

import contextlib
import io
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from batchrun.model.outcome import Captured, Failed, Ok, Outcome, Output
from batchrun.model.ports import ReaderGoneError
from batchrun.report.hostfold import HostFoldOptions, HostFoldSink
from batchrun.report.masks import masked
from scripted_run import Script

OK = Ok(changed=True, exit_status=0)
FAILED = Failed(message="exit status 1", exit_status=1)


class Folded:
    """A run whose outputs are folded."""

    def __init__(self, options: HostFoldOptions | None = None) -> None:
        self.out, self.err = io.BytesIO(), io.BytesIO()
        self._texts = [io.TextIOWrapper(one, encoding="utf-8") for one in (self.out, self.err)]
        chosen = replace(options or HostFoldOptions(), quiet=1)
        self.sink = HostFoldSink(self._texts[0], self._texts[1], chosen)
        self._script = Script()
        self._script.start(self.sink)

    def end(
        self, host: str, stdout: bytes | Captured = b"", stderr: bytes = b"", outcome: Outcome = OK
    ) -> None:
        captured = Captured(head=stdout) if isinstance(stdout, bytes) else stdout
        output = Output(stdout=captured, stderr=Captured(head=stderr))
        self._script.end(self.sink, outcome, host=host, output=output)

    def finish(self) -> tuple[str, str]:
        self._script.finish(self.sink)
        self.sink.close()
        for text in self._texts:
            text.flush()
        return self.out.getvalue().decode(), self.err.getvalue().decode()


def test_the_header_is_that_of_clush_and_the_biggest_group_comes_first() -> None:
    folded = Folded()
    folded.end("web19", b"nginx 1.22.1\n")
    for at in [*range(1, 19), 20]:
        folded.end(f"web{at:02}", b"nginx 1.24.0\n")
    out, err = folded.finish()
    assert out == (
        "---------------\nweb[01-18,20] (19)\n---------------\nnginx 1.24.0\n"
        "---------------\nweb19 (1)\n---------------\nnginx 1.22.1\n"
    )
    assert err == ""


@pytest.mark.parametrize(("common", "more"), [(b"x" * 3_000_000, b"more\n"), (b"x", b"\n")])
def test_what_differs_where_nothing_is_compared_is_not_called_the_same(
    common: bytes, more: bytes
) -> None:
    folded = Folded(HostFoldOptions(whole=False, diff=True))
    for host in ("a", "b"):
        folded.end(host, common)
    folded.end("c", common + more)
    out, _ = folded.finish()
    assert out == (
        "--- a,b (2)\n+++ c (1)\n"
        "different only behind the first 1024 KiB, or in the newline at the end\n"
    )


def test_hosts_that_wrote_the_same_and_ended_otherwise_are_apart() -> None:
    folded = Folded()
    folded.end("a", b"x\n")
    folded.end("b", b"x\n")
    folded.end("c", b"x\n", outcome=FAILED)
    assert folded.finish()[0].splitlines()[1::4] == ["a,b (2)", "c (1)"]


def test_the_streams_are_folded_by_themselves_and_nothing_is_no_output() -> None:
    folded = Folded()
    folded.end("a", b"x\n", b"warning of a\n")
    folded.end("b", b"x\n")
    folded.end("c")
    rule = "-" * 15
    assert folded.finish() == (
        f"{rule}\na,b (2)\n{rule}\nx\n",
        f"{rule}\na (1)\n{rule}\nwarning of a\n",
    )


def test_a_line_without_newline_ends_before_the_next_header() -> None:
    folded = Folded()
    folded.end("a", b"x")
    folded.end("b", b"y")
    assert folded.finish()[0].splitlines()[3::4] == ["x", "y"]


def test_with_a_mask_numbers_times_and_the_own_name_do_not_count() -> None:
    folded = Folded(HostFoldOptions(mask=True))
    folded.end("web1.example.org", b"web1 up 12 days since 2026-11-22 03:15:00\n")
    folded.end("web2.example.org", b"web2 up 7 days since 2026-11-23 03:15:01\n")
    out, _ = folded.finish()
    assert out.splitlines()[1::2] == [
        "web[1-2].example.org (2)", "{host} up {n} days since {date}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"pid 4711", b"pid {n}"),
        (b"at 0xDEADbeef", b"at {hex}"),
        (b"commit 1a2b3c4d5e", b"commit {hex}"),
        (b"facade", b"facade"),
        (b"Nov  7 09:15:01 sshd", b"{date} {time} sshd"),
        (b"2026-11-22T03:15:00.123Z ok", b"{date} ok"),
        (b"load 0.12, 3,45", b"load {n}, {n}"),
        (b"web07-data web07:/srv", b"web{n}-data {host}:/srv"),
    ],
)
def test_a_mask_hides_what_means_nothing(line: bytes, shown: bytes) -> None:
    assert masked(line, b"web07") == shown


def test_a_diff_compares_with_what_most_hosts_wrote() -> None:
    folded = Folded(HostFoldOptions(diff=True, whole=False))
    folded.end("c", b"1\n2\nthree\n")
    folded.end("a", b"1\n2\n3\n")
    folded.end("b", b"1\n2\n3\n")
    out, _ = folded.finish()
    assert out == "--- a,b (2)\n+++ c (1)\n@@ -1,3 +1,3 @@\n 1\n 2\n-3\n+three\n"


def test_a_diff_below_the_output_of_most_hosts_when_both_are_wanted() -> None:
    folded = Folded(HostFoldOptions(diff=True))
    folded.end("a", b"1\n")
    folded.end("b", b"1\n")
    folded.end("c", b"2\n")
    out, _ = folded.finish()
    assert out.startswith(f"{'-' * 15}\na,b (2)\n{'-' * 15}\n1\n--- a,b (2)\n+++ c (1)\n")


def test_that_nothing_is_different_is_said() -> None:
    folded = Folded(HostFoldOptions(diff=True, whole=False))
    folded.end("a", b"1\n")
    folded.end("b", b"1\n")
    assert folded.finish() == ("", "all that wrote anything wrote the same: a,b (2)\n")


def test_whole_output_in_files_is_folded_without_being_held(tmp_path: Path) -> None:
    folded = Folded()
    size = 8 * 1024 * 1024
    tracemalloc.start()
    for at in range(4):
        spool = tmp_path / str(at)
        spool.write_bytes(b"x" * 99 + b"\n" + b"y" * size)
        folded.end(f"web{at}", Captured(head=b"x", omitted_bytes=size, spool=str(spool)))
    out, _ = folded.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert out.startswith(f"{'-' * 15}\nweb[0-3] (4)\n")
    assert out.count("y") == size
    # What is shown is held by this test, not by what is tested.
    assert peak < 4 * size


def test_a_run_that_broke_shows_what_it_knows() -> None:
    folded = Folded()
    folded.end("a", b"x\n")
    folded.sink.close()
    assert b"a (1)" in folded.out.getvalue()


def test_a_run_is_told_when_nobody_will_read_what_is_shown_at_its_end() -> None:
    read, write = os.pipe()
    with contextlib.suppress(BrokenPipeError), os.fdopen(write, "w") as out:
        sink, script = HostFoldSink(out, io.TextIOWrapper(io.BytesIO())), Script()
        script.start(sink)
        script.end(sink, OK, host="web1")
        os.close(read)
        with pytest.raises(ReaderGoneError):
            script.end(sink, OK, host="web2")
        script.end(sink, OK, host="web3")  # it is said once
        script.finish(sink)
        sink.close()
