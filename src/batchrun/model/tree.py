"""Operations too large for one worker: chunks go out, answers come back, an ending comes of it.

operation in a worker ──Done(spread=Spread)──► engine ──Chunk──► any worker ──Done(answer)──►
                                                 ▲                                          │
                                                 └────────── TreeOperation.absorb ◄─────────┘
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from batchrun.model.operation import Done

__all__ = ["Chunk", "Progress", "Spread", "TreeOperation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """An operation's word that it has done a part and that others may help with the rest."""

    #: Makes the TreeOperation of it: `package.module:CLASS`, called with `seed`.
    coordinator: str
    #: What it needs to know; standard types only, because it crosses from a worker.
    seed: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of a tree operation that one worker takes at a time; safe to be done twice."""

    #: Its place among the chunks of its operation, from 1; another one when it is repeated.
    number: int
    #: Works on it: `package.module:FUNCTION`, called with `payload` and a Context; returns Done.
    function: str
    #: What to do; standard types only.
    payload: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a tree operation has come."""

    #: Files and other entries that were worked on.
    files_done: int
    #: How much of the whole that is, from 0 to 1: as long as not everything has been seen, by
    #: what is known.
    share: float


class TreeOperation(Protocol):
    """What a tree operation is to the engine: a pure machine without files, clock or processes.

    All methods are called from the aggregator's thread and must return soon. Every chunk taken
    is answered by exactly one of `absorb`, `lose`, `give_back` and `drop`.
    """

    def take(self) -> Chunk | None:
        """Return the next chunk to work on; None: none now, or none any more."""

    def absorb(self, chunk: Chunk, done: "Done") -> None:
        """Take in what came of a chunk that went well."""

    def lose(self, chunk: Chunk, number: int, message: str) -> None:
        """Take note that the worker of a chunk died; it will be given out again, or given up.

        Args:
            chunk: Which.
            number: Of its order, which is in the names of temporary files that are left.
            message: How it died, as a sentence.
        """

    def give_back(self, chunk: Chunk) -> None:
        """Take a chunk back that no worker has begun."""

    def drop(self, chunk: Chunk) -> None:
        """Take note that a chunk was ended before its time: the operation will not be completed."""

    def stop(self) -> None:
        """Take note that the operation ends before its time; only what cleans up is given out."""

    @property
    def progress(self) -> "Progress":
        """How far it has come, by what has been absorbed."""

    @property
    def over(self) -> bool:
        """Whether nothing is out and nothing is left to be given out."""

    def result(self) -> "Done":
        """Return how the operation ended; called once, when it is over and was not stopped."""
