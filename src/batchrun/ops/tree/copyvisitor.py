"""Copy what is in directories: what one worker does with each of them, and when."""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from stat import S_IMODE, S_ISDIR, S_ISREG
from typing import Self, TypeAlias

from batchrun.errors import OperationError
from batchrun.model.operation import Context
from batchrun.ops.failures import Tally, failure
from batchrun.ops.foresee import check_may_read, check_may_write
from batchrun.ops.tree.bigfiles import BigFiles, is_part, remove_temporary
from batchrun.ops.tree.copying import FileCopier, Rules, in_the_way
from batchrun.ops.tree.crawl import Listed, Node
from batchrun.ops.tree.data import SMALL_SIZE
from batchrun.ops.tree.doors import Doors
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.freshfiles import FreshFiles
from batchrun.ops.tree.glance import equals
from batchrun.ops.tree.links import Meeting, end_meeting
from batchrun.ops.tree.listing import entries
from batchrun.ops.tree.metadata import KEEP_ALL, apply_to_fd
from batchrun.ops.tree.parcels import FILES
from batchrun.ops.tree.temporary import remove_leftovers

__all__ = ["MISSING", "NEW", "CopyConfig", "CopyVisitor", "is_unfinished", "make_directory"]

#: What is known of a copied directory: this operation has made it; or, in a dry run, it is not
#: there yet. Of one that was there, the time that it had, in nanoseconds.
NEW, MISSING = "new", "missing"
#: Size of a file of usual size, in bytes, for the cost of bigger ones.
_USUAL_SIZE = 64 * 1024
#: How to copy; where copies of files with several names meet, and the name of that directory; how
#: the names of temporary files begin that earlier attempts may have left.
CopyConfig: TypeAlias = tuple[Rules, str, str, tuple[str, ...]]


