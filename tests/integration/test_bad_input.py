"""Mistakes: each is told with its line and what to write instead, and nothing is run."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from program import COMMAND, Ended, Program, as_ordinary_user

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """Something wrong in a job file, and what is said about it."""

    text: str | bytes
    #: The line that is named; None: the file as a whole is meant.
    line: int | None
    #: How the sentence begins, and what is in it.
    said: str
    words: tuple[str, ...] = ()


GOOD_TASK = "tasks:\n  - touch: ran\n"


def mistake(text: str, line: int, said: str, *words: str) -> Mistake:
    """Put lines behind a task that would leave a trace, which makes them begin on line 3."""
    return Mistake(text=GOOD_TASK + text, line=line, said=said, words=words)


def among_others(text: str, line: int, said: str, *words: str) -> Mistake:
    """Make a mistake that keeps no other from being found: all of them are put into one file.

    Lines are counted from 1 within the text. In what is said, `[+0]` stands for the number of its
    first task, and `line +1` for its first line.
    """
    return Mistake(text=text, line=line, said=said, words=words)


#: Each in a file of its own.
ALONE = {
    "brackets not closed": mistake("  - run: [echo\n", 4, "a list or mapping in brackets"),
    "a tab": mistake("  - id: x\n\trun: echo\n", 4, "there is a tab"),
    "an unquoted template": mistake("  - mkdir: {{ item }}\n", 3, "", "has to be put in quotes"),
    "an unquoted glob": mistake("  - delete: [*.tmp]\n", 3, "", "quotes"),
    "not UTF-8": Mistake(text=b"tasks:\n  - touch: ran\n  - run: \xff\n", line=3, said=""),
    "control characters": Mistake(text=b"tasks:\n  - run: \x00\n", line=2, said=""),
    "an empty file": Mistake(text="", line=None, said="the file is empty"),
    "only comments": Mistake(text="# nothing\n\n", line=None, said="the file is empty"),
    "a list": Mistake(text="- run: 'true'\n", line=None, said="the file is a list"),
    "a single value": Mistake(text="hello\n", line=None, said="the file is a single value"),
    "no tasks": Mistake(text="name: x\n", line=None, said="`tasks` is missing"),
    "an empty list of tasks": Mistake(text="tasks: []\n", line=1, said="tasks: there are no tasks"),
    "two documents": Mistake(text="tasks:\n  - touch: ran\n---\na: 1\n", line=3, said=""),
    "a duplicate key": mistake(
        "name: a\nname: b\n", 4, "name: `name` is given twice, on line 3 and on line 4"
    ),
    "an unknown top-level key": mistake(
        "finaly: []\n", 3, "finaly: `finaly` is not a key here", "did you mean `finally`?"
    ),
    "an undefined variable": mistake(
        "  - run: echo {{ stgae }}\nvars: {stage: x}\n",
        3,
        "tasks[1].run: `stgae` is not known",
        "did you mean `stage`?",
    ),
    "an unknown semaphore": mistake(
        "  - run: echo\n    limit: disk\nlimits: {disc: 2}\n", 4, "tasks[1].limit", "disk"
    ),
    "a size instead of a number": mistake(
        "limits: {disk: 2K}\n", 3, "limits: `disk`: write a whole number"
    ),
    "a bad default": mistake(
        "  - run: echo\ndefaults: {timeout: soon}\n", 4, "defaults.timeout: 'soon' is not"
    ),
}

#: All in one file.
TOGETHER = {
    "an unknown operation": among_others(
        "  - copi: {src: a, dest: b}\n",
        1,
        "tasks[+0].copi: `copi` is not a key here",
        "did you mean `copy`?",
    ),
    "an unknown modifier": among_others(
        "  - run: echo\n    timout: 3s\n",
        2,
        "tasks[+0].timout: `timout` is not a key here",
        "did you mean `timeout`?",
    ),
    "an unknown parameter": among_others(
        "  - copy: {src: a, dst: b}\n", 1, "tasks[+0].copy", "`dst`", "did you mean `dest`?"
    ),
    "two operations": among_others(
        "  - run: echo\n    mkdir: x\n", 2, "tasks[+0].mkdir: `run` and `mkdir` in one task"
    ),
    "no operation": among_others(
        "  - id: x\n", 1, "tasks[+0]: the task has no operation", "checksum"
    ),
    "a missing parameter": among_others(
        "  - copy: {src: a}\n", 1, "tasks[+0].copy: `dest` is missing", "{src: SRC, dest: DEST}"
    ),
    "a list instead of a path": among_others(
        "  - copy: {src: a, dest: [b]}\n", 1, "tasks[+0].copy.dest: is a list; write a path"
    ),
    "a mapping instead of text": among_others("  - run: {a: b}\n", 1, "tasks[+0].run", "`a`"),
    "text instead of a number": among_others(
        "  - run: echo\n    retries: many\n", 2, "tasks[+0].retries: write a whole number"
    ),
    "text instead of true or false": among_others(
        "  - run: echo\n    ignore_errors: yes\n", 2, "tasks[+0].ignore_errors: write true or false"
    ),
    "a negative number": among_others("  - run: echo\n    retries: -1\n", 2, "tasks[+0].retries"),
    "a bad duration": among_others(
        "  - run: echo\n    timeout: soon\n",
        2,
        "tasks[+0].timeout: 'soon' is not a duration",
        "90s",
    ),
    "a bad mode": among_others(
        "  - mkdir: {path: x, mode: rwx}\n",
        1,
        "tasks[+0].mkdir.mode: 'rwx' is not a file mode",
        "0640",
    ),
    "a mode with a 9": among_others(
        "  - mkdir: {path: x, mode: 0690}\n", 1, "tasks[+0].mkdir.mode: '0690' is not a file mode"
    ),
    "a bad glob": among_others(
        '  - foreach: {glob: "[{{ job.name }}]*"}\n    run: echo\n',
        1,
        "tasks[+0].foreach",
        "stands behind an open `[`",
    ),
    "a glob of a home that does not exist": among_others(
        "  - delete: ~nosuchuser/*.tmp\n", 1, "tasks[+0].delete", "there is no user 'nosuchuser'"
    ),
    "an empty glob": among_others(
        "  - foreach: {glob: ''}\n    run: echo\n", 1, "tasks[+0].foreach"
    ),
    "an empty path": among_others("  - delete: ''\n", 1, "tasks[+0].delete", "the path is empty"),
    "two sources": among_others(
        "  - foreach: {glob: a, lines: b}\n    run: echo\n", 1, "tasks[+0].foreach"
    ),
    "an unknown source": among_others(
        "  - foreach: {globb: a}\n    run: echo\n", 1, "tasks[+0].foreach", "`globb`", "`glob`"
    ),
    "a bad range": among_others(
        "  - foreach: {range: [1, x]}\n    run: echo\n", 1, "tasks[+0].foreach"
    ),
    "a cycle": among_others(
        "  - id: round\n    needs: [about]\n    run: echo\n"
        "  - id: about\n    needs: [round]\n    run: echo\n",
        2,
        "tasks[+0].needs: the tasks need each other in a circle: round -> about -> round",
    ),
    "a task that needs itself": among_others(
        "  - id: itself\n    needs: [itself]\n    run: echo\n", 2, "tasks[+0].needs: "
    ),
    "an unknown need": among_others(
        "  - id: stage\n    run: echo\n  - needs: [stag]\n    run: echo\n",
        3,
        "tasks[+1].needs: there is no task `stag`",
        "did you mean `stage`?",
    ),
    "a duplicate id": among_others(
        "  - id: twice\n    run: echo\n  - id: twice\n    run: echo\n",
        3,
        "tasks[+1].id: the id `twice`",
        "line +1",
        "line +3",
    ),
    "an item without foreach": among_others(
        "  - run: echo {{ item }}\n", 1, "tasks[+0].run: `item`"
    ),
    "a template that does not parse": among_others("  - run: echo {{ 1 + }}\n", 1, "tasks[+0].run"),
    "an unknown filter": among_others(
        "  - run: echo {{ 'a' | basname }}\n", 1, "tasks[+0].run", "basname"
    ),
    "an interpolation inside double quotes": among_others(
        '  - run: echo "x {{ job.name }}"\n',
        1,
        "tasks[+0].run: `{{ job.name }}` is inside",
        "already quoted",
        "close the quotes",
    ),
    "an interpolation inside single quotes": among_others(
        "  - run: sh -c 'cat {{ job.name }}'\n", 1, "tasks[+0].run: `{{ job.name }}` is inside"
    ),
    "an interpolation inside $( )": among_others(
        "  - run: echo $(cat {{ job.name }})\n", 1, "tasks[+0].run: `{{ job.name }}`"
    ),
    "an interpolation inside a here-document": among_others(
        "  - run: |\n      cat <<END\n      {{ job.name }}\n      END\n",
        1,
        "tasks[+0].run: `{{ job.name }}`",
    ),
    "an operation that is not for hosts": among_others(
        "  - copy: {src: a, dest: b}\n    hosts: web1\n", 1, "tasks[+0].copy", "`upload`"
    ),
    "an escape sequence in a key": among_others(
        '  - "\\e[2Jx": 1\n    run: echo\n', 1, "tasks[+0]", "\\x1b[2Jx"
    ),
}


def check_said(ended: Ended, wanted: Mistake) -> None:
    """Check everything that must hold for a mistake that was told."""
    where = "job.yml" if wanted.line is None else f"job.yml:{wanted.line}"
    lines = ended.err.splitlines()
    assert ended.code == 65, ended
    assert ended.stdout == b""
    told = [line for line in lines if line.startswith(f"{where}: {wanted.said}")]
    assert told, ended.err
    for words in wanted.words:
        assert any(words in line for line in told), told
    assert re.fullmatch(r"batchrun: \d+ mistakes?; nothing was run", lines[-1])
    assert "Traceback" not in ended.err
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", ended.err)


@pytest.mark.parametrize("name", ALONE)
def test_a_mistake_is_told_with_its_line_and_nothing_is_run(program: Program, name: str) -> None:
    text = ALONE[name].text
    (program.dir / "job.yml").write_bytes(text if isinstance(text, bytes) else text.encode())
    check_said(program.run("job.yml"), ALONE[name])
    assert os.listdir(program.dir) == ["job.yml"]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ended, dict[str, Mistake]]:
    """Run the file with all the mistakes; return them with the places that they have in it."""
    text, placed = GOOD_TASK, {}
    for name, one in TOGETHER.items():
        assert isinstance(one.text, str)
        assert one.line is not None
        first, task = text.count("\n") + 1, text.count("\n  - ")
        said, *words = (_in_place(words, first, task) for words in (one.said, *one.words))
        placed[name] = Mistake(
            text=one.text, line=first + one.line - 1, said=said, words=tuple(words)
        )
        text += one.text
    with Program(tmp_path_factory.mktemp("mistakes")) as program:
        ended = program.run(program.job(text))
        assert os.listdir(program.dir) == ["job.yml"]
    return ended, placed


def _in_place(words: str, first: int, task: int) -> str:
    words = re.sub(r"\[\+(\d)\]", lambda match: f"[{task + int(match[1])}]", words)
    return re.sub(r"line \+(\d)", lambda match: f"line {first + int(match[1]) - 1}", words)


@pytest.mark.parametrize("name", TOGETHER)
def test_a_mistake_among_others_is_told_with_its_line(
    together: tuple[Ended, dict[str, Mistake]], name: str
) -> None:
    ended, placed = together
    check_said(ended, placed[name])


def test_nothing_is_told_of_what_is_right(
    together: tuple[Ended, dict[str, Mistake]],
) -> None:
    ended, placed = together
    lines = {int(found) for found in re.findall(r"^job.yml:(\d+): ", ended.err, re.MULTILINE)}
    assert lines == {one.line for one in placed.values()}


def test_all_mistakes_are_told_in_one_go_in_the_order_of_their_lines(program: Program) -> None:
    job = program.job("""tasks:
  - copi: {src: a, dest: b}
  - run: echo {{ nope }}
    timeout: soon
  - id: x
    needs: [y]
    mkdir: {path: a, mode: rwx}
