"""Secrets that a program prints: what it is given, how it may fail, and that nothing is left."""

import signal
import threading
from pathlib import Path

import pytest

from batchrun.errors import SourceError
from batchrun.jobfile.quietcommand import QuietCommands
from batchrun.jobfile.secretsource import CommandSecret, Secrets
from program import Program
from support import processes_with_environ, wait_until


def shell(text: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", text)


def read(directory: Path, *argv: str) -> str:
    return Secrets({"db": CommandSecret(argv=argv)}, str(directory)).read("db")


def test_a_program_gives_a_value_from_the_directory_of_the_job(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hunter 22 \n")

    assert read(tmp_path, "cat", "pw") == "hunter 22 "


def test_a_program_finds_nothing_to_read(tmp_path: Path) -> None:
    assert read(tmp_path, *shell("wc -c; echo more")) == "0\nmore"


def test_what_a_program_complains_about_is_quoted_without_the_secret(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read(tmp_path, *shell("echo hunter22; echo got hunter22, 'no more' >&2; exit 3"))

    assert str(caught.value) == (
        "the command for the secret `db` failed with exit status 3: got ***, no more"
    )


def test_much_that_a_program_complains_about_does_not_stop_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read(tmp_path, *shell("seq 1 200000 >&2; exit 1"))

    assert str(caught.value).endswith("199999\\n200000")
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (("no-such-program-here", "x"), "cannot be started: No such file or directory: no-such"),
        (("/",), "cannot be started: Permission denied: /"),
        (shell("kill -9 $$"), "failed with exit status -9"),
        (shell("yes | head -c 3000000; sleep 1000"), "wrote more than 1048576 bytes"),
    ],
)
def test_a_program_that_gives_no_value_is_told_with_the_reason(
    tmp_path: Path, argv: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(SourceError, match="the command for the secret `db`") as caught:
        read(tmp_path, *argv)

    assert reason in str(caught.value)


def test_a_program_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    commands = QuietCommands(str(tmp_path), patience_s=0.5)

    with pytest.raises(SourceError, match=r"`db` did not end within 0\.5 s"):
        commands.read("the secret `db`", shell("echo hunter22; setsid sleep 1000 & sleep 1000"))

    assert processes_with_environ(f"PWD={tmp_path}") == []


def test_the_end_of_the_run_ends_the_program_and_starts_no_other(tmp_path: Path) -> None:
    secrets = Secrets({"db": CommandSecret(argv=shell("sleep 1000"))}, str(tmp_path))
    told: list[str] = []

    def run() -> None:
        try:
            secrets.read("db")
        except SourceError as error:
            told.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(
        lambda: processes_with_environ(f"PWD={tmp_path}"), 20, "the program of the secret runs"
    )
    secrets.close()
    thread.join(20)

    assert told == ["the secret `db` is not read any more: the run is over"]
    assert processes_with_environ(f"PWD={tmp_path}") == []
    with pytest.raises(SourceError, match="the run is over"):
        secrets.read("db")


@pytest.mark.parametrize("procs", ["0", "2"])
def test_a_run_that_is_stopped_leaves_no_program_of_a_secret(tmp_path: Path, procs: str) -> None:
    (tmp_path / "work").mkdir()
    with Program(tmp_path / "work") as program:
        program.job(
            "secrets: {db: {command: [sh, -c, ': > asked; sleep 1000']}}\n"
            "tasks: [{run: cat, stdin: '{{ secrets.db }}'}]\n"
        )
        run = program.start("job.yml", "-j", procs)
        run.until((program.dir / "asked").exists, "the program of the secret runs")

        run.send(signal.SIGINT)
        ended = run.end()

        assert ended.code == 130
        assert program.left() == []


def test_secrets_of_all_sources_reach_the_commands_that_are_given_them(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    with Program(tmp_path / "work") as program:
        (program.dir / "pw").write_text("from file\n")
        program.job(
            "secrets: {a: {env: MY_PW}, b: {file: pw}, c: {command: [sh, -c, 'echo x >> asked; "
            "echo from program']}}\n"
            'tasks:\n- run: \'printf "%s|%s" "$A" "${MY_PW-unset}" > a.{{ item }};'
            " cat > b.{{ item }}'\n"
            "  env: {A: '{{ secrets.a }}'}\n  stdin: '<{{ secrets.b }}>'\n  foreach: [1, 2, 3]\n"
            "- write: {dest: 'c.{{ item }}', text: '{{ secrets.c }}'}\n  foreach: [1, 2, 3]\n"
        )

        ended = program.run("job.yml", "-j", "2", env={"MY_PW": "from environment"})

        assert ended.code == 0, ended.err
        for number in (1, 2, 3):
            assert (program.dir / f"a.{number}").read_text() == "from environment|unset"
            assert (program.dir / f"b.{number}").read_text() == "<from file>"
            assert (program.dir / f"c.{number}").read_text() == "from program"
        assert (program.dir / "asked").read_text() == "x\n"
