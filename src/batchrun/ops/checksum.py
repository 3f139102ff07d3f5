"""The operation `checksum`: write or verify a manifest that sha256sum -c reads."""

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from stat import S_ISREG
from types import TracebackType
from typing import Annotated, BinaryIO, Literal, NamedTuple, Self

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.values import Doc, PathPattern, PathText
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.paths import shown
from batchrun.ops.targets import chosen, look_up, make_parents, without_matches
from batchrun.ops.tree.data import BLOCK_SIZE, blocks, write_all
from batchrun.ops.tree.folders import Folders, Place
from batchrun.ops.tree.selection import Selection, selection
from batchrun.ops.tree.walking import walk

__all__ = ["OPERATIONS", "Checksum", "checksum"]

_LINE = re.compile(rb"(\\?)([0-9A-Fa-f]+) [ *](.+)", re.DOTALL)
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}
_UNESCAPES = {escaped: plain for plain, escaped in _ESCAPES.items()}
#: Lines written to the manifest at a time.
_BATCH = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """Parameters of `checksum`."""

    src: Annotated[
        tuple[PathPattern, ...],
        Doc(
            "Files, directories (all files below) or globs; no file at all to list is a failure. "
            "Not needed to verify."
        ),
    ] = ()
    dest: Annotated[
        PathText,
        Doc("The manifest, written or verified; names in it are relative to its directory."),
    ]
    algorithm: Annotated[
        Literal["sha256", "sha512", "sha384", "sha224", "sha1", "md5", "blake2b"],
        Doc("How to compute; `sha256sum -c`, `b2sum -c` and their like read the result."),
    ] = "sha256"
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of what to leave out, below each source.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; only files that match one are listed.")
    ] = ()
    verify: Annotated[
        bool, Doc("Read the manifest and fail if a file that it names is missing or different.")
    ] = False


def checksum(params: Checksum, context: Context) -> Done:
    """Write or verify the checksums of files."""
    if not params.dest or params.dest.endswith("/"):
        raise refusal(f"{shown(params.dest)} does not name a file for the manifest")
    if params.verify:
        return _verify(params, context)
    if not params.src:
        raise refusal("checksum needs `src`, unless it verifies")
    return _write(params, context)


class _File(NamedTuple):
    """A regular file to be listed."""

    #: As the manifest has it.
    name: str
    place: Place
    #: It was named, and may be a symlink.
    follow: bool