finally:
  - run: echo
    retries: many
""")
    for command in (["check"], ["run"]):
        ended = program.run(*command, job)
        numbers = [int(found) for found in re.findall(r"^job.yml:(\d+): ", ended.err, re.MULTILINE)]
        assert ended.code == 65
        assert numbers == sorted(numbers)
        assert {2, 3, 4, 6, 7, 10} <= set(numbers)
        assert f"{len(numbers)} mistakes; nothing was run" in ended.err


# ---- files that cannot be read ------------------------------------------------------------------


def test_a_job_file_that_is_not_there_or_is_a_directory_is_told(program: Program) -> None:
    (program.dir / "dir.yml").mkdir()
    missing, directory = program.run("none.yml"), program.run("dir.yml")
    assert (missing.code, directory.code) == (65, 65)
    assert missing.err.startswith("none.yml: cannot be read: No such file or directory\n")
    assert directory.err.startswith("dir.yml: cannot be read: Is a directory\n")


@pytest.fixture
def as_nobody() -> Iterator[Program]:
    """Make a program in a directory of an ordinary user's."""
    top = Path("/var/tmp") / f"batchrun-test-{secrets.token_hex(4)}"
    home = top / "home"
    home.mkdir(parents=True)
    try:
        top.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(home, 65534, 65534)
        with Program(home) as made:
            yield made
    finally:
        shutil.rmtree(top)


