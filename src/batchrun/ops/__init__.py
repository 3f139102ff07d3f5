"""What a worker does to files and commands on this machine, one family of operations per file."""

from collections.abc import Mapping

from batchrun.model.operation import Operation
from batchrun.ops.families import Families

__all__ = ["OPERATIONS"]

#: Each family's module, and the operations in it, in the order of the reference.
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "files": ("mkdir", "touch"),
    "link": ("link",),
    "copy": ("copy",),
    "move": ("move",),
    "sync": ("sync",),
    "compare": ("compare",),
    "delete": ("delete",),
    "prune": ("prune",),
    "write": ("write",),
    "template": ("template",),
    "replace": ("replace",),
    "perms": ("perms",),
    "archive": ("archive",),
    "extract": ("extract",),
    "compress": ("compress", "decompress"),
    "checksum": ("checksum",),
    "command": ("run", "script"),
}


#: Every operation on this machine, by name.
OPERATIONS: Mapping[str, Operation] = Families(__name__, _FAMILIES)
