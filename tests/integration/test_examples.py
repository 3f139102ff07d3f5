"""examples.yml and every file in jobs/ run, and do what their comments say."""

import gzip
import json
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from program import COMMAND


def batchrun(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], cwd=cwd, capture_output=True, text=True, timeout=100, check=False
    )


def outcome(*words: str, cwd: Path) -> tuple[int, dict[str, Any]]:
    """Run with JSON output; return the exit code and the counts."""
    ended = batchrun(*words, "--output", "json", cwd=cwd)
    assert ended.stdout, ended.stderr
    return ended.returncode, json.loads(ended.stdout)["counts"]


@pytest.fixture
def copy_of_repository(root: Path, tmp_path: Path) -> Path:
    """Make a directory with what the tour works on."""
    for name in ("src", "tests", "jobs"):
        shutil.copytree(
            root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", ".*")
        )
    shutil.copy(root / "examples.yml", tmp_path)
    return tmp_path


@pytest.mark.timeout(200)
def test_the_tour_does_real_work_and_a_second_tour_copies_nothing_again(
    copy_of_repository: Path,
) -> None:
    top = copy_of_repository
    code, counts = outcome("examples.yml", "--procs", "4", cwd=top)
    assert (code, counts["failed"]) == (0, 0)
    demo = top / "demo"
    judged = subprocess.run(
        ["diff", "-r", "--no-dereference", top / "src", demo / "tree" / "src"], check=False
    )
    assert judged.returncode == 0
    subprocess.run(["sha256sum", "--check", "--quiet", "tree.sha256"], cwd=demo, check=True)
    with gzip.open(demo / "logs" / "app-007.log.gz", "rt") as log:
        assert log.readline() == "This is log 7 of 40, written by guided-tour.\n"
    with tarfile.open(demo / "latest.tar.gz") as archive:
        assert "tree/src/batchrun/__init__.py" in archive.getnames()
    assert "guided-tour: " in (demo / "report.txt").read_text()
    assert int((demo / "census.txt").read_text().split()[0]) > 100
    assert (demo / "shout" / "app-007.log").read_text().startswith("THIS IS LOG 7 OF 40")
    assert (demo / "services" / "mail.conf").read_text() == "port = 8003\n"

    ended = batchrun("examples.yml", "--output", "ndjson", cwd=top)
    assert ended.returncode == 0
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    changed = {
        event["task"] for event in events if event["type"] == "unit_ended" and event.get("changed")
    }
    # Commands always count as a change; the archives' files are made and cleaned each time.
    assert changed.isdisjoint({"workspace", "copy-tree", "manifest", "pack", "logs", "latest"})
    assert changed.isdisjoint({"compress-logs", "census-note", "shout", "measure", "services"})


def test_the_tour_prints_results_and_hides_its_secret(copy_of_repository: Path) -> None:
    ended = batchrun("examples.yml", cwd=copy_of_repository)
    assert ended.returncode == 0, ended.stderr
    assert "logged in with ***" in ended.stdout
    assert "open-sesame" not in ended.stdout + ended.stderr


def test_a_rehearsed_tour_changes_nothing(copy_of_repository: Path) -> None:
    ended = batchrun("examples.yml", "--dry-run", cwd=copy_of_repository)
    assert ended.returncode == 0, ended.stdout
    assert not (copy_of_repository / "demo").exists()


def test_a_job_file_whose_variables_are_not_given_says_which(root: Path) -> None:
    ended = batchrun("jobs/compress-logs.yml", cwd=root)
    assert ended.returncode == 65
    assert "logs" in ended.stderr


