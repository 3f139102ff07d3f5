"""The exit codes: one table for the code, `--help`, the documentation and a test."""

from enum import IntEnum

__all__ = ["EXIT_CODES", "ExitCode", "outcome_word"]


class ExitCode(IntEnum):
    """What the process says when it ends; an unknown code is a failure."""

    OK = 0
    INTERNAL = 1
    FAILED = 2
    WOULD_CHANGE = 3
    UNREACHABLE = 4
    FAIL_LIMIT = 5
    USAGE = 64
    JOB_FILE = 65
    LOCKED = 75
    DEADLINE = 124
    HANGUP = 129
    INTERRUPTED = 130
    TERMINATED = 143


#: Code and meaning, in the order in which people read them.
EXIT_CODES: tuple[tuple[ExitCode, str], ...] = (
    (ExitCode.OK, "everything ok"),
    (
        ExitCode.INTERNAL,
        "batchrun itself failed (a bug, an unusable journal, accounting that does not add up)",
    ),
    (ExitCode.FAILED, "some units failed, timed out or were lost"),
    (ExitCode.WOULD_CHANGE, "--dry-run --detailed-exitcode: changes would be made"),
    (ExitCode.UNREACHABLE, "some hosts unreachable, nothing else wrong"),
    (ExitCode.FAIL_LIMIT, "stopped early by a fail limit"),
    (ExitCode.USAGE, "bad command line"),
    (ExitCode.JOB_FILE, "bad job file, inventory or node set; nothing was run"),
    (ExitCode.LOCKED, "another run holds the lock"),
    (ExitCode.DEADLINE, "the deadline was reached"),
    (ExitCode.HANGUP, "stopped by SIGHUP"),
    (ExitCode.INTERRUPTED, "stopped by SIGINT"),
    (ExitCode.TERMINATED, "stopped by SIGTERM"),
)


def outcome_word(code: int) -> str:
    """Say in one word how a run went.

    >>> outcome_word(0), outcome_word(143), outcome_word(2)
    ('ok', 'interrupted', 'failed')
    """
    match code:
        case ExitCode.OK:
            return "ok"
        case ExitCode.INTERRUPTED | ExitCode.TERMINATED | ExitCode.HANGUP:
            return "interrupted"
        case ExitCode.DEADLINE:
            return "deadline"
        case ExitCode.FAIL_LIMIT:
            return "stopped"
        case ExitCode.UNREACHABLE:
            return "unreachable"
        case _:
            return "failed"
