"""What travels between the forest of a tree operation and those who work on it: plain tuples.

Work on a directory comes in parcels: list it, take these names of files, go into these names of
directories, or leave it, because everything in it is done. Whoever works on parcels answers with
what is left of them, and with the directories that it has opened and could not finish.
"""

from typing import Any, TypeAlias

from batchrun.ops.failures import Counted

__all__ = [
    "CLEAN_UP", "COMPLETE", "DIRS", "FILES", "FRAME_NAMES", "LEAVE", "LIST", "OTHERS", "Answer",
    "Item", "OpenNode", "Payload", "Root", "Work", "joined", "split",
]  # fmt: skip

#: Kinds of work on a directory. Read its names; those of its files, those of its directories come
#: back as work of the kinds that follow.
LIST = 0
#: Work on regular files, as far as was known when they were listed.
FILES = 1
#: Go into directories.
DIRS = 2
#: Finish it: nothing in it is left to be done.
LEAVE = 3
#: Work on what is neither a regular file nor a directory.
OTHERS = 4

#: What stands in a payload in place of a number of workers: this is the last chunk, and all the
#: others are done, or have been given up.
COMPLETE = -1
CLEAN_UP = -2

#: Names that travel together.
FRAME_NAMES = 512

#: What a root is, for those who work on it: paths, devices and inodes.
Root: TypeAlias = tuple[Any, ...]
#: Work that is left: number of the directory, or minus its place among the open ones, counted
#: from 1; kind; names, joined.
Work: TypeAlias = tuple[int, int, str]
#: A directory that was opened and not finished: its parent as in `Work`, name, token, whether it
#: is marked, and what root it is (None: it lies in its parent).
OpenNode: TypeAlias = tuple[int, str, Any, bool, Root | None]
#: Work as it is given out: number, root, path below the root, token, marked, kind, names.
Item: TypeAlias = tuple[int, Root, str, Any, bool, int, str]
#: What was counted; directories left open; work left; numbers of directories that are marked now;
#: what else the operation wants to know.
Answer: TypeAlias = tuple[Counted, list[OpenNode], list[Work], list[int], list[Any]]

#: What a chunk carries: what is the same for all of the operation; how many workers this work has
#: killed, or COMPLETE or CLEAN_UP; items, or what is to be completed
#: or cleaned up; orders whose workers have died.
Payload: TypeAlias = tuple[Any, int, list[Any], list[int]]


def joined(names: list[str]) -> str:
    """Put names into one text: no name holds a NUL."""
    return "\0".join(names)


def split(names: str) -> list[str]:
    """Take names apart again."""
    return names.split("\0") if names else []
