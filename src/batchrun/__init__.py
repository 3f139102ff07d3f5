"""Run many file operations and commands from one YAML job file, in parallel.

>>> import tempfile, batchrun
>>> text = "tasks: [{id: make, foreach: [a, b], mkdir: 'made/{{ item }}'}]"
>>> with tempfile.TemporaryDirectory() as directory:
...     job = batchrun.load_text(text, file="job.yml", base_dir=directory)
...     result = batchrun.run(job, procs=0)
>>> result.ok, result.counts.total.ended["ok"], result.counts.total.changed
(True, 2, 2)

With worker processes (`procs` other than 0) the program's main file is imported by each of
them, as by `multiprocessing`: call `run` under `if __name__ == "__main__":` there.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchrun.api import (
        Continuation,
        LoadedJob,
        LoadOptions,
        RunConfig,
        RunResult,
        Wanted,
        continuation,
        load,
        load_text,
        operations,
        run,
    )
    from batchrun.errors import BatchrunError, JobFileError, UsageError
    from batchrun.model.event import Event
    from batchrun.model.operation import Operation
    from batchrun.model.ports import Sink, Ticker

__all__ = [
    "BatchrunError",
    "Continuation",
    "Event",
    "JobFileError",
    "LoadOptions",
    "LoadedJob",
    "Operation",
    "RunConfig",
    "RunResult",
    "Sink",
    "Ticker",
    "UsageError",
    "Wanted",
    "__version__",
    "continuation",
    "load",
    "load_text",
    "operations",
    "run",
]

__version__ = "0.1.0"

#: Where each name comes from.
_HOMES = {
    "batchrun.api": (
        "Continuation", "LoadOptions", "LoadedJob", "RunConfig", "RunResult", "Wanted",
        "continuation", "load", "load_text", "operations", "run",
    ),
    "batchrun.errors": ("BatchrunError", "JobFileError", "UsageError"),
    "batchrun.model.event": ("Event",),
    "batchrun.model.operation": ("Operation",),
    "batchrun.model.ports": ("Sink", "Ticker"),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import the API when it is first used: workers and `--version` never need it."""
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    message = f"module 'batchrun' has no attribute {name!r}"
    raise AttributeError(message)
