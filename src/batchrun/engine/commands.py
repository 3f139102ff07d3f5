"""What the scheduler tells the engine to do."""

from dataclasses import dataclass
from typing import TypeAlias

from batchrun.model.event import Event
from batchrun.model.host import Host
from batchrun.model.unit import Order

__all__ = ["AskPause", "Close", "Command", "Forget", "Open", "StopUnit", "Withdraw"]


@dataclass(frozen=True, slots=True)
class Open:
    """Open the stream of this task, then call `opened` or `source_failed`."""

    task_id: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the stream of this task: nothing more is drawn from it."""

    task_id: str


@dataclass(frozen=True, slots=True)
class StopUnit:
    """Ask the runner to end this unit; `urgent`: without waiting for what it does at its end."""

    number: int
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Ask the runner for everything that it has not begun."""


@dataclass(frozen=True, slots=True)
class AskPause:
    """Ask a person whether the next wave of this task may begin, then call `answered`."""

    task_id: str
    question: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Let the connection to a host go: it has no unit any more, and will have none."""

    host: Host


Command: TypeAlias = Open | Close | Order | StopUnit | Withdraw | AskPause | Forget | Event
