"""Look at files on a host: what stat(1) says there, GNU's, busybox's or BSD's."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG

from batchrun.errors import OperationError
from batchrun.model.session import HostContext
from batchrun.model.values import apply_mode
from batchrun.ops.failures import refusal
from batchrun.ops.owners import Change, Ownership
from batchrun.ops.paths import shown
from batchrun.ops.sudo import NO_SUDO, SudoValue
from batchrun.remote.errand import ask_all
from batchrun.remote.words import path_word, quote

__all__ = [
    "STAT",
    "Facts",
    "Owners",
    "change_there",
    "facts_after",
    "look_at",
    "owner_ids",
    "parse_facts",
]

#: Defines `facts PATH`, which writes one line: the facts, `-` when nothing is there, `?` when it
#: cannot be looked at. Raw mode in hex, size, mtime, uid, gid, device and inode, number of names,
#: mtime as text.
STAT = rb"""
facts() {
  stat -c '%f %s %Y %u %g %d:%i %h %y' -- "$1" 2>/dev/null && return
  stat -f '%Xp %z %m %u %g %d:%i %l %Fm' -- "$1" 2>/dev/null && return
  if [ -e "$1" ] || [ -L "$1" ]; then echo '?'; else echo -; fi
}
"""
_LOOK = STAT + b'for p; do facts "$p"; done\n'
_LOOK_THROUGH = STAT.replace(b"stat -", b"stat -L -") + b'for p; do facts "$p"; done\n'
_FRACTION = re.compile(r"[:.\d]*\.(\d+)")
_SETID = 0o6000


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A file as it is on a host; a symlink itself, not where it leads."""

    #: As in `os.stat_result`.
    mode: int
    size: int
    mtime_s: int
    #: Nanoseconds beside the seconds; 0 where the host does not tell.
    mtime_ns: int
    uid: int
    gid: int
    #: Device and inode, as text.
    identity: str
    #: How many names the file has.
    names: int = 1

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symlink."""
        return S_ISLNK(self.mode)

    @property
    def permissions(self) -> int:
        """The permission bits."""
        return S_IMODE(self.mode)

    def said(self) -> list[str]:
        """Describe owner and mode, by number: names are the host's own."""
        return [f"owner {self.uid}", f"group {self.gid}", f"mode {self.permissions:04o}"]

    def has_time(self, mtime_ns: int) -> bool:
        """Tell whether it has a time, as far as both sides can tell."""
        seconds, rest = divmod(mtime_ns, 10**9)
        return self.mtime_s == seconds and (self.mtime_ns in {0, rest} or rest == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """Numbers of a user and a group on a host; None: not asked for."""

    uid: int | None = None
    gid: int | None = None


def parse_facts(line: str, path: str) -> Facts | None:
    """Read what `facts` wrote; None: nothing is there.

    Raises:
        OperationError: it could not be looked at.
    """
    if line == "-":
        return None
    fields = line.split(None, 7)
    if len(fields) < 7:
        message = f"cannot look at {shown(path)} on the host"
        raise OperationError(message, retryable=False)
    fraction = _FRACTION.search(fields[7]) if len(fields) > 7 else None
    digits = fraction[1] if fraction else ""
    return Facts(
        mode=int(fields[0], 16),
        size=int(fields[1]),
        mtime_s=int(fields[2]),
        mtime_ns=int(digits[:9].ljust(9, "0")) if digits else 0,
        uid=int(fields[3]),
        gid=int(fields[4]),
        identity=fields[5],
        names=int(fields[6]),
    )


def look_at(
    paths: Sequence[str], context: HostContext, sudo: SudoValue = NO_SUDO, *, follow: bool = False
) -> list[Facts | None]:
    """Look at paths there, in their order; None: nothing has that name.

    Args:
        paths: As the job file has them.
        context: The unit's.
        sudo: As whom.
        follow: Look at what symlinks lead to; one that leads nowhere cannot be looked at.
    """
    text = _LOOK_THROUGH if follow else _LOOK
    lines = [
        line
        for answer in ask_all(text, [path_word(path) for path in paths], context, sudo)
        for line in answer.stdout.decode("ascii", "replace").splitlines()
    ]
    if len(lines) != len(paths):
        message = "the host did not say how its files are"
        raise OperationError(message)
    return [parse_facts(line, path) for line, path in zip(lines, paths, strict=True)]


_IDS = rb"""
[ -z "$1" ] || id -u -- "$1" 2>/dev/null || echo none
[ -z "$2" ] || { getent group -- "$2" 2>/dev/null || grep -- "^$2:" /etc/group; } | cut -d: -f3 |
  grep . || echo none
"""


def owner_ids(wanted: Ownership, context: HostContext, sudo: SudoValue = NO_SUDO) -> Owners:
    """Look up a user and a group there by name.

    Raises:
        OperationError: there is no such user or group.
    """
    numbers: dict[str, int] = {}
    names = {"user": wanted.owner, "group": wanted.group}
    for what, name in names.items():
        if name is not None and name.isdecimal():
            numbers[what] = int(name)
    asked = [what for what, name in names.items() if name is not None and what not in numbers]
    if asked:
        words = [quote((names[what] or "").encode() if what in asked else b"") for what in names]
        (answer,) = ask_all(_IDS, words, context, sudo)
        for what, line in zip(asked, answer.stdout.decode("ascii", "replace").split(), strict=True):
            if line == "none":
                raise refusal(f"there is no {what} {shown(names[what] or '')} on the host")
            numbers[what] = int(line)
    return Owners(uid=numbers.get("user"), gid=numbers.get("group"))


def facts_after(facts: Facts, change: Change) -> Facts:
    """Return how a file is when it was changed."""
    mode = facts.mode if change.mode is None else facts.mode & ~0o7777 | change.mode
    return replace(
        facts,
        mode=mode,
        uid=facts.uid if change.uid == -1 else change.uid,
        gid=facts.gid if change.gid == -1 else change.gid,
    )


def change_there(facts: Facts, mode: str | None, owners: Owners) -> Change | None:
    """Find what has to be changed of a file; None: nothing."""
    uid = -1 if owners.uid is None or owners.uid == facts.uid else owners.uid
    gid = -1 if owners.gid is None or owners.gid == facts.gid else owners.gid
    owned = uid != -1 or gid != -1
    if facts.is_link:
        return Change(uid, gid, None) if owned else None
    base = facts.permissions
    if owned and not facts.is_dir:
        # These rights were meant for the old owner.
        base &= ~_SETID
    bits = base if mode is None else apply_mode(mode, base, is_dir=facts.is_dir)
    if not owned and bits == facts.permissions:
        return None
    said = bits != facts.permissions or bits & _SETID
    return Change(uid, gid, bits if said else None)