def test_nightly_archive_packs_each_directory_and_verifies(root: Path, tmp_path: Path) -> None:
    for name in ("mail", "web site"):
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "file").write_text(name)
    words = ["-e", f"source={tmp_path}/in", "-e", f"backup={tmp_path}/out"]
    job = str(root / "jobs" / "nightly-archive.yml")
    code, counts = outcome(job, "--lock", *words, cwd=tmp_path)
    assert (code, counts["ok"]) == (0, 5)
    (day,) = (tmp_path / "out").iterdir()
    assert sorted(path.name for path in day.iterdir()) == [
        "SHA256SUMS",
        "mail.tar.gz",
        "web site.tar.gz",
    ]
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=day, check=True)
    listed = subprocess.run(["tar", "-tzf", day / "web site.tar.gz"], capture_output=True,
                            text=True, check=True)  # fmt: skip
    assert "web site/file" in listed.stdout.splitlines()
    quiet = batchrun(job, "-q", *words, cwd=tmp_path)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_compress_logs_takes_the_rotated_ones_only(root: Path, tmp_path: Path) -> None:
    for name in ("app.log", "app.log.1", "app.log.2"):
        (tmp_path / name).write_text("line\n" * 100)
    job = str(root / "jobs" / "compress-logs.yml")
    code, counts = outcome(job, "-e", f"logs={tmp_path}", cwd=tmp_path)
    assert (code, counts["changed"]) == (0, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "app.log",
        "app.log.1.gz",
        "app.log.2.gz",
    ]


def test_deploy_files_switches_by_one_link(root: Path, tmp_path: Path) -> None:
    release = tmp_path / "stuff" / "app"
    release.mkdir(parents=True)
    (release / "version").write_text("1.4")
    subprocess.run(["tar", "-czf", "app.tar.gz", "-C", "stuff", "app"], cwd=tmp_path, check=True)
    words = ["-e", f"bundle={tmp_path}/app.tar.gz", "-e", f"target={tmp_path}/srv"]
    job = str(root / "jobs" / "deploy-files.yml")
    code, counts = outcome(job, *words, "-e", "release=1.4", cwd=tmp_path)
    assert (code, counts["ok"]) == (0, 4)
    current = tmp_path / "srv" / "current"
    assert current.is_symlink()
    assert (current / "app" / "version").read_text() == "1.4"


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_check_services_fails_for_those_that_do_not_answer(
    root: Path, tmp_path: Path, listener: int
) -> None:
    (tmp_path / "list").write_text(f"127.0.0.1:{listener}\n127.0.0.1:{listener}\n127.0.0.1:1\n")
    job = str(root / "jobs" / "check-services.yml")
    code, counts = outcome(job, "-e", f"endpoints={tmp_path}/list", cwd=tmp_path)
    assert (code, counts["ok"], counts["failed"]) == (2, 2, 1)
    assert counts["retried"] == 2


def test_convert_files_leaves_nothing_half_done(root: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "it's.txt").write_text("quiet\n")
    words = ["-e", f"from={tmp_path}/in", "-e", f"to={tmp_path}/out"]
    job = str(root / "jobs" / "convert-files.yml")
    code, _ = outcome(job, *words, cwd=tmp_path)
    assert code == 0
    assert (tmp_path / "out" / "it's.txt").read_text() == "QUIET\n"
    code, counts = outcome(job, *words, "-e", "converter=echo half; exit 3", "-e",
                           f"to={tmp_path}/bad", cwd=tmp_path)  # fmt: skip
    assert (code, counts["failed"]) == (2, 1)
    assert list((tmp_path / "bad").iterdir()) == []


def test_clean_workspaces_removes_leftovers_and_nothing_else(root: Path, tmp_path: Path) -> None:
    for name in ("a/build", "a/src/__pycache__", "b/dist"):
        (tmp_path / "top" / name).mkdir(parents=True)
        (tmp_path / "top" / name / "file").touch()
    (tmp_path / "top" / "a" / "src" / "main.py").touch()
    job = str(root / "jobs" / "clean-workspaces.yml")
    code, counts = outcome(job, "-e", f"root={tmp_path}/top", cwd=tmp_path)
    assert (code, counts["changed"]) == (0, 2)
    left = sorted(str(path.relative_to(tmp_path / "top")) for path in (tmp_path / "top").rglob("*"))
    assert left == ["a", "a/src", "a/src/main.py", "b"]
