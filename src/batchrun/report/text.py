"""How things are written for people: harmless on any terminal, grouped, coloured, cut to width."""

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

# The words of reports for quantities are those of messages, too.
from batchrun.model.quantities import count, size

__all__ = [
    "PLAIN",
    "Fd",
    "Palette",
    "count",
    "decode",
    "duration",
    "measure",
    "shorten",
    "size",
    "visible",
    "wants_colour",
]

#: What is never shown as it is, beside tabs: controls of both sets, direction overrides and other
#: invisible format characters, line and paragraph separators, tags, lone surrogates. The joiners
#: U+200C and U+200D stay: scripts and emoji need them, and they move nothing around.
_HIDDEN = (
    r"\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e007f\ud800-\udfff"
)
_UNSAFE = re.compile(f"[\t{_HIDDEN}]")
_UNSAFE_BUT_TABS = re.compile(f"[{_HIDDEN}]")

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str, *, keep_tabs: bool = False) -> str:
    r"""Replace everything that could act on a terminal, or break a line, by a visible escape.

    A backslash stays as it is: the result is for people, not for reading back.

    >>> visible("a\x1b[2Jb\n"), visible("caf\udce9")
    ('a\\x1b[2Jb\\n', 'caf\\xe9')
    """
    if text.isprintable():
        return text
    return (_UNSAFE_BUT_TABS if keep_tabs else _UNSAFE).sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    """Write one character as an escape; a byte kept as a surrogate as that byte."""
    char = match[0]
    if char in _NAMED:
        return _NAMED[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def decode(line: bytes) -> str:
    r"""Write a line of a command's output; tabs stay, a carriage return at its end goes.

    >>> decode(b"50%\r100%\r")
    '50%\\r100%'
    """
    return visible(line.removesuffix(b"\r").decode("utf-8", "surrogateescape"), keep_tabs=True)


def duration(seconds: float) -> str:
    """Write how long something takes, with about three digits.

    >>> duration(0.0123), duration(10), duration(41.23), duration(192), duration(3900)
    ('12 ms', '10 s', '41.2 s', '3 min 12 s', '1 h 05 min')
    """
    if seconds < 0.0995:
        return f"{max(seconds, 0.0) * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    if seconds < 3599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    if seconds == math.inf:
        return "for ever"
    if seconds < 86370:
        hours, rest = divmod(round(seconds / 60), 60)
        return f"{hours} h {rest:02d} min"
    days, rest = divmod(round(seconds / 3600), 24)
    return f"{count(days)} d {rest:02d} h"


def measure(text: str) -> int:
    """Return how many columns a visible text takes; wide characters take two, marks none."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(char: str) -> int:
    """Return how many columns one character takes."""
    if char in "\u200c\u200d" or unicodedata.category(char) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def shorten(text: str, columns: int, *, keep_end: bool = False) -> str:
    """Cut a visible text to a number of columns, with `...` where something is missing.

    >>> shorten("/data/exports/b.csv", 12), shorten("/data/exports/b.csv", 12, keep_end=True)
    ('/data/exp...', '...rts/b.csv')
    """
    if measure(text) <= columns:
        return text
    room = columns - 3
    if room <= 0:
        return "."[:columns] * max(columns, 0)
    kept = 0
    for char in reversed(text) if keep_end else text:
        room -= _columns(char)
        if room < 0:
            break
        kept += 1
    return "..." + text[len(text) - kept :] if keep_end else text[:kept] + "..."


@dataclass(frozen=True, slots=True)
class Palette:
    """The few colours in use; all of them do nothing when switched off."""

    enabled: bool

    def green(self, text: str) -> str:
        """Paint what went well."""
        return self._paint("32", text)

    def yellow(self, text: str) -> str:
        """Paint what changed, and warnings."""
        return self._paint("33", text)

    def red(self, text: str) -> str:
        """Paint what failed."""
        return self._paint("31", text)

    def _paint(self, code: str, text: str) -> str:
        """Put a colour around a text."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.enabled and text else text


PLAIN = Palette(enabled=False)


class Fd(Protocol):
    """As much of a stream as it takes to ask whether it is a terminal."""

    def isatty(self) -> bool:
        """Say whether it is a terminal."""


def wants_colour(stream: Fd, environ: Mapping[str, str]) -> bool:
    """Decide whether text on this stream is coloured.

    Source: no-color.org (`NO_COLOR`, when not empty, wins) and bixense.com/clicolors.
    """
    if environ.get("NO_COLOR"):
        return False
    if environ.get("CLICOLOR_FORCE", "0") not in {"", "0"}:
        return True
    if environ.get("CLICOLOR") == "0" or environ.get("TERM") == "dumb":
        return False
    return stream.isatty()
