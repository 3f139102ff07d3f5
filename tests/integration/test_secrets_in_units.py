"""Secrets reach the command, and nothing that it says shows them."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.model.around import Around
from batchrun.model.outcome import Failed, Ok
from batchrun.model.secret import SecretRef, SecretText
from support import wait_until
from unit_runs import MakeRunner, Units, in_process, in_workers, units

pytestmark = pytest.mark.timeout(120)

VALUE = 'p4ss\'w\\ord "x"\u00e9'
SECRETS = {"db": VALUE, "other": "sw0rdfish"}
TOKEN = SecretText((SecretRef("db"),))


@pytest.fixture(params=[in_workers, in_process], ids=["workers", "in process"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Units]:
    make: MakeRunner = request.param
    with units(tmp_path, make, live_output=True, debug=True) as made:
        yield made


def test_a_secret_is_filled_in_and_hidden_in_the_output(bench: Units, tmp_path: Path) -> None:
    report = bench.run(
        "run",
        command='cat > in; printf %s "$T" > env; echo "<$T>"; printf %s "$T" | base64 >&2',
        env={"T": SecretText(("a:", SecretRef("db")))},
        stdin=TOKEN,
        secrets=SECRETS,
    )
    assert (tmp_path / "in").read_text(encoding="utf-8") == VALUE
    assert (tmp_path / "env").read_text(encoding="utf-8") == f"a:{VALUE}"
    assert report.outcome == Ok(changed=True, exit_status=0)
    assert report.output.stdout.head == b"<a:***>\n"
    assert base64.b64encode(VALUE.encode())[4:12] not in report.output.stderr.head


def test_a_secret_cut_over_two_writes_is_hidden_live_and_in_the_result(
    bench: Units, tmp_path: Path
) -> None:
    code = (
        "printf 'key=sw0r'; : > half; while [ ! -e go ]; do sleep 0.01; done; echo dfish; echo on"
    )
    number = bench.submit("run", command=code, secrets=SECRETS)
    wait_until((tmp_path / "half").exists, 30, "half of it was written")
    (tmp_path / "go").touch()
    report = bench.report()
    assert report.number == number
    assert report.output.stdout.head == b"key=***\non\n"
    assert b"".join(data for _, data in bench.shown) == b"key=***\non\n"


def test_a_failure_shows_no_secret(bench: Units) -> None:
    missing = bench.run(
        "run", command=("/bin/true",), cwd=SecretText(("nowhere/", SecretRef("db"))),
        secrets=SECRETS,
    ).outcome  # fmt: skip
    assert isinstance(missing, Failed)
    assert "***" in missing.message
    assert "p4ss" not in missing.message
    spoilt = bench.run("run", command="true", env={"A": VALUE + "\0"}, secrets=SECRETS).outcome
    assert isinstance(spoilt, Failed)
    assert "p4ss" not in spoilt.message


def test_the_traceback_of_a_defect_shows_no_secret(bench: Units) -> None:
    outcome = bench.run("run", command="true", env={"A": [TOKEN]}, secrets=SECRETS).outcome
    assert isinstance(outcome, Failed)
    assert "Traceback" in outcome.traceback
    assert "p4ss" not in outcome.message + outcome.traceback
    odd = bench.run("run", command="true", ok_codes=TOKEN, secrets=SECRETS).outcome
    assert isinstance(odd, Failed)
    assert "p4ss" not in odd.message + odd.traceback


def test_a_secret_that_nobody_has_read_fails_its_unit(bench: Units) -> None:
    env = {"A": SecretText((SecretRef("unread"),))}
    outcome = bench.run("run", command="true", env=env, secrets=SECRETS).outcome
    assert isinstance(outcome, Failed)
    assert "unread" in outcome.message


def test_a_guard_gets_the_secrets_of_its_unit(bench: Units) -> None:
    around = Around(
        onlyif='test "$T" = sw0rdfish', command={"env": {"T": SecretText((SecretRef("other"),))}}
    )
    assert bench.run("run", command="true", around=around, secrets=SECRETS).outcome.kind == "ok"
    around = Around(onlyif="echo sw0rdfish >&2; exit 126")
    outcome = bench.run("run", command="true", around=around, secrets=SECRETS).outcome
    assert isinstance(outcome, Failed)
    assert "(***)" in outcome.message


def test_long_output_is_hidden_in_its_file_too(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    settings = {"spool_dir": str(spool), "head_bytes": 1000, "tail_bytes": 1000}
    with units(tmp_path, in_workers, **settings) as bench:
        code = "i=0; while [ $i -lt 2000 ]; do echo $i sw0rdfish; i=$((i+1)); done"
        stdout = bench.run("run", command=code, secrets=SECRETS).output.stdout
    expected = b"".join(b"%d ***\n" % number for number in range(2000))
    assert Path(stdout.spool).read_bytes() == expected
    assert stdout.size_bytes == len(expected)
    assert (stdout.head, stdout.tail) == (expected[:1000], expected[-1000:])


def test_output_that_is_kept_whole_elsewhere_is_complete(tmp_path: Path) -> None:
    settings = {"spool_dir": str(tmp_path), "head_bytes": 10, "tail_bytes": 10}
    with units(tmp_path, in_workers, **settings) as bench:
        short = bench.run("run", command="echo short").output
        long = bench.run("run", command="seq 100000; seq 5 >&2").output
    assert (short.stdout.spool, long.stderr.spool) == ("", "")
    whole = "".join(f"{number}\n" for number in range(1, 100_001)).encode()
    assert Path(long.stdout.spool).read_bytes() == whole
    assert [entry for entry in os.listdir(tmp_path) if "stdout" in entry] == [
        os.path.basename(long.stdout.spool)
    ]


def test_a_registered_stream_is_kept_whole_up_to_its_limit(tmp_path: Path) -> None:
    with units(tmp_path, in_workers, head_bytes=10, tail_bytes=10) as bench:
        stdout = bench.run("run", command="seq 1000", capture_bytes=100_000).output.stdout
        assert (len(stdout.head), stdout.tail, stdout.omitted_bytes) == (3893, b"", 0)
        stdout = bench.run("run", command="seq 1000", capture_bytes=100).output.stdout
        assert (len(stdout.head), stdout.tail, stdout.omitted_bytes) == (100, b"", 3793)


def test_nothing_of_env_shows_in_a_process_list(bench: Units, tmp_path: Path) -> None:
    code = (
        'tr "\\0" " " < /proc/$PPID/cmdline > cmdlines; tr "\\0" " " < /proc/$$/cmdline >> cmdlines'
    )
    bench.run("run", command=code, env={"T": TOKEN}, secrets=SECRETS)
    assert "p4ss" not in (tmp_path / "cmdlines").read_text(encoding="utf-8")
