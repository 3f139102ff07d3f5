"""Which versions of paramiko the parts of it that are replaced here were tried with."""

from typing import Final

import paramiko

from batchrun.errors import BatchrunError

__all__ = ["TESTED", "check_version"]

#: The first version that this was tried with, and the first that it was not.
TESTED: Final = ((5, 1), (6, 0))


def check_version(version: str = paramiko.__version__) -> None:
    """Refuse a paramiko that this module was not tried with.

    Raises:
        BatchrunError: says which is needed.
    """
    found = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if not TESTED[0] <= found < TESTED[1]:
        first, beyond = (".".join(map(str, bound)) for bound in TESTED)
        message = f"paramiko {version} cannot be used: install `paramiko>={first},<{beyond}`"
        raise BatchrunError(message)
