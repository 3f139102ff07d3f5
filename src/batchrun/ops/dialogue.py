"""What sudo(8) is told over its standard input, and when: a machine fed with what it says.

    sudo ──prompt word──► the password      once, and not before it is asked for: where sudo needs
                                            none, the command itself would read it
    sh   ──ready word───► the environment   a shell behind sudo, so the password is no longer due
    sh   ──ready word───► standard input    the environment was read to its end; from here on
                                            standard error is the command's, and nobody listens

The words are made of chance for each command, and are taken out of what is shown. Until the second
ready word only whole lines are passed on: what sudo leaves unfinished is a prompt.

Promised: sudo is never left waiting. Asked for the password again, or for something else, or
silent for a minute, it finds its standard input closed; what then still does not end is for the
caller to end. What is *not* guaranteed: sudo puts our prompt in the place of every question, so
where something else than the password is asked for first, the password is the answer to that.
"""

import os
import re
import select
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial

__all__ = ["Dialogue", "Speaker", "Words"]

#: Asking a directory service, or somebody's telephone, may take sudo a while.
_SILENCE_S = 60.0
#: An unfinished line is a prompt; a message is written in one go, or nearly so.
_PROMPT_S = 5.0
#: For sudo to end when there is nothing more to be read.
_LEAVE_S = 10.0
#: What is kept of an unfinished line.
_LONGEST_PROMPT = 4096
_PIECE_BYTES = 64 * 1024
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What sudo and the shell behind it are made to say."""

    prompt: bytes
    #: Written as one word. On the command line they are two, because sudo quotes that when it
    #: refuses to run it, and must not be mistaken for the shell.
    ready: tuple[bytes, bytes]

    @classmethod
    def fresh(cls) -> "Words":
        """Make words that nothing else will say; no `%` is in them, which prompts expand."""
        chance = os.urandom(24).hex().encode()
        one, two, three = chance[:16], chance[16:32], chance[32:]
        return cls(prompt=b"batchrun-" + one, ready=(two, three))


class _Stage(IntEnum):
    """How far it is."""

    NOTHING_SAID = 0
    ANSWERED = 1
    READY = 2
    BEGUN = 3


class Dialogue:
    """Tells sudo what it has to be told.

    Args:
        words: What is listened for.
        password: Without a line end.
        parts: The environment, as the shell behind sudo reads it, and the standard input.
        clock: The monotonic clock.
    """

    def __init__(
        self,
        words: Words,
        password: bytes,
        parts: tuple[bytes, bytes],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._words = words
        self._password = password
        self._parts = parts
        self._clock = clock
        prompt, ready = re.escape(words.prompt), re.escape(b"".join(words.ready))
        # Some write our prompt into a longer one; what follows it on the line belongs to that.
        self._pattern = re.compile(b"(%b)[^\n]*|%b\r?\n" % (prompt, ready))
        self._stage = _Stage.NOTHING_SAID
        #: The unfinished line.
        self._held = b""
        self._heard_at = clock()
        #: It has said something since it got the password: that is how a wrong one is answered.
        self._commented = False
        self._due: deque[memoryview] = deque()
        #: All is said, or nothing more will be.
        self._over = False
        #: Why sudo is told nothing more, as a part of a sentence; empty: all is well.
        self.trouble = ""

    @property
    def reached_shell(self) -> bool:
        """Whether sudo has let anything begin."""
        return self._stage >= _Stage.READY

    @property
    def has_begun(self) -> bool:
        """Whether the command itself runs: from here on nothing is listened for."""
        return self._has_begun()

    @property
    def wants_to_speak(self) -> bool:
        """Whether there is something to be written."""
        return bool(self._due)

    @property
    def is_over(self) -> bool:
        """Whether everything was said, so that standard input ends."""
        return self._over and not self._due

    def hear(self, data: bytes) -> bytes:
        """Take a piece of standard error; return what is to be seen of it."""
        if self._has_begun():
            return data
        self._heard_at = self._clock()
        if self._stage is _Stage.ANSWERED and not self._held:
            data = data.removeprefix(b"\n")  # some end the line of the prompt themselves
        self._held += data
        seen: list[bytes] = []
        while not self._has_begun() and (found := self._pattern.search(self._held)):
            before, self._held = self._held[: found.start()], self._held[found.end() :]
            seen.append(self._lines(before)[0])
            if found[1]:
                self._asked()
            else:
                self._at_shell()
        if self._has_begun():
            rest, self._held = self._held, b""
        else:
            rest, self._held = self._lines(self._held)
        return b"".join((*seen, rest))

    def flush(self) -> bytes:
        """Return the line that was never finished; nothing more is heard."""
        rest, self._held = self._without_words(self._held), b""
        return rest

    def due_at(self) -> float | None:
        """When to `look` again though nothing was heard; None: no need to."""
        if self.reached_shell and not self.trouble:
            return None
        return self._heard_at + self._patience_s()

    def look(self) -> bool:
        """Lose patience if it is time to; return False when sudo has to be ended."""
        due_at = self.due_at()
        if due_at is None or self._clock() < due_at:
            return True
        if self.trouble:
            return False
        if self._held:
            prompt = self._held.decode("utf-8", "replace").strip()[:_SHOWN_CHARACTERS]
            self._give_up(f"it asks for something else than the password: {prompt!r}")
        else:
            self._give_up(
                f"it neither asked for the password nor began the command in {_SILENCE_S:.0f} s"
            )
        return True

    def speak(self, write: Callable[[memoryview], int]) -> None:
        """Write what is due, as far as it is taken.

        Args:
            write: Takes some of a piece and returns how much; raises `BlockingIOError` when there
                is no room now, `BrokenPipeError` when nobody reads any more.
        """
        try:
            while self._due:
                self._due[0] = self._due[0][write(self._due[0][:_PIECE_BYTES]) :]
                if not self._due[0]:
                    self._due.popleft()
        except BlockingIOError:
            return
        except BrokenPipeError:  # nobody reads any more
            self._due.clear()
            self._over = True

    def _has_begun(self) -> bool:
        return self._stage is _Stage.BEGUN

    def _asked(self) -> None:
        """Give the password, the first time."""
        if self._stage is _Stage.NOTHING_SAID:
            self._stage = _Stage.ANSWERED
            self._say(self._password + b"\n")
        elif not self.reached_shell:
            wrong, more = "the password was not accepted", "it asks for more than the password"
            self._give_up(wrong if self._commented else more)

    def _at_shell(self) -> None:
        """Tell the shell behind sudo what it wants next."""
        first = not self.reached_shell
        self._stage = _Stage.READY if first else _Stage.BEGUN
        if not self._over:
            self._say(self._parts[0] if first else self._parts[1])
            self._over = not first

    def _say(self, data: bytes) -> None:
        if data:
            self._due.append(memoryview(data))

    def _give_up(self, why: str) -> None:
        self.trouble = self.trouble or why
        self._over = True
        self._due.clear()
        self._heard_at = self._clock()

    def _patience_s(self) -> float:
        if self.trouble:
            return _LEAVE_S
        return _PROMPT_S if self._held else _SILENCE_S

    def _lines(self, data: bytes) -> tuple[bytes, bytes]:
        """Split what was said into whole lines, as they may be seen, and the rest."""
        lines, newline, rest = data.rpartition(b"\n")
        if self._stage is _Stage.ANSWERED and lines.strip():
            self._commented = True
        return self._without_words(lines + newline), rest[-_LONGEST_PROMPT:]

    def _without_words(self, data: bytes) -> bytes:
        """Take out the halves that stand in a command line which sudo quotes."""
        for half in self._words.ready:
            data = data.replace(b" " + half, b"")
        return data


class Speaker:
    """Writes what a dialogue has to say into a pipe, in step with somebody's poll.

    Args:
        fd: The writing end, which does not block; closed when all is said.
        dialogue: What is said.
    """

    def __init__(self, fd: int, dialogue: Dialogue) -> None:
        #: Hears the other side.
        self.dialogue = dialogue
        self._fd = fd
        #: Where the pipe is polled, while there is something to be written.
        self._poll: select.poll | None = None

    def attend(self, poll: select.poll) -> None:
        """Say what is due now, and end standard input after the last of it.

        Args:
            poll: Has the pipe in it from here on until all that is due was written.
        """
        if self._fd < 0:
            return
        self.dialogue.speak(partial(os.write, self._fd))
        if self.dialogue.is_over:
            self.close()
        elif not self.dialogue.wants_to_speak:
            self._leave_poll()
        elif self._poll is None:
            poll.register(self._fd, select.POLLOUT)
            self._poll = poll

    def close(self) -> None:
        """Say nothing more."""
        if self._fd < 0:
            return
        self._leave_poll()
        os.close(self._fd)
        self._fd = -1

    def _leave_poll(self) -> None:
        if self._poll is not None:
            self._poll.unregister(self._fd)
            self._poll = None
