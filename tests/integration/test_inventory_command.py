"""Inventories that a program prints: started once, told what is wrong with it."""

import json
from pathlib import Path

import pytest

from batchrun.errors import JobFileError
from small_jobs import loaded, mistakes, units

pytestmark = pytest.mark.timeout(60)

LISTING = {
    "_meta": {"hostvars": {"web1": {"ansible_host": "10.0.0.1"}}},
    "web": {"hosts": ["web1", "web2"]},
}


def program(tmp_path: Path, body: str) -> str:
    """Write a program; return the head of a job file that has its inventory from there."""
    script = tmp_path / "inventory"
    script.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    script.chmod(0o755)
    return f"inventory: {{command: [{script}, --list]}}\n"


def test_what_a_program_prints_is_the_inventory(tmp_path: Path) -> None:
    body = f"""echo "$0 $*" >> {tmp_path}/calls; echo '{json.dumps(LISTING)}'"""
    head = program(tmp_path, body)

    job = loaded(head + "tasks: [{hosts: '@web', run: x}]", base_dir=str(tmp_path))

    assert [unit.place and unit.place.address for unit in units(job)] == ["10.0.0.1", ""]
    calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
    assert calls == [f"{tmp_path}/inventory --list"]


def test_nothing_is_started_for_a_job_without_hosts(tmp_path: Path) -> None:
    head = program(tmp_path, f"touch {tmp_path}/called; exit 1")

    loaded(head + "tasks: [{run: x}]", base_dir=str(tmp_path))

    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo broken >&2; exit 3", "failed with exit status 3: broken"),
        ("echo '{\"_meta\": '", "what the command prints is no JSON"),
        ("echo '[1, 2]'", "this is not Ansible's inventory"),
        ("echo '{}'", "there are no hosts and no groups in it"),
    ],
)
def test_a_program_that_gives_no_inventory_is_told_with_the_reason(
    tmp_path: Path, body: str, reason: str
) -> None:
    head = program(tmp_path, body)

    with pytest.raises(JobFileError) as caught:
        loaded(head + "tasks: [{hosts: web1, run: x}]", base_dir=str(tmp_path))

    told = str(caught.value)
    assert told.startswith("job.yml:1: inventory.command: ")
    assert reason in told


def test_a_program_that_is_not_there_is_told() -> None:
    text = "inventory: {command: [/nonexistent/inventory]}\ntasks: [{hosts: web1, run: x}]"

    assert "cannot be started" in mistakes(text)[0]
