"""Who runs units on hosts: made when a job has hosts, and not before."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from batchrun.api.config import RunConfig
from batchrun.engine.routing import Routing
from batchrun.engine.unit import find
from batchrun.model.job import DEFAULT_FANOUT, Job
from batchrun.model.ports import Runner
from batchrun.model.unit import RunSettings

if TYPE_CHECKING:
    from batchrun.engine.threads import SshThreads
    from batchrun.model.session import Connector

__all__ = ["Fleet"]

#: Makes the connector, when the caller brings none; imported with the first host.
_CONNECTOR = "batchrun.remote.connecting:connector"
#: Reads the SSH configuration for it.
_CONFIG = "batchrun.remote.connecting:ssh_config"
#: The operations on hosts.
_TABLE = "batchrun.remote:OPERATIONS"


class Fleet:
    """What a run needs for its hosts; a job without any makes and imports nothing.

    Args:
        job: Whose tasks may be on hosts.
        config: How it is run.
        host_key: What the job file says about hosts whose key is not known; empty: nothing.
    """

    def __init__(self, job: Job, config: RunConfig, host_key: str = "") -> None:
        self._config = config
        self._host_key = host_key
        self._connector: Connector | None = None
        self._ignored: Callable[[], Sequence[str]] = tuple
        wanted = config.fanout or job.fanout or DEFAULT_FANOUT
        self._fanout = wanted
        if any(task.on_hosts for task in (*job.tasks, *job.final_tasks)):
            self._fanout = min(wanted, self._connect().most)
        #: The job, with the number of hosts that can be had at once.
        self.job = replace(job, fanout=self._fanout)
        #: What people should know of it.
        self.notes: tuple[str, ...] = ()
        if self._fanout < wanted:
            why = "this process may not have more open files (`ulimit -n`)"
            self.notes = (f"{self._fanout} hosts at once instead of {wanted}: {why}",)

    def routed(
        self,
        make_local: Callable[[], Runner],
        slots: int,
        settings: RunSettings,
        queue: "SimpleQueue[Any]",
    ) -> Routing:
        """Put the runner for hosts beside the one for this machine, which has so many slots."""

        def make() -> "SshThreads":
            from batchrun.engine.threads import SshThreads  # noqa: PLC0415 - with the first unit

            return SshThreads(settings, queue, _TABLE, self._connect(), self._fanout)

        routing = Routing(make_local, slots, make)
        if any(not task.on_hosts for task in (*self.job.tasks, *self.job.final_tasks)):
            routing.local()  # what keeps it from being made is told before anything runs
        return routing

    def last_words(self) -> Sequence[str]:
        """Say what of the SSH configuration was not honoured: known when hosts were reached."""
        return self._ignored()

    def _connect(self) -> "Connector":
        """Make the connector, once."""
        if self._connector is None:
            self._connector = (self._config.connector or self._over_ssh)()
        return self._connector

    def _over_ssh(self) -> "Connector":
        """Make what connects over SSH; what the command line says wins over the job file."""
        access = self._config.access
        access = replace(access, host_key=access.host_key or self._host_key)
        config = find(_CONFIG)(access)
        self._ignored = config.ignored_options
        made: Connector = find(_CONNECTOR)(config, self._config.password, access.connect_timeout_s)
        return made
