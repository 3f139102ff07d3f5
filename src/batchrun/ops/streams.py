"""One stream of a running command: secrets are hidden first, then it is kept."""

from typing import TYPE_CHECKING

from batchrun.ops.capture import Capture

if TYPE_CHECKING:
    from batchrun.model.secret import Mask
    from batchrun.ops.dialogue import Dialogue
    from batchrun.ops.masking import MaskedStream

__all__ = ["Stream"]

_LONG_NAMES = {"stdout": "standard output", "stderr": "standard error"}


class Stream:
    """What was read of one stream.

    Args:
        name: `stdout` or `stderr`.
        sizes: Bytes kept of the beginning and of the end.
        spool: Beginning of the name of a file for all of it; empty: none.
        mask: Hides secrets; None: there are none.
        dialogue: Listens, and takes out what is said to it; None: nobody does.
    """

    __slots__ = ("_dialogue", "_mask", "capture", "name")

    def __init__(
        self,
        name: str,
        sizes: tuple[int, int],
        spool: str,
        mask: "Mask | None",
        dialogue: "Dialogue | None" = None,
    ) -> None:
        self.name = name
        self._dialogue = dialogue
        self.capture = Capture(*sizes, spool and f"{spool}.{name}")
        self._mask: MaskedStream | None = None
        if mask is not None:
            from batchrun.ops import masking  # noqa: PLC0415 - few units have secrets

            self._mask = masking.MaskedStream(mask)

    @property
    def long_name(self) -> str:
        """Its name for people."""
        return _LONG_NAMES[self.name]

    @property
    def problem(self) -> str:
        """Why it could not be kept whole, as a sentence; empty: it was, or need not be."""
        reason = self.capture.problem
        return reason and (
            f"Its {self.long_name} could not be kept whole: {reason}; "
            "only the beginning and the end are."
        )

    def feed(self, data: bytes) -> bytes:
        """Keep a piece; return what may be seen of it now."""
        if self._dialogue is not None:
            data = self._dialogue.hear(data)
        return self._keep(data)

    def _keep(self, data: bytes) -> bytes:
        if self._mask is not None:
            data = self._mask.feed(data)
        if data:
            self.capture.feed(data)
        return data

    def finish(self) -> bytes:
        """Keep and return what was held back: a secret, or a word, might have begun there."""
        shown = b"" if self._dialogue is None else self._keep(self._dialogue.flush())
        if self._mask is None:
            return shown
        data = self._mask.finish()
        if data:
            self.capture.feed(data)
        return shown + data

    def discard(self) -> None:
        """Leave no file behind."""
        self.capture.discard()
