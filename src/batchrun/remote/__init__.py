"""Operations on hosts over SSH, and the connections they use; the only importer of paramiko."""

from collections.abc import Mapping

from batchrun.model.operation import Operation
from batchrun.ops.families import Families

__all__ = ["OPERATIONS"]

#: Each family's module, and the operations in it, in the order of the reference.
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "command": ("run", "script"),
    "files": ("mkdir", "link", "perms"),
    "delete": ("delete",),
    "textfiles": ("write", "template"),
    "upload": ("upload",),
    "download": ("download",),
    "wait_for": ("wait_for",),
    "reboot": ("reboot",),
}

#: Every operation on hosts, by name; a family is imported when one of its operations is asked for.
OPERATIONS: Mapping[str, Operation] = Families(__name__, _FAMILIES)
