"""Listen to how a command on a host is begun: a machine fed with what both streams bring."""

import re
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
        self._started_out = re.compile(re.escape(marks.started) + rb" (\d+)\r?\n")
        self._started_err = re.compile(re.escape(marks.started) + rb"\r?\n")
        self._ready = re.compile(re.escape(marks.ready) + rb"\r?\n")
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
        held = self._out + data
        found = self._started_out.search(held)
        if found is None:
            self._out = held[-_KEPT_BYTES:]
            self.noise = self._out
            return b""
        self.pid, self._out = int(found[1]), None
        return held[found.end() :]

    def hear_stderr(self, data: bytes) -> bytes:
        """Take a piece of standard error; return what of it is to be seen."""
        if not self._err_started and self._err is not None:
            held = self._err + data
            found = self._started_err.search(held)
            if found is None:
                self._err = held[-_KEPT_BYTES:]
                self.complaint = self._err
                return b""
            self._err_started, self.complaint = True, b""
            self._err, data = b"", held[found.end() :]
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
        held = (self._err or b"") + data
        found = self._ready.search(held)
        if found is None:
            self._err = held
            self.complaint = held[-_KEPT_BYTES:]
            return b""
        self._begun, self._err = True, None
        return held[: found.start()] + held[found.end() :]