def ordinary(program: Program) -> dict[str, Any]:
    env = {"BATCHRUN_STATE_DIR": None, "HOME": str(program.dir), "XDG_STATE_HOME": None}
    return {"before": as_ordinary_user(), "env": env}


def test_an_ordinary_user_is_told_what_may_not_be_read(as_nobody: Program) -> None:
    secret = as_nobody.dir / "secret.yml"
    secret.write_text("tasks:\n  - touch: ran\n")
    secret.chmod(0o600 if os.geteuid() == 0 else 0)
    ended = as_nobody.run("secret.yml", **ordinary(as_nobody))
    assert ended.code == 65
    assert ended.err.startswith("secret.yml: cannot be read: Permission denied\n")
    assert not (as_nobody.dir / "ran").exists()


@pytest.mark.parametrize("option", ["--joblog", "--junit", "--metrics", "--output-dir"])
def test_an_ordinary_user_is_told_what_may_not_be_written_before_anything_is_run(
    as_nobody: Program, option: str
) -> None:
    (as_nobody.dir / "closed").mkdir(0o555)
    ended = as_nobody.run("each", option, "closed/f", "touch", ":::", "ran", **ordinary(as_nobody))
    assert ended.code == 64
    closed = f"{as_nobody.dir}/closed"
    assert ended.err.startswith(f"batchrun: {option}: closed/f: nothing can be made in {closed} ")
    assert not (as_nobody.dir / "ran").exists()


