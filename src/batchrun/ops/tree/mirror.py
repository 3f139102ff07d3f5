"""Make one tree like another: copy, look for what is too much, count it, only then delete.

copy ──without errors──► look ──not too much──► delete ──something was in the way──► copy
  └── errors: nothing is deleted          └── too much: nothing is deleted
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from math import inf
from stat import S_ISDIR
from typing import Any, NamedTuple, Self

from batchrun.model.operation import Context, Done
from batchrun.model.outcome import Ok
from batchrun.model.tree import Chunk
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.tree.bigfiles import is_part
from batchrun.ops.tree.copying import FileCopier, Rules
from batchrun.ops.tree.copyvisitor import CopyConfig, CopyVisitor
from batchrun.ops.tree.crawl import Listed, Node, Rest, crawl
from batchrun.ops.tree.doors import Doors
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.forest import Forest
from batchrun.ops.tree.limits import allowed_deletions
from batchrun.ops.tree.listing import entries
from batchrun.ops.tree.parcels import DIRS, FILES, LIST, Answer, Payload, Root, joined
from batchrun.ops.tree.removing import RemoveVisitor, Removing
from batchrun.ops.tree.sides import OneSide
from batchrun.ops.tree.treecopy import copying, end_traces

__all__ = ["CHUNK", "FOREST", "Mirror", "MirrorForest", "mirror_chunk"]

_COPY, _LOOK, _DELETE = "copy", "look", "delete"
#: What is known of a directory that only the copy has.
_EXTRA = "extra"
#: How much of a mirror the turns are; deleting is the rest.
_SHARE_OF_COPYING, _SHARE_OF_LOOKING = 0.8, 0.15
#: Entries that are looked at in the time that one file is copied.
_PER_COST = 8


class Mirror(NamedTuple):
    """What everybody needs to know who works on a mirror."""

    #: How to copy.
    config: CopyConfig
    root: Root
    #: Delete what the source does not have.
    delete: bool
    #: How much at most: a number, or a share such as `50%`.
    max_delete: int | str
    #: Where what is replaced or deleted goes; empty: nowhere.
    backup: str
    #: Which turn it is.
    turn: str = _COPY


class MirrorForest(Forest):
    """A mirror that many workers make."""

    def __init__(self, seed: tuple[str, Any, Answer]) -> None:
        #: What is too much: the directory, kind and names; how many entries that is; and how many
        #: there are in all.
        self._extra: list[tuple[str, int, str]] = []
        self._count = self._seen = 0
        self._obstacles = 0
        if Mirror(*seed[1]).delete:
            self.first_share = _SHARE_OF_COPYING
        super().__init__(seed)

    def abandoned(self, token: Any, root: Root, path: str) -> None:
        """Have the temporary file of a big one removed."""
        if is_part(token):
            self.clean_up((root, path, token[0]))

    def heard(self, extras: list[Any]) -> None:
        """Take in what was found."""
        for kind, *what in extras:
            match kind:
                case "met":
                    self.clean_up(what[0])
                case "obstacles":
                    self._obstacles += what[0]
                case "seen":
                    self._seen += what[0]
                    self._count += what[1]
                case _:
                    self._extra.append((what[0], what[1], what[2]))

    def lose(self, chunk: Chunk, number: int, message: str) -> None:
        """Take note that a worker died, which has not told what it had made."""
        super().lose(chunk, number, message)
        self.clean_up(self._mirror.config[1])

    def drop(self, chunk: Chunk) -> None:
        """Take note that a chunk has ended without telling what it had made."""
        super().drop(chunk)
        self.clean_up(self._mirror.config[1])

    def turned(self) -> None:
        """Begin the next turn, when all went well so far."""
        mirror = self._mirror
        if self.tally.failed or not mirror.delete:
            return
        if mirror.turn == _COPY and not self._seen:
            self._turn(_LOOK)
            self.plant((mirror.root, ""), None, LIST, share=_SHARE_OF_LOOKING)
        elif mirror.turn == _LOOK and self._extra and self._may_delete():
            self._turn(_DELETE)
            share = self.to_plant / len(self._extra)
            for path, kind, names in self._extra:
                self.plant((mirror.root, path), None, kind, names, share=share)
            self._extra = []
        elif mirror.turn == _DELETE and self._obstacles:
            self._turn(_COPY)
            self._obstacles = 0
            self.plant((mirror.root, ""), 0, LIST)

    @property
    def _mirror(self) -> Mirror:
        return Mirror(*self.config)

    def _turn(self, turn: str) -> None:
        self.config = tuple(self._mirror._replace(turn=turn))

    def _may_delete(self) -> bool:
        limit = self._mirror.max_delete
        if self._count <= allowed_deletions(limit, self._seen):
            return True
        self.tally.fail(
            refusal(
                f"{self._count} of {self._seen} entries would be deleted, which is more than "
                f"max_delete ({limit}) allows; nothing was deleted"
            )
        )
        return False


def mirror_chunk(payload: Payload, context: Context) -> Done:
    """Work on a piece of a mirror."""
    config, deaths, items, lost = payload
    mirror, tally = Mirror(*config), Tally()
    rest: Rest = ([], [], [])
    extras: list[Any] = []
    if deaths < 0:
        end_traces(items, mirror.config[2])
    else:
        most = 1 if deaths else context.settings.slice_cost or inf
        with _visitor(mirror, context, tally, lost) as visitor:
            rest = crawl(items, visitor, most)
            extras = extras_of(visitor)
    answer = (tally.counted(), *rest, extras)
    return Done(outcome=Ok(changed=tally.changed), bytes_done=tally.bytes_done, answer=answer)


CHUNK = f"{__name__}:{mirror_chunk.__name__}"
FOREST = f"{__name__}:{MirrorForest.__name__}"


def extras_of(visitor: "CopyVisitor | _Looker | _Deleter") -> list[Any]:
    """Return what the forest is to know of a visit."""
    if isinstance(visitor, CopyVisitor):
        met = [("met", base) for base in visitor.extras()]
        return [*met, ("obstacles", visitor.obstacles)]
    return visitor.found if isinstance(visitor, _Looker) else []


def _visitor(
    mirror: Mirror, context: Context, tally: Tally, lost: list[int]
) -> "CopyVisitor | _Looker | _Deleter":
    if mirror.turn == _LOOK:
        return _Looker(context, tally, mirror)
    copier = copying(context, mirror.config, tally, lost)
    keep_old(copier, mirror, context)
    return copier if mirror.turn == _COPY else _Deleter(context, tally, mirror, copier)


def keep_old(copier: CopyVisitor, mirror: Mirror, context: Context) -> None:
    """Have what a copy replaces kept in the backup directory."""
    if mirror.backup:
        copier.copier.keep_old = partial(_back_up, mirror, context)


class _Looker(OneSide):
    """Looks for what the copy has and the source has not."""

    def __init__(self, context: Context, tally: Tally, mirror: Mirror) -> None:
        rules: Rules = mirror.config[0]
        super().__init__(context, tally, rules.selection)
        self.doors = Doors(1, follow=True)
        self._sources = Doors(0, follow=True)
        #: What the forest is to know.
        self.found: list[Any] = []

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._sources.__exit__(None, None, None)

    def enter(self, node: Node) -> bool:
        """Go into a directory of the copy, and find out whether the source has it."""
        above = node.parent
        if above is None or not super().enter(node):
            return False
        node.token = above.token
        if node.token != _EXTRA:
            try:
                st = self._sources.at(above, node.name).lstat()
            except OSError as error:
                self.doors.leave(node)
                path = self._sources.prefix(above)
                self.tally.fail(failure(error, "open the directory", path))
                return False
            node.token = None if st is not None and S_ISDIR(st.st_mode) else _EXTRA
        return True

    def listed(self, node: Node) -> Iterator[Listed]:
        """Count what is in a directory of the copy; yield the directories."""
        kinds: dict[str, int] = {}
        if node.token != _EXTRA:
            try:
                kinds = dict(entries(self._sources.fd(node), temporaries=True))
            except OSError as error:
                path = self._sources.prefix(node)
                self.tally.fail(failure(error, "list the directory", path))
                return
        prefix = f"{node.path}/" if node.path else ""
        seen = count = 0
        extra: dict[int, list[str]] = {DIRS: [], FILES: []}
        for name, kind in super().listed(node):
            seen += 1
            is_dir = kind == DIRS
            if not self._may_go(prefix + name, is_dir=is_dir):
                continue
            if node.token == _EXTRA:
                count += 1
            elif name not in kinds or (kinds[name] == DIRS) is not is_dir:
                count += 1
                extra[DIRS if is_dir else FILES].append(name)
            if is_dir:
                yield name, kind
        self.found.append(("seen", seen, count))
        self.found += [
            ("extra", node.path, kind, joined(names)) for kind, names in extra.items() if names
        ]

    def files(self, node: Node, names: list[str]) -> int:  # noqa: ARG002 - the protocol's
        """Pass over files: they were counted when they were listed."""
        return len(names) // _PER_COST

    others = files

    def leave(self, node: Node) -> None:
        """Close a directory."""
        super().leave(node)
        self._sources.leave(node)

    def _may_go(self, path: str, *, is_dir: bool) -> bool:
        """Tell whether something may be deleted: what is left out is protected."""
        chosen = self.selected
        if chosen is None:
            return True
        return chosen.enters(path) if is_dir else chosen.takes(path, is_dir=False)


class _Deleter:
    """Deletes what is too much, then sets the times of the directories that it was in."""

    def __init__(self, context: Context, tally: Tally, mirror: Mirror, copier: CopyVisitor) -> None:
        rules: Rules = mirror.config[0]
        how = Removing(
            check=context.check, dry_run=context.settings.dry_run, patterns=rules.patterns
        )
        self._remover = RemoveVisitor(how, tally, side=1)
        if mirror.backup:
            self._remover.unlink = partial(_move_away, mirror, context)
        self._copier = copier

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._remover.__exit__()
        self._copier.__exit__()

    def enter(self, node: Node) -> bool:
        """Go into a directory that will be deleted."""
        node.token = _EXTRA
        return self._remover.enter(node)

    def listed(self, node: Node) -> Iterator[Listed]:
        """Yield what is in it."""
        return self._remover.listed(node)

    def files(self, node: Node, names: list[str]) -> int:
        """Delete what is no directory."""
        return self._remover.files(node, names)

    others = files

    def leave(self, node: Node) -> None:
        """Delete a directory, or finish one that stays."""
        if node.token == _EXTRA:
            self._remover.leave(node)
            return
        self._remover.close(node)
        node.marked = False
        node.token = 0
        self._copier.leave(node)


def _back_up(mirror: Mirror, context: Context, target: Place, old: os.stat_result) -> None:
    """Keep a file that is about to be replaced."""
    kept = _kept_place(mirror, target.path)
    copier = FileCopier(context, Rules(), Tally())
    copier.put(target, old, kept, kept.lstat())


def _move_away(mirror: Mirror, context: Context, name: str, *, dir_fd: int) -> None:
    """Put a file that is about to be deleted into the backup directory."""
    path = os.readlink(f"/proc/self/fd/{dir_fd}") + "/" + name
    place = Place(dir_fd, name, path[: -len(name)])
    kept = _kept_place(mirror, path)
    try:
        place.rename(kept)
    except OSError:
        copier = FileCopier(context, Rules(verify=True, durable=True), Tally())
        st = place.lstat()
        if st is not None:
            copier.put(place, st, kept, kept.lstat())
            os.unlink(name, dir_fd=dir_fd)


def _kept_place(mirror: Mirror, path: str) -> Place:
    """Return where something goes that has this path in the copy; its directory is made."""
    top = os.path.realpath(str(mirror.root[3]))
    relative = os.path.relpath(os.path.realpath(os.path.dirname(path)), top)
    directory = os.path.normpath(os.path.join(mirror.backup, relative))
    with suppress(FileExistsError):
        os.makedirs(directory, exist_ok=True)
    return Place(None, os.path.join(directory, os.path.basename(path)))
