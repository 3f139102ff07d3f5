"""What the wrapper of a command on a host does first when the unit has priorities of its own.

It is done by the process that becomes the command, before `env` and `cwd` are: a PATH of the
command's own need not lead to these programs. Behind sudo it is that user who asks for them.
"""

from batchrun.remote.words import quote

__all__ = ["NOT_TO_BE_HAD", "priority_steps"]

#: Stands in what is written to standard error when there is no such priority.
NOT_TO_BE_HAD = "cannot be had on this host"

_CLASSES = {"realtime": 1, "best-effort": 2, "idle": 3}
#: Niceness is set as a number of its own, because not every renice(1) can add, and looked at
#: afterwards, because not every system tells who has no right to it.
_NICE = (
    b"{ br_n=$(($(nice)+%d));[ $br_n -le 19 ]||br_n=19;[ $br_n -ge -20 ]||br_n=-20;"
    b'br_e=$(renice $br_n -p $$ 2>&1);[ "$(nice)" = $br_n ]||%b;}'
)
_IONICE = b"{ br_e=$(ionice -c %d%b -p $$ 2>&1)||%b;}"


def priority_steps(nice: int | None, ionice: tuple[str, int] | None) -> list[bytes]:
    """Return the commands of sh(1) that give the priorities to the shell itself.

    Args:
        nice: Added to the niceness that it has; None: it stays as it is.
        ionice: Class and level of disk priority; None: likewise.
    """
    steps = []
    if nice is not None:
        steps.append(_NICE % (nice, _give_up(f"nice: {nice}")))
    if ionice is not None:
        name, level = ionice
        levelled = b"" if name == "idle" else b" -n %d" % level
        steps.append(_IONICE % (_CLASSES[name], levelled, _give_up(f"ionice: {name}")))
    return steps


def _give_up(what: str) -> bytes:
    sentence = quote(f"`{what}` {NOT_TO_BE_HAD}: ".encode())
    return b'{ echo %b"${br_e:-no reason is given}" >&2;exit 126;}' % sentence