def test_an_ordinary_user_is_told_of_a_file_that_may_not_be_replaced(as_nobody: Program) -> None:
    (as_nobody.dir / "log").touch()
    (as_nobody.dir / "log").chmod(0o444)
    ended = as_nobody.run("each", "--joblog", "log", "true", ":::", "a", **ordinary(as_nobody))
    assert ended.code == 64
    assert ended.err.startswith("batchrun: --joblog: log: it cannot be written by this user")


def test_an_ordinary_users_failures_name_the_path_and_the_reason(as_nobody: Program) -> None:
    (as_nobody.dir / "secret").write_text("x")
    (as_nobody.dir / "secret").chmod(0)
    job = as_nobody.job("""
tasks:
  - id: read
    copy: {src: secret, dest: copied}
  - id: write
    write: {dest: /etc/batchrun-test, text: x}
  - id: own
    mkdir: {path: made, owner: root}
  - id: list
    foreach: {lines: secret}
    run: echo
""")
    (as_nobody.dir / job).chmod(0o644)
    more = ordinary(as_nobody)
    ended = as_nobody.run(job, "--lock", "--output", "json", **more)
    assert ended.code == 2
    said = {unit["task"]: unit["outcome"]["message"] for unit in ended.units}
    assert f"{as_nobody.dir}/secret: Permission denied" in said["read"]
    assert "/etc" in said["write"]
    assert "Permission denied" in said["write"]
    assert str(as_nobody.dir / "made") in said["own"]
    (listed,) = [task for task in ended.document["tasks"] if task["id"] == "list"]
    assert "Permission denied" in listed["source_error"]
    assert (as_nobody.dir / ".local/state/batchrun/locks").is_dir()


