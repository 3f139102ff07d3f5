"""Run a text of ours on a host and read its answer: what operations on files are made of."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from batchrun.errors import OperationError
from batchrun.model.session import HostContext
from batchrun.model.values import Doc, Mark
from batchrun.ops.paths import shown
from batchrun.ops.sudo import NO_SUDO, SudoValue
from batchrun.remote.hearing import Tail
from batchrun.remote.launch import HostCommand, mark_of, run_there
from batchrun.remote.talk import Source

__all__ = ["NO_PIPES", "Answer", "Pipes", "SudoField", "ask", "ask_all", "batches", "complaint"]

SudoField = Annotated[
    SudoValue,
    Doc(
        "Do it by sudo there: true as root, or the name of a user; with a password, a mapping with "
        "`password: secrets.NAME` and perhaps `user`."
    ),
    Mark.SUDO,
]

#: An answer is a few lines; a list of files goes to a sink of its own.
_LONGEST_ANSWER = 64 * 1024 * 1024
#: One word of a command line can be 128 KiB long on Linux, and the text is one.
_LONGEST_WORDS = 64 * 1024
_PLAIN: Mapping[bytes, bytes] = {b"LC_ALL": b"C"}
_MOST_LINES = 2
_MOST_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How a text of ours ended."""

    status: int
    stdout: bytes
    #: The last lines of standard error, on one line; empty: it wrote nothing there.
    complaint: str
    #: The end of standard error.
    stderr: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipes:
    """What a text of ours reads and writes beside an answer of a few lines."""

    #: What it reads; None: nothing.
    source: Source | None = None
    #: Gets what it writes to standard output; None: that is kept.
    sink: Callable[[bytes], None] | None = None


NO_PIPES = Pipes()


def ask(
    text: bytes,
    context: HostContext,
    sudo: SudoValue = NO_SUDO,
    *,
    pipes: Pipes = NO_PIPES,
    env: Mapping[bytes, bytes] = _PLAIN,
) -> Answer:
    """Have sh(1) on the host run a text to its end.

    Args:
        text: Whole; what is quoted in it was quoted by the caller.
        context: The unit's.
        sudo: As whom.
        pipes: What it reads, and where its output goes.
        env: Variables for it; without them it speaks no other language than that of its author.

    Raises:
        OperationError: it was not begun, or killed there; the connection broke.
        UnitStoppedError: the unit has to stop; the text was ended, as far as could be.
    """
    ears = _Ears(pipes.sink)
    command = HostCommand(
        argv=("/bin/sh", "-c", os.fsdecode(text)),
        env=env,
        sudo=sudo,
        source=pipes.source,
        mark=mark_of(context),
    )
    begun = run_there(command, context, ears)
    if begun.stopped is not None:
        raise begun.stopped
    ending = begun.ending
    if ending is None or ending.exit_status is None:
        signal = f" by signal {ending.signal}" if ending is not None and ending.signal else ""
        message = f"what was to do it on the host was killed{signal}"
        raise OperationError(message)
    return Answer(
        status=ending.exit_status,
        stdout=bytes(ears.heard),
        complaint=complaint(ears.tail.lines()),
        stderr=ears.tail.data,
    )


def complaint(lines: Sequence[str]) -> str:
    """Put the last lines that a program wrote on one line, as people may see them."""
    return shown(" / ".join(line.strip() for line in lines[-_MOST_LINES:]))[:_MOST_CHARACTERS]


def batches(words: Sequence[bytes]) -> list[list[bytes]]:
    """Split words so that each part has room on a command line; keeps the order."""
    parts: list[list[bytes]] = [[]]
    room = _LONGEST_WORDS
    for word in words:
        if len(word) >= room and parts[-1]:
            parts.append([])
            room = _LONGEST_WORDS
        parts[-1].append(word)
        room -= len(word) + 1
    return parts if parts[-1] else []


def ask_all(
    text: bytes, words: Sequence[bytes], context: HostContext, sudo: SudoValue
) -> list[Answer]:
    """Run a text with words as `$1`, `$2`, ...; several times when they are too many for one."""
    return [
        ask(b"set -- " + b" ".join(part) + b"\n" + text, context, sudo) for part in batches(words)
    ]


class _Ears:
    """Keeps what a text of ours says."""

    def __init__(self, sink: Callable[[bytes], None] | None) -> None:
        self.heard = bytearray()
        self.tail = Tail()
        self._sink = sink

    def stdout(self, data: bytes) -> bool:
        if self._sink is not None:
            self._sink(data)
            return True
        self.heard += data
        if len(self.heard) > _LONGEST_ANSWER:
            message = "the host says more than can be kept"
            raise OperationError(message)
        return True

    def stderr(self, data: bytes) -> bool:
        self.tail.feed(data)
        return True
