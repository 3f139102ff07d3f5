"""What is in an open directory: names and, as far as the kernel says so with them, kinds."""

import os
from collections.abc import Iterator

from batchrun.ops.tree.parcels import DIRS, FILES, OTHERS
from batchrun.ops.tree.temporary import PREFIX, is_temporary

__all__ = ["entries"]


def entries(directory: int, *, temporaries: bool) -> Iterator[tuple[str, int]]:
    """Yield the names in a directory as a stream, each with its kind.

    Args:
        directory: An open one.
        temporaries: Also what this program is writing, or has left half-written.

    Raises:
        OSError: it cannot be read, or not to its end.
    """
    with os.scandir(directory) as found:
        for entry in found:
            name = entry.name
            if not temporaries and name.startswith(PREFIX) and is_temporary(name):
                continue
            if entry.is_file(follow_symlinks=False):
                yield name, FILES
            elif entry.is_dir(follow_symlinks=False):
                yield name, DIRS
            else:
                yield name, OTHERS
