"""Copy the bytes of one open file to another: by reference, in the kernel, or by hand."""

import errno
import fcntl
import os
import sys
from collections.abc import Callable, Iterator

__all__ = [
    "BLOCK_SIZE",
    "SMALL_SIZE",
    "Beat",
    "blocks",
    "borrow",
    "clone",
    "copy_between",
    "copy_data",
    "copy_part",
    "give_back",
    "same_data",
    "write_all",
]

#: Up to this size one read and one write are the fastest way.
SMALL_SIZE = 128 * 1024
#: How much is read at a time into the one buffer.
BLOCK_SIZE = 1024 * 1024
#: How much the kernel copies between two looks at the clock.
_KERNEL_STEP = 64 * 1024 * 1024

#: What is read of a file that says that it is empty.
_MOST_UNSIZED = 64 * 1024 * 1024

_FICLONE = 0x40049409
#: The kernel cannot copy between these two files; read and write can.
_BY_HAND = frozenset(
    {
        errno.EXDEV,
        errno.EINVAL,
        errno.EOPNOTSUPP,
        errno.ENOTTY,
        errno.ENOSYS,
        errno.EPERM,
        errno.ETXTBSY,
    }
)

#: Told how many bytes were just done; raises when the unit has to stop.
Beat = Callable[[int], None]

#: Buffers that no one is using; a new one for each file costs more than reading it.
_free: list[memoryview] = []


def borrow() -> memoryview:
    """Return a buffer of BLOCK_SIZE, to be given back."""
    try:
        return _free.pop()
    except IndexError:
        return memoryview(bytearray(BLOCK_SIZE))


def give_back(buffer: memoryview) -> None:
    """Let somebody else have a buffer."""
    _free.append(buffer)


def blocks(fd: int, beat: Beat, *, most: int | None = None) -> Iterator[memoryview]:
    """Read a file to its end; each block is valid until the next one is asked for.

    Args:
        fd: Read from where it stands.
        beat: Told after each block.
        most: Stop after so many bytes: a file may grow faster than it is read. None: no limit.
    """
    buffer = borrow()
    left = sys.maxsize if most is None else most
    try:
        while left and (size := os.readv(fd, [buffer[: min(left, BLOCK_SIZE)]])):
            yield buffer[:size]
            left -= size
            beat(size)
    finally:
        give_back(buffer)


def write_all(fd: int, data: memoryview | bytes) -> None:
    """Write everything; a full disk may take a part first."""
    written = os.write(fd, data)
    while written < len(data):
        data = data[written:]
        written = os.write(fd, data)


def copy_data(source: int, copy: int, st: os.stat_result, beat: Beat) -> int:
    """Copy a file, as long as `st` says it is; both stand at their beginning.

    Holes stay holes where the filesystem reports them.

    Returns:
        The number of bytes that the copy now has.
    """
    if st.st_size <= SMALL_SIZE and st.st_blocks * 512 >= st.st_size:
        return _copy_small(source, copy, st.st_size, beat)
    if clone(source, copy):
        beat(st.st_size)
        return os.fstat(copy).st_size
    if st.st_blocks * 512 < st.st_size:
        return _copy_segments(source, copy, st.st_size, beat)
    done = _copy_range(source, copy, 0, st.st_size, beat)
    # The offsets were explicit: what the kernel could not do is read and written.
    os.lseek(source, done, os.SEEK_SET)
    os.lseek(copy, done, os.SEEK_SET)
    for block in blocks(source, beat, most=st.st_size - done):
        write_all(copy, block)
        done += len(block)
    return done


def _copy_small(source: int, copy: int, size: int, beat: Beat) -> int:
    data = os.read(source, size or 1)
    if data:
        write_all(copy, data)
    done = len(data)
    if size == 0 and done:
        # One of those in /proc that claim to be empty.
        for block in blocks(source, beat, most=_MOST_UNSIZED):
            write_all(copy, block)
            done += len(block)
    beat(done)
    return done


def clone(source: int, copy: int) -> bool:
    """Let both files share their blocks, where the filesystem can."""
    try:
        fcntl.ioctl(copy, _FICLONE, source)
    except OSError as error:
        if error.errno in _BY_HAND:
            return False
        raise
    return True


def _copy_range(source: int, copy: int, start: int, end: int, beat: Beat) -> int:
    """Let the kernel copy a range; return how far it came."""
    at = start
    while at < end:
        try:
            size = os.copy_file_range(source, copy, min(end - at, _KERNEL_STEP), at, at)
        except OSError as error:
            if error.errno in _BY_HAND:
                return at
            raise
        if size == 0:
            return at
        at += size
        beat(size)
    return at


def copy_between(source: int, copy: int, start: int, end: int, beat: Beat) -> int:
    """Copy a range to the same place of the copy; returns how far it came."""
    at = _copy_range(source, copy, start, end, beat)
    return _copy_part(source, copy, at, end, beat) if at < end else at


def copy_part(source: int, copy: int, at: int, size: int) -> int:
    """Copy the first bytes of a file to a place in another one; returns how many there were."""
    done = 0
    while done < size:
        try:
            count = os.copy_file_range(source, copy, size - done, done, at + done)
        except OSError as error:
            if error.errno not in _BY_HAND:
                raise
            count = 0
        if count == 0:
            break
        done += count
    while done < size and (data := os.pread(source, min(BLOCK_SIZE, size - done), done)):
        _pwrite_all(copy, memoryview(data), at + done)
        done += len(data)
    return done


def _copy_segments(source: int, copy: int, size: int, beat: Beat) -> int:
    """Copy only what is not a hole."""
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            break
        end = min(os.lseek(source, start, os.SEEK_HOLE), size)
        at = copy_between(source, copy, start, end, beat)
        if at < end:
            return at
    os.ftruncate(copy, size)
    return size


def _copy_part(source: int, copy: int, at: int, end: int, beat: Beat) -> int:
    """Read and write a range; return how far it came."""
    buffer = borrow()
    try:
        while at < end:
            count = os.preadv(source, [buffer[: min(BLOCK_SIZE, end - at)]], at)
            if count == 0:
                break
            _pwrite_all(copy, buffer[:count], at)
            at += count
            beat(count)
    finally:
        give_back(buffer)
    return at


def _pwrite_all(fd: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data = data[written:]
        offset += written


def same_data(one: int, other: int, beat: Beat) -> bool:
    """Compare two open files from where they stand to their ends."""
    buffer = borrow()
    try:
        for block in blocks(one, beat):
            rest = block
            while rest:
                size = os.readv(other, [buffer[: len(rest)]])
                if size == 0 or buffer[:size] != rest[:size]:
                    return False
                rest = rest[size:]
        return os.read(other, 1) == b""
    finally:
        give_back(buffer)
