"""Fetch files from a host into a store here: one by cat, many by one tar stream."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchrun.errors import OperationError
from batchrun.model.session import HostContext
from batchrun.ops.failures import Tally
from batchrun.ops.paths import shown
from batchrun.remote.changing import must
from batchrun.remote.errand import Answer, Pipes, ask, batches
from batchrun.remote.facts import STAT, Facts, parse_facts
from batchrun.remote.hashes import hashes_there
from batchrun.remote.localstore import Store
from batchrun.remote.localtree import content_hash
from batchrun.remote.sources import TextSource
from batchrun.remote.tarstream import Untar
from batchrun.remote.words import path_word, rooted

if TYPE_CHECKING:
    from batchrun.remote.download import Download

__all__ = ["Get", "Wanted"]

#: Facts of $f, then as much of it as there was when it was opened, and its facts afterwards.
_CAT = (
    STAT
    + rb"""
exec 3<"$f" || exit 41
line=$(stat -L -c '%f %s %Y %u %g %d:%i %h %y' /proc/self/fd/3 2>/dev/null) || line=$(facts "$f")
echo "$line"
set -- $line
exec head -c "$2" <&3
"""
)
#: A stream of the files whose names are on standard input, NUL-terminated, below $root.
_TAR = rb"""
cd -- "$root" || exit 41
if tar --version 2>/dev/null | grep -q GNU; then
  exec tar -chf - --hard-dereference --no-recursion --null -T -
fi
exec xargs -0 tar -chf -
"""
#: GNU tar: some files changed while they were read.
_CHANGED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One thing on a host that is wanted here."""

    path: str
    facts: Facts


class Get:
    """Fetches for one unit."""

    def __init__(
        self, params: "Download", store: Store, context: HostContext, tally: Tally
    ) -> None:
        self._params = params
        self._store = store
        self._context = context
        self._tally = tally

    def fetch(self, wanted: Mapping[str, Wanted], links: Mapping[str, str]) -> None:
        """Fetch everything; names are relative to the store.

        Args:
            wanted: By its name.
            links: Names that become hard links, and to which others.
        """
        directories = {name: one for name, one in wanted.items() if one.facts.is_dir}
        files = {name: one for name, one in wanted.items() if one.facts.is_file}
        symlinks = {name: one for name, one in wanted.items() if one.facts.is_link}
        for name in directories:
            self._store.mkdir(name)
        if len(files) == 1:
            ((name, one),) = files.items()
            self._fetch_one(name, one)
        elif files:
            self._fetch_many(files)
        for name, text in self.link_texts(symlinks).items():
            self._store.symlink(name, text, _time_ns(symlinks[name].facts))
        for name, leader in links.items():
            if not self._store.link(leader, name):
                self._tally.warn(
                    f"{shown(self._store.path(name))} became a file of its own: the filesystem "
                    f"has no hard link to {shown(leader)}"
                )
        # The deepest first: what is put into a directory changes its time.
        for name in sorted(directories, key=lambda name: -name.count("/")):
            facts = directories[name].facts
            self._store.set_directory(name, facts.permissions, _time_ns(facts))

    def link_texts(self, links: Mapping[str, Wanted]) -> dict[str, str]:
        """Return what symlinks on the host say."""
        names, texts = list(links), []
        for part in batches([path_word(links[name].path) for name in names]):
            text = b"for p in %b; do readlink -n -- \"$p\"; printf '\\0'; done" % b" ".join(part)
            said = must(text, "read links", self._context, self._params.sudo)
            texts += [os.fsdecode(one) for one in said.split(b"\0")[:-1]]
        return dict(zip(names, texts, strict=True))

    def _fetch_one(self, name: str, one: Wanted) -> None:
        """Fetch one file."""
        receiving = _One(self, name, one)
        head = b"f=%b\n" % path_word(one.path)
        try:
            answer = ask(
                head + _CAT, self._context, self._params.sudo, pipes=Pipes(sink=receiving.feed)
            )
        except BaseException:
            self._store.abandon()
            raise
        if answer.status or receiving.left:
            self._store.abandon()
            reason = answer.complaint or "it became shorter while it was read"
            raise OperationError(self._failed(one.path, reason))
        receiving.finish()

    def _fetch_many(self, files: Mapping[str, Wanted]) -> None:
        """Fetch files by as few streams as there are kinds of roots."""
        groups: dict[str, dict[str, tuple[str, Wanted]]] = {}
        for name, one in files.items():
            root, inner = rooted(one.path)
            groups.setdefault(root, {})[inner] = (name, one)
        for root, group in groups.items():
            self._fetch_group(root, group)

    def _fetch_group(self, root: str, group: Mapping[str, tuple[str, Wanted]]) -> None:
        receiving = _Many(self, group)
        untar = Untar(receiving)
        list_ = b"".join(b"./" + os.fsencode(inner) + b"\0" for inner in group)
        text = b"root=%b\n" % path_word(root) + _TAR
        try:
            answer = ask(
                text,
                self._context,
                self._params.sudo,
                pipes=Pipes(source=TextSource(list_), sink=untar.feed),
            )
        except BaseException:
            self._store.abandon()
            raise
        self._store.abandon()
        missing = [one.path for inner, (_, one) in group.items() if inner not in receiving.done]
        if missing or answer.status not in {0, _CHANGED}:
            path = missing[0] if missing else next(iter(group.values()))[1].path
            raise OperationError(self._failed(path, answer.complaint or "it did not arrive"))
        if answer.status:
            self._look_again(answer, group)

    def _look_again(self, answer: Answer, group: Mapping[str, tuple[str, Wanted]]) -> None:
        """Say which files changed while they were read.

        Raises:
            OperationError: one became shorter: what arrived was filled up with zeros.
        """
        if b"shrank" in answer.stderr:
            for name, one in group.values():
                if one.path.rpartition("/")[2].encode("utf-8", "surrogateescape") in answer.stderr:
                    os.unlink(self._store.path(name))
            message = f"a file became shorter while it was read: {answer.complaint}"
            raise OperationError(message)
        self._tally.warn(f"changed while it was read: {answer.complaint}")

    def count(self, size: int) -> None:
        """Count bytes that have come."""
        self._tally.bytes_done += size
        self._context.progress(self._tally.bytes_done)

    def begin(self, name: str) -> None:
        """Begin a file here."""
        self._context.check()
        self._store.begin(name)

    def write(self, data: memoryview) -> None:
        """Add to it."""
        self._store.write(data)
        self.count(len(data))

    def finish(self, one: Wanted) -> None:
        """Give it its name."""
        check = self._verifier(one) if self._params.verify else None
        self._store.finish(one.facts.permissions, _time_ns(one.facts), check)

    def _verifier(self, one: Wanted) -> "_Verifier":
        return _Verifier(self._context, self._params, one)

    def note_growth(self, one: Wanted, size: int) -> None:
        """Say that a file had grown since it was looked at."""
        if size > one.facts.size:
            self._tally.warn(
                f"{shown(one.path)} has grown by {size - one.facts.size} bytes since it was listed"
            )

    def _failed(self, path: str, reason: str) -> str:
        return f"cannot fetch {shown(path)} from {self._context.host.name}: {reason}"


