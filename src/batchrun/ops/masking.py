"""Hide secrets in a stream that comes in pieces."""

import re

from batchrun.model.secret import HIDDEN, SHORTEST, Mask

__all__ = ["MaskedStream"]


class MaskedStream:
    """Hides secrets in a stream, also one that is cut in two by its pieces.

    What may be the beginning of a secret is held back until more has come, and nothing else is.
    """

    __slots__ = ("_covered", "_forms", "_held", "_pattern")

    def __init__(self, mask: Mask) -> None:
        self._forms = mask.forms
        self._pattern = re.compile(b"|".join(map(re.escape, mask.forms)))
        self._held = b""
        #: So many bytes at the beginning of `_held` are hidden already.
        self._covered = 0

    def feed(self, data: bytes) -> bytes:
        """Take a piece; return what may be shown now."""
        data = self._held + data
        return self._advance(data, self._open_end(data))

    def finish(self) -> bytes:
        """Return what was held back; most of a secret counts as one, its end may be cut off."""
        data = self._held
        shown = self._advance(data, len(data))
        if shown and any(_is_most_of(form, data) for form in self._forms):
            return HIDDEN.encode()
        return shown

    def _advance(self, data: bytes, limit: int) -> bytes:
        """Return the data up to the limit, with secrets hidden, and hold back the rest.

        Secrets that overlap are hidden as one: else the end of the second would be seen.
        """
        done = self._covered
        shown: list[bytes] = []
        if any(form in data for form in self._forms):
            at = 0
            while (match := self._pattern.search(data, at)) and match.start() < limit:
                if match.start() >= done:
                    shown += (data[done : match.start()], HIDDEN.encode())
                done = max(done, match.end())
                at = match.start() + 1
        if done < limit:
            shown.append(data[done:limit])
            done = limit
        self._held = data[limit:]
        self._covered = done - limit
        return b"".join(shown)

    def _open_end(self, data: bytes) -> int:
        """Find where the longest end begins that more bytes could make a secret of."""
        return min((_open_end_for(form, data) for form in self._forms), default=len(data))


def _open_end_for(form: bytes, data: bytes) -> int:
    """Find the longest end of the data that a form begins with; its length when none."""
    # Looking for the first few bytes of the form passes over nearly all places at once.
    first = form[:SHORTEST]
    at = max(0, len(data) - len(form) + 1)
    while (at := data.find(first, at)) >= 0:
        if form.startswith(data[at:]):
            return at
        at += 1
    for size in range(min(SHORTEST - 1, len(data)), 0, -1):
        if data.endswith(form[:size]):
            return len(data) - size
    return len(data)


def _is_most_of(form: bytes, data: bytes) -> bool:
    """Tell whether the data is the beginning of a form, and long enough to be told by."""
    return len(data) >= max(SHORTEST, (len(form) + 1) // 2) and form.startswith(data)
