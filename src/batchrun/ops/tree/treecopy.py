"""Copy whole trees, in one worker or in many: directories first, their metadata last.

a directory is made (0700), its files are copied, then its directories in the same way; when
nothing is left in it, it gets the metadata of its source
"""

import os
from contextlib import suppress
from math import inf
from stat import S_ISDIR, S_ISLNK
from typing import Any

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done
from batchrun.model.outcome import Ok
from batchrun.model.tree import Chunk, Spread
from batchrun.ops.failures import Tally, failure
from batchrun.ops.foresee import check_may_write
from batchrun.ops.tree.bigfiles import is_part, remove_temporary
from batchrun.ops.tree.copying import Rules, in_the_way
from batchrun.ops.tree.copyvisitor import (
    MISSING,
    NEW,
    CopyConfig,
    CopyVisitor,
    is_unfinished,
    make_directory,
)
from batchrun.ops.tree.crawl import Node, Rest, begin, crawl, root_node
from batchrun.ops.tree.doors import root_of
from batchrun.ops.tree.folders import OPEN_DIRECTORY, Place
from batchrun.ops.tree.forest import Forest
from batchrun.ops.tree.links import end_meeting
from batchrun.ops.tree.parcels import Payload, Root
from batchrun.ops.tree.temporary import of_runs, remove_leftovers

__all__ = ["Copier", "CopyForest", "copy_chunk", "copying", "end_traces"]


class Copier:
    """Copies things of any kind for one unit.

    A failure below the root of a tree is counted and the rest goes on; a failure of a root
    itself, and a full disk, are raised.

    Args:
        context: Of the unit.
        rules: How to copy.
        tally: Where everything is counted.
        base: The directory below which every target lies, or the one target, when that is a tree.
    """

    def __init__(self, context: Context, rules: Rules, tally: Tally, base: str) -> None:
        self._context = context
        self._rules = rules
        self._tally = tally
        self._dry = context.settings.dry_run
        settings, number, attempt = context.settings, context.number, context.attempt
        # The same in every attempt, so that nothing is left of one whose worker died.
        self._meeting = f".br-{settings.run_id}-{number}-0-links"
        self._base = base
        dead = tuple(f".br-{settings.run_id}-{number}-{past}-" for past in range(1, attempt))
        dead += of_runs(settings.past_runs)
        self.config = (rules, base, self._meeting, dead)
        self.visitor = CopyVisitor(context, self.config, tally)
        #: Directories to be copied.
        self.roots: list[Node] = []

    def copy(
        self, source: Place, st: os.stat_result, target: Place, old: os.stat_result | None
    ) -> None:
        """Copy one thing to its exact place; of a directory, what is in it waits for `finish`.

        In a dry run the place's directory may be missing.

        Args:
            source: What to copy.
            st: What it looks like.
            target: Its exact new place.
            old: What is there now, without following it.
        """
        if S_ISDIR(st.st_mode):
            self.roots.append(self._root(source, target, old))
        else:
            self.visitor.single(source, st, target, old)

    def abandon(self) -> None:
        """Leave nothing behind but what has its final name: it will not be completed."""
        end_traces([self.config[1]], self._meeting)

    def finish(self) -> Spread | None:
        """Copy what is in the directories; what is more than a slice is to be spread."""
        rest, extras = self.begin(self._context.settings.slice_cost or inf)
        if not rest[1]:
            # In the root of a tree it was removed with what was in it.
            end_traces(extras, self._meeting)
            return None
        answer = (self._tally.counted(), *rest, extras)
        return Spread(coordinator=_FOREST, seed=(_CHUNK, self.config, answer))

    def begin(self, most: float) -> tuple[Rest, list[Any]]:
        """Copy as much of what is in the directories as a slice holds; returns what is left."""
        with self.visitor as visitor:
            rest = begin(reversed(self.roots), visitor, most)
            return rest, visitor.extras()

    def _root(self, source: Place, target: Place, old: os.stat_result | None) -> Node:
        """Make the root of a copy, and say what it is."""
        if old is not None and S_ISLNK(old.st_mode):
            old = _followed(target) or old
        if old is not None and not S_ISDIR(old.st_mode):
            raise in_the_way(source, target, "not a directory")
        try:
            fd = os.open(source.name, OPEN_DIRECTORY, dir_fd=source.dir_fd)
            try:
                here = root_of(source.path, fd)
            finally:
                os.close(fd)
            if old is None:
                self._tally.changed = True
                if self._dry:
                    check_may_write(target, "make the directory")
                    return root_node((*here, target.path, 0, 0), MISSING)
                make_directory(target, self._rules)
            fd = os.open(target.name, OPEN_DIRECTORY & ~os.O_NOFOLLOW, dir_fd=target.dir_fd)
            try:
                if old is not None and not self._dry:
                    remove_leftovers(fd, self.config[3])
                root = (*here, *root_of(target.path, fd))
            finally:
                os.close(fd)
        except OSError as error:
            raise failure(error, "copy the directory", source.path) from error
        is_new = old is None or (bool(self.config[3]) and is_unfinished(old))
        return root_node(root, NEW if is_new else old.st_mtime_ns)  # type: ignore[union-attr]  # then it is there


