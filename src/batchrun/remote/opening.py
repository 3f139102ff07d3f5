"""Listen to how a command on a host is begun: a machine fed with what both streams bring.

Words are looked for by hand: compiling an expression for words that are new each time took 1.5 ms
of each command.
"""

from typing import TYPE_CHECKING

from batchrun.remote.wrapper import Marks

if TYPE_CHECKING:
    from batchrun.ops.dialogue import Dialogue

__all__ = ["Opening"]

#: What is kept of what came before our words.
_KEPT_BYTES = 4096


class Opening:
    """Takes out what is said to us, and everything that was said before us.

    Args:
        marks: What is listened for.
        dialogue: Listens to sudo from the moment that the wrapper runs; None: nobody asks.
    """

    def __init__(self, marks: Marks, dialogue: "Dialogue | None" = None) -> None:
        self._dialogue = dialogue
        self._started = marks.started
        self._ready = marks.ready
        self._out: bytes | None = b""
        self._err: bytes | None = b""
        self._err_started = False
        self._begun = False
        #: The process that runs the wrapper, and then the command; None: not known yet.
        self.pid: int | None = None
        #: The end of what standard output, and standard error, brought before our words.
        self.noise = b""
        self.complaint = b""

    @property
    def begun(self) -> bool:
        """Whether the command itself runs."""
        return self._dialogue.has_begun if self._dialogue is not None else self._begun

    def hear_stdout(self, data: bytes) -> bytes:
        """Take a piece of standard output; return what of it is the command's."""
        if self._out is None:
            return data
        before, line, rest = _split(self._out + data, self._started)
        if not line.strip().isdigit():
            self._out = before[-_KEPT_BYTES:]
            self.noise = self._out
            return b""
        self.pid, self._out = int(line), None
        return rest

    def hear_stderr(self, data: bytes) -> bytes:
        """Take a piece of standard error; return what of it is to be seen."""
        if not self._err_started and self._err is not None:
            before, line, rest = _split(self._err + data, self._started)
            if not line:
                self._err = before[-_KEPT_BYTES:]
                self.complaint = self._err
                return b""
            self._err_started, self.complaint = True, b""
            self._err, data = b"", rest
        if self._dialogue is not None:
            return self._dialogue.hear(data)
        return data if self._err is None else self._until_ready(data)

    def flush(self) -> bytes:
        """Return what was held back of standard error; nothing more is heard."""
        if self._dialogue is not None:
            return self._dialogue.flush() if self._err_started else b""
        held, self._err = self._err or b"", None
        return held if self._err_started else b""

    def _until_ready(self, data: bytes) -> bytes:
        """Hold back everything until the command is begun: it is of sudo, or of the shell."""
        before, line, rest = _split((self._err or b"") + data, self._ready)
        if not line:
            self._err = before
            self.complaint = before[-_KEPT_BYTES:]
            return b""
        self._begun, self._err = True, None
        return before + rest


def _split(held: bytes, word: bytes) -> tuple[bytes, bytes, bytes]:
    """Split at a word of ours: what stands before, the rest of its line, what follows the line.

    The line is empty, and everything stands before it, when the word has not come whole.
    """
    at = held.find(word)
    end = held.find(b"\n", at) if at >= 0 else -1
    if end < 0:
        return held, b"", b""
    return held[:at], held[at + len(word) : end + 1], held[end + 1 :]
