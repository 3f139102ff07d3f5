"""Files on a host that gives no shell: what SFTP alone can do of the operations.

`upload`, `download`, `mkdir`, `delete` and `write`, without what needs a program on the host: sudo,
checksums, validators, owners by name, patterns with `**`. What is asked for and cannot be done is
refused, never left out in silence. A file gets its name by a rename when it is whole.
"""

import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Done
from batchrun.model.session import HostContext
from batchrun.model.values import Glob, apply_mode
from batchrun.ops.failures import Tally, refusal
from batchrun.ops.paths import shown
from batchrun.ops.protected import SYSTEM_DIRECTORIES
from batchrun.ops.targets import target_for, trimmed
from batchrun.remote.comparing import Target
from batchrun.remote.globs import fixed_part
from batchrun.remote.localstore import Store, is_inside
from batchrun.remote.localtree import Here
from batchrun.remote.sftpfiles import PIECE_BYTES, Files, open_files, refuse, unable, wire_name

if TYPE_CHECKING:
    from batchrun.remote.delete import Delete
    from batchrun.remote.download import Download
    from batchrun.remote.files import Mkdir
    from batchrun.remote.textfiles import HostTextFields

__all__ = ["delete_by_sftp", "get_by_sftp", "mkdir_by_sftp", "put_by_sftp", "write_by_sftp"]

_AT_ONCE = 64


def mkdir_by_sftp(params: "Mkdir", context: HostContext) -> Done:
    """Do `mkdir`."""
    refuse(params, ("owner", "group", "sudo"))
    tally = Tally()
    mode = None if params.mode is None else apply_mode(params.mode, 0o777, is_dir=True)
    with open_files(context) as files:
        for path in map(trimmed, params.path):
            if files.make_folders(path, mode):
                tally.changed = True
            elif mode is not None and mode != files.permissions(path):
                tally.changed = True
                if not context.settings.dry_run:
                    files.client.chmod(wire_name(path), mode)
    return tally.done()


def delete_by_sftp(params: "Delete", context: HostContext) -> Done:
    """Do `delete`."""
    refuse(params, ("sudo", "exclude", "include", "trash", "force"))
    if params.max_delete is not None:
        raise unable("`max_delete`")
    tally = Tally()
    with open_files(context) as files:
        home = files.client.normalize(".")
        for path in (path for source in params.path for path in files.find(source)):
            facts = files.lstat(path)
            if facts is None:
                continue
            real = os.path.normpath(os.path.join(home, os.fsdecode(wire_name(path))))
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
    refuse(params, ("owner", "group", "sudo", "validate", "backup"))
    path, tally = trimmed(params.dest), Tally()
    with open_files(context) as files:
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
            with files.client.open(wire_name(path), "rb") as file:
                same = file.read() == data
        if same and mode == now:
            return tally.done()
        tally.changed = True
        if context.settings.dry_run:
            return tally.done()
        if same:
            files.client.chmod(wire_name(path), mode)
        else:
            files.make_folders(os.path.dirname(path) or ".")
            pieces = (data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES))
            files.put(path, pieces, mode, None)
            tally.bytes_done += len(data)
    return tally.done()


def put_by_sftp(target: Target) -> None:
    """Do `upload` of one source."""
    context, tally = target.context, target.tally
    unneeded = ("owner", "group", "sudo", "checksum", "verify", "delete", "mode")
    refuse(target.params, unneeded)
    with open_files(context) as files:
        later = []
        target.note_left_behind(list(target.found))
        for names in target.same_files:
            tally.warn(
                f"{shown(target.found[names[0]].path)} has {len(names)} names (hard links), which "
                "become files of their own: SFTP has no links"
            )
        for name, here in target.found.items():
            path = target.path_of(name)
            if here.is_dir:
                if files.make_folders(path):
                    tally.changed = True
                    later.append((path, here))
            else:
                _put_one(files, path, here, tally)
        if not context.settings.dry_run:
            # The deepest first: what is put into a directory changes its time.
            for path, here in reversed(later):
                files.client.chmod(wire_name(path), stat.S_IMODE(here.st.st_mode))
                files.client.utime(wire_name(path), (int(here.st.st_mtime), int(here.st.st_mtime)))


def _put_one(files: Files, path: str, here: Here, tally: Tally) -> None:
    there = files.lstat(path)
    mode, mtime = stat.S_IMODE(here.st.st_mode), here.st.st_mtime_ns // 10**9
    if there is not None and stat.S_ISDIR(there.st_mode):
        raise refusal(
            f"{shown(path)} is a directory on the host; write {shown(path)}/ to put it into it"
        )
    if there is not None and here.link and stat.S_ISLNK(there.st_mode):
        if files.client.readlink(wire_name(path)) == here.link:
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
        files.client.symlink(os.fsencode(here.link), wire_name(temp))
        files.rename(temp, path)
        return
    with open(here.path, "rb") as file:
        files.put(path, _pieces(file, files.context, tally), mode, mtime)


def _pieces(file: Any, context: HostContext, tally: Tally) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        tally.bytes_done += len(piece)
        context.progress(tally.bytes_done)
        yield piece


def get_by_sftp(params: "Download", context: HostContext, tally: Tally, *, inside: bool) -> Done:
    """Do `download`."""
    refuse(params, ("sudo", "checksum", "verify", "exclude", "include"))
    with open_files(context) as files:
        wanted = _wanted(files, params, inside=inside)
        root = trimmed(params.dest) if inside else os.path.dirname(params.dest)
        last = "" if inside else os.path.basename(params.dest)
        with Store(root, context.temp_name) as store:
            for name, (path, facts) in wanted.items():
                _get_one(files, store, "/".join(filter(None, (last, name))), (path, facts), tally)
    return tally.done()


def _wanted(files: Files, params: "Download", *, inside: bool) -> dict[str, tuple[str, Any]]:
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


def _get_one(files: Files, store: Store, name: str, one: tuple[str, Any], tally: Tally) -> None:
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
        text = files.client.readlink(wire_name(path)) or ""
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


def _fetch(files: Files, store: Store, name: str, one: tuple[str, Any], tally: Tally) -> None:
    path, facts = one
    left = facts.st_size
    with files.client.open(wire_name(path), "rb") as file:
        file.prefetch(left, _AT_ONCE)
        store.begin(name)
        try:
            while left and (piece := file.read(min(left, PIECE_BYTES))):
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
