"""What a worker does to files and commands on this machine, one family of operations per file."""

from batchrun.model.operation import Operation
from batchrun.ops import (
    archive,
    checksum,
    command,
    compress,
    copy,
    delete,
    extract,
    files,
    move,
    write,
)

__all__ = ["OPERATIONS"]

#: Every operation on this machine, by name.
OPERATIONS: dict[str, Operation] = {
    **files.OPERATIONS,
    **copy.OPERATIONS,
    **move.OPERATIONS,
    **delete.OPERATIONS,
    **write.OPERATIONS,
    **archive.OPERATIONS,
    **extract.OPERATIONS,
    **compress.OPERATIONS,
    **checksum.OPERATIONS,
    **command.OPERATIONS,
}