class CopyForest(Forest):
    """Copies of trees that many workers make."""

    def abandoned(self, token: Any, root: Root, path: str) -> None:
        """Have the temporary file of a big one removed."""
        if is_part(token):
            self.clean_up((root, path, token[0]))

    def heard(self, extras: list[Any]) -> None:
        """Take note of where copies of files with several names meet."""
        for base in extras:
            self.clean_up(base)

    def lose(self, chunk: Chunk, number: int, message: str) -> None:
        """Take note that a worker died, which has not told what it had made."""
        super().lose(chunk, number, message)
        self.clean_up(self.config[1])

    def drop(self, chunk: Chunk) -> None:
        """Take note that a chunk has ended without telling what it had made."""
        super().drop(chunk)
        self.clean_up(self.config[1])


def copy_chunk(payload: Payload, context: Context) -> Done:
    """Work on a piece of a copy."""
    config, deaths, items, lost = payload
    tally = Tally()
    if deaths < 0:
        end_traces(items, config[2])
        return Done(outcome=Ok(changed=False), answer=(tally.counted(), [], [], [], []))
    with copying(context, config, tally, lost) as visitor:
        rest: Rest = crawl(items, visitor, 1 if deaths else context.settings.slice_cost or inf)
        extras = visitor.extras()
    answer = (tally.counted(), *rest, extras)
    return Done(outcome=Ok(changed=tally.changed), bytes_done=tally.bytes_done, answer=answer)


def copying(context: Context, config: CopyConfig, tally: Tally, lost: list[int]) -> CopyVisitor:
    """Make the visitor of a chunk of copying.

    Args:
        context: Of the chunk.
        config: Of the copy.
        tally: Where everything is counted.
        lost: Orders whose workers have died, and may have left something behind.
    """
    rules, base, meeting, dead = config
    dead += tuple(f".br-{context.settings.run_id}-{number}-" for number in lost)
    return CopyVisitor(context, (rules, base, meeting, dead), tally)


_CHUNK = f"{__name__}:{copy_chunk.__name__}"
_FOREST = f"{__name__}:{CopyForest.__name__}"


def end_traces(traces: list[Any], name: str) -> None:
    """Remove the directories in which copies have met, and files that will not be completed."""
    for trace in traces:
        with suppress(OSError, OperationError):
            if not isinstance(trace, str):
                remove_temporary(*trace)
                continue
            fd = os.open(trace, OPEN_DIRECTORY & ~os.O_NOFOLLOW)
            try:
                end_meeting(fd, name)
            finally:
                os.close(fd)


def _followed(target: Place) -> os.stat_result | None:
    """Look at what the root of a target is: the user may have named a symlink to a directory."""
    try:
        return os.stat(target.name, dir_fd=target.dir_fd)
    except FileNotFoundError:
        return None
