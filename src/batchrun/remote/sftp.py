"""Files on a host that gives no shell: what SFTP alone can do of the operations.

`upload`, `download`, `mkdir`, `delete` and `write`, without what needs a program on the host: sudo,
checksums, validators, owners by name, patterns with `**`. What is asked for and cannot be done is
refused, never left out in silence. A file gets its name by a rename when it is whole.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import paramiko

from batchrun.errors import OperationError
from batchrun.model.operation import Done
from batchrun.model.session import HostContext
from batchrun.model.values import Glob, apply_mode
from batchrun.ops.failures import Tally, refusal
from batchrun.ops.paths import shown
from batchrun.ops.patterns import ANY_DEPTH, compiled, split_braces
from batchrun.ops.protected import SYSTEM_DIRECTORIES
from batchrun.ops.targets import target_for, trimmed
from batchrun.ops.tree.temporary import is_temporary
from batchrun.remote.globs import fixed_part
from batchrun.remote.localstore import Store, is_inside
from batchrun.remote.localtree import Here
from batchrun.remote.talk import BrokenError

if TYPE_CHECKING:
    from batchrun.remote.download import Download
    from batchrun.remote.files import Mkdir
    from batchrun.remote.textfiles import HostTextFields
    from batchrun.remote.upload import Upload

__all__ = ["delete_by_sftp", "get_by_sftp", "mkdir_by_sftp", "put_by_sftp", "write_by_sftp"]

_PIECE_BYTES = 32 * 1024
_AT_ONCE = 64


class _Files:
    """An SFTP client, with our paths and our errors."""

    def __init__(self, client: Any, context: HostContext) -> None:
        self.client = client
        self.context = context

    def lstat(self, path: str) -> Any:
        """Look at a path without following it; None: nothing is there."""
        try:
            return self.client.lstat(_name(path))
        except FileNotFoundError:
            return None

    def make_folders(self, path: str, mode: int | None = None) -> bool:
        """Make a directory and those above it; return whether there was one to make."""
        found = self._follow(path)
        if found is not None:
            if not stat.S_ISDIR(found.st_mode):
                raise refusal(f"{shown(path)} exists on the host and is not a directory")
            return False
        parent = os.path.dirname(path)
        if parent and parent != path:
            self.make_folders(parent)
        if not self.context.settings.dry_run:
            self.client.mkdir(_name(path))
            if mode is not None:
                self.client.chmod(_name(path), mode)
        return True

    def _follow(self, path: str) -> Any:
        try:
            return self.client.stat(_name(path))
        except FileNotFoundError:
            return None

    def put(self, path: str, pieces: Iterator[bytes], mode: int | None, mtime: int | None) -> None:
        """Write a file under a temporary name, and rename it when it is whole."""
        temp = os.path.join(os.path.dirname(path), self.context.temp_name())
        try:
            with self.client.open(_name(temp), "wx") as file:
                file.set_pipelined(True)
                for piece in pieces:
                    self.context.check()
                    file.write(piece)
                    self.context.heard()
            if mode is not None:
                self.client.chmod(_name(temp), mode)
            if mtime is not None:
                self.client.utime(_name(temp), (mtime, mtime))
            self.rename(temp, path)
        except BaseException:
            with suppress(OSError, EOFError, paramiko.SSHException):
                self.client.remove(_name(temp))
            raise

    def rename(self, temp: str, path: str) -> None:
        """Give something its name, in the place of what has it."""
        self.client.posix_rename(_name(temp), _name(path))

    def entries(self, path: str) -> list[Any]:
        """Return what a directory holds, bytewise, without what is being written."""
        try:
            entries = self.client.listdir_attr(_name(path) or b".")
        except UnicodeDecodeError as error:
            message = (
                f"{shown(path)} on the host holds a name that is not UTF-8; SFTP cannot read it"
            )
            raise OperationError(message, retryable=False) from error
        entries = [entry for entry in entries if not is_temporary(entry.filename)]
        return sorted(entries, key=lambda entry: os.fsencode(entry.filename))

    def below(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yield everything below a directory by relative path, directories first."""
        for entry in self.entries(path):
            self.context.check()
            yield entry.filename, entry
            if stat.S_ISDIR(entry.st_mode):
                inner = os.path.join(path, entry.filename)
                yield from ((f"{entry.filename}/{name}", one) for name, one in self.below(inner))

    def remove(self, path: str, facts: Any) -> None:
        """Remove a file, or a directory with everything in it."""
        if not stat.S_ISDIR(facts.st_mode):
            self.client.remove(_name(path))
            return
        for entry in self.entries(path):
            self.context.check()
            self.remove(os.path.join(path, entry.filename), entry)
        self.client.rmdir(_name(path))

    def find(self, source: str | Glob) -> list[str]:
        """Return what a source stands for."""
        if not isinstance(source, Glob):
            return [trimmed(source)]
        found = {path for one in split_braces(source.pattern) for path in self._matches(one)}
        return sorted(found, key=os.fsencode)

    def _matches(self, text: str) -> list[str]:
        fixed = fixed_part(text)
        found = [fixed]
        for part in (compiled(one, False) for one in text[len(fixed) :].split("/") if one):  # noqa: FBT003 - a cache keys on positions
            if part is ANY_DEPTH:
                raise _unable("a pattern with `**`")
            found = [
                os.path.join(folder, entry.filename)
                for folder in found
                if self._is_folder(folder)
                for entry in self.entries(folder)
                if (part == entry.filename if isinstance(part, str) else part.match(entry.filename))
            ]
        return found

    def _is_folder(self, path: str) -> bool:
        found = self._follow(path or ".")
        return found is not None and stat.S_ISDIR(found.st_mode)


