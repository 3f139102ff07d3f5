"""Numbers and sizes as people read them."""

__all__ = ["count", "how_far", "size"]


def count(number: int) -> str:
    """Write a number with its thousands apart.

    >>> count(7), count(1204), count(1234567)
    ('7', '1 204', '1 234 567')
    """
    return f"{number:,}".replace(",", " ")


def size(size_bytes: int) -> str:
    """Write a size in powers of 1024.

    >>> size(812), size(1536), size(5 * 1024**3)
    ('812 B', '1.5 KiB', '5.0 GiB')
    """
    if size_bytes < 1024:
        return f"{size_bytes} B"
    value = float(size_bytes)
    for letter in "KMGTP":
        value /= 1024
        if value < 999.95:
            return f"{value:.1f} {letter}iB"
    return f"{value / 1024:.1f} EiB"


def how_far(files: int, size_bytes: int) -> str:
    """Say how far something got that was ended before its time, for the end of a sentence.

    What was being done at that moment is not in the numbers.

    >>> how_far(1204, 3 << 20), how_far(1, 0)
    ('stopped after about 1 204 files, 3.0 MiB', 'stopped after about 1 file')
    """
    data = f", {size(size_bytes)}" if size_bytes else ""
    return f"stopped after about {count(files)} file{'' if files == 1 else 's'}{data}"
