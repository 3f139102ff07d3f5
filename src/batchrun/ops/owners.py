"""Who a file shall belong to: names and numbers of users and groups."""

from functools import lru_cache

from batchrun.ops.failures import refusal
from batchrun.ops.paths import shown

__all__ = ["group_id", "user_id"]


@lru_cache(maxsize=64)
def user_id(owner: str | None) -> int | None:
    """Look up a user by name or number; None stays None.

    Raises:
        OperationError: there is no such user.
    """
    if owner is None or owner.isdecimal():
        return None if owner is None else int(owner)
    import pwd  # noqa: PLC0415 - only where an owner is asked for

    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        message = f"there is no user {shown(owner)} on this machine"
        raise refusal(message) from None


@lru_cache(maxsize=64)
def group_id(group: str | None) -> int | None:
    """Look up a group by name or number; None stays None.

    Raises:
        OperationError: there is no such group.
    """
    if group is None or group.isdecimal():
        return None if group is None else int(group)
    import grp  # noqa: PLC0415 - only where a group is asked for

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        message = f"there is no group {shown(group)} on this machine"
        raise refusal(message) from None
