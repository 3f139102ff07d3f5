"""Put one source on a host: what differs is staged, then gets its name."""

import os
import stat
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress

from batchrun.errors import BatchrunError, OperationError
from batchrun.ops.failures import failure
from batchrun.ops.paths import shown
from batchrun.remote.comparing import Target
from batchrun.remote.errand import Pipes, ask, batches
from batchrun.remote.extras import delete_below, find_extras
from batchrun.remote.hashes import hashes_there
from batchrun.remote.localtree import Here, content_hash
from batchrun.remote.sources import FileSource
from batchrun.remote.tarstream import END_NAME, Member, TarSource
from batchrun.remote.within import Within
from batchrun.remote.words import path_word, quote

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
tar -xp"$loose"f - -C "$t" || exit
[ -e "$t/$end" ] || { echo "it did not arrive whole" >&2; exit 45; }
rm -f -- "$t/$end"
# Others set the times of directories before they put files into them.
tar --version 2>/dev/null | grep -q GNU || echo plain
[ -z "$owner" ] || chown ${loose:+-R} -h "$owner" -- "$t" || exit
"""
_RENAME_TREE = rb"""
chmod "$mode" -- "$t" && stamp "$t" || exit
if [ -e "$d" ] || [ -L "$d" ]; then echo "there is something of that name by now" >&2; exit 45; fi
mv -- "$t" "$d" || exit
"""


def _in_order(name: str) -> bytes:
    """Sort what is in a directory right behind it, and no `a.txt` between `a` and `a/b`.

    A tar that has left a directory sets its time, which anything that is put into it later changes.
    """
    return os.fsencode(name).replace(b"/", b"\0")


class Put:
    """One source, and what it becomes on the host."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._context = target.context
        self._sudo = target.sudo
        self._found = target.found

    def perform(self, *, onto: bool, source: str) -> None:
        """Do it.

        Args:
            onto: The target is an exact name, which must not be that of a directory for a file.
            source: For messages.

        Raises:
            OperationError: it could not be done whole; nothing has half a content.
        """
        target = self._target
        self._context.stage("comparing")
        target.look(onto=onto, source=source)
        sends = target.differing()
        target.note_left_behind(sends)
        deletes = target.params.delete and target.found[""].is_dir
        extras = find_extras(target, source) if deletes else []
        target.change_rest(sends)
        if sends or extras:
            target.tally.changed = True
        if self._context.settings.dry_run:
            return
        if sends:
            self._context.stage("sending")
            self._send(sends)
        if extras:
            delete_below(target.path, extras, self._context, self._sudo)

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
        owners = self._target.owners_of(here)
        owner = b"" if owners.uid is None else b"%d" % owners.uid
        owner += b"" if owners.gid is None else b":%d" % owners.gid
        # Whether tar gives everything to who runs it there, or as the stream says.
        loose = b"" if self._target.owners_there else b"o"
        facts = b"d=%b t=%b folder=%b size=%d mode=%04o owner=%b loose=%b end=%b" % (
            path_word(self._target.path),
            path_word(temp),
            path_word(os.path.dirname(temp) or "."),
            here.st.st_size,
            self._target.mode_of(here),
            owner,
            loose,
            quote(END_NAME.encode()),
        )
        return facts + b" when=@%d.%09d then=%b\n" % (seconds, fraction, then.encode())

    def _beside(self) -> str:
        return os.path.join(os.path.dirname(self._target.path), self._context.temp_name())

    def _send_file(self, here: Here) -> None:
        """Send the one file."""
        temp = self._beside()
        head = self._head(here, temp) + _STAMP
        last = _KEEP if self._target.params.verify else _RENAME
        try:
            fd = os.open(here.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise failure(error, "read", here.path) from error
        try:
            source = FileSource(fd, here.st.st_size, self._count)
            self._stage(head + _STAGE_FILE + last, source, temp)
        finally:
            os.close(fd)
        if self._target.params.verify:
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
        last = _KEEP if self._target.params.verify else _RENAME_TREE
        names = [name for name in sends if name]
        plain = self._stage(head + _STAGE_TREE + last, self._tar(names), temp)
        if self._target.params.verify:
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
        folder = self._target.path if is_tree else os.path.dirname(self._target.path)
        temp = os.path.join(folder, self._context.temp_name())
        head = self._head(self._found[""], temp)
        plain = self._stage(head + _STAGE_TREE + _KEEP, self._tar(sends), temp)
        try:
            if self._target.params.verify:
                self._verify(temp, self._files(sends))
            if is_tree:
                self._move_in(temp, sends)
            else:
                self._must(
                    b"t=%b/%b d=%b\n"
                    % (path_word(temp), _ONLY.encode(), path_word(self._target.path))
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
                    if name and self._found[name].is_dir and (plain or name in self._target.there)
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
        return f"cannot put {shown(self._target.path)} on {self._context.host.name}: {reason}"

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
        of_group = {name: at for at, one in enumerate(self._target.same_files) for name in one}
        first: dict[int, str] = {}
        for name in sorted(names, key=_in_order):
            self._context.check()
            here = self._found[name]
            owners = self._target.owners_of(here)
            same_as = first.setdefault(of_group[name], name) if name in of_group else name
            yield Member(
                name=name or _ONLY,
                mode=stat.S_IFMT(here.st.st_mode) | self._target.mode_of(here),
                mtime_ns=here.st.st_mtime_ns,
                size=here.st.st_size if here.is_file else 0,
                link=here.link,
                path=here.path,
                owner=(owners.uid or 0, owners.gid or 0),
                same_as="" if same_as == name else same_as,
            )

    def _files(self, names: list[str]) -> dict[str, str]:
        """Return where the files among the names are here."""
        return {name: self._found[name].path for name in names if self._found[name].is_file}

    def _count(self, size: int) -> None:
        self._target.tally.bytes_done += size
        self._context.progress(self._target.tally.bytes_done)

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
        new = {
            name for name in sends if name not in self._target.there and self._found[name].is_dir
        }
        for name in sends:
            parent = os.path.dirname(name)
            is_old_directory = self._found[name].is_dir and name not in new
            if parent not in new and not is_old_directory:
                groups[parent].append(name)
        lines = [
            b"mv -f -- %b %b/"
            % (b" ".join(part), path_word(self._target.path_of(parent), keep_slash=True))
            for parent, names in groups.items()
            for part in batches([path_word(os.path.join(stage, name)) for name in names])
        ]
        for part in batches(lines):
            self._must(b" || exit\n".join(part))

    def _set_directories(self, names: list[str]) -> None:
        """Set mode and time of directories, now that nothing is put into them any more."""
        if names:
            root, end = path_word(self._target.path), quote(END_NAME.encode())
            text = b"tar -xpof - -C %b && rm -f -- %b/%b" % (root, root, end)
            self._stage(text, self._tar(names), os.path.join(self._target.path, END_NAME))
