"""Whose files become whose on a host: users are told by name, as their numbers differ."""

import grp
import os
import pwd
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from batchrun.errors import OperationError
from batchrun.model.session import HostContext
from batchrun.ops.failures import Tally
from batchrun.ops.paths import shown
from batchrun.ops.sudo import SudoValue
from batchrun.remote.errand import ask
from batchrun.remote.facts import Owners
from batchrun.remote.localtree import Here
from batchrun.remote.words import quote

__all__ = ["OwnersThere", "owners_there"]

#: $users and $groups, quoted names; for each a line with its number, or `none`. Nothing when this
#: is not root.
_ASK = rb"""
[ "$(id -u)" = 0 ] || exit 0
user() { id -u -- "$1" 2>/dev/null || echo none; }
group() {
  { getent group -- "$1" 2>/dev/null || grep -- "^$1:" /etc/group; } | cut -d: -f3 | grep . ||
    echo none
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnersThere:
    """Numbers of users and groups on a host, by those on this machine; without one: the login's."""

    users: Mapping[int, int] = field(default_factory=dict)
    groups: Mapping[int, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether anybody but the login owns anything."""
        return bool(self.users or self.groups)

    def of(self, here: Here) -> Owners:
        """Return who owns there what is a file here."""
        return Owners(uid=self.users.get(here.st.st_uid), gid=self.groups.get(here.st.st_gid))


def owners_there(
    files: Iterable[Here], context: HostContext, sudo: SudoValue, tally: Tally
) -> OwnersThere:
    """Find out who owns files on a host, between two that are root; else nothing is known.

    Only root can give files away, and only where root sends them do their owners mean more than
    who happens to run batchrun.

    Args:
        files: What is sent.
        context: The unit's.
        sudo: As whom.
        tally: Told of users and groups that there are not.
    """
    if os.geteuid() != 0:
        return OwnersThere()
    uids, gids = set(), set()
    for here in files:
        uids.add(here.st.st_uid)
        gids.add(here.st.st_gid)
    if uids | gids == {0}:
        return OwnersThere()  # what is new is root's anyway
    users, groups = sorted(uids), sorted(gids)
    names = [_name(lambda uid: pwd.getpwuid(uid).pw_name, uid) for uid in users]
    group_names = [_name(lambda gid: grp.getgrgid(gid).gr_name, gid) for gid in groups]
    text = _ASK + b"".join(_line(b"user", name) for name in names)
    text += b"".join(_line(b"group", name) for name in group_names)
    said = ask(text, context, sudo).stdout.split()
    if not said:
        return OwnersThere()
    if len(said) != len(users) + len(groups):
        message = "the host did not say who its users are"
        raise OperationError(message)
    for what, name, number in zip(
        ["user"] * len(users) + ["group"] * len(groups), names + group_names, said, strict=True
    ):
        if number == b"none":
            tally.warn(
                f"there is no {what} {shown(name)} on the host; what is theirs here is root's there"
            )
    return OwnersThere(
        users=_numbers(users, said[: len(users)]), groups=_numbers(groups, said[len(users) :])
    )


def _name(look_up: Callable[[int], str], number: int) -> str:
    """Return a name; of whom this machine does not know, the number."""
    try:
        return look_up(number)
    except KeyError:
        return str(number)


def _line(what: bytes, name: str) -> bytes:
    if name.isdecimal():
        return b"echo %b\n" % name.encode()
    return b"%b %b\n" % (what, quote(os.fsencode(name)))


def _numbers(here: list[int], said: list[bytes]) -> dict[int, int]:
    return {
        one: 0 if there == b"none" else int(there) for one, there in zip(here, said, strict=True)
    }
