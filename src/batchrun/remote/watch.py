"""What ends a command on a host when the connection does: closing it ends nothing by itself there.

    wrapper ──forks──► watcher: reads the wrapper's standard input, on which nothing comes any more
       │ exec             │ its end: the channel was closed, or the connection, or batchrun killed
       ▼                  ▼
    command ◄─TERM, KILL─ if it still runs

When a command has ended by itself its channel is closed afterwards, and the watcher finds nothing
to end: what the command left in the background is left alone. The watcher is no child of the
command, which might wait for all of its own; it has none of its pipes, and belongs to its process
group, so that whatever ends the group ends it, too.

Not guaranteed: a command that is given standard input is not watched, because it is the one that
reads there; it sees the end itself. What left the process group is not found.
"""

import math

from batchrun.remote.words import quote

__all__ = ["watch_step"]

_WATCH = (
    b"{ exec 3<&0;( (while IFS= read -r br_;do :;done;trap '' TERM HUP;%b"
    b"if kill -s 0 $$;then kill -s TERM $$ 0;%bkill -s KILL 0;fi) <&3 3<&- >/dev/null 2>&1 & );"
    b"exec 3<&-;}"
)


def watch_step(grace_s: float, scrap: str = "") -> bytes:
    """Return a command of sh(1) that has what the shell becomes watched.

    Args:
        grace_s: Between TERM and KILL.
        scrap: A path that is removed at the end of the connection, if it is there; empty: none.
    """
    remove = b"rm -rf -- %b;" % quote(scrap.encode("utf-8", "surrogateescape")) if scrap else b""
    grace = math.ceil(grace_s)
    return _WATCH % (remove, b"sleep %d;" % grace if grace else b"")
