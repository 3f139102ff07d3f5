"""End a command for certain: its process group, and whatever left the group.

A command leads its own session and group, and carries a *cookie* in its environment, which its
descendants inherit:

    leader ── group      TERM, CONT, grace, KILL     ended as one, found by the group's id
       └── setsid, daemon                            found in /proc by the cookie, ended one by one

What belongs to another user an ordinary one may not signal: a command that runs by sudo brings a
way to have sudo do it (`Others`), by the group and by the cookie; for one that calls sudo itself,
`sudo -n` is tried, by the group.

What is *not* guaranteed: a process that has left the group **and** replaced its environment
(`env -i setsid ...`, the commands of a nested run) is not found; nor one that forks faster than
/proc can be read for five seconds. A process blocked in the kernel (state D) takes KILL only when
the kernel lets it go; it is not waited for longer than two seconds. By `Others`, what has left the
group has no grace, and a process id that changes hands within a millisecond may be hit. Where
batchrun was killed and had no workers, nobody knows the password any more: sudo alone is
signalled, which passes TERM on to the command, but no KILL.

This file is a program, too, that needs nothing but the standard library: `processes.py GRACE` ends
what is on its standard input, one `LEADER COOKIE` on each line, all at the same time.
"""

import contextlib
import errno
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

__all__ = ["Others", "Wait", "cookie", "end_command", "is_ours", "never_ran"]

#: How a caller waits for some seconds: by sleeping, or by reading the command's output meanwhile.
Wait: TypeAlias = Callable[[float], None]
#: Has signals (their names, such as `TERM CONT`) sent to what we may not signal: to a group, or,
#: where that is 0, to everything that carries the command's cookie. Never raises.
Others: TypeAlias = Callable[[str, int], None]

#: Source: linux/sched.h: forked, but has not executed a program.
_PF_FORKNOEXEC = 0x40
#: Of what stands behind the name in /proc/PID/stat (proc(5)).
_FLAGS_AT = 6
#: Source: linux/pidfd.h (6.9): signal the group that this process leads, or has led.
_PIDFD_SIGNAL_PROCESS_GROUP = 1 << 2
#: KILL takes effect at once, except in state D: then waiting longer is of no use.
_KILLED_S = 2.0
#: What belongs to others takes it from sudo, which has ended by then.
_OTHERS_KILLED_S = 0.5
#: For sudo to answer, which may ask a directory service.
_SUDO_S = 5.0
#: What left its group gets this much of the grace, at most.
_SWEEP_GRACE_S = 1.0
_SWEEP_S = 5.0
#: Between two looks at /proc that both must find nothing: a process just in `execve`, or not yet
#: there because its parent is in `vfork`, shows no environment of its own for about 0.1 ms.
_SETTLE_S = 0.005
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05


def cookie(run_id: str, number: int, attempt: int) -> str:
    """Return the entry of the environment by which all processes of an attempt are known."""
    return f"BATCHRUN_UNIT={run_id}-{number}-{attempt}"


def end_command(
    pid: int | None,
    cookie: str,
    grace_s: float,
    *,
    wait: Wait = time.sleep,
    others: Others | None = None,
) -> bool:
    """End a command and everything it started; return when nothing of it is left.

    Blocks up to the grace, and a few seconds more when something resists KILL. Safe to call
    from any process, and when all or part of the command has ended: a process id that has been
    given to somebody else meanwhile is never signalled, nor is our own process or group.

    Args:
        pid: The leader. When it is our child it must not have been reaped; it is reaped here,
            after its group has been killed. None: go by the cookie alone.
        cookie: As `cookie()` returns it.
        grace_s: Time between TERM and KILL.
        wait: Called again and again with the seconds to wait; must take about that long.
        others: Signals what belongs to another user; None: we are root, or it runs as ourselves.

    Returns:
        False when some of its group is still there, in spite of KILL or because we may not.
    """
    entry = os.fsencode(cookie)
    gone = True
    if pid is not None and pid > 1 and pid not in (os.getpid(), os.getpgrp()):
        gone = _end_group(pid, entry, grace_s, wait, others or _ask_sudo)
    _sweep(entry, min(grace_s, _SWEEP_GRACE_S), wait)
    if others is not None:
        others("KILL", 0)
    return gone


