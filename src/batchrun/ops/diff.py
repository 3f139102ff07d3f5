"""What changes in a file, as a unified diff: bounded, and content only where it is text."""

import os
from collections.abc import Iterator, Sequence
from stat import S_ISREG
from typing import TypeAlias

from batchrun.ops.paths import shown

__all__ = [
    "MOST_COMPARED",
    "Diffs",
    "content_diff",
    "facts_diff",
    "file_diff",
    "head_of",
    "hidden_diff",
]

#: Characters kept of the diff of one unit.
MOST_KEPT = 64 * 1024
#: Bytes of a file that is still compared line by line.
MOST_COMPARED = 1024 * 1024
#: Lines that differ, at both sides together: matching them up takes time with the square of it.
_MOST_MATCHED = 4_000
_CONTEXT = 3
_NO_NEWLINE = "\\ No newline at end of file\n"
_NOTHING = "/dev/null"
#: What became of a range of lines, as difflib says it.
_Code: TypeAlias = tuple[str, int, int, int, int]


class Diffs:
    """The diffs of one unit, as much of them as is kept."""

    __slots__ = ("_left", "_more", "_parts")

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._left = MOST_KEPT
        self._more = 0

    def add(self, text: str) -> None:
        """Take one more; what is too much is only counted, in lines."""
        if len(text) <= self._left and not self._more:
            self._parts.append(text)
            self._left -= len(text)
            return
        for line in text.splitlines(keepends=True):
            if len(line) <= self._left and not self._more:
                self._parts.append(line)
                self._left -= len(line)
            else:
                self._more += 1

    def text(self) -> str:
        """Return what was kept, and how much was not."""
        end = f"... {self._more} more lines\n" if self._more else ""
        return "".join(self._parts) + end


def content_diff(path: str, old: bytes | None, new: bytes | None) -> str:
    """Return how the content of a file changes; empty when it does not.

    Args:
        path: The file.
        old: What it holds; None: there is none.
        new: What it shall hold; None: there shall be none.
    """
    if old == new:
        return ""
    head = _head(path, is_new=old is None, is_gone=new is None)
    if max(len(old or b""), len(new or b"")) > MOST_COMPARED:
        return head + "files differ; they are too big to be shown\n"
    texts = _text(old or b""), _text(new or b"")
    if texts[0] is None or texts[1] is None:
        return head + "binary files differ\n"
    return head + "".join(_hunks(_lines(texts[0]), _lines(texts[1])))


def hidden_diff(path: str, *, is_new: bool) -> str:
    """Return what may be said of a file that holds a secret."""
    return _head(path, is_new=is_new, is_gone=False) + "content hidden: it holds a secret\n"


def facts_diff(path: str, before: Sequence[str], after: Sequence[str]) -> str:
    """Return how facts about a file change, such as its mode; one line each."""
    lines = [f"-{fact}\n" for fact in before] + [f"+{fact}\n" for fact in after]
    return _head(path, is_new=False, is_gone=False) + "".join(lines)


def file_diff(path: str, old: os.stat_result | None, source: str) -> str:
    """Return how the content of `path` changes when it becomes a copy of `source`.

    What cannot be read is said in place of the content: a copy does not need to read the old one.
    """
    is_new = old is None or not S_ISREG(old.st_mode)
    try:
        before = None if is_new else _content(path)
        return content_diff(path, before, _content(source))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        return _head(path, is_new=is_new, is_gone=False) + f"content not shown: {reason}\n"


def _content(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return head_of(fd)
    finally:
        os.close(fd)


def head_of(fd: int) -> bytes:
    """Read so much of a file that `content_diff` can tell whether it is too big."""
    parts: list[bytes] = []
    left = MOST_COMPARED + 1
    while left and (part := os.read(fd, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _head(path: str, *, is_new: bool, is_gone: bool) -> str:
    name = shown(path)
    return f"--- {_NOTHING if is_new else name}\n+++ {_NOTHING if is_gone else name}\n"


def _text(data: bytes) -> str | None:
    """Decode text; None: it is none."""
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _lines(text: str) -> list[str]:
    """Split at line feeds and nothing else, as diff(1) does."""
    lines = [line + "\n" for line in text.split("\n")]
    last = lines.pop()
    return lines if last == "\n" else [*lines, last[:-1]]


def _hunks(old: list[str], new: list[str]) -> list[str]:
    """Write the lines of the diff below its head.

    What is equal at the beginning and at the end is left out first: it costs most of the time.
    """
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    begin = max(0, start - _CONTEXT)
    stop = max(0, end - _CONTEXT)
    a, b = old[begin : len(old) - stop], new[begin : len(new) - stop]
    before, after = start - begin, end - stop
    if len(a) + len(b) > _MOST_MATCHED:
        return _one_hunk(a, b, begin, (before, after))
    groups = _groups(a, b, before, after)
    return [line for group in groups for line in _hunk(a, b, begin, group)]


def _groups(a: list[str], b: list[str], before: int, after: int) -> Iterator[Sequence[_Code]]:
    """Compare what lies between the equal lines at both ends, and group it with these around it.

    The equal lines are not compared again: among many that are alike another place could be found
    for a change, so near to the end that the lines left out would be missing behind it.
    """
    from difflib import SequenceMatcher  # noqa: PLC0415 - only where a diff is asked for

    middle = SequenceMatcher(None, a[before : len(a) - after], b[before : len(b) - after])
    codes: list[_Code] = [("equal", 0, before, 0, before)] if before else []
    for tag, *places in middle.get_opcodes():
        i1, i2, j1, j2 = (place + before for place in places)
        codes.append((tag, i1, i2, j1, j2))
    if after:
        codes.append(("equal", len(a) - after, len(a), len(b) - after, len(b)))
    whole = SequenceMatcher(None, a, b)
    whole.opcodes = codes  # type: ignore[attr-defined]  # where it keeps what it has found
    return iter(whole.get_grouped_opcodes(_CONTEXT))


def _hunk(a: list[str], b: list[str], begin: int, group: Sequence[_Code]) -> Iterator[str]:
    """Write one hunk."""
    (_, i1, _, j1, _), (_, _, i2, _, j2) = group[0], group[-1]
    yield f"@@ -{_range(begin + i1, i2 - i1)} +{_range(begin + j1, j2 - j1)} @@\n"
    for tag, old_from, old_to, new_from, new_to in group:
        if tag == "equal":
            yield from (_ended(f" {line}") for line in a[old_from:old_to])
            continue
        yield from (_ended(f"-{line}") for line in a[old_from:old_to])
        yield from (_ended(f"+{line}") for line in b[new_from:new_to])


def _common(one: list[str], other: list[str]) -> int:
    """Count the lines that are equal from the beginning on."""
    return next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )


def _one_hunk(a: list[str], b: list[str], begin: int, around: tuple[int, int]) -> list[str]:
    """Write everything between the equal lines at both ends as replaced."""
    before, after = around
    hunk = [f"@@ -{_range(begin, len(a))} +{_range(begin, len(b))} @@\n"]
    hunk += [" " + line for line in a[:before]]
    hunk += [_ended("-" + line) for line in a[before : len(a) - after]]
    hunk += [_ended("+" + line) for line in b[before : len(b) - after]]
    return hunk + [_ended(" " + line) for line in a[len(a) - after :]]


def _range(begin: int, count: int) -> str:
    """Write a range of lines as diff(1) does."""
    if count == 1:
        return str(begin + 1)
    return f"{begin + 1 if count else begin},{count}"


def _ended(line: str) -> str:
    """Say of a last line without line feed that it has none."""
    return line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}"
