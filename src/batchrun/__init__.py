"""Run many file operations and commands from one YAML job file, in parallel."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from batchrun.api import RunResult, load, run

__all__ = ["RunResult", "__version__", "load", "run"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import the API when it is first used: workers and `--version` never need it."""
    if name in {"RunResult", "load", "run"}:
        return getattr(import_module("batchrun.api"), name)
    message = f"module 'batchrun' has no attribute {name!r}"
    raise AttributeError(message)