def _name(path: str) -> bytes:
    """Write a path as SFTP has it: relative ones mean the login directory."""
    if path.startswith("~"):
        home, _, rest = path.partition("/")
        if home != "~":
            raise _unable(f"the home directory {shown(home)}")
        path = rest or "."
    return os.fsencode(path) or b"."


def _unable(what: str) -> OperationError:
    return refusal(f"the host gives no shell, only SFTP, and {what} needs one")


def _refuse(params: object, names: Sequence[str]) -> None:
    """Refuse what cannot be done without a shell."""
    for name in names:
        if getattr(params, name, None):
            raise _unable(f"`{name}`")


@contextmanager
def _files(context: HostContext) -> Iterator[_Files]:
    """Open a client, and say in our words what goes wrong with it."""
    client: Any = context.session.open_files(context)
    try:
        yield _Files(client, context)
    except (EOFError, paramiko.SSHException, TimeoutError) as error:
        message = f"the connection broke: {error or 'SFTP ended'}"
        raise BrokenError(message) from error
    except OSError as error:
        message = f"{context.host.name} refuses it over SFTP: {error.strerror or error}"
        raise OperationError(message, errno=error.errno) from error
    finally:
        client.close()


def mkdir_by_sftp(params: "Mkdir", context: HostContext) -> Done:
    """Do `mkdir`."""
    _refuse(params, ("owner", "group", "sudo"))
    tally = Tally()
    mode = None if params.mode is None else apply_mode(params.mode, 0o777, is_dir=True)
    with _files(context) as files:
        for path in map(trimmed, params.path):
            if files.make_folders(path, mode):
                tally.changed = True
            elif mode is not None and stat.S_IMODE(files.client.stat(_name(path)).st_mode) != mode:
                tally.changed = True
                if not context.settings.dry_run:
                    files.client.chmod(_name(path), mode)
    return tally.done()