def is_ours(pid: int) -> bool:
    """Tell whether a process runs as the user that we are."""
    return _owner(pid) == os.geteuid()


def never_ran(pid: int) -> bool:
    """Tell whether a child that has ended, and is not reaped, had not become a program yet."""
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split(maxsplit=_FLAGS_AT + 1)
    return len(fields) > _FLAGS_AT and bool(int(fields[_FLAGS_AT]) & _PF_FORKNOEXEC)


def _end_group(leader: int, entry: bytes, grace_s: float, wait: Wait, others: Others) -> bool:
    """End the group of a leader that is our child, or that proves by its cookie who it is.

    Returns:
        Whether nothing of it is left, as far as can be known.
    """
    is_child = _is_child(leader)
    try:
        fd = os.pidfd_open(leader)
    except OSError:  # it is gone, so its group has no certain name any more: the sweep finds it
        return True
    try:
        # The descriptor first: if the id changes hands from here on, the signal hits nobody.
        if not is_child and not _is_marked(leader, entry):
            return True
        # A stopped process gets TERM only when it goes on.
        _signal_group(fd, leader, (signal.SIGTERM, signal.SIGCONT), others)
        gone = _until(lambda: _group_is_gone(fd, leader), grace_s, wait)
        if not gone:
            _signal_group(fd, leader, (signal.SIGKILL,), others)
            may_kill = os.geteuid() == 0 or os.geteuid() in _owners(leader)
            killed_s = _KILLED_S if may_kill else _OTHERS_KILLED_S
            gone = _until(lambda: _group_is_gone(fd, leader), killed_s, wait)
    finally:
        os.close(fd)
    if is_child:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, leader, os.WEXITED | os.WNOHANG)
    return gone


def _is_child(pid: int) -> bool:
    """Tell whether a process is a child of ours that has not been reaped; does not reap it."""
    try:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _signal_group(
    fd: int, leader: int, signums: tuple[signal.Signals, ...], others: Others
) -> None:
    """Signal a group by its leader's descriptor, or by number where the kernel is older."""
    for signum in signums:
        try:
            signal.pidfd_send_signal(fd, signum, None, _PIDFD_SIGNAL_PROCESS_GROUP)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOSYS):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(leader, signum)
    if os.geteuid() != 0 and (_is_hidden(leader) or _owners(leader) - {os.geteuid()}):
        others(" ".join(signum.name.removeprefix("SIG") for signum in signums), leader)


def _ask_sudo(names: str, group: int) -> None:
    """Have sudo signal those in a group that belong to other users, where it asks for nothing.

    Where it may not, they are left; sudo itself ends with the command that it has started.
    """
    import subprocess  # noqa: PLC0415 - for commands that have called sudo only

    for owner in _owners(group) - {os.geteuid()}:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                ["sudo", "-n", "-u", f"#{owner}", "--", *_KILL, names, str(group)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_SUDO_S,
            )


#: Signals a group: names, number.
_KILL = ("/bin/sh", "-c", 'for name in $1; do kill -s "$name" -- "-$2"; done', "sh")


def _owners(group: int) -> set[int]:
    """Return whose the live processes of a group are."""
    found = {_owner(pid) for pid in _pids() if _is_alive_in(pid, group)}
    return {owner for owner in found if owner is not None}


def _is_hidden(pid: int) -> bool:
    """Tell whether /proc does not show a process, as with `hidepid` those of others."""
    return not os.path.exists(f"/proc/{pid}")


def _owner(pid: int) -> int | None:
    """Return whose a process is; None when it has gone."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None


def _signal(fd: int, signum: int) -> None:
    """Signal one process by its descriptor, if it is still there and ours."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        signal.pidfd_send_signal(fd, signum)


