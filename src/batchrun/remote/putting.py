"""Put one source on a host: what differs is staged, then named; what is extra is deleted."""

import os
import stat
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from batchrun.errors import BatchrunError, OperationError
from batchrun.model.session import HostContext
from batchrun.model.values import apply_mode, parse_mode
from batchrun.ops.delete import allowed_deletions
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.owners import Ownership
from batchrun.ops.paths import shown
from batchrun.ops.tree.selection import Selection, selection
from batchrun.remote.changing import change_text, must
from batchrun.remote.errand import Pipes, ask, batches
from batchrun.remote.facts import Facts, Owners, change_there, look_at, owner_ids
from batchrun.remote.hashes import hashes_there
from batchrun.remote.listing import entries_below
from batchrun.remote.localtree import Here, content_hash
from batchrun.remote.sources import FileSource, TextSource
from batchrun.remote.tarstream import END_NAME, Member, TarSource
from batchrun.remote.within import Within
from batchrun.remote.words import path_word, quote

if TYPE_CHECKING:
    from batchrun.remote.upload import Upload

__all__ = ["Put"]

_CLEANUP_S = 10.0
#: The name of what is no directory in the stage of its own.
_ONLY = "x"
#: Defines `stamp PATH`, which sets its time: $when as GNU and busybox know it, or $then by POSIX.
_STAMP = rb"""
stamp() { touch -m -d "$when" -- "$1" 2>/dev/null || TZ=UTC0 touch -m -t "$then" -- "$1"; }
"""
#: One file, from standard input. $t stays when it is to be verified first.
_STAGE_FILE = rb"""
mkdir -p -- "$folder" || exit
trap 'rm -f -- "$t"' 0
trap 'exit 143' 1 2 13 15
(umask 077; exec cat >"$t") || exit
[ "$(wc -c <"$t")" -eq "$size" ] || { echo "it did not arrive whole" >&2; exit 45; }
[ -z "$owner" ] || chown "$owner" -- "$t" || exit
chmod "$mode" -- "$t" && stamp "$t" || exit
"""
_RENAME = rb"""
[ ! -d "$d" ] || [ -L "$d" ] || { echo "it is a directory by now" >&2; exit 45; }
mv -fT -- "$t" "$d" 2>/dev/null || mv -f -- "$t" "$d" || exit
"""
_KEEP = b"trap - 0\n"
#: Many files, from a tar stream on standard input; $t is the stage.
_STAGE_TREE = rb"""
mkdir -p -- "$folder" && (umask 077; mkdir -- "$t") || exit
trap 'chmod -R u+rwx -- "$t" 2>/dev/null; rm -rf -- "$t"' 0
trap 'exit 143' 1 2 13 15
tar -xpof - -C "$t" || exit
[ -e "$t/$end" ] || { echo "it did not arrive whole" >&2; exit 45; }
rm -f -- "$t/$end"
# Others set the times of directories before they put files into them.
tar --version 2>/dev/null | grep -q GNU || echo plain
[ -z "$owner" ] || chown -Rh "$owner" -- "$t" || exit
"""
_RENAME_TREE = rb"""
chmod "$mode" -- "$t" && stamp "$t" || exit
if [ -e "$d" ] || [ -L "$d" ]; then echo "there is something of that name by now" >&2; exit 45; fi
mv -- "$t" "$d" || exit
"""