def delete_by_sftp(sources: Sequence[str | Glob], context: HostContext) -> Done:
    """Do `delete`."""
    tally = Tally()
    with _files(context) as files:
        home = files.client.normalize(".")
        for path in (path for source in sources for path in files.find(source)):
            facts = files.lstat(path)
            if facts is None:
                continue
            real = os.path.normpath(os.path.join(home, os.fsdecode(_name(path))))
            system = os.path.dirname(real) == "/" and real[1:] in SYSTEM_DIRECTORIES
            if stat.S_ISDIR(facts.st_mode) and (
                system or home == real or home.startswith(real.rstrip("/") + "/")
            ):
                raise refusal(f"refused to delete {shown(path)}: it is, or holds, what must stay")
            tally.changed = True
            if not context.settings.dry_run:
                files.remove(path, facts)
    return tally.done()


def write_by_sftp(params: "HostTextFields", data: bytes, context: HostContext) -> Done:
    """Do `write` and `template`."""
    _refuse(params, ("owner", "group", "sudo", "validate", "backup"))
    path, tally = trimmed(params.dest), Tally()
    with _files(context) as files:
        old = files.lstat(path)
        if old is not None and stat.S_ISDIR(old.st_mode):
            raise refusal(
                f"{shown(path)} is a directory on the host; write the name of a file in it"
            )
        text = params.mode or ("0600" if params.secret else None)
        now = stat.S_IMODE(old.st_mode) if old is not None else None
        mode = (
            now
            if text is None
            else apply_mode(text, now if now is not None else 0o600, is_dir=False)
        )
        same = old is not None and stat.S_ISREG(old.st_mode) and old.st_size == len(data)
        if same:
            with files.client.open(_name(path), "rb") as file:
                same = file.read() == data
        if same and mode == now:
            return tally.done()
        tally.changed = True
        if context.settings.dry_run:
            return tally.done()
        if same:
            files.client.chmod(_name(path), mode)
        else:
            files.make_folders(os.path.dirname(path) or ".")
            pieces = (data[at : at + _PIECE_BYTES] for at in range(0, len(data), _PIECE_BYTES))
            files.put(path, pieces, mode, None)
            tally.bytes_done += len(data)
    return tally.done()


def put_by_sftp(
    params: "Upload",
    target: str,
    found: Mapping[str, Here],
    context: HostContext,
    tally: Tally,
) -> None:
    """Do `upload` of one source."""
    _refuse(params, ("owner", "group", "sudo", "checksum", "verify", "delete", "mode"))
    with _files(context) as files:
        later = []
        for name, here in found.items():
            path = os.path.join(target, name) if name else target
            if here.is_dir:
                if files.make_folders(path):
                    tally.changed = True
                    later.append((path, here))
            else:
                _put_one(files, path, here, tally)
        if not context.settings.dry_run:
            # The deepest first: what is put into a directory changes its time.
            for path, here in reversed(later):
                files.client.chmod(_name(path), stat.S_IMODE(here.st.st_mode))
                files.client.utime(_name(path), (int(here.st.st_mtime), int(here.st.st_mtime)))


def _put_one(files: _Files, path: str, here: Here, tally: Tally) -> None:
    there = files.lstat(path)
    mode, mtime = stat.S_IMODE(here.st.st_mode), here.st.st_mtime_ns // 10**9
    if there is not None and stat.S_ISDIR(there.st_mode):
        raise refusal(
            f"{shown(path)} is a directory on the host; write {shown(path)}/ to put it into it"
        )
    if there is not None and here.link and stat.S_ISLNK(there.st_mode):
        if files.client.readlink(_name(path)) == here.link:
            return
    elif (
        there is not None
        and stat.S_ISREG(there.st_mode)
        and here.is_file
        and (there.st_size, there.st_mtime, stat.S_IMODE(there.st_mode))
        == (
            here.st.st_size,
            mtime,
            mode,
        )
    ):
        return
    tally.changed = True
    if files.context.settings.dry_run:
        return
    files.make_folders(os.path.dirname(path) or ".")
    if here.link:
        temp = os.path.join(os.path.dirname(path), files.context.temp_name())
        files.client.symlink(os.fsencode(here.link), _name(temp))
        files.rename(temp, path)
        return
    with open(here.path, "rb") as file:
        files.put(path, _pieces(file, files.context, tally), mode, mtime)


