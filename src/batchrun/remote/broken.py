"""Turn a connection that broke while an operation ran into its outcome: `lost`."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from batchrun.model.operation import Done
from batchrun.model.outcome import Lost
from batchrun.model.session import HostContext
from batchrun.remote.talk import BrokenError

__all__ = ["broken_is_lost", "lost"]

_P = TypeVar("_P")


def lost(error: BrokenError, context: HostContext) -> Lost:
    """Say what is known."""
    return Lost(message=f"{error}; how far it got on {context.host.name} is not known")


def broken_is_lost(
    operation: Callable[[_P, HostContext], Done],
) -> Callable[[_P, HostContext], Done]:
    """Wrap the function of an operation."""

    @wraps(operation)
    def perform(params: _P, context: HostContext) -> Done:
        try:
            return operation(params, context)
        except BrokenError as error:
            return Done(outcome=lost(error, context))

    return perform