def test_a_state_directory_that_cannot_be_made_is_told_when_a_lock_is_wanted(
    program: Program,
) -> None:
    job = program.job("tasks:\n  - touch: ran\n")
    (program.dir / "file").touch()
    env = {"BATCHRUN_STATE_DIR": str(program.dir / "file" / "below")}
    refused = program.run(job, "--lock", env=env)
    assert refused.code == 1
    assert str(program.dir / "file") in refused.err
    assert "Not a directory" in refused.err
    assert not (program.dir / "ran").exists()
    unrecorded = program.run(job, env=env)
    assert unrecorded.code == 1
    assert "give --no-journal" in unrecorded.err
    assert not (program.dir / "ran").exists()
    assert program.run(job, "--no-journal", env=env).code == 0


def test_a_current_directory_that_has_gone_is_told(program: Program) -> None:
    (program.dir / "gone").mkdir()
    job = program.dir / program.job("tasks:\n  - touch: ran\n")
    script = f'cd gone && rmdir "$PWD" && exec {" ".join(COMMAND)} {job}'
    ended = program.run(before=("bash", "-c", script))
    assert (ended.code, ended.stdout) == (1, b"")
    assert ended.err == (
        "batchrun: the current directory is not there any more; change to another one\n"
    )
    assert not (program.dir / "ran").exists()


# ---- what shows only while it runs --------------------------------------------------------------


def test_a_source_that_fails_half_way_fails_its_task_and_keeps_account_of_what_ran(
    program: Program,
) -> None:
    (program.dir / "list").write_bytes(b"a\nb\nc\n" + b"x" * 3_000_000 + b"\nd\n")
    job = program.job("""
tasks:
  - id: some
    foreach: {lines: list}
    run: echo {{ item }} >> ran
  - id: needs-some
    needs: [some]
    run: echo never >> ran
  - id: other
    touch: other
""")
    ended = program.run(job, "--output", "json")
    assert ended.code == 2
    assert ended.counts == {"planned": 4, "ok": 4, "changed": 4}
    assert sorted((program.dir / "ran").read_text().split()) == ["a", "b", "c"]
    tasks = {task["id"]: task for task in ended.document["tasks"]}
    assert not tasks["some"]["good"]
    assert "a line of more than 1 MiB" in tasks["some"]["source_error"]
    assert tasks["needs-some"]["not_expanded"] == "needs some, whose `foreach` failed"
    readable = program.run(job)
    assert readable.code == 2
    assert re.search(r"^FAILED       some  .*/list has a line of more than 1 MiB", readable.out,
                     re.MULTILINE)  # fmt: skip
    assert "not expanded: needs-some" in readable.out