def _pieces(file: Any, context: HostContext, tally: Tally) -> Iterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        tally.bytes_done += len(piece)
        context.progress(tally.bytes_done)
        yield piece


def get_by_sftp(params: "Download", context: HostContext, tally: Tally, *, inside: bool) -> Done:
    """Do `download`."""
    _refuse(params, ("sudo", "checksum", "verify", "exclude", "include"))
    with _files(context) as files:
        wanted = _wanted(files, params, inside=inside)
        root = trimmed(params.dest) if inside else os.path.dirname(params.dest)
        last = "" if inside else os.path.basename(params.dest)
        with Store(root, context.temp_name) as store:
            for name, (path, facts) in wanted.items():
                _get_one(files, store, "/".join(filter(None, (last, name))), (path, facts), tally)
    return tally.done()


def _wanted(files: _Files, params: "Download", *, inside: bool) -> dict[str, tuple[str, Any]]:
    """Return what is to be fetched, by its name below `dest`."""
    wanted: dict[str, tuple[str, Any]] = {}
    for source in params.src:
        for path in files.find(source):
            facts = files.lstat(path)
            if facts is None:
                message = (
                    f"cannot fetch {shown(path)} from {files.context.host.name}: it does not exist"
                )
                raise OperationError(message)
            name = path[len(fixed_part(source.pattern)) :] if isinstance(source, Glob) else ""
            if not isinstance(source, Glob) and inside:
                name = target_for(path, "/", inside=True)[1:]
            if params.flat and isinstance(source, Glob):
                name = os.path.basename(name)
            entries = [(name, path, facts)]
            if stat.S_ISDIR(facts.st_mode):
                entries += [
                    ("/".join(filter(None, (name, below))), f"{path}/{below}", one)
                    for below, one in files.below(path)
                ]
            for each, where, one in entries:
                if each and not is_inside(each):
                    raise refusal(f"the host has a name that leads elsewhere: {shown(each)}")
                if wanted.setdefault(each, (where, one))[0] != where:
                    raise refusal(f"two files would both become {shown(each)}; leave out `flat`")
    return wanted


def _get_one(files: _Files, store: Store, name: str, one: tuple[str, Any], tally: Tally) -> None:
    path, facts = one
    here = store.look(name) if name else None
    dry = files.context.settings.dry_run
    if stat.S_ISDIR(facts.st_mode):
        if here is None and name:
            tally.changed = True
            if not dry:
                store.mkdir(name)
        return
    if stat.S_ISLNK(facts.st_mode):
        text = files.client.readlink(_name(path)) or ""
        if here is None or not stat.S_ISLNK(here.st_mode) or os.readlink(store.path(name)) != text:
            tally.changed = True
            if not dry:
                store.symlink(name, text, int(facts.st_mtime) * 10**9)
        return
    if here is not None and (here.st_size, here.st_mtime_ns // 10**9) == (
        facts.st_size,
        facts.st_mtime,
    ):
        return
    tally.changed = True
    if not dry:
        _fetch(files, store, name, one, tally)


def _fetch(files: _Files, store: Store, name: str, one: tuple[str, Any], tally: Tally) -> None:
    path, facts = one
    left = facts.st_size
    with files.client.open(_name(path), "rb") as file:
        file.prefetch(left, _AT_ONCE)
        store.begin(name)
        try:
            while left and (piece := file.read(min(left, _PIECE_BYTES))):
                files.context.check()
                files.context.heard()
                store.write(memoryview(piece))
                left -= len(piece)
                tally.bytes_done += len(piece)
                files.context.progress(tally.bytes_done)
        except BaseException:
            store.abandon()
            raise
    if left:
        store.abandon()
        message = f"cannot fetch {shown(path)}: it became shorter while it was read"
        raise OperationError(message)
    store.finish(stat.S_IMODE(facts.st_mode), int(facts.st_mtime) * 10**9)