class _Hasher:
    """Hashes files, one after the other."""

    def __init__(self, algorithm: str, context: Context, tally: Tally) -> None:
        import hashlib  # noqa: PLC0415 - loads OpenSSL: only when used

        self._empty = hashlib.new(algorithm, usedforsecurity=False)
        #: How many hexadecimal digits a checksum has.
        self.digits = self._empty.digest_size * 2
        self._context = context
        self._tally = tally

    def _beat(self, size: int) -> None:
        self._tally.bytes_done += size
        self._context.check()
        self._context.progress(self._tally.bytes_done)

    def of(self, place: Place, *, follow: bool = False) -> bytes:
        """Return the checksum of a file in hexadecimal digits.

        Raises:
            OSError: it cannot be read.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
        fd = os.open(place.name, flags, dir_fd=place.dir_fd)
        try:
            digest = self._empty.copy()
            # A file that grows all the time has an end, too: where it was at the beginning.
            for block in blocks(fd, self._beat, most=os.fstat(fd).st_size or None):
                digest.update(block)
        finally:
            os.close(fd)
        return digest.hexdigest().encode("ascii")


def _write(params: Checksum, context: Context) -> Done:
    """Write the manifest, unless it is there already."""
    tally = Tally()
    hasher = _Hasher(params.algorithm, context, tally)
    scratch = Place(None, os.path.abspath(params.dest)).beside(context.temp_name()).name
    files = _files(params, scratch, tally)
    first = next(files, None)
    if first is None and not tally.failed:
        raise _nothing_to_list(params)
    make_parents(params.dest, dry=context.settings.dry_run)
    try:
        with _Manifest(params.dest, scratch, dry=context.settings.dry_run) as manifest:
            for batch in _lines(files if first is None else chain((first,), files), hasher, tally):
                manifest.take(batch)
            if not tally.failed:
                tally.changed = manifest.finish()
    except OSError as error:
        raise failure(error, "write", params.dest) from error
    return tally.done()


def _nothing_to_list(params: Checksum) -> OperationError:
    """Make the error for a manifest that would be empty.

    It is one, although to have nothing to do is mostly none: whoever counts on a manifest would
    take an empty one for proof that all is well, and one of yesterday would be written over.
    """
    found = next(look_up(params.src), None)
    why = without_matches(params.src) if found is None else "there is no file in its sources"
    message = f"there is nothing to list in {shown(params.dest)}: {why}"
    return OperationError(message, errno=errno.ENOENT, retryable=False)


class _Manifest:
    """A manifest that is only written when it is another one than what is there."""

    def __init__(self, path: str, scratch: str, *, dry: bool) -> None:
        self._path = path
        self._scratch = scratch
        self._dry = dry
        #: What is there, read along; None: nothing is, or it differs from here on.
        self._old: BinaryIO | None = None
        self._same_bytes = 0
        self._fd = -1

    def __enter__(self) -> Self:
        try:
            self._old = open(self._path, "rb")
        except FileNotFoundError:
            self._differ()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._old is not None:
            self._old.close()
        if self._fd >= 0:
            os.close(self._fd)
            Place(None, self._scratch).discard()

    def take(self, lines: bytes) -> None:
        """Compare the next lines, or write them."""
        if self._old is not None:
            if self._old.read(len(lines)) == lines:
                self._same_bytes += len(lines)
                return
            self._differ()
        if self._fd >= 0:
            write_all(self._fd, lines)

    def finish(self) -> bool:
        """Put the new manifest in place; False: the old one is right."""
        if self._old is not None:
            if not self._old.read(1):
                return False
            self._differ()
        if self._fd >= 0:
            os.rename(self._scratch, self._path)
        return True

    def _differ(self) -> None:
        """Begin a new manifest with what was right of the old one."""
        old, self._old = self._old, None
        if self._dry:
            check_may_write(Place(None, os.path.abspath(self._path)))
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            self._fd = os.open(self._scratch, flags, 0o666)
        if old is None:
            return
        with old:
            old.seek(0)
            while self._fd >= 0 and self._same_bytes:
                block = old.read(min(self._same_bytes, BLOCK_SIZE))
                if not block:
                    raise OSError(errno.EAGAIN, "the manifest was changed meanwhile")
                write_all(self._fd, block)
                self._same_bytes -= len(block)


def _lines(files: Iterator[_File], hasher: _Hasher, tally: Tally) -> Iterator[bytes]:
    """Yield the manifest in batches of lines."""
    batch: list[bytes] = []
    for name, place, follow in files:
        try:
            batch.append(_line(hasher.of(place, follow=follow), name))
        except OSError as error:
            tally.fail(failure(error, "read", place.path))
        if len(batch) == _BATCH:
            yield b"".join(batch)
            batch.clear()
    yield b"".join(batch)


def _files(params: Checksum, scratch: str, tally: Tally) -> Iterator[_File]:
    """Yield what is listed, sorted bytewise by name; not the manifest itself, new or old."""
    directory = os.path.dirname(os.path.abspath(params.dest))
    manifest = os.path.join(directory, os.path.basename(params.dest))
    for file in _all_files(params, directory, tally):
        if file.place.path not in {manifest, scratch}:
            yield file


def _all_files(params: Checksum, directory: str, tally: Tally) -> Iterator[_File]:
    """Yield every regular file, sorted bytewise by name."""
    roots: dict[str, str] = {}
    patterns = selection(params.exclude, params.include)
    for item in look_up(params.src, tally.found_nothing):
        if not chosen(item, patterns):
            continue
        path = os.path.abspath(item.path)
        is_tree = os.path.isdir(path) and not os.path.islink(path)
        roots[os.path.relpath(path, directory) + ("/" if is_tree else "")] = path
    if "./" in roots:
        roots = {key: path for key, path in roots.items() if key == "./" or key.startswith("../")}
    # A root below another one would be listed twice.
    last = "/"
    for key in sorted(roots, key=os.fsencode):
        if key.startswith(last):
            continue
        if key.endswith("/"):
            last = key
            yield from _tree("" if key == "./" else key, roots[key], tally, patterns)
        else:
            yield _File(key, Place(None, roots[key]), follow=True)


def _tree(prefix: str, root: str, tally: Tally, patterns: Selection | None) -> Iterator[_File]:
    try:
        with Folders(Place(None, root)) as folders:
            for step in walk(folders, tally.fail, selection=patterns, ordered=True):
                if S_ISREG(step.st.st_mode):
                    yield _File(prefix + step.relative, folders.at(step.name), follow=False)
    except OSError as error:
        tally.fail(failure(error, "read the directory", root))


def _line(digest: bytes, name: str) -> bytes:
    """Write a line as sha256sum does; a name with line breaks or backslashes is escaped."""
    raw = os.fsencode(name)
    escaped = re.sub(rb"[\\\n\r]", lambda match: _ESCAPES[match.group()], raw)
    return (b"\\" if escaped != raw else b"") + digest + b"  " + escaped + b"\n"


def _verify(params: Checksum, context: Context) -> Done:
    """Compare every file that the manifest names with its checksum."""
    tally = Tally()
    hasher = _Hasher(params.algorithm, context, tally)
    directory = os.path.dirname(os.path.abspath(params.dest))
    found = 0
    try:
        with open(params.dest, "rb") as lines:
            for number, line in enumerate(lines, 1):
                context.check()
                entry = _parsed(line, hasher.digits)
                if entry is None:
                    where = f"{shown(params.dest)}:{number}"
                    tally.fail(refusal(f"{where} is not a line of {params.algorithm} checksums"))
                    continue
                found += 1
                _verify_one(hasher, os.path.join(directory, entry[1]), entry[0], tally)
    except OSError as error:
        raise failure(error, "read", params.dest) from error
    if not found and not tally.failed:
        raise refusal(f"{shown(params.dest)} holds no checksums")
    return tally.done(note=f"{found} files verified")


def _parsed(line: bytes, digits: int) -> tuple[bytes, str] | None:
    """Read one line of a manifest: checksum and name; None: it is not one."""
    match = _LINE.fullmatch(line.removesuffix(b"\n"))
    if match is None or len(match.group(2)) != digits:
        return None
    name = match.group(3)
    if match.group(1):
        name = re.sub(rb"\\[\\nr]", lambda found: _UNESCAPES[found.group()], name)
    return match.group(2).lower(), os.fsdecode(name)


def _verify_one(hasher: _Hasher, path: str, wanted: bytes, tally: Tally) -> None:
    try:
        found = hasher.of(Place(None, path), follow=True)
    except OSError as error:
        tally.fail(failure(error, "verify", path))
        return
    if found != wanted:
        tally.fail(OperationError(f"{shown(path)} has another checksum than the manifest says"))


OPERATIONS = {
    "checksum": Operation(
        name="checksum",
        summary="Write or verify a manifest of checksums that sha256sum -c reads.",
        params=Checksum,
        function=checksum,
        main="src",
        uses=(
            PathUse(field="src", effect="reads"),
            PathUse(field="dest", effect="changes", whole=False, unless="verify"),
            PathUse(field="dest", effect="reads", whole=False, only_if="verify"),
        ),
        example="checksum: {src: /srv/www, dest: /srv/www.sha256}\n",
    )
}