class _Verifier:
    """Compares a file that has come with what is there."""

    def __init__(self, context: HostContext, params: "Download", one: Wanted) -> None:
        self._context = context
        self._params = params
        self._one = one

    def __call__(self, path: str) -> None:
        folder, name = os.path.split(self._one.path)
        there = hashes_there(folder or ".", [name], self._context, self._params.sudo)
        if there.get(name) != content_hash(path, self._context.check):
            message = (
                f"{shown(self._one.path)} did not arrive as it is on {self._context.host.name}"
            )
            raise OperationError(message)


class _One:
    """Takes the answer that is one file: a line of facts, then its content."""

    def __init__(self, get: Get, name: str, one: Wanted) -> None:
        self._get = get
        self._name = name
        self._one = one
        self._line = b""
        self._begun = False
        #: Bytes that are still to come.
        self.left = 1

    def feed(self, data: bytes) -> None:
        view = memoryview(data)
        if not self._begun:
            self._line += data
            line, newline, rest = self._line.partition(b"\n")
            if not newline:
                return
            self._begin(line.decode("ascii", "replace"))
            view = memoryview(rest)
        view = view[: self.left]
        self.left -= len(view)
        self._get.write(view)

    def _begin(self, line: str) -> None:
        facts = parse_facts(line, self._one.path)
        if facts is None or not facts.is_file:
            message = f"{shown(self._one.path)} is no file any more"
            raise OperationError(message)
        self._get.note_growth(self._one, facts.size)
        self._one = Wanted(path=self._one.path, facts=facts)
        self._begun, self.left = True, facts.size
        self._get.begin(self._name)

    def finish(self) -> None:
        self._get.finish(self._one)


class _Many:
    """Takes files out of a stream, those that were asked for and nothing else."""

    def __init__(self, get: Get, group: Mapping[str, tuple[str, Wanted]]) -> None:
        self._get = get
        self._group = group
        self._current: tuple[str, Wanted] | None = None
        self._inner = ""
        self.done: set[str] = set()

    def begin(self, name: str, size: int) -> None:
        inner = name.removeprefix("./")
        if inner not in self._group or inner in self.done:
            message = f"the host sent something that was not asked for: {shown(name)}"
            raise OperationError(message)
        self._inner, self._current = inner, self._group[inner]
        self._get.note_growth(self._current[1], size)
        self._get.begin(self._current[0])

    def data(self, piece: memoryview) -> None:
        self._get.write(piece)

    def end(self) -> None:
        assert self._current is not None  # noqa: S101 - after `begin`
        self._get.finish(self._current[1])
        self.done.add(self._inner)

    def link(self, name: str, text: str) -> None:
        """Pass over: what was a file when it was listed is a symlink by now."""
        del name, text


def _time_ns(facts: Facts) -> int:
    return facts.mtime_s * 10**9 + facts.mtime_ns
