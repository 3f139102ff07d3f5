"""What is on a host and not here: counted, then deleted."""

import os

from batchrun.errors import OperationError
from batchrun.model.session import HostContext
from batchrun.ops.delete import allowed_deletions
from batchrun.ops.failures import refusal
from batchrun.ops.paths import shown
from batchrun.ops.sudo import SudoValue
from batchrun.ops.tree.selection import selection
from batchrun.remote.comparing import Target
from batchrun.remote.errand import Pipes, ask
from batchrun.remote.meant import is_meant, topmost
from batchrun.remote.sources import TextSource
from batchrun.remote.words import path_word

__all__ = ["delete_below", "find_extras"]


def find_extras(target: Target, source: str) -> list[str]:
    """Return what is there and not here, not what lies in it; counted before anything is done.

    Raises:
        OperationError: it is more than may be deleted.
    """
    selected = selection(target.params.exclude, target.params.include)
    extra = [
        name
        for name, facts in target.there.items()
        if name and name not in target.found and is_meant(name, facts, selected)
    ]
    if not extra:
        return []
    if len(target.found) == 1:
        raise refusal(
            f"{shown(source)} is empty, and `delete` would empty {shown(target.path)} on the "
            "host; nothing was done"
        )
    seen = len(target.there) - 1
    limit = target.params.max_delete
    if len(extra) > allowed_deletions(limit, seen):
        raise refusal(
            f"{len(extra)} of {seen} entries in {shown(target.path)} would be deleted, which "
            f"is more than max_delete ({limit}) allows; nothing was done"
        )
    return topmost(extra, filter(None, target.there))


def delete_below(root: str, names: list[str], context: HostContext, sudo: SudoValue) -> None:
    """Delete things below a directory there, each with everything in it.

    Raises:
        OperationError: not all of them could be.
    """
    list_ = b"".join(b"./" + os.fsencode(name) + b"\0" for name in names)
    text = b"cd -- %b && exec xargs -0 rm -rf --" % path_word(root)
    answer = ask(text, context, sudo, pipes=Pipes(source=TextSource(list_)))
    if answer.status:
        message = f"cannot delete in {shown(root)}: {answer.complaint}"
        raise OperationError(message)