class CopyVisitor:
    """Makes directories, copies what is in them, and finishes them."""

    def __init__(self, context: Context, config: CopyConfig, tally: Tally) -> None:
        rules, base, meeting, dead = config
        self._context = context
        #: How the names of temporary files begin whose writers are dead.
        self._dead = dead
        self._tidied: set[Node] = set()
        #: What is in the way and will be removed, for a mirror.
        self.obstacles = 0
        #: Whatever it is, it is copied at once.
        self._hurried = False
        self._rules = rules
        self._selection = rules.selection
        self._tally = tally
        self._dry = context.settings.dry_run
        # Workers have died at this operation: whatever is there may be what one had begun.
        self._again = bool(dead)
        self._sources = Doors(0)
        self._targets = Doors(1, follow=True)
        self.copier = FileCopier(context, rules, tally)
        self._name = meeting
        self._meeting = Meeting(base, meeting, dry=self._dry)
        self.copier.meeting = self._meeting
        # Most files of an unchanged tree can be told to be as they shall be without opening them.
        self._at_a_glance = rules.when == "different" and rules.keep == KEEP_ALL
        self._big = BigFiles(context, rules, tally, self.copier, (self._sources, self._targets))
        self._fresh = None
        if rules.when != "missing" and not rules.verify and not rules.durable and rules.keep.times:
            self._fresh = FreshFiles(context, rules.keep, tally, self.copier)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sources.__exit__(None, None, None)
        self._targets.__exit__(None, None, None)
        self._meeting.close()

    def extras(self) -> list[str]:
        """Return where there is a meeting directory now."""
        return [self._meeting.base] if self._meeting.used else []

    def single(
        self, source: Place, st: os.stat_result, target: Place, old: os.stat_result | None
    ) -> None:
        """Copy a root that is no directory."""
        self.copier.put(source, st, target, old)
        self._tally.files_done += 1

    # ---- the Visitor ----------------------------------------------------------------------

    def enter(self, node: Node) -> bool:
        """Make the copy of a directory."""
        above = node.parent
        self._context.check()
        if above is None or (self._selection is not None and not self._selection.enters(node.path)):
            return False
        if not self._enter_source(node, above):
            return False
        if is_part(node.token):
            return True
        try:
            token = self._made(node, above)
        except OperationError as error:
            self._tally.fail(error)
            token = None
        except OSError as error:
            target = self._targets.prefix(above) + node.name
            self._tally.fail(failure(error, "make the directory", target))
            token = None
        node.token = token
        if token is None:
            self._sources.leave(node)
        return token is not None

    def _enter_source(self, node: Node, above: Node) -> bool:
        """Open a directory of the source; False: it is none, or cannot be opened."""
        try:
            self._sources.enter(node)
        except FileNotFoundError:
            self._tally.vanished(self._sources.prefix(above) + node.name)
            return False
        except NotADirectoryError:
            if self._begin_big(node):
                return True
            self._hurried = True
            self.others(above, [node.name])
            self._hurried = False
            return False
        except OSError as error:
            path = self._sources.prefix(above) + node.name
            self._tally.fail(failure(error, "open the directory", path))
            return False
        return True

    def _begin_big(self, node: Node) -> bool:
        """Begin a file that is to be copied in ranges; False: it is none of those."""
        try:
            node.token = self._big.begin(node)
        except OSError:
            # Whoever copies it in the ordinary way says what is the matter.
            return False
        return node.token is not None

    def listed(self, node: Node) -> Iterator[Listed]:
        """Yield what is in a source directory, or the ranges of a big file."""
        if is_part(node.token):
            yield from ((start, FILES) for start in self._big.ranges(node))
            return
        fd = self._sources.fd(node)
        try:
            yield from entries(fd, temporaries=self._rules.temporaries)
        except OSError as error:
            self._tally.fail(failure(error, "list the directory", self._sources.prefix(node)))

    def files(self, node: Node, names: list[str]) -> int:
        """Copy files, small ones into new directories the fast way; or ranges of a big one."""
        self._context.check()
        if is_part(node.token):
            return self._ranges(node, names)
        self._tidy(node)
        before = self._tally.bytes_done
        names = self._meant(node, names)
        rest = names
        if node.token == NEW and self._fresh is not None and not self._dry:
            source, target = self._both(node, "")
            if source is not None and target is not None:
                rest = self._fresh.copy(source, target, names)
        elif self._at_a_glance and isinstance(node.token, int) and names:
            rest = self._different(node, names)
        self._each(node, rest)
        self._tally.files_done += len(names)
        extra = self._tally.bytes_done - before - len(names) * SMALL_SIZE
        return len(names) + max(0, extra) // _USUAL_SIZE

    def others(self, node: Node, names: list[str]) -> int:
        """Copy symlinks, fifos and devices."""
        self._tidy(node)
        names = self._meant(node, names)
        self._each(node, names)
        self._tally.files_done += len(names)
        return 2 * len(names)

    def leave(self, node: Node) -> None:
        """Give a directory the metadata of its source, and a big file its name."""
        if is_part(node.token):
            self._finish_big(node)
            return
        if node.token != MISSING:
            try:
                self._finish(node)
            except OperationError as error:
                self._tally.fail(error)
            except OSError as error:
                path = self._targets.prefix(node)
                self._tally.fail(failure(error, "set the metadata of", path))
        self._sources.leave(node)
        self._targets.leave(node)

    # ---- how ------------------------------------------------------------------------------

    def _made(self, node: Node, above: Node) -> str | int | None:
        """Make or find the copy of a directory; returns which; None: something is in the way."""
        if above.token == MISSING:
            self._tally.changed = True
            return MISSING
        target = self._targets.at(above, node.name)
        old = target.lstat()
        if old is None and self._dry:
            check_may_write(target)
            self._tally.changed = True
            return MISSING
        if old is None:
            make_directory(target, self._rules)
            self._tally.changed = True
        elif not S_ISDIR(old.st_mode):
            if self._rules.mirror:
                self.obstacles += 1
                return None
            source = self._sources.at(above, node.name)
            raise in_the_way(source, target, "not a directory")
        fd = self._targets.enter(node)
        if old is None:
            return NEW
        if not self._dry:
            remove_leftovers(fd, self._dead)
            self._tidied.add(node)
        if self._again and is_unfinished(old):
            return NEW
        return old.st_mtime_ns

    def _tidy(self, node: Node) -> None:
        """Remove from a directory, once, what dead workers of this operation have left there."""
        if self._dead and node not in self._tidied and node.token != MISSING and not self._dry:
            self._tidied.add(node)
            with suppress(OSError):
                remove_leftovers(self._targets.fd(node), self._dead)

    def _different(self, node: Node, names: list[str]) -> list[str]:
        """Return the files that are not at a glance as they shall be."""
        source, target = self._both(node, "")
        if source is None or target is None:
            return []
        return equals(source, target, names, attributes=True)[1]

    def _meant(self, node: Node, names: list[str]) -> list[str]:
        chosen = self._selection
        if chosen is None:
            return names
        prefix = f"{node.path}/" if node.path else ""
        return [name for name in names if chosen.takes(prefix + name, is_dir=False)]

    def _both(self, node: Node, name: str) -> tuple[Place | None, Place | None]:
        """Return the places of a name in the source and in the copy; None: not to be had."""
        try:
            source = self._sources.at(node, name)
        except OSError as error:
            self._tally.fail(failure(error, "open the directory", self._sources.prefix(node)))
            return None, None
        if node.token == MISSING:
            return source, None
        try:
            return source, self._targets.at(node, name)
        except OSError as error:
            self._tally.fail(failure(error, "open the directory", self._targets.prefix(node)))
            return None, None

    def _each(self, node: Node, names: list[str]) -> None:
        """Copy one after the other, whatever they are."""
        for name in names:
            self._context.check()
            source, target = self._both(node, name)
            if source is None:
                return
            try:
                self._one(node, source, target)
            except OperationError as error:
                if error.errno == errno.ENOENT and source.lstat() is None:
                    self._tally.vanished(source.path)
                else:
                    self._tally.fail(error)
            except OSError as error:
                self._tally.fail(failure(error, "copy", source.path))

    def _one(self, node: Node, source: Place, target: Place | None) -> None:
        st = source.lstat()
        if st is None:
            self._tally.vanished(source.path)
            return
        if S_ISDIR(st.st_mode):
            message = f"{source.path} has become a directory meanwhile"
            raise OperationError(message)
        if target is None:
            # Only in a dry run: it would be made.
            if S_ISREG(st.st_mode):
                check_may_read(source)
            self._tally.changed = True
            return
        old = None
        if node.token != NEW or self._again:
            old = target.lstat()
        if old is not None and S_ISDIR(old.st_mode) and self._rules.mirror:
            self.obstacles += 1
            return
        if self._big.takes(st) and not self._hurried:
            if old is None or self.copier.wants(source, st, target, old):
                node.later.append(source.name)
            return
        self.copier.put(source, st, target, old)

    def _ranges(self, node: Node, starts: list[str]) -> int:
        """Copy ranges of a big file; what goes wrong shows when it is finished."""
        try:
            return self._big.copy(node, starts) // _USUAL_SIZE
        except OSError as error:
            node.marked = True
            path = self._targets.prefix(node).rstrip("/")
            self._tally.fail(failure(error, "write", path))
            return 1

    def _finish_big(self, node: Node) -> None:
        above = self._big.above(node)
        try:
            if node.marked:
                remove_temporary(node.root, node.path, node.token[0])
            elif not self._big.finish(node):
                self._hurried = True
                self.others(above, [node.name])
        except OSError as error:
            path = self._targets.prefix(node).rstrip("/")
            self._tally.fail(failure(error, "write", path))
        finally:
            self._hurried = False
            node.marked = False

    def _finish(self, node: Node) -> None:
        here = self._sources.fd(node)
        there = self._targets.fd(node)
        if not node.path and self._rules.keep.links and not self._dry:
            # Nothing is written into a root any more once it has its times.
            end_meeting(there, self._name)
        st = os.fstat(here)
        if node.token == NEW:
            for lost in apply_to_fd(there, st, self._rules.keep, attributes_from=here):
                self.copier.warn_lost(self._targets.at(node, ""), lost)
            return
        source, target = self._sources.at(node, "."), self._targets.at(node, ".")
        if node.token == st.st_mtime_ns:
            # What was written into it has changed its time, and nothing else.
            _keep_times(st, target, self._rules, dry=self._dry)
        if self._rules.when != "missing":
            self.copier.freshen(source, st, target, os.fstat(there))


def make_directory(target: Place, rules: Rules) -> None:
    """Make a directory that nobody else may enter until it is finished."""
    os.mkdir(target.name, 0o700 if rules.keep.mode else 0o777, dir_fd=target.dir_fd)


def _keep_times(st: os.stat_result, target: Place, rules: Rules, *, dry: bool) -> None:
    """Undo what writing into an up-to-date directory did to its time."""
    now = target.lstat()
    if not dry and rules.keep.times and now is not None and now.st_mtime_ns != st.st_mtime_ns:
        times = (st.st_atime_ns, st.st_mtime_ns)
        os.utime(target.name, ns=times, dir_fd=target.dir_fd, follow_symlinks=False)


def is_unfinished(st: os.stat_result) -> bool:
    """Tell whether a directory may be one that a worker had made when it died."""
    return S_IMODE(st.st_mode) & 0o777 == 0o700 and st.st_uid == os.geteuid()