def _until(condition: Callable[[], bool], timeout_s: float, wait: Wait) -> bool:
    """Look again and again, less and less often; return whether it came true in time."""
    end = time.monotonic() + timeout_s
    pause_s = _FIRST_PAUSE_S
    while not condition():
        left_s = end - time.monotonic()
        if left_s <= 0:
            return False
        wait(min(pause_s, left_s))
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return True


def _group_is_gone(fd: int, leader: int) -> bool:
    """Tell whether no live process is in a group; reads /proc only once its leader has ended."""
    return _has_ended(fd) and not any(_is_alive_in(pid, leader) for pid in _pids())


def _has_ended(fd: int) -> bool:
    """Tell whether the process behind a descriptor has ended (reaped or not)."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _pids() -> Iterator[int]:
    """Walk over the ids of all processes."""
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())


def _is_alive_in(pid: int, group: int) -> bool:
    """Tell whether a process is in a group and not a zombie."""
    # Behind the name, which may hold anything: state, parent, group (proc(5)).
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split(maxsplit=3)
    return len(fields) > 2 and int(fields[2]) == group and fields[0] not in (b"Z", b"X")


def _carries(pid: int, entry: bytes) -> bool:
    """Tell whether exactly this entry is in the environment that a process was started with."""
    return b"\0%b\0" % entry in b"\0" + _read(f"/proc/{pid}/environ")


def _is_marked(pid: int, entry: bytes) -> bool:
    """Tell whether a process carries the cookie, or has it among its arguments.

    The environment of sudo is for root alone, and so it is started with the cookie there, too.
    """
    return _carries(pid, entry) or b"\0%b\0" % entry in _read(f"/proc/{pid}/cmdline")


def _read(path: str) -> bytes:
    """Read a file of /proc; empty when the process has gone or is not ours to look at."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""


def _sweep(entry: bytes, grace_s: float, wait: Wait) -> None:
    """End every process that carries the cookie, until two looks in a row find none."""
    end = time.monotonic() + grace_s + _SWEEP_S
    clean_looks = 0
    while clean_looks < 2 and time.monotonic() < end:
        with contextlib.ExitStack() as stack:
            fds = _carriers(entry, stack)
            if fds:
                clean_looks = 0
                _end_each(fds, grace_s, wait)
                grace_s = 0.0  # they had their chance; what they start in it gets none
            else:
                clean_looks += 1
                if clean_looks == 1:
                    wait(_SETTLE_S)


def _carriers(entry: bytes, stack: contextlib.ExitStack) -> list[int]:
    """Open a descriptor of every process that carries the cookie, except our own group."""
    fds: list[int] = []
    for pid in _pids():
        if pid == os.getpid() or not _carries(pid, entry):
            continue
        with contextlib.suppress(OSError):  # it has gone meanwhile
            if os.getpgid(pid) == os.getpgrp():
                continue
            fd = os.pidfd_open(pid)
            stack.callback(os.close, fd)
            # Again, behind the descriptor: the first look may have been at its predecessor.
            if _carries(pid, entry):
                fds.append(fd)
    return fds


def _end_each(fds: list[int], grace_s: float, wait: Wait) -> None:
    """End single processes: TERM when there is a grace, then KILL."""

    def all_ended() -> bool:
        return all(map(_has_ended, fds))

    if grace_s > 0:
        for fd in fds:
            _signal(fd, signal.SIGTERM)
            _signal(fd, signal.SIGCONT)
        if _until(all_ended, grace_s, wait):
            return
    for fd in fds:
        _signal(fd, signal.SIGKILL)
    _until(all_ended, _KILLED_S, wait)


def _end_all(lines: Iterable[bytes], grace_s: float) -> None:
    """End commands at the same time: together they take one grace."""
    import threading  # noqa: PLC0415 - workers, which import this, end one command

    for line in lines:
        leader, _, entry = os.fsdecode(line.strip()).partition(" ")
        if entry:  # else nothing runs in this place
            threading.Thread(target=end_command, args=(int(leader), entry, grace_s)).start()


if __name__ == "__main__":
    _end_all(sys.stdin.buffer, float(sys.argv[1]))
