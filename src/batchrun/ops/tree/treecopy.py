"""Copy whole trees: everything is done relative to open directories, their metadata last."""

import os
from stat import S_ISDIR, S_ISLNK

from batchrun.errors import OperationError
from batchrun.model.operation import Context
from batchrun.ops.failures import Tally, failure
from batchrun.ops.tree.copying import FileCopier, Rules, in_the_way
from batchrun.ops.tree.folders import Folders, Place
from batchrun.ops.tree.walking import Step, walk

__all__ = ["Copier"]


class Copier:
    """Copies things of any kind for one unit.

    A failure below the root of a tree is counted and the rest goes on; a failure of a root
    itself, and a full disk, are raised.
    """

    def __init__(self, context: Context, rules: Rules, tally: Tally, base: str) -> None:
        self._context = context
        self._rules = rules
        self._tally = tally
        self._dry = context.settings.dry_run
        self._files = FileCopier(context, rules, tally, base)

    def copy(
        self, source: Place, st: os.stat_result, target: Place, *, absent: bool = False
    ) -> None:
        """Copy one thing to an exact place whose directory exists.

        Args:
            source: What to copy.
            st: What it looked like.
            target: Its exact new place.
            absent: The directory of the target does not exist yet (in a dry run).
        """
        if S_ISDIR(st.st_mode):
            self._tree(source, st, target, absent=absent)
        else:
            self._files.put(source, st, target, absent=absent)

    def _tree(
        self, source: Place, st: os.stat_result, target: Place, *, absent: bool
    ) -> None:
        old = None if absent else _stat_root(target)
        try:
            self._begin(source, st, target, old)
            with Folders(source, follow=False) as sources:
                if self._dry and old is None:
                    self._below(sources, None)
                else:
                    with Folders(target, follow=True) as targets:
                        self._below(sources, targets)
            # Not through the last name: the user may have named a symlink to the root.
            self._end(source, st, target, old)
        except OSError as error:
            raise failure(error, "copy the directory", source.path) from error

    def _below(self, sources: Folders, targets: Folders | None) -> None:
        """Copy what lies in a directory.

        Args:
            sources: Stands in the source directory.
            targets: Stands in its copy; None: there is none (in a dry run).
        """
        #: One for each directory on the way: what was there before.
        before: list[os.stat_result | None] = []
        #: How many directories on the way do not exist yet (in a dry run).
        missing = 0 if targets is not None else 1
        steps = walk(sources, self._tally.fail, selection=self._rules.selection)
        for step in steps:
            self._context.check()
            source = sources.at(step.name)
            if step.left:
                missing = self._leave(step, source, targets, before, missing)
            elif step.is_dir:
                entered = self._enter(step, source, targets, before, missing)
                missing += entered == "missing"
            else:
                self._put(step, source, targets, missing)
