"""List a tree on a host, with facts: by GNU find in one go, by others file by file."""

import os

from batchrun.errors import OperationError
from batchrun.model.session import HostContext
from batchrun.ops.paths import shown
from batchrun.ops.sudo import NO_SUDO, SudoValue
from batchrun.ops.tree.temporary import is_temporary
from batchrun.remote.errand import ask
from batchrun.remote.facts import STAT, Facts, parse_facts
from batchrun.remote.words import path_word

__all__ = ["below", "entries_below"]

#: Each record: facts as `parse_facts` reads them, a slash, the path below the root; NUL.
_LIST = rb"""
cd -- "$root" || exit 3
if find . -maxdepth 0 -printf '' 2>/dev/null; then
  exec find . -mindepth 1 -printf '%y %m %s %T@ %U %G %D:%i %n /%P\0'
fi
find . -mindepth 1 -exec sh -c "$1"'
for f; do printf "%s /%s\0" "$(facts "$f")" "${f#./}"; done' sh {} +
"""
_KINDS = {"f": 0o100000, "d": 0o040000, "l": 0o120000, "p": 0o010000, "s": 0o140000}
_KINDS |= {"c": 0o020000, "b": 0o060000}


def entries_below(
    root: str, context: HostContext, sudo: SudoValue = NO_SUDO, *, temporaries: bool = False
) -> dict[str, Facts]:
    """Return everything below a directory there, by relative path, bytewise.

    Held as a whole: some 300 bytes for each file.

    Args:
        root: The directory.
        context: The unit's.
        sudo: As whom.
        temporaries: Also files of ours that a killed run may have left.

    Raises:
        OperationError: it could not be listed whole.
    """
    text = b"root=%b\nset -- '%b'\n" % (path_word(root), STAT.replace(b"'", b"'\\''"))
    answer = ask(text + _LIST, context, sudo)
    if answer.status:
        message = f"cannot list {shown(root)} on {context.host.name}: {answer.complaint}"
        raise OperationError(message)
    found: dict[str, Facts] = {}
    for record in answer.stdout.split(b"\0")[:-1]:
        head, _, name = record.partition(b" /")
        path = os.fsdecode(name)
        facts = _facts(head.decode("ascii", "replace"), path)
        if facts is not None and (temporaries or not is_temporary(path.rpartition("/")[2])):
            found[path] = facts
    return dict(sorted(found.items(), key=lambda item: os.fsencode(item[0])))


def below(root: str, context: HostContext, sudo: SudoValue) -> list[tuple[str, Facts]]:
    """Return everything below a directory there, as paths of the same kind as its own."""
    base = root.rstrip("/")
    return [(f"{base}/{name}", facts) for name, facts in entries_below(root, context, sudo).items()]


def _facts(text: str, path: str) -> Facts | None:
    fields = text.split()
    if len(fields) != 8 or fields[0] not in _KINDS:
        return parse_facts(text, path)
    kind, mode, size, mtime, uid, gid, identity, names = fields
    seconds, _, fraction = mtime.partition(".")
    return Facts(
        mode=_KINDS[kind] | int(mode, 8),
        size=int(size),
        mtime_s=int(seconds),
        mtime_ns=int(fraction[:9].ljust(9, "0")) if fraction else 0,
        uid=int(uid),
        gid=int(gid),
        identity=identity,
        names=int(names),
    )
