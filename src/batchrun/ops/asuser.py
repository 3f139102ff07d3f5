"""Look, and do the little that `output` takes, as the user whom a unit's command runs as.

Asked only where we may not look or write ourselves, because sudo takes a hundred times as long.
"""

import os
from collections.abc import Mapping
from typing import Any, Literal

from batchrun.errors import OperationError
from batchrun.ops.errand import ask
from batchrun.ops.paths import shown
from batchrun.ops.sudo import Sudo, sudo_of

__all__ = ["AsUser", "user_of"]

_PATIENCE_S = 30.0
#: What a script answers: neither sudo nor the programs in it end with these.
_NO = 100
_NOTHING = 101
_DIRECTORY = 102
_IS_THERE = b'[ -e "$1" ] || [ -L "$1" ] || exit 100'
_IS_FRESH = b"""
[ -e "$1" ] || exit 100
made=$1
shift
for source; do
    if [ "$source" -nt "$made" ]; then exit 100; fi
done"""
_PREPARE = b'mkdir -p -- "$1" && rm -rf -- "$2"'
_REMOVE = b'rm -rf -- "$1"'
_PUBLISH = b"""
[ -e "$1" ] || [ -L "$1" ] || exit 101
[ ! -d "$1" ] && [ ! -d "$2" ] || exit 102
mv -f -- "$1" "$2" """


def user_of(command: Mapping[str, Any]) -> "AsUser | None":
    """Return who can look where we may not; None: nobody.

    Args:
        command: What the commands of the unit are given (`Around.command`).

    Raises:
        OperationError: sudo is not there.
    """
    value = command.get("sudo")
    return AsUser(sudo_of(value, os.environb)) if value else None


class AsUser:
    """Does small things as another user; all paths are absolute.

    Every method raises OperationError when sudo refuses, or when the user may not either.
    """

    def __init__(self, sudo: Sudo) -> None:
        self._sudo = sudo

    def is_there(self, path: str) -> bool:
        """Tell whether there is anything of that name."""
        return self._do(_IS_THERE, path, doing=f"look at {shown(path)}", no=(_NO,)) == 0

    def is_fresh(self, path: str, sources: tuple[str, ...]) -> bool:
        """Tell whether a file is there and older than none of its sources."""
        return self._do(_IS_FRESH, path, *sources, doing=f"look at {shown(path)}", no=(_NO,)) == 0

    def prepare(self, folder: str, temporary: str) -> None:
        """Make a directory, and have nothing under the temporary name."""
        self._do(_PREPARE, folder, temporary, doing=f"make the directory {shown(folder)}")

    def remove(self, path: str) -> None:
        """Remove a file or a tree of ours."""
        self._do(_REMOVE, path, doing=f"remove {shown(path)}")

    def publish(self, temporary: str, path: str) -> Literal["", "nothing", "a directory"]:
        """Rename a file; return what is there instead of one, by either of the names."""
        doing = f"rename what was written to {shown(path)}"
        status = self._do(_PUBLISH, temporary, path, doing=doing, no=(_NOTHING, _DIRECTORY))
        if status == _NOTHING:
            return "nothing"
        return "a directory" if status == _DIRECTORY else ""

    def _do(self, script: bytes, *paths: str, doing: str, no: tuple[int, ...] = ()) -> int:
        """Run a script; return its exit status, 0 or one of the answers in `no`."""
        answer = ask(self._sudo, script, *map(os.fsencode, paths), patience_s=_PATIENCE_S)
        if answer.status == 0 or answer.status in no:
            return answer.status
        user = os.fsdecode(self._sudo.user)
        why = answer.said or "sudo did not answer"
        message = f"cannot {doing} as {user}: {why}"
        raise OperationError(message, retryable=False)
