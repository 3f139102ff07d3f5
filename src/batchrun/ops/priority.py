"""Lower, or raise, the priority of the calling thread, and of all that it starts from then on.

On Linux both priorities belong to threads, whatever POSIX says, and what a thread starts inherits
them. So a unit that wants its own runs in a thread of its own, and its process stays as it was.
"""

import errno
import os
import sys
import threading

from batchrun.errors import OperationError

__all__ = ["set_priority"]

#: Source: linux/ioprio.h.
_CLASSES = {"realtime": 1, "best-effort": 2, "idle": 3}
_CLASS_SHIFT = 13
_WHO_PROCESS = 1
#: The number of ioprio_set(2), which the C library does not wrap, by `uname -m`.
#: Source: arch/*/entry/syscalls and include/uapi/asm-generic/unistd.h of Linux.
_IOPRIO_SET = {
    "x86_64": 251,
    "aarch64": 30,
    "riscv64": 30,
    "loongarch64": 30,
    "ppc64": 273,
    "ppc64le": 273,
    "s390x": 282,
}


def set_priority(nice: int | None, ionice: tuple[str, int] | None) -> None:
    """Set the priorities of this thread; one that is None stays as it is.

    Args:
        nice: Added to the niceness that it has.
        ionice: Class and level of disk priority.

    Raises:
        OperationError: it may not have that much.
    """
    try:
        if nice is not None:
            _set_nice(nice)
        if ionice is not None:
            _set_ionice(*ionice)
    except OSError as error:
        what = f"`nice: {nice}`" if ionice is None else f"`ionice: {' '.join(map(str, ionice))}`"
        if nice is not None and ionice is not None:
            what = f"`nice: {nice}` or {what}"
        reason = error.strerror or str(error)
        message = f"{what} cannot be had: {reason}; ask for less, or run batchrun as root"
        raise OperationError(message, errno=error.errno, retryable=False) from error


def _set_nice(nice: int) -> None:
    now = os.getpriority(os.PRIO_PROCESS, 0)
    wanted = max(-20, min(19, now + nice))
    os.setpriority(os.PRIO_PROCESS, 0, wanted)
    # A caller without the right to it is not told by every kernel and container.
    if os.getpriority(os.PRIO_PROCESS, 0) != wanted:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def _set_ionice(name: str, level: int) -> None:
    number = _CLASSES[name]
    call = _IOPRIO_SET.get(os.uname().machine)
    # A process of 32 bits on a kernel of 64 has other numbers.
    if call is None or sys.maxsize < 2**32:
        _set_by_program(number, level)
        return
    import ctypes  # noqa: PLC0415 - 10 ms that few units need

    libc = ctypes.CDLL(None, use_errno=True)
    value = number << _CLASS_SHIFT | level
    if libc.syscall(ctypes.c_long(call), _WHO_PROCESS, 0, value) == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _set_by_program(number: int, level: int) -> None:
    """Have ionice(1) do it."""
    import subprocess  # noqa: PLC0415 - only on rare machines

    levelled = [] if number == _CLASSES["idle"] else ["-n", str(level)]
    argv = ["ionice", "-c", str(number), *levelled, "-p", str(threading.get_native_id())]
    try:
        ended = subprocess.run(argv, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise OSError(errno.ENOENT, "the program ionice is not installed") from error
    if ended.returncode:
        raise OSError(errno.EPERM, os.fsdecode(ended.stderr).strip() or "ionice refused")
