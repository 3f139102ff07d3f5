"""What may stand on the Queue, beside the words of runners: one type for the loop to take."""

from dataclasses import dataclass, field
from typing import TypeAlias

from batchrun.engine.interrupt import SignalArrived
from batchrun.model.ports import RunnerEvent

__all__ = ["Message", "PauseAnswered", "SecretRead", "SourceReady"]


@dataclass(frozen=True, slots=True)
class SourceReady:
    """A stream that had nothing has something again."""

    task_id: str


@dataclass(frozen=True, slots=True)
class PauseAnswered:
    """A person has said whether the next wave of a task may begin."""

    task_id: str
    go_on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRead:
    """A secret was read, or cannot be."""

    name: str
    #: Never shown, not even in a log of messages.
    value: str = field(default="", repr=False)
    #: Why it cannot be had, as a sentence; empty: it was read.
    error: str = ""


#: Everything that may stand on the Queue.
Message: TypeAlias = RunnerEvent | SourceReady | SignalArrived | PauseAnswered | SecretRead
