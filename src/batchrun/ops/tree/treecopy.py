"""Copy whole trees: everything is done relative to open directories, their metadata last."""

import os
from stat import S_ISDIR, S_ISLNK, S_ISREG

from batchrun.errors import OperationError
from batchrun.model.operation import Context
from batchrun.ops.failures import Tally, failure
from batchrun.ops.foresee import check_may_read, check_may_write
from batchrun.ops.tree.copying import FileCopier, Rules, in_the_way
from batchrun.ops.tree.folders import Folders, Place
from batchrun.ops.tree.temporary import remove_leftovers
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
        self, source: Place, st: os.stat_result, target: Place, old: os.stat_result | None
    ) -> None:
        """Copy one thing to its exact place; in a dry run the place's directory may be missing.

        Args:
            source: What to copy.
            st: What it looks like.
            target: Its exact new place.
            old: What is there now, without following it.
        """
        if S_ISDIR(st.st_mode):
            self._tree(source, st, target, old)
        else:
            self._files.put(source, st, target, old)

    def _tree(
        self, source: Place, st: os.stat_result, target: Place, old: os.stat_result | None
    ) -> None:
        if old is not None and S_ISLNK(old.st_mode):
            old = _followed(target) or old
        if old is not None and not S_ISDIR(old.st_mode):
            raise in_the_way(source, target, "not a directory")
        try:
            with Folders(source) as sources:
                if old is None:
                    self._tally.changed = True
                    if self._dry:
                        self._below(sources, None)
                        return
                    make_directory(target, self._rules)
                with Folders(target, follow=True) as targets:
                    if old is not None and not self._dry:
                        remove_leftovers(targets.fd)
                    self._below(sources, targets)
                    # Not by the last name: the user may have named a symlink to the root.
                    here = Place(sources.fd, ".", sources.prefix)
                    there = Place(targets.fd, ".", targets.prefix)
                    self.finish(here, st, there, old)
        except OSError as error:
            raise failure(error, "copy the directory", source.path) from error

    def finish(
        self, source: Place, st: os.stat_result, target: Place, old: os.stat_result | None
    ) -> None:
        """Give a directory its metadata, when nothing more is written into it.

        Args:
            source: The directory that was copied.
            st: What it looked like before it was read.
            target: Its copy.
            old: What the copy looked like before; None: it was made.
        """
        if old is None:
            self._files.set_metadata(source, st, target)
        elif self._rules.when != "missing" and not self._files.freshen(source, st, target, old):
            self._keep_times(st, target)

    def _keep_times(self, st: os.stat_result, target: Place) -> None:
        """Undo what writing into an up-to-date directory did to its time."""
        if self._dry or not self._rules.keep.times:
            return
        now = target.lstat()
        if now is not None and now.st_mtime_ns != st.st_mtime_ns:
            times = (st.st_atime_ns, st.st_mtime_ns)
            os.utime(target.name, ns=times, dir_fd=target.dir_fd, follow_symlinks=False)

    def _below(self, sources: Folders, targets: Folders | None) -> None:
        """Copy what lies in a directory; without `targets` (in a dry run) there is no copy yet."""
        descent = _Descent(self, self._files, targets, self._rules, dry=self._dry)
        rules = self._rules
        steps = walk(
            sources, self._tally.fail, selection=rules.selection, temporaries=rules.temporaries
        )
        for step in steps:
            self._context.check()
            try:
                descent.take(step, sources.at(step.name))
            except OperationError as error:
                step.skip = True
                self._tally.fail(error)
            except OSError as error:
                step.skip = True
                self._tally.fail(failure(error, "copy", sources.prefix + step.name))
        if descent.changed:
            self._tally.changed = True


class _Descent:
    """The target's side of a walk: stands in the copy of the directory where the walk is."""

    def __init__(
        self, copier: Copier, files: FileCopier, targets: Folders | None, rules: Rules, *, dry: bool
    ) -> None:
        self._copier = copier
        self._files = files
        self._targets = targets
        self._rules = rules
        self._dry = dry
        #: For each directory on the way down: what was there before.
        self._before: list[os.stat_result | None] = []
        #: How many directories on the way down do not exist yet (in a dry run).
        self._missing = 0 if targets else 1
        self.changed = False

    def take(self, step: Step, source: Place) -> None:
        """Do what a step of the walk asks for."""
        if self._targets is None or self._missing:
            # Only in a dry run: everything here would be made.
            if S_ISREG(step.st.st_mode):
                check_may_read(source)
            self.changed = True
            if step.is_dir:
                self._missing += -1 if step.left else 1
        elif step.left:
            self._targets.leave()
            target = self._targets.at(step.name)
            self._copier.finish(source, step.st, target, self._before.pop())
        elif step.is_dir:
            self._enter(step, source, self._targets)
        else:
            target = self._targets.at(step.name)
            self._files.put(source, step.st, target, target.lstat())

    def _enter(self, step: Step, source: Place, targets: Folders) -> None:
        target = targets.at(step.name)
        old = target.lstat()
        if old is None:
            if self._dry:
                check_may_write(target)
                self.changed = True
                self._missing = 1
                return
            self.changed = True
            make_directory(target, self._rules)
        elif not S_ISDIR(old.st_mode):
            raise in_the_way(source, target, "not a directory")
        targets.enter(step.name)
        self._before.append(old)
        if old is not None and not self._dry:
            remove_leftovers(targets.fd)


def make_directory(target: Place, rules: Rules) -> None:
    """Make a directory that nobody else may enter until it is finished."""
    os.mkdir(target.name, 0o700 if rules.keep.mode else 0o777, dir_fd=target.dir_fd)


def _followed(target: Place) -> os.stat_result | None:
    """Look at what the root of a target is: the user may have named a symlink to a directory."""
    try:
        return os.stat(target.name, dir_fd=target.dir_fd)
    except FileNotFoundError:
        return None