def test_a_path_to_delete_that_comes_out_empty_deletes_nothing(program: Program) -> None:
    for name in ("keep", "goes", "tree/keep"):
        (program.dir / name).parent.mkdir(exist_ok=True)
        (program.dir / name).touch()
    job = program.job("""vars: {nothing: ""}
tasks:
  - id: whole
    foreach: ["", goes]
    delete: "{{ item }}"
  - id: below
    overlap: allow
    delete: "tree/{{ nothing }}"
  - id: glob
    overlap: allow
    delete: "tree/{{ nothing }}*"
  - id: forced
    overlap: allow
    delete: {path: "/{{ nothing }}", force: ["/"]}
""")
    ended = program.run(job, "--output", "json")
    assert ended.code == 2
    assert ended.counts == {"planned": 5, "ok": 1, "changed": 1, "failed": 4}
    failed = [unit for unit in ended.units if unit["outcome"]["kind"] == "failed"]
    for unit in failed:
        assert re.match(r"job\.yml:\d+: tasks\[\d\]\.delete", unit["outcome"]["message"])
        assert "empty" in unit["outcome"]["message"]
        assert unit["outcome"]["retryable"] is False
    left = {str(path.relative_to(program.dir)) for path in program.dir.rglob("*")}
    assert left == {"job.yml", "keep", "tree", "tree/keep"}


def test_a_template_that_fails_for_one_item_fails_that_unit_only(program: Program) -> None:
    job = program.job("""tasks:
  - foreach: [1, 0, 2]
    write: {dest: "out-{{ 6 // item }}", text: x}
  - foreach: [a, "b\\0c"]
    run: [echo, "{{ item }}"]
""")
    ended = program.run(job, "--output", "json")
    assert ended.code == 2
    assert ended.counts == {"planned": 5, "ok": 3, "changed": 3, "failed": 2}
    said = [unit["outcome"]["message"] for unit in ended.units if "message" in unit["outcome"]]
    assert "job.yml:3: tasks[0].write.dest" in "\n".join(said)
    assert "NUL" in "\n".join(said)


# ---- the command line ---------------------------------------------------------------------------

USAGE = {
    "an unknown option": (["job.yml", "--proc", "2"], "--procs"),
    "a bad number": (["job.yml", "--procs", "many"], "--procs"),
    "a number out of range": (["job.yml", "--procs", "-1"], "--procs"),
    "an absurd number": (["job.yml", "--procs", "1000000"], "--procs"),
    "a bad choice": (["job.yml", "--output", "xml"], "ndjson"),
    "a bad duration": (["job.yml", "--deadline", "soon"], "--deadline: 'soon' is not a duration"),
    "a bad limit": (["job.yml", "--max-fail", "some"], "--max-fail: 'some' is not a number"),
    "a bad grace": (["job.yml", "--grace", "-1s"], "--grace"),
    "a bad wait": (["job.yml", "--wait", "x"], "--wait"),
    "no job file": (["--procs", "2"], "JOBFILE"),
    "an option without its value": (["job.yml", "--procs"], "--procs"),
    "two job files": (["job.yml", "other.yml"], "other.yml"),
    "an exit code for dry runs only": (["job.yml", "--detailed-exitcode"], "--dry-run"),
    "more and less": (["job.yml", "-v", "-q"], "-v and -q"),
    "an unknown task": (["job.yml", "--task", "nope"], "--task nope: there is no such task"),
    "an unknown tag": (["job.yml", "--tags", "nope"], "nope"),
    "a variable without value": (["job.yml", "-e", "x"], "NAME=VALUE"),
    "an undeclared variable": (["job.yml", "-e", "nope=1"], "-e nope: the job file"),
    "check without a file": (["check"], "batchrun check --help"),
    "check with an option of run": (["check", "job.yml", "--procs", "2"], "--procs"),
    "a bad variable of the environment": (["job.yml"], "BATCHRUN_PROCS"),
}


@pytest.mark.parametrize("name", USAGE)
def test_a_command_line_that_is_wrong_is_refused_in_one_sentence(
    program: Program, name: str
) -> None:
    program.job("vars: {y: 1}\ntasks:\n  - id: a\n    tags: [t]\n    touch: ran\n")
    words, said = USAGE[name]
    ended = program.run(*words, env={"BATCHRUN_PROCS": "x"} if "environment" in name else {})
    assert ended.code == 64, ended
    assert ended.stdout == b""
    assert ended.err.startswith("batchrun: ")
    assert re.search(r"; see `batchrun (run|check) --help`\n$", ended.err)
    assert ended.err.count("\n") == 1
    assert said in ended.err
    assert os.listdir(program.dir) == ["job.yml"]
