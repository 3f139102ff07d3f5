"""Things die, resist, flood and hang: exact accounts, the right exit code, nothing left."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from program import COMMAND, Program, Started, holds_open
from support import environ_of, wait_until

pytestmark = pytest.mark.timeout(120)

#: Ignores TERM, as do its child, its grandchild, and one that has left the session.
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for number in range(3):
    if os.fork():
        break
    if number == 2:
        os.setsid()
open(f"here-{os.getpid()}", "w").close()
time.sleep(1000)
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


def files(directory: Path, pattern: str) -> set[str]:
    """Return the names of files that are there and written."""
    return {path.name for path in directory.glob(pattern) if path.stat().st_size}


def number_in(path: Path) -> int:
    return int(path.read_text())


def is_alive(pid: int) -> bool:
    return bool(environ_of(pid))


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def resident_kib(pid: int) -> int:
    """Return how much memory a process has used at most."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match[1]) if match else 0


# ---- workers that die ---------------------------------------------------------------------------


def test_killing_an_idle_worker_costs_nothing(program: Program) -> None:
    job = program.job("""
tasks:
  - id: warm
    foreach: {range: [1, 6]}
    run: sleep 0.2
  - id: alone
    needs: [warm]
    run: echo $PPID > worker; until test -e go; do sleep 0.02; done
  - id: after
    needs: [alone]
    foreach: {range: [1, 6]}
    run: sleep 0.1
""")
    run = program.start(job, "--procs", "2", "--output", "json")
    run.until(lambda: files(program.dir, "worker"), "the command runs alone")
    (idle,) = set(run.workers()) - {number_in(program.dir / "worker")}
    os.kill(idle, signal.SIGKILL)
    run.until(lambda: not is_alive(idle), "the idle worker is dead")
    (program.dir / "go").touch()
    ended = run.end()
    assert (ended.code, ended.err) == (0, "")
    assert ended.counts == {"planned": 13, "ok": 13, "changed": 13}


def test_a_worker_killed_while_a_command_runs_loses_that_unit_only(program: Program) -> None:
    job = program.job("""
tasks:
  - foreach: [victim, b, c, d, e]
    run: |
      echo $PPID > worker-{{ item }}
      test {{ item }} != victim || sleep 1000
    retries: 2
    retry_delay: 0s
""")
    run = program.start(job, "--procs", "2", "--output", "json")
    run.until(lambda: files(program.dir, "worker-victim"), "the victim runs")
    os.kill(number_in(program.dir / "worker-victim"), signal.SIGKILL)
    ended = run.end()
    assert ended.code == 2
    assert ended.counts == {"planned": 5, "ok": 4, "changed": 4, "lost": 1}
    (lost,) = [unit for unit in ended.units if unit["outcome"]["kind"] == "lost"]
    assert (lost["item"], lost["attempts"]) == ("victim", 1)
    assert "SIGKILL" in lost["outcome"]["message"]


def test_killing_all_workers_at_once_loses_what_they_held_and_no_more(program: Program) -> None:
    job = program.job("""
tasks:
  - foreach: {range: [1, 9]}
    run: |
      echo $PPID > worker-{{ item }}
      test {{ item }} -gt 3 || sleep 1000
""")
    run = program.start(job, "--procs", "3", "--output", "json")
    run.until(lambda: len(files(program.dir, "worker-*")) == 3, "all workers are busy")
    for pid in run.workers():
        os.kill(pid, signal.SIGKILL)
    ended = run.end()
    assert ended.code == 2
    assert ended.counts == {"planned": 9, "ok": 6, "changed": 6, "lost": 3}
    lost = {unit["item"] for unit in ended.units if unit["outcome"]["kind"] == "lost"}
    assert lost == {"1", "2", "3"}


def test_a_file_operation_that_loses_its_worker_each_time_is_repeated_three_times_only(
    program: Program,
) -> None:
    big = program.dir / "big"
    with big.open("wb") as file:
        file.truncate(1 << 40)
    job = program.job("""
tasks:
  - id: endless
    checksum: {src: big, dest: sums}
  - id: other
    foreach: {range: [1, 300]}
    mkdir: "made/{{ item }}"
""")
    run = program.start(job, "--procs", "2", "--output", "ndjson")
    for _ in range(4):
        found: list[int] = []

        def busy(found: list[int] = found) -> object:
            found[:] = [pid for pid in run.workers() if holds_open(pid, big)]
            return found

        run.until(busy, "a worker reads the big file")
        os.kill(found[0], signal.SIGKILL)
        run.until(lambda pid=found[0]: not is_alive(pid), "that worker is dead")  # type: ignore[misc]
    ended = run.end()
    assert ended.code == 2
    retried = [event for event in ended.events if event["type"] == "unit_retried"]
    ends = [event for event in ended.events if event["type"] == "unit_ended"]
    assert [event["outcome"]["kind"] for event in retried] == ["lost"] * 3
    assert [end["attempts"] for end in ends if end["task"] == "endless"] == [4]
    assert ended.events[-1]["counts"]["lost"] == 1
    assert ended.events[-1]["counts"]["ok"] == 300
    assert not (program.dir / "sums").exists()


