"""Turn pieces of trees into the bytes of a tar archive."""

import os
from dataclasses import replace
from stat import S_IMODE, S_ISREG

from batchrun.model.operation import Context
from batchrun.ops.failures import Tally, failure
from batchrun.ops.members import changed_meanwhile, entry_of, member_of
from batchrun.ops.tarheader import KINDS, header_of, padding, plain_header
from batchrun.ops.tree.copying import READ
from batchrun.ops.tree.crawl import Node
from batchrun.ops.tree.data import BLOCK_SIZE
from batchrun.ops.tree.doors import Doors
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.metadata import KEEP_ALL, attributes
from batchrun.ops.tree.ordered import SINGLE, directory_node, has_content, name_in, place_in
from batchrun.ops.tree.parcels import split
from batchrun.ops.tree.pieces import Linked, Piece

__all__ = ["Packer"]

#: Files that are opened, and announced to the kernel, before the first of them is read.
_BATCH = 64
_FILE = KINDS["file"]


class Packer:
    """Reads what is in pieces.

    Args:
        context: Of the unit.
        tally: Where everything is counted.
    """

    def __init__(self, context: Context, tally: Tally) -> None:
        self._context = context
        self._tally = tally

    def pack(self, piece: Piece) -> bytearray:
        """Return the members of a piece, or the part of one.

        Raises:
            OperationError: one of them cannot be read, or is another than when it was found.
        """
        out = bytearray()
        with Doors(0) as doors:
            if piece.part is not None:
                self._part(doors, piece, out)
                return out
            links = {link[0]: link for link in piece.links}
            at = 0
            for root, path, names in piece.groups:
                node, keys = directory_node(root, path), split(names)
                for start in range(0, len(keys), _BATCH):
                    some = keys[start : start + _BATCH]
                    batch = {key: links.get(place) for place, key in enumerate(some, at)}
                    self._batch(doors, node, batch, out)
                    at += len(some)
                    self._beat(0)
        return out

    def _beat(self, size: int) -> None:
        self._tally.bytes_done += size
        self._context.check()
        self._context.progress(self._tally.bytes_done)

    def _batch(
        self, doors: Doors, node: Node, batch: dict[str, Linked | None], out: bytearray
    ) -> None:
        """Add members of one directory, in order."""
        files: dict[str, int] = {}
        prefix = "" if node.root == SINGLE else name_in(node, "")
        try:
            for key, link in batch.items():
                if has_content(key) and not _is_further(link):
                    fd = self._opened(place_in(doors, node, key), link)
                    if fd is not None:
                        files[key] = fd
            for key, link in batch.items():
                fd = files.get(key)
                if fd is not None:
                    name = prefix + key if prefix else name_in(node, key)
                    try:
                        self._file(fd, name, out)
                    except OSError as error:
                        raise failure(error, "archive", place_in(doors, node, key).path) from error
                    except _ChangedError as error:
                        raise changed_meanwhile(place_in(doors, node, key).path) from error
                    os.close(files.pop(key))
                elif not has_content(key) or _is_further(link):
                    self._other(place_in(doors, node, key), name_in(node, key), link, out)
            self._tally.files_done += len(batch)
        finally:
            for fd in files.values():
                os.close(fd)

    def _opened(self, place: Place, link: Linked | None) -> int | None:
        """Open a file, and have the kernel fetch it; None: it has vanished."""
        try:
            fd = os.open(place.name, READ, dir_fd=place.dir_fd)
        except FileNotFoundError as error:
            if link is not None:
                raise changed_meanwhile(place.path) from error
            self._tally.vanished(place.path)
            return None
        except OSError as error:
            raise failure(error, "archive", place.path) from error
        os.posix_fadvise(fd, 0, BLOCK_SIZE, os.POSIX_FADV_WILLNEED)
        return fd

    def _file(self, fd: int, name: str, out: bytearray) -> None:
        """Add a regular file."""
        st = os.fstat(fd)
        size = st.st_size
        if not S_ISREG(st.st_mode):
            raise _ChangedError
        out += _header(fd, name, st)
        if 0 < size <= BLOCK_SIZE:
            data = os.pread(fd, size, 0)
            if len(data) == size:
                out += data
                self._tally.bytes_done += size
            else:
                self._read(fd, 0, size, out)
            out += padding(size)
        elif size:
            self._read(fd, 0, size, out)
            out += padding(size)
        now = os.fstat(fd)
        if now.st_size != size or now.st_mtime_ns != st.st_mtime_ns:
            raise _ChangedError

    def _read(self, fd: int, at: int, end: int, out: bytearray) -> None:
        """Add what a file holds from here to there."""
        while at < end:
            data = os.pread(fd, min(end - at, BLOCK_SIZE), at)
            if not data:
                raise _ChangedError
            out += data
            at += len(data)
            self._beat(len(data))

    def _other(self, place: Place, name: str, link: Linked | None, out: bytearray) -> None:
        """Add what has no content."""
        st = place.lstat()
        if st is None and link is None:
            self._tally.vanished(place.path)
            return
        if st is None:
            raise changed_meanwhile(place.path)
        if link is not None and _is_further(link):
            if (st.st_dev, st.st_ino) != link[1:3]:
                raise changed_meanwhile(place.path)
            out += header_of(member_of(name, st, link=link[3]))
            return
        if S_ISREG(st.st_mode):
            raise changed_meanwhile(place.path)
        entry = entry_of(name, place, st, self._tally)
        if entry is not None:
            out += header_of(entry.member)

    def _part(self, doors: Doors, piece: Piece, out: bytearray) -> None:
        """Add a part of a big file: the first with the header, the last with the padding."""
        ((root, path, key),) = piece.groups
        start, end, size, mtime_ns, inode = piece.part or (0, 0, 0, 0, 0)
        node = directory_node(root, path)
        place = place_in(doors, node, key)
        try:
            fd = os.open(place.name, READ, dir_fd=place.dir_fd)
            try:
                st = os.fstat(fd)
                if (st.st_size, st.st_mtime_ns, st.st_ino) != (size, mtime_ns, inode):
                    raise _ChangedError
                if start == 0:
                    out += _header(fd, name_in(node, key), st)
                self._read(fd, start, end, out)
                now = os.fstat(fd)
                if (now.st_size, now.st_mtime_ns) != (size, mtime_ns):
                    raise _ChangedError
            finally:
                os.close(fd)
        except OSError as error:
            raise failure(error, "archive", place.path) from error
        except _ChangedError as error:
            raise changed_meanwhile(place.path) from error
        if end == size:
            out += padding(size)
            self._tally.files_done += 1


class _ChangedError(Exception):
    """A file is not what it was when it was looked at."""


def _is_further(link: Linked | None) -> bool:
    """Tell whether a name is a further one of a file that comes before it in the archive."""
    return link is not None and bool(link[3])


def _header(fd: int, name: str, st: os.stat_result) -> bytes:
    """Return the header of an open file."""
    more = attributes(fd, KEEP_ALL)
    if not more:
        fields = S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_size
        plain = plain_header(os.fsencode(name), fields, st.st_mtime_ns, _FILE)
        if plain is not None:
            return plain
    return header_of(replace(member_of(name, st), attributes=more))
