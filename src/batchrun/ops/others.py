"""Signal what a command has started as another user, which an ordinary user may not.

sudo itself he may signal, and it passes that on to the command, but not to what the command has
started. So sudo is asked to run kill(1) as the same user, with the same password, once for the
group and once for whatever carries the command's cookie.

What is *not* guaranteed: where sudo does not let us any more nothing is signalled, and nothing
raised: whoever asked looks what is left.
"""

import contextlib
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from batchrun.errors import OperationError
from batchrun.model.secret import revealed
from batchrun.ops.errand import ask
from batchrun.ops.processes import Others
from batchrun.ops.sudo import Sudo, sudo_of

__all__ = ["others_of", "through_sudo"]

#: For sudo to have a signal sent: it may ask a directory service.
_PATIENCE_S = 5.0
_KILL_GROUP = b'for name in $2; do kill -s "$name" -- "-$1"; done'
#: What has left the group is known by its environment, which its own user may read.
_KILL_MARKED = b"""
for file in $(grep -lzxF -e "$1" /proc/[0-9]*/environ 2>/dev/null); do
    file=${file#/proc/}
    for name in $2; do kill -s "$name" "${file%/environ}"; done
done"""


def through_sudo(sudo: Sudo, cookie: str) -> Others | None:
    """Return what signals the processes of a command; None: we may do so ourselves.

    Args:
        sudo: As whom the command runs.
        cookie: By which its processes are known.
    """
    return None if os.geteuid() == 0 else partial(_signal, sudo, os.fsencode(cookie))


def others_of(value: Any, secrets: Mapping[str, str], cookie: str) -> Others | None:
    """Return the same for a unit whose worker does not see to it any more.

    Args:
        value: The unit's parameter `sudo`, in which the password is a reference still.
        secrets: The values of secrets.
        cookie: By which its processes are known.

    Returns:
        None: it runs as ourselves, or we may signal everybody, or sudo is not to be had.
    """
    if not value or not isinstance(value, bool | str | Mapping):
        return None
    try:
        return through_sudo(sudo_of(revealed(value, secrets), os.environb), cookie)
    except (OperationError, KeyError):
        return None


def _signal(sudo: Sudo, cookie: bytes, names: str, group: int) -> None:
    """Have signals sent to a group, or, where that is 0, to all that carry the cookie."""
    script, whom = (_KILL_GROUP, b"%d" % group) if group else (_KILL_MARKED, cookie)
    with contextlib.suppress(OSError, OperationError):
        ask(sudo, script, whom, names.encode(), patience_s=_PATIENCE_S)
