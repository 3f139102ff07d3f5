"""The front door for programs: load a job file, run it, get a result.

`load` and `run` merge the tables of operations and wire source, engine, runner and sinks; the
command line does nothing that cannot be done with them. Each name is imported when it is first
used: whoever only loads a job needs nothing of what runs one.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchrun.api.config import RunConfig, Words
    from batchrun.api.continuing import Continuation, Wanted, continuation
    from batchrun.api.hosts import HostList, find_hosts, look_up
    from batchrun.api.loading import host_operations, load, load_text, operations
    from batchrun.api.running import new_run_id, run
    from batchrun.engine.options import RunResult
    from batchrun.jobfile import LoadOptions
    from batchrun.jobfile.loaded import LoadedJob
    from batchrun.model.access import HostAccess

__all__ = [
    "Continuation",
    "HostAccess",
    "HostList",
    "LoadOptions",
    "LoadedJob",
    "RunConfig",
    "RunResult",
    "Wanted",
    "Words",
    "continuation",
    "find_hosts",
    "host_operations",
    "load",
    "load_text",
    "look_up",
    "new_run_id",
    "operations",
    "run",
]


#: Where each name comes from.
_HOMES = {
    "batchrun.api.config": ("RunConfig", "Words"),
    "batchrun.api.continuing": ("Continuation", "Wanted", "continuation"),
    "batchrun.api.hosts": ("HostList", "find_hosts", "look_up"),
    "batchrun.api.loading": ("host_operations", "load", "load_text", "operations"),
    "batchrun.api.running": ("new_run_id", "run"),
    "batchrun.engine.options": ("RunResult",),
    "batchrun.jobfile": ("LoadOptions",),
    "batchrun.jobfile.loaded": ("LoadedJob",),
    "batchrun.model.access": ("HostAccess",),
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used."""
    for module, names in _HOMES.items():
        if name in names:
            found = globals()[name] = getattr(import_module(module), name)
            return found
    message = f"module 'batchrun.api' has no attribute {name!r}"
    raise AttributeError(message)