class Put:
    """One source, and what it becomes on the host."""

    def __init__(
        self,
        params: "Upload",
        target: str,
        found: Mapping[str, Here],
        context: HostContext,
        tally: Tally,
    ) -> None:
        self._params = params
        self._target = target
        self._found = found
        self._context = context
        self._tally = tally
        self._sudo = params.sudo
        self._owners = Owners()
        #: What is there below the target, by relative path; the target itself has an empty one.
        self._there: dict[str, Facts] = {}

    def perform(self, *, onto: bool, source: str) -> None:
        """Do it.

        Args:
            onto: The target is an exact name, which must not be that of a directory for a file.
            source: For messages.

        Raises:
            OperationError: it could not be done whole; nothing has half a content.
        """
        self._context.stage("comparing")
        self._look(onto=onto, source=source)
        params = self._params
        self._owners = owner_ids(
            Ownership(params.owner, params.group, None), self._context, self._sudo
        )
        sends = self._differing()
        extras = self._extras(source) if params.delete and self._found[""].is_dir else []
        self._change_rest(sends)
        if sends or extras:
            self._tally.changed = True
        if self._context.settings.dry_run:
            return
        if sends:
            self._context.stage("sending")
            self._send(sends)
        if extras:
            self._delete(extras)

    def _look(self, *, onto: bool, source: str) -> None:
        """Find out what is there.

        Raises:
            OperationError: it is something that must not be replaced.
        """
        (facts,) = look_at([self._target], self._context, self._sudo)
        if self._found[""].is_dir:
            if facts is not None and facts.is_link:
                (facts,) = look_at([self._target], self._context, self._sudo, follow=True)
            if facts is not None and not facts.is_dir:
                raise refusal(f"{shown(self._target)} exists on the host and is not a directory")
            if facts is not None:
                self._there = entries_below(self._target, self._context, self._sudo)
        elif facts is not None and (facts.is_dir or (onto and facts.is_link)):
            follow = (
                look_at([self._target], self._context, self._sudo, follow=True)
                if facts.is_link
                else [facts]
            )
            if follow[0] is not None and follow[0].is_dir:
                raise refusal(
                    f"{shown(self._target)} is a directory on the host; write "
                    f"{shown(self._target)}/ to put {shown(source)} into it"
                )
        if facts is not None:
            self._there[""] = facts

    def _differing(self) -> list[str]:
        """Return the names of what has to be sent.

        Raises:
            OperationError: a directory stands where a file should, or the other way round.
        """
        sends, hashed = [], []
        for name, here in self._found.items():
            there = self._there.get(name)
            if there is None:
                sends.append(name)
                continue
            if here.is_dir != there.is_dir:
                what = "is not" if here.is_dir else "is"
                path = shown(self._path(name))
                raise refusal(f"{path} {what} a directory on the host; remove it first")
            if here.is_dir:
                if name and not self._is_same_directory(here, there):
                    sends.append(name)
            elif not here.is_file:
                sends.append(name)  # a symlink: what it says is compared below
            elif not there.is_file or there.size != here.st.st_size:
                sends.append(name)
            elif self._params.checksum:
                hashed.append(name)
            elif not there.has_time(here.st.st_mtime_ns):
                sends.append(name)
        sends += self._differ_by_content(hashed)
        return self._without_equal_links(sends)

    def _is_same_directory(self, here: Here, there: Facts) -> bool:
        return there.permissions == self._mode(here) and there.has_time(here.st.st_mtime_ns)

    def _differ_by_content(self, names: list[str]) -> list[str]:
        if not names:
            return []
        root, base = self._hash_root()
        there = hashes_there(root, [name or base for name in names], self._context, self._sudo)
        check = self._context.check
        return [
            name
            for name in names
            if there.get(name or base) != content_hash(self._found[name].path, check)
        ]

    def _hash_root(self) -> tuple[str, str]:
        """Return the directory in which names are, and that of a target that is a file."""
        if self._found[""].is_dir:
            return self._target, ""
        return os.path.dirname(self._target) or ".", os.path.basename(self._target)

    def _without_equal_links(self, names: list[str]) -> list[str]:
        """Leave out symlinks that say the same there."""
        links = [
            name
            for name in names
            if self._found[name].link and name in self._there and self._there[name].is_link
        ]
        equal = set()
        for part in batches([path_word(self._path(name)) for name in links]):
            text = b"for p in %b; do readlink -n -- \"$p\"; printf '\\0'; done" % b" ".join(part)
            said = must(text, "read links", self._context, self._sudo).split(b"\0")
            for name, link in zip(links[: len(part)], said, strict=False):
                if os.fsencode(self._found[name].link) == link:
                    equal.add(name)
            links = links[len(part) :]
        return [name for name in names if name not in equal]

    def _path(self, name: str) -> str:
        return os.path.join(self._target, name) if name else self._target

    def _mode(self, here: Here) -> int:
        """Return the permissions that something gets."""
        own = stat.S_IMODE(here.st.st_mode)
        wanted = self._params.mode
        if wanted is None or here.link:
            return own
        mode = apply_mode(wanted, own, is_dir=here.is_dir)
        if here.is_dir and parse_mode(wanted) is not None:
            mode |= (mode & 0o444) >> 2
        return mode

    def _change_rest(self, sends: list[str]) -> None:
        """Give what need not be sent mode and owner, where they are others."""
        sent = set(sends)
        lines = []
        for name, here in self._found.items():
            there = self._there.get(name)
            if there is None or name in sent or (not name and here.is_dir):
                continue
            mode = None if here.link else f"{self._mode(here):04o}"
            change = change_there(there, mode, self._owners)
            if change is not None:
                lines.append(change_text(path_word(self._path(name)), there, change))
        if not lines:
            return
        self._tally.changed = True
        if not self._context.settings.dry_run:
            for part in batches(lines):
                text = b" || exit\n".join(part)
                must(text, f"change {shown(self._target)}", self._context, self._sudo)

    # Sending

    def _send(self, sends: list[str]) -> None:
        only = self._found[""]
        if only.is_file:
            self._send_file(only)
        elif only.is_dir and "" in sends:
            self._send_new_tree(sends)
        else:
            self._send_into(sends)

    def _head(self, here: Here, temp: str) -> bytes:
        """Say for a script what it is about."""
        seconds, fraction = divmod(here.st.st_mtime_ns, 10**9)
        then = time.strftime("%Y%m%d%H%M.%S", time.gmtime(seconds))
        owners = self._owners
        owner = b"" if owners.uid is None else b"%d" % owners.uid
        owner += b"" if owners.gid is None else b":%d" % owners.gid
        return b"d=%b t=%b folder=%b size=%d mode=%04o owner=%b end=%b when=@%d.%09d then=%b\n" % (
            path_word(self._target),
            path_word(temp),
            path_word(os.path.dirname(temp) or "."),
            here.st.st_size,
            self._mode(here),
            owner,
            quote(END_NAME.encode()),
            seconds,
            fraction,
            then.encode(),
        )

    def _beside(self) -> str:
        return os.path.join(os.path.dirname(self._target), self._context.temp_name())

    def _send_file(self, here: Here) -> None:
        """Send the one file."""
        temp = self._beside()
        head = self._head(here, temp) + _STAMP
        last = _KEEP if self._params.verify else _RENAME
        try:
            fd = os.open(here.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise failure(error, "read", here.path) from error
        try:
            source = FileSource(fd, here.st.st_size, self._count)
            self._stage(head + _STAGE_FILE + last, source, temp)
        finally:
            os.close(fd)
        if self._params.verify:
            try:
                self._verify(os.path.dirname(temp) or ".", {os.path.basename(temp): here.path})
                self._must(head + _RENAME)
            except BaseException:
                self._discard(temp)
                raise

    def _send_new_tree(self, sends: list[str]) -> None:
        """Send a directory that is not there yet."""
        root, temp = self._found[""], self._beside()
        head = self._head(root, temp) + _STAMP
        last = _KEEP if self._params.verify else _RENAME_TREE
        names = [name for name in sends if name]
        plain = self._stage(head + _STAGE_TREE + last, self._tar(names), temp)
        if self._params.verify:
            try:
                self._verify(temp, self._files(names))
                self._must(head + _RENAME_TREE)
            except BaseException:
                self._discard(temp)
                raise
        if plain:
            self._set_directories([name for name in names if self._found[name].is_dir])
            self._must(head + _STAMP + b'stamp "$d"')

    def _send_into(self, sends: list[str]) -> None:
        """Send files into a directory that is there, and a symlink to anywhere."""
        is_tree = self._found[""].is_dir
        folder = self._target if is_tree else os.path.dirname(self._target)
        temp = os.path.join(folder, self._context.temp_name())
        head = self._head(self._found[""], temp)
        plain = self._stage(head + _STAGE_TREE + _KEEP, self._tar(sends), temp)
        try:
            if self._params.verify:
                self._verify(temp, self._files(sends))
            if is_tree:
                self._move_in(temp, sends)
            else:
                self._must(
                    b"t=%b/%b d=%b\n" % (path_word(temp), _ONLY.encode(), path_word(self._target))
                    + _RENAME
                )
        finally:
            self._discard(temp)
        if is_tree:
            touched = {os.path.dirname(name) for name in sends} | set(sends)
            self._set_directories(
                [
                    name
                    for name in touched
                    if name and self._found[name].is_dir and (plain or name in self._there)
                ]
            )

    def _stage(self, text: bytes, source: TarSource | FileSource, temp: str) -> bool:
        """Send what a text reads; return whether the host's tar is one of the simple ones."""
        try:
            answer = ask(text, self._context, self._sudo, pipes=Pipes(source=source))
        except BaseException:
            self._discard(temp)
            raise
        if answer.status:
            reason = answer.complaint or f"exit status {answer.status}"
            raise OperationError(self._failed(reason))
        return answer.stdout.strip() == b"plain"

    def _must(self, text: bytes) -> None:
        answer = ask(text, self._context, self._sudo)
        if answer.status:
            raise OperationError(self._failed(answer.complaint or f"exit status {answer.status}"))

    def _failed(self, reason: str) -> str:
        return f"cannot put {shown(self._target)} on {self._context.host.name}: {reason}"

    def _discard(self, temp: str) -> None:
        """Remove what is staged; what cannot be removed is in nobody's way."""
        word = path_word(temp)
        text = b"chmod -R u+rwx -- %b 2>/dev/null; rm -rf -- %b" % (word, word)
        with suppress(BatchrunError):
            ask(text, Within(self._context, _CLEANUP_S, to_the_end=True), self._sudo)

    def _tar(self, names: list[str]) -> TarSource:
        return TarSource(self._members(names), self._count)

    def _members(self, names: list[str]) -> Iterator[Member]:
        """Describe what is sent, each directory before what is in it."""
        for name in sorted(names, key=os.fsencode):
            self._context.check()
            here = self._found[name]
            yield Member(
                name=name or _ONLY,
                mode=stat.S_IFMT(here.st.st_mode) | self._mode(here),
                mtime_ns=here.st.st_mtime_ns,
                size=here.st.st_size if here.is_file else 0,
                link=here.link,
                path=here.path,
            )

    def _files(self, names: list[str]) -> dict[str, str]:
        """Return where the files among the names are here."""
        return {name: self._found[name].path for name in names if self._found[name].is_file}

    def _count(self, size: int) -> None:
        self._tally.bytes_done += size
        self._context.progress(self._tally.bytes_done)

    def _verify(self, root: str, files: Mapping[str, str]) -> None:
        """Compare what has arrived with what is here.

        Raises:
            OperationError: it is not the same.
        """
        self._context.stage("verifying")
        there = hashes_there(root, list(files), self._context, self._sudo)
        for name, path in files.items():
            if there.get(name) != content_hash(path, self._context.check):
                raise OperationError(self._failed(f"{shown(path)} did not arrive as it is here"))

    def _move_in(self, stage: str, sends: list[str]) -> None:
        """Give everything in the stage its name: whole new directories, and files one by one."""
        groups: defaultdict[str, list[str]] = defaultdict(list)
        new = {name for name in sends if name not in self._there and self._found[name].is_dir}
        for name in sends:
            parent = os.path.dirname(name)
            is_old_directory = self._found[name].is_dir and name not in new
            if parent not in new and not is_old_directory:
                groups[parent].append(name)
        lines = [
            b"mv -f -- %b %b/" % (b" ".join(part), path_word(self._path(parent), keep_slash=True))
            for parent, names in groups.items()
            for part in batches([path_word(os.path.join(stage, name)) for name in names])
        ]
        for part in batches(lines):
            self._must(b" || exit\n".join(part))

    def _set_directories(self, names: list[str]) -> None:
        """Set mode and time of directories, now that nothing is put into them any more."""
        if names:
            root, end = path_word(self._target), quote(END_NAME.encode())
            text = b"tar -xpof - -C %b && rm -f -- %b/%b" % (root, root, end)
            self._stage(text, self._tar(names), os.path.join(self._target, END_NAME))

    # Deleting

    def _extras(self, source: str) -> list[str]:
        """Return what is there and not here, not what lies in it; counted before anything is done.

        Raises:
            OperationError: it is more than may be deleted.
        """
        selected = selection(self._params.exclude, self._params.include)
        extra = [
            name
            for name, facts in self._there.items()
            if name and name not in self._found and not _is_protected(name, facts, selected)
        ]
        if not extra:
            return []
        if len(self._found) == 1:
            raise refusal(
                f"{shown(source)} is empty, and `delete` would empty {shown(self._target)} on the "
                "host; nothing was done"
            )
        seen = len(self._there) - 1
        limit = self._params.max_delete
        if len(extra) > allowed_deletions(limit, seen):
            raise refusal(
                f"{len(extra)} of {seen} entries in {shown(self._target)} would be deleted, which "
                f"is more than max_delete ({limit}) allows; nothing was done"
            )
        gone = set(extra)
        # A directory that holds something protected stays.
        kept = {
            above for name in self._there if name and name not in gone for above in _above(name)
        }
        return [
            name
            for name in extra
            if name not in kept and not any(up in gone and up not in kept for up in _above(name))
        ]

    def _delete(self, names: list[str]) -> None:
        list_ = b"".join(b"./" + os.fsencode(name) + b"\0" for name in names)
        text = b"cd -- %b && exec xargs -0 rm -rf --" % path_word(self._target)
        answer = ask(text, self._context, self._sudo, pipes=Pipes(source=TextSource(list_)))
        if answer.status:
            message = f"cannot delete in {shown(self._target)}: {answer.complaint}"
            raise OperationError(message)


def _above(name: str) -> Iterator[str]:
    while name := os.path.dirname(name):
        yield name


def _is_protected(name: str, facts: Facts, selected: Selection | None) -> bool:
    """Tell whether patterns leave something out, which then is not deleted either."""
    if selected is None:
        return False
    if any(not selected.enters(up) for up in _above(name)):
        return True
    return not selected.takes(name, is_dir=facts.is_dir)
