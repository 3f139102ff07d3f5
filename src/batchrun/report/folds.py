"""Hosts put together by what their commands wrote, however many and however much.

Of each different output the first copy waits, in memory or in a file; of the others only a hash is
made. So memory grows with the number of hosts, by a name for each, and with nothing else.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from batchrun.model.outcome import Captured, Failed, Ok, Outcome
from batchrun.report.linebuffer import MOST_OF_LINE
from batchrun.report.masks import masked
from batchrun.report.waiting import Place, Waiting
from batchrun.report.whole import pieces

__all__ = ["Fold", "Folds"]

#: How a command ended: kind of outcome, exit status, signal.
Ending: TypeAlias = tuple[str, int | None, int | None]


@dataclass(slots=True, kw_only=True)
class Fold:
    """Hosts that ended alike and wrote the same."""

    place: Place
    #: A hash of what they wrote.
    digest: bytes
    #: The first of them.
    first: bytes
    #: Their names, each once, in the order in which they came.
    hosts: dict[str, None] = field(default_factory=dict)


class Folds:
    """A fold of outputs of one stream.

    Args:
        mask: Outputs are the same when they differ in nothing but numbers, dates, times and the
            host's own name.
    """

    def __init__(self, *, mask: bool = False) -> None:
        self._mask = mask
        self._waiting = Waiting()
        self._folds: dict[tuple[Ending, bytes], Fold] = {}

    def add(self, name: str, outcome: Outcome, captured: Captured) -> None:
        """Take what a host wrote; nothing is nothing.

        Args:
            name: The host's.
            outcome: How its command ended.
            captured: What it wrote to this stream.

        Raises:
            OSError: the file that holds it cannot be read.
        """
        if not captured and not any(captured.parts):
            return
        host = name.encode("utf-8", "surrogateescape")
        digest = self._digest(captured, host)
        key = (_ending(outcome), digest)
        fold = self._folds.get(key)
        if fold is None:
            place = self._waiting.put(captured)
            fold = self._folds[key] = Fold(place=place, digest=digest, first=host)
        fold.hosts[name] = None

    def biggest_first(self) -> list[Fold]:
        """Return all of them; of equally many hosts in the order in which they came."""
        return sorted(self._folds.values(), key=lambda fold: -len(fold.hosts))

    def lines(self, fold: Fold) -> Iterator[bytes]:
        """Read what one of them wrote, once, without newlines; a long line in pieces."""
        for line in _lines(self._waiting.take(fold.place)):
            yield masked(line, fold.first) if self._mask else line

    @property
    def problem(self) -> str:
        """Why an output could not be kept whole; empty: all could."""
        return self._waiting.problem

    def close(self) -> None:
        """Let go of what waited; never raises."""
        self._waiting.close()

    def _digest(self, captured: Captured, host: bytes) -> bytes:
        digest = hashlib.sha256(usedforsecurity=False)
        if self._mask:
            for line in _lines(pieces(captured)):
                digest.update(masked(line, host) + b"\n")
        else:
            for piece in pieces(captured):
                digest.update(piece)
        return digest.digest()


def _ending(outcome: Outcome) -> Ending:
    status = outcome.exit_status if isinstance(outcome, Ok | Failed) else None
    return outcome.kind, status, outcome.signal if isinstance(outcome, Failed) else None


def _lines(found: Iterator[bytes]) -> Iterator[bytes]:
    """Cut pieces into lines; what follows the last newline is one, too, if there is any of it."""
    rest = b""
    for piece in found:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        while len(rest) > MOST_OF_LINE:
            yield rest[:MOST_OF_LINE]
            rest = rest[MOST_OF_LINE:]
    if rest:
        yield rest
