"""What the command line says about all tasks on hosts, written into the data of a job file.

Before anything is checked, so that it is checked like what the file says itself.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from batchrun.jobfile.options import LoadOptions
from batchrun.jobfile.scalars import Plain
from batchrun.model.operation import OperationTable

__all__ = ["SUDO_PASSWORD", "with_overrides"]

#: The secret that is asked for when sudo needs a password.
SUDO_PASSWORD = "sudo_password"  # noqa: S105 - a name
_QUESTION = "sudo password"
_LISTS = ("steps", "rescue", "always")
_TASKS = ("tasks", "finally")


def with_overrides(
    data: dict[str, Any], options: LoadOptions, table: OperationTable
) -> dict[str, Any]:
    """Return the data of a job file, with what the command line says about tasks on hosts.

    Args:
        data: As it was read; it stays as it is. What is no task is left for the checks.
        options: `batch` wins over the file, `sudo` fills in, a password goes to every sudo.
        table: The operations on hosts.
    """
    if not (options.batch or options.sudo or options.asks_sudo_password):
        return data
    found = dict(data)
    defaults = data.get("defaults")
    pen = _Pen(defaults if isinstance(defaults, dict) else {}, options, table)
    for key in _TASKS:
        if isinstance(data.get(key), list):
            found[key] = [pen.task(one) if isinstance(one, dict) else one for one in data[key]]
    if options.asks_sudo_password:
        secrets = data.get("secrets")
        declared = secrets if isinstance(secrets, dict) else {}
        found["secrets"] = {**declared, SUDO_PASSWORD: {"prompt": _QUESTION}}
    return found


class _Pen:
    """Writes into tasks."""

    def __init__(
        self, defaults: Mapping[str, Any], options: LoadOptions, table: OperationTable
    ) -> None:
        self._defaults = defaults
        self._options = options
        self._table = table

    def task(self, task: dict[str, Any]) -> dict[str, Any]:
        """Return a task with what is said of it: nothing, if it is for no host."""
        if "hosts" not in task and "hosts" not in self._defaults:
            return task
        found = dict(task)
        if self._options.batch:
            found["batch"] = [Plain(size) for size in self._options.batch]
        sudo = task.get("sudo", self._defaults.get("sudo"))
        if sudo is None and self._options.sudo and self._takes_sudo(task):
            sudo = Plain("true")
        if sudo is not None:
            found["sudo"] = self._with_password(sudo)
        for key in _LISTS:
            if isinstance(task.get(key), list):
                found[key] = [self._step(one) for one in task[key]]
        return found

    def _step(self, step: Any) -> Any:
        """Return a step, which has the sudo of its task unless it says something else."""
        if not isinstance(step, dict) or "sudo" not in step:
            return step
        return {**step, "sudo": self._with_password(step["sudo"])}

    def _with_password(self, sudo: Any) -> Any:
        if not self._options.asks_sudo_password or not isinstance(sudo, str):
            return sudo
        if type(sudo) is Plain and sudo.lower() in ("false", "null", "~", ""):
            return sudo
        user = {} if type(sudo) is Plain and sudo.lower() == "true" else {"user": sudo}
        return {**user, "password": f"secrets.{SUDO_PASSWORD}"}

    def _takes_sudo(self, task: Mapping[str, Any]) -> bool:
        names = [key for key in task if key in self._table]
        return "steps" in task or any(
            field.name == "sudo" for name in names for field in fields(self._table[name].params)
        )
