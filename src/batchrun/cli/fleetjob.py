"""Jobs on hosts that are made of a command line: their text, and how they are run."""

from collections.abc import Mapping
from typing import Any

from batchrun.cli.flags import FleetFlags
from batchrun.cli.jobtext import Typed, job_text, literal
from batchrun.cli.results import Results
from batchrun.cli.saving import job_limits, load_made, made_line, save, task_limits
from batchrun.cli.targets import inventory_path, node_set
from batchrun.cli.wiring import check_flags, execute
from batchrun.jobfile.overrides import SUDO_PASSWORD

__all__ = ["fleet_job", "host_task", "run_fleet"]


def host_task(flags: FleetFlags) -> dict[str, Any]:
    """Return what says where a task runs.

    Raises:
        UsageError: no hosts are named.
    """
    return {"hosts": literal(node_set(flags)), **_host_modifiers(flags)}


def _host_modifiers(flags: FleetFlags) -> dict[str, Any]:
    """Return the flags that are modifiers of a task on hosts."""
    found: dict[str, Any] = {}
    if flags.connect_timeout is not None:
        found["connect_timeout"] = f"{flags.connect_timeout:.12g}s"
    if flags.batch is not None:
        found["batch"] = [_size(word) for word in flags.batch.split(",")]
    if flags.ask_sudo_pass:
        found["sudo"] = {"password": f"secrets.{SUDO_PASSWORD}"}
    elif flags.sudo:
        found["sudo"] = True
    return found


def fleet_job(command: str, flags: FleetFlags, task: Mapping[str, Any]) -> str:
    """Write a job of one task on hosts.

    Args:
        command: The command that it is made of; the name of the job.
        flags: What stands at its top.
        task: The task, without its limits.
    """
    top: dict[str, Any] = {}
    if flags.inventory is not None:
        top["inventory"] = literal(inventory_path(flags))
    elif flags.user is not None:
        top["inventory"] = {"defaults": {"user": literal(flags.user)}}
    if flags.host_key is not None:
        # Not `off`, which YAML 1.1 reads as no text at all.
        top["host_key"] = flags.host_key.value
    if flags.fanout is not None:
        top["fanout"] = flags.fanout
    if flags.ask_sudo_pass:
        top["secrets"] = {SUDO_PASSWORD: {"prompt": "sudo password"}}
    job = {"name": command, **top, **job_limits(flags), "tasks": [{**task, **task_limits(flags)}]}
    return job_text(job, about=made_line(command))


def run_fleet(command: str, text: str, flags: FleetFlags, results: Results) -> int:
    """Load a job that was made of a command line, and run it; return the exit code.

    Args:
        command: The command that it was made of.
        text: The job.
        flags: How.
        results: What is shown.

    Raises:
        UsageError: the command line asks for something that the language does not have.
        NodeSetError: a node set cannot be read.
    """
    check_flags(flags)
    loaded = load_made(text, command, insecure=flags.insecure_permissions)
    path = getattr(flags, "save", None)
    if path is not None:
        save(path, text)
    return execute(loaded, flags, results)


def _size(word: str) -> int | str:
    """Write the size of a wave as in a job file: a number, or a percentage."""
    return word if word.endswith("%") else Typed(word)