# ---- commands that resist -----------------------------------------------------------------------


def family(program: Program) -> list[Path]:
    return list(program.dir.glob("here-*"))


def stubborn_run(program: Program, *words: str) -> Started:
    """Start a run whose command resists, and wait until all of its processes are there."""
    (program.dir / "stubborn.py").write_text(STUBBORN)
    job = program.job("""
tasks:
  - run: python3 stubborn.py
  - run: sleep 1000 & setsid sleep 1001 & setsid sh -c 'sleep 1002; true' & wait
""")
    run = program.start(job, *words, "--procs", "2", "--output", "json")

    def all_there() -> bool:
        lines = [command_line(pid) for pid in program.commands_left()]
        sleeps = [line for line in lines if line.startswith(b"sleep\x00100")]
        return len(sleeps) == 3 and len(family(program)) == 4

    run.until(all_there, "all processes of both commands are there")
    return run


def interrupt(run: Started, times: int) -> None:
    for number in range(times):
        run.send(signal.SIGINT)
        wanted = ("interrupted: ", "a second signal: ")[min(number, 1)]
        run.until(lambda words=wanted: words in run.err_so_far, wanted)  # type: ignore[misc]


def test_nothing_that_ignores_term_survives_whatever_ends_it(tmp_path: Path) -> None:
    """All at once, because each of them has to wait for the same grace."""
    endings = ("timeout", "ctrl-c", "killed")
    with ExitStack() as stack:
        programs = {}
        for ending in endings:
            (tmp_path / ending).mkdir()
            programs[ending] = stack.enter_context(Program(tmp_path / ending))
        runs = {
            ending: stubborn_run(program, *(["--timeout", "5s"] if ending == "timeout" else []))
            for ending, program in programs.items()
        }
        interrupt(runs["ctrl-c"], 2)
        os.kill(runs["killed"].pid, signal.SIGKILL)

        timed_out = runs["timeout"].end()
        assert timed_out.code == 2
        assert timed_out.counts == {"planned": 2, "timed_out": 2}
        assert not programs["timeout"].commands_left()

        interrupted = runs["ctrl-c"].end()
        assert interrupted.code == 130
        assert interrupted.counts == {"planned": 2, "cancelled": 2}
        assert not programs["ctrl-c"].commands_left()

        assert runs["killed"].end().code == -signal.SIGKILL
        wait_until(lambda: not programs["killed"].left(), 30, "workers and commands are gone")


def test_a_third_ctrl_c_ends_what_ignores_term_without_its_grace(program: Program) -> None:
    run = stubborn_run(program)
    interrupt(run, 3)
    ended = run.end()
    assert ended.code == 130
    assert ended.counts == {"planned": 2, "cancelled": 2}
    assert not program.commands_left()


def test_a_daemon_that_keeps_standard_output_open_does_not_hold_the_run(program: Program) -> None:
    job = program.job("tasks:\n  - run: sleep 1000 & echo $! > daemon; echo started\n")
    ended = program.run(job, "--output", "json")
    daemon = number_in(program.dir / "daemon")
    assert is_alive(daemon)
    os.kill(daemon, signal.SIGKILL)
    assert ended.code == 0
    (unit,) = ended.units
    assert (unit["outcome"]["kind"], unit["stdout"]) == ("ok", "started\n")
    assert len(unit["warnings"]) == 2
    for warning in unit["warnings"]:
        assert "left running" in warning
        assert warning in ended.err


# ---- floods -------------------------------------------------------------------------------------


def test_a_command_that_prints_fifty_megabytes_is_kept_head_and_tail(program: Program) -> None:
    job = program.job("""
tasks:
  - run: echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo; echo last
""")
    ended = program.run(job, "--output", "json")
    assert ended.code == 0
    (unit,) = ended.units
    assert unit["stdout"].startswith("first\nxxx")
    assert unit["stdout"].endswith("xxx\nlast\n")
    kept = len(unit["stdout"])
    assert kept < 1_000_000
    assert kept + unit["stdout_omitted_bytes"] == 50_000_000 + len("first\n\nlast\n")


