"""What differs between the outputs of hosts without meaning anything, replaced by marks."""

import re

__all__ = ["masked"]

#: In this order: a date holds numbers, too.
_MASKS: tuple[tuple[re.Pattern[bytes], bytes], ...] = (
    (re.compile(rb"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"),
     b"{date}"),
    (re.compile(rb"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?\b(?:\d{1,2} )?"
                rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b(?: +\d{1,2}\b)?"
                rb"(?:,? \d{4}\b)?"), b"{date}"),
    (re.compile(rb"\b\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?\b"), b"{time}"),
    (re.compile(rb"\b(?:0[xX][0-9a-fA-F]+|(?=[0-9a-fA-F]*\d)(?=\d*[a-fA-F])[0-9a-fA-F]{6,})\b"),
     b"{hex}"),
    (re.compile(rb"\d+(?:[.,]\d+)*"), b"{n}"),
)  # fmt: skip


def masked(line: bytes, host: bytes = b"") -> bytes:
    """Replace numbers, hexadecimal digits, dates, times and the host's own name in a line.

    Args:
        line: A line of output.
        host: The host that wrote it; its short name, up to the first dot, counts as well.

    >>> masked(b"web07: 3 of 12 at 09:15:01, pid 0x1f", b"web07.example.org")
    b'{host}: {n} of {n} at {time}, pid {hex}'
    """
    for name in (host, host.partition(b".")[0]):
        # The short name of an address is a number, and would be found in many places.
        if len(name) > 1 and not name.isdigit():
            line = re.sub(rb"(?<![\w-])" + re.escape(name) + rb"(?![\w-])", b"{host}", line)
    for pattern, mark in _MASKS:
        line = pattern.sub(mark, line)
    return line
