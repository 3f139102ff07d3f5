"""What a worker is given when it starts, open files included."""

from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from typing import Any

from batchrun.model.unit import RunSettings

__all__ = ["Handed", "Setup"]


class Handed:
    """Descriptors that a worker holds open until it dies.

    They are pickled only while a worker is started, and it gets the same open files, not others
    of the same name: a kernel lock on one lasts until all who have it are gone.
    """

    __slots__ = ("descriptors",)

    def __init__(self, *descriptors: int) -> None:
        self.descriptors = descriptors

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, tuple(map(DupFd, self.descriptors))


def _received(*passed: Any) -> Handed:
    return Handed(*(one.detach() for one in passed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What every worker of a pool is given."""

    settings: RunSettings
    #: `module:ATTRIBUTE` of the operations.
    table: str
    #: The board on which it notes what it runs, then what it only holds open; or nothing at all.
    handed: Handed