def test_a_command_that_never_stops_printing_needs_no_memory(program: Program) -> None:
    job = program.job("""
tasks:
  - run: echo $PPID > worker-$$; exec yes
    timeout: 5s
""")
    ways: tuple[list[str], ...] = ([], ["-v"], ["--output", "ndjson", "-v"])
    runs = [
        program.start(job, *options, "--procs", "1", stdout=subprocess.DEVNULL) for options in ways
    ]
    runs[0].until(lambda: len(files(program.dir, "worker-*")) == len(ways), "the floods begin")
    workers = [number_in(path) for path in program.dir.glob("worker-*")]
    most: dict[int, int] = {}

    def measured() -> bool:
        for pid in (*workers, *(run.pid for run in runs)):
            most[pid] = max(most.get(pid, 0), resident_kib(pid))
        return all(run.process.poll() is not None for run in runs)

    wait_until(measured, 60, "the runs end")
    assert [run.end().code for run in runs] == [2] * len(ways)
    for run in runs:
        assert 0 < most[run.pid] < 100_000
    for worker in workers:
        assert 0 < most[worker] < 50_000


@pytest.mark.parametrize("options", ["", "-v", "--output json", "--output ndjson"])
def test_a_reader_that_has_seen_enough_does_not_fail_the_run(
    program: Program, options: str
) -> None:
    program.job("""
tasks:
  - foreach: {range: [1, 300]}
    run: printf '%0300d\\n' {{ item }}; echo {{ item }} >> ran
""")
    ended = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} job.yml {options} | head -1; echo ${{PIPESTATUS[0]}}"],
        cwd=program.dir,
        env=program.environment(),
        capture_output=True,
        text=True,
        timeout=80,
        check=False,
    )
    line, code = ended.stdout.splitlines()
    assert line
    assert (code, ended.stderr) == ("0", "")
    assert len((program.dir / "ran").read_text().split()) == 300


# ---- disks --------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount one megabyte."""
    where = tmp_path / "small"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", where], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", where], check=True)


def test_a_full_disk_fails_the_units_that_need_it_and_leaves_no_half_file(
    program: Program, small_disk: Path
) -> None:
    (program.dir / "large").write_bytes(os.urandom(3_000_000))
    (small_disk / "kept").write_text("as it was")
    (small_disk / "random").write_bytes(os.urandom(700_000))
    job = program.job("""
tasks:
  - id: copy
    copy: {src: large, dest: small/copied}
  - id: replace
    copy: {src: large, dest: small/kept}
  - id: pack
    archive: {src: large, dest: small/packed.tar}
  - id: compress
    compress: {src: small/random}
  - id: write
    write: {dest: small/written, text: "{{ 'x' * 2000000 }}"}
  - id: fits
    needs: []
    write: {dest: small/note, text: short}
    retries: 5
    retry_delay: 200ms
""")
    ended = program.run(job, "--procs", "2", "--output", "json")
    outcomes = {unit["task"]: unit["outcome"] for unit in ended.units}
    assert ended.code == 2
    assert outcomes.pop("fits")["kind"] == "ok"
    for task, outcome in outcomes.items():
        assert outcome["kind"] == "failed", task
        assert "No space left on device" in outcome["message"], task
        assert str(small_disk) in outcome["message"], task
    assert sorted(path.name for path in small_disk.iterdir()) == ["kept", "note", "random"]
    assert (small_disk / "kept").read_text() == "as it was"
    assert (small_disk / "note").read_text() == "short"


@pytest.mark.parametrize("options", [[], ["-v"], ["--output", "json"], ["--output", "ndjson"]])
def test_output_that_cannot_be_written_is_told_and_is_a_failure(
    program: Program, options: list[str]
) -> None:
    job = program.job("tasks:\n  - run: echo hello; echo done > ran\n")
    with open("/dev/full", "wb") as full:
        ended = program.run(job, *options, stdout=full)
    assert ended.code == 1
    assert "No space left on device" in ended.err
    assert "Traceback" not in ended.err
    assert (program.dir / "ran").read_text() == "done\n"


def test_standard_error_that_cannot_be_written_costs_nothing(program: Program) -> None:
    job = program.job("tasks:\n  - foreach: []\n    run: echo\n  - run: echo hello >&2\n")
    with open("/dev/full", "wb") as full:
        ended = program.run(job, "-v", stderr=full)
    assert ended.code == 0
    assert "1 ok" in ended.out


@pytest.mark.parametrize("options", ["", "-v", "--output json", "-q"])
def test_closed_streams_cost_nothing_but_what_they_would_have_shown(
    program: Program, options: str
) -> None:
    job = program.job("""
tasks:
  - run: cat; echo hello; echo oops >&2; echo done > ran
  - write: {dest: written, text: text}
""")
    script = f"exec {' '.join(COMMAND)} {job} {options} <&- >&- 2>&-"
    ended = subprocess.run(
        ["sh", "-c", script], cwd=program.dir, env=program.environment(), timeout=60, check=False
    )
    assert ended.returncode == 0
    assert (program.dir / "ran").read_text() == "done\n"
    assert (program.dir / "written").read_text() == "text"


