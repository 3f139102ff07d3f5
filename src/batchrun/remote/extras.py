"""What is on a host and not here: counted, then deleted."""

import os
from collections.abc import Iterator

from batchrun.errors import OperationError
from batchrun.ops.delete import allowed_deletions
from batchrun.ops.failures import refusal
from batchrun.ops.paths import shown
from batchrun.ops.tree.selection import Selection, selection
from batchrun.remote.comparing import Target
from batchrun.remote.errand import Pipes, ask
from batchrun.remote.facts import Facts
from batchrun.remote.sources import TextSource
from batchrun.remote.words import path_word

__all__ = ["delete_extras", "find_extras"]


def find_extras(target: Target, source: str) -> list[str]:
    """Return what is there and not here, not what lies in it; counted before anything is done.

    Raises:
        OperationError: it is more than may be deleted.
    """
    selected = selection(target.params.exclude, target.params.include)
    extra = [
        name
        for name, facts in target.there.items()
        if name and name not in target.found and not _is_protected(name, facts, selected)
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
    gone = set(extra)
    # A directory that holds something protected stays.
    kept = {above for name in target.there if name and name not in gone for above in _above(name)}
    return [
        name
        for name in extra
        if name not in kept and not any(up in gone and up not in kept for up in _above(name))
    ]


def delete_extras(target: Target, names: list[str]) -> None:
    """Delete things there, each with everything in it."""
    list_ = b"".join(b"./" + os.fsencode(name) + b"\0" for name in names)
    text = b"cd -- %b && exec xargs -0 rm -rf --" % path_word(target.path)
    answer = ask(text, target.context, target.sudo, pipes=Pipes(source=TextSource(list_)))
    if answer.status:
        message = f"cannot delete in {shown(target.path)}: {answer.complaint}"
        raise OperationError(message)


def _above(name: str) -> Iterator[str]:
    while name := os.path.dirname(name):
        yield name


def _is_protected(name: str, facts: Facts, selected: Selection | None) -> bool:
    """Tell whether patterns leave something out, which then is not deleted either."""
    if selected is None:
        return False
    if any(not selected.enters(up) for up in _above(name)):
        return True
    return not selected.takes(name, is_dir=facts.is_dir)
