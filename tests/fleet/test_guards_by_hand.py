"""Guards, mount points and output files on a host."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import OperationError
from batchrun.model.around import Around, OutputFile
from batchrun.model.operation import Done
from batchrun.model.outcome import Failed, Ok, Skipped
from batchrun.model.values import Glob
from batchrun.remote.around import within
from local_host import LocalHost, local_host

HOSTILE = "two\nlines 'q' \"" + os.fsdecode(b"\xff")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    with local_host(tmp_path) as made:
        yield made


def guarded(host: LocalHost, operation: Callable[[], Done] | None = None, **around: Any) -> Done:
    def make() -> Done:
        return host.do("run", command="touch ran")

    return within(Around(**around), operation or make, host)


def because(done: Done) -> str:
    assert isinstance(done.outcome, Skipped), done.outcome
    return done.outcome.because


def test_creates_skips_when_all_are_there(host: LocalHost) -> None:
    (host.home / HOSTILE).touch()
    (host.home / "b").symlink_to("nowhere")
    assert "are there" in because(guarded(host, creates=(HOSTILE, "b")))
    assert not (host.home / "ran").exists()
    assert isinstance(guarded(host, creates=(HOSTILE, "c")).outcome, Ok)
    assert (host.home / "ran").exists()


def test_removes_skips_when_one_is_missing(host: LocalHost) -> None:
    (host.home / "a.log").touch()
    assert because(guarded(host, removes=("a.log", "~/b"))) == "removes: ~/b is not there"
    assert isinstance(guarded(host, removes=(Glob("*.log"),)).outcome, Ok)
    assert because(guarded(host, removes=(Glob("*.txt"),))) == "removes: *.txt is not there"


def test_unless_and_onlyif_run_with_env_and_cwd(host: LocalHost) -> None:
    (host.home / "d").mkdir()
    command = {"env": {"A": "it's"}, "cwd": "d"}
    test = 'test "$A" = "it\'s" && pwd | grep -q \'/d$\''
    assert because(guarded(host, unless=test, command=command)).endswith("succeeded")
    assert isinstance(guarded(host, onlyif=test, command=command).outcome, Ok)
    assert "exit status 1" in because(guarded(host, onlyif=("false",)))
    assert isinstance(guarded(host, unless="exit 125").outcome, Ok)


@pytest.mark.parametrize("text", ["no-such-program", "exit 126", "kill -9 $$", "exit 200"])
@pytest.mark.parametrize("guard", ["unless", "onlyif"])
def test_a_guard_that_gives_no_answer_fails(host: LocalHost, guard: str, text: str) -> None:
    with pytest.raises(OperationError, match="gave no answer"):
        guarded(host, None, **{guard: text})
    assert not (host.home / "ran").exists()


def test_a_guard_whose_cwd_is_missing_fails(host: LocalHost) -> None:
    with pytest.raises(OperationError, match="gave no answer"):
        guarded(host, onlyif="true", command={"cwd": "/no/such"})


def test_mounted_fails_unless_it_is_a_mount_point(host: LocalHost) -> None:
    assert isinstance(guarded(host, mounted=("/proc",)).outcome, Ok)
    with pytest.raises(OperationError, match="no mount point"):
        guarded(host, mounted=("/proc", str(host.home)))
    with pytest.raises(OperationError, match="is not mounted"):
        guarded(host, mounted=("/no/such",))


def test_all_guards_are_asked_in_one_round_trip(host: LocalHost) -> None:
    output = OutputFile(path="o", temporary=".o", sources=())
    guarded(
        host,
        Done.changed,
        mounted=("/proc",),
        creates=("x",),
        removes=("/",),
        unless="false",
        onlyif="true",
    )
    assert len(host.session.channels) == 1
    del output


def test_the_output_file_gets_its_name_when_the_command_ended_well(host: LocalHost) -> None:
    output = OutputFile(path="new/o.txt", temporary="new/.o.txt", sources=("src",))

    def make(text: str) -> Callable[[], Done]:
        return lambda: host.do("run", command=text)

    done = guarded(host, make("echo 1 >new/.o.txt; exit 1"), output=output)
    assert isinstance(done.outcome, Failed)
    assert os.listdir(host.home / "new") == []
    done = guarded(host, make("echo 2 >new/.o.txt"), output=output)
    assert done.outcome == Ok(changed=True, exit_status=0)
    assert (host.home / "new/o.txt").read_text() == "2\n"
    assert "output: new/o.txt is there" in because(guarded(host, output=output))
    (host.home / "src").touch()
    os.utime(host.home / "new/o.txt", (1, 1))
    done = guarded(host, make("echo 3 >new/.o.txt"), output=output)
    assert (host.home / "new/o.txt").read_text() == "3\n"
    with pytest.raises(OperationError, match=r"wrote no \{\{ output"):
        guarded(host, make("true"), output=OutputFile(path="p", temporary=".p"))