def test_a_full_place_for_temporary_files_is_told(program: Program, small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(b"x" * 1_000_000)
    job = program.job("tasks:\n  - run: head -c 300000 /dev/zero | tr '\\\\0' x\n")
    ended = program.run(job, "--output", "json", env={"TMPDIR": str(small_disk)})
    assert ended.code == 1
    assert "No space left on device" in ended.err
    assert "Traceback" not in ended.err


# ---- limits -------------------------------------------------------------------------------------


def test_the_deadline_stops_what_runs_and_lets_finally_speak(program: Program) -> None:
    job = program.job("""
tasks:
  - id: running
    foreach: [1, 2, 3]
    run: "true > began-{{ item }}; sleep 1000"
  - id: later
    needs: [running]
    run: "true"
finally:
  - write: {dest: last, text: "{{ run.outcome }} {{ run.counts.aborted }}"}
""")
    run = program.start(job, "--procs", "2", "--deadline", "8s", "--output", "json")
    run.until(lambda: len(list(program.dir.glob("began-*"))) == 2, "it works before the deadline")
    ended = run.end()
    assert ended.code == 124
    assert ended.counts == {"planned": 4, "ok": 1, "changed": 1, "aborted": 3}
    assert (program.dir / "last").read_text() == "deadline 3"
    assert sorted(path.name for path in program.dir.glob("began-*")) == ["began-1", "began-2"]
    (later,) = [task for task in ended.document["tasks"] if task["id"] == "later"]
    assert later["not_expanded"]


def test_a_fail_limit_starts_nothing_new_and_has_its_own_code(program: Program) -> None:
    job = program.job("""
tasks:
  - id: failing
    foreach: {range: [1, 50]}
    run: echo {{ item }} >> tried; exit 3
    max_fail: 2
  - id: other
    run: "true"
""")
    ended = program.run(job, "--procs", "1", "--output", "json")
    assert ended.code == 5
    assert (program.dir / "tried").read_text().split() == ["1", "2", "3"]
    counts = ended.counts
    assert (counts["failed"], counts["ok"]) == (3, 1)
    assert counts["planned"] == counts["failed"] + counts["ok"] + counts["aborted"]
    of_job = program.run(job, "--procs", "1", "--max-fail", "0")
    assert of_job.code == 5
    assert "of the job failed" in of_job.out


# ---- locks --------------------------------------------------------------------------------------


LOCKED = """
tasks:
  - run: echo $BATCHRUN_RUN >> began; until test -e go; do sleep 0.02; done
"""


def holding(program: Program, job: str, *words: str) -> Started:
    run = program.start(job, *words)
    run.until(lambda: files(program.dir, "began"), "the lock is held")
    return run


def test_a_second_run_is_refused_while_the_lock_is_held(program: Program) -> None:
    job = program.job(LOCKED)
    first = holding(program, job, "--lock")
    for words in (["--lock"], ["--wait", "100ms"]):
        refused = program.run(str(program.dir / job), *words)
        assert refused.code == 75
        assert refused.out == ""
        assert f"process {first.pid}" in refused.err
    other = program.run(program.job("tasks:\n  - run: 'true'\n", "other.yml"), "--lock")
    assert other.code == 0
    (program.dir / "go").touch()
    assert first.end().code == 0
    assert len((program.dir / "began").read_text().split()) == 1
    assert program.run(job, "--lock").code == 0


def test_a_run_that_waits_for_the_lock_goes_on_when_it_is_free(program: Program) -> None:
    job = program.job(LOCKED)
    first = holding(program, job, "--lock-name", "both")
    second = program.start(job, "--lock-name", "both", "--wait", "1m")
    third = program.run(job, "--lock-name", "both")
    assert third.code == 75
    assert "both is being run by" in third.err
    (program.dir / "go").touch()
    assert (first.end().code, second.end().code) == (0, 0)
    assert len((program.dir / "began").read_text().split()) == 2


def test_a_run_that_waits_for_the_lock_can_be_interrupted(program: Program) -> None:
    job = program.job(LOCKED)
    first = holding(program, job, "--lock")
    second = program.start(job, "--lock", "--wait", "1h")
    lock_files = list(Path(os.environ["BATCHRUN_STATE_DIR"]).rglob("*.lock"))
    second.until(lambda: holds_open(second.pid, lock_files[0]), "it waits for the lock")
    second.send(signal.SIGINT)
    ended = second.end()
    assert ended.code == 130
    assert "Traceback" not in ended.err
    (program.dir / "go").touch()
    assert first.end().code == 0


def test_the_lock_dies_with_the_process_that_held_it(program: Program) -> None:
    job = program.job(LOCKED)
    first = holding(program, job, "--lock")
    os.kill(first.pid, signal.SIGKILL)
    first.end()
    wait_until(lambda: not program.left(), 30, "its workers and commands are gone")
    (program.dir / "go").touch()
    assert program.run(job, "--lock").code == 0
