"""The operation `checksum`: write or verify a manifest that sha256sum -c reads."""

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from types import TracebackType
from typing import Annotated, Any, BinaryIO, Literal, NamedTuple, Self

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.outcome import Ok
from batchrun.model.tree import Spread
from batchrun.model.values import Doc, Glob, PathPattern, PathText
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.foresee import check_may_write
from batchrun.ops.paths import shown
from batchrun.ops.targets import chosen, look_up, make_parents, without_matches
from batchrun.ops.tree.crawl import Listed, Node, Rest, begin, crawl, root_node
from batchrun.ops.tree.data import BLOCK_SIZE, blocks, write_all
from batchrun.ops.tree.doors import root_of
from batchrun.ops.tree.folders import OPEN_DIRECTORY, Place
from batchrun.ops.tree.forest import Forest
from batchrun.ops.tree.parcels import COMPLETE, FILES, Answer, Payload
from batchrun.ops.tree.selection import selection
from batchrun.ops.tree.sides import OneSide
from batchrun.ops.tree.spool import Spool, spool_path

__all__ = [
    "OPERATIONS",
    "Checksum",
    "ChecksumForest",
    "VerifyForest",
    "checksum",
    "checksum_chunk",
    "verify_chunk",
]

_LINE = re.compile(rb"(\\?)([0-9A-Fa-f]+) [ *](.+)", re.DOTALL)
_ESCAPES = {b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r"}
_UNESCAPES = {escaped: plain for plain, escaped in _ESCAPES.items()}
#: Lines written to the manifest at a time.
_BATCH = 512
#: Size of a file of usual size, in bytes, for the cost of bigger ones.
_USUAL_SIZE = 64 * 1024


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


class _Job(NamedTuple):
    """What everybody needs to know who computes checksums for one unit."""

    algorithm: str
    #: Gitignore-style patterns of what is left out, and of what alone is taken.
    patterns: tuple[tuple[str, ...], tuple[str, ...]]
    #: The manifest, absolute.
    manifest: str
    #: As the user has written it.
    dest: str
    #: Where lines are kept until it is complete.
    spool: str
    sources: tuple[str | Glob, ...]


class _Hasher(OneSide):
    """Hashes files, one after the other, or those of whole trees."""

    def __init__(self, job: _Job, context: Context, tally: Tally) -> None:
        import hashlib  # noqa: PLC0415 - loads OpenSSL: only when used

        super().__init__(context, tally, selection(*job.patterns))
        self._job = job
        self._empty = hashlib.new(job.algorithm, usedforsecurity=False)
        #: How many hexadecimal digits a checksum has.
        self.digits = self._empty.digest_size * 2
        #: Lines of the manifest, as far as they are not in the spool.
        self.lines: list[bytes] = []

    def _beat(self, size: int) -> None:
        self.tally.bytes_done += size
        self.context.check()
        self.context.progress(self.tally.bytes_done)

    def _count(self, size: int) -> None:
        self.tally.bytes_done += size

    def of(self, path: str) -> bytes:
        """Return the checksum of a file, or what a symlink leads to, in hexadecimal digits.

        Raises:
            OSError: it cannot be read.
        """
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            return self._digest(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    def _digest(self, fd: int, size: int) -> bytes:
        digest = self._empty.copy()
        # A file that grows all the time has an end, too: where it was at the beginning.
        beat = self._count if size <= BLOCK_SIZE else self._beat
        for block in blocks(fd, beat, most=size or None):
            digest.update(block)
        return digest.hexdigest().encode("ascii")

    def single(self, name: str, path: str) -> None:
        """List a file that was named, or found by a pattern."""
        if path in {self._job.manifest, self._job.spool}:
            return
        try:
            self.lines.append(_line(self.of(path), name))
        except OSError as error:
            self.tally.fail(failure(error, "read", path))

    def files(self, node: Node, names: list[str]) -> int:
        """List files of a directory."""
        fd = self.directory(node, "read the directory")
        if fd is None:
            return 1
        prefix, listed_as = self.doors.prefix(node), f"{node.root[3]}{node.path}/".lstrip("/")
        if not node.path:
            listed_as = str(node.root[3])
        before = self.tally.bytes_done
        names = [name for name in self.meant(node, names) if prefix + name != self._job.manifest]
        self.tally.files_done += len(names)
        for name, file, size in self.opened(node, fd, names):
            try:
                self.lines.append(_line(self._digest(file, size), listed_as + name))
            except OSError as error:
                self.tally.fail(failure(error, "read", prefix + name))
        self._beat(0)
        return len(names) + (self.tally.bytes_done - before) // _USUAL_SIZE

    def others(self, node: Node, names: list[str]) -> int:  # noqa: ARG002 - the protocol's
        """Pass over what has no content."""
        return 0

    def put_aside(self) -> None:
        """Put the lines where all workers put theirs."""
        try:
            Spool(self._job.spool).add(self.lines)
        except OSError as error:
            raise failure(error, "write", self._job.dest) from error
        self.lines = []


class ChecksumForest(Forest):
    """Checksums of trees that many workers compute, and one of them puts in order."""

    whole = True

    def __init__(self, seed: tuple[str, Any, Answer]) -> None:
        super().__init__(seed)
        self.clean_up("manifest")


def checksum_chunk(payload: Payload, context: Context) -> Done:
    """Work on a piece of a manifest, or put it together."""
    config, deaths, items, _ = payload
    job, tally = _Job(*config), Tally()
    spool = Spool(job.spool)
    rest: Rest = ([], [], [])
    if deaths < 0:
        try:
            if deaths == COMPLETE:
                _complete(job, spool.sorted(_name_in), context, tally)
        finally:
            spool.remove()
    else:
        with _Hasher(job, context, tally) as hasher:
            rest = crawl(items, hasher, 1 if deaths else context.settings.slice_cost or inf)
            hasher.put_aside()
    answer: Answer = (tally.counted(), *rest, [])
    return Done(outcome=Ok(changed=tally.changed), bytes_done=tally.bytes_done, answer=answer)


_CHUNK = f"{__name__}:{checksum_chunk.__name__}"
_FOREST = f"{__name__}:{ChecksumForest.__name__}"


def _job_of(params: Checksum, context: Context) -> _Job:
    directory = os.path.dirname(os.path.abspath(params.dest))
    return _Job(
        algorithm=params.algorithm,
        patterns=(params.exclude, params.include),
        manifest=os.path.join(directory, os.path.basename(params.dest)),
        dest=params.dest,
        spool=spool_path(params.dest, context),
        sources=params.src,
    )


def _write(params: Checksum, context: Context) -> Done:
    """Write the manifest, unless it is there already."""
    tally, job = Tally(), _job_of(params, context)
    dry = context.settings.dry_run
    with _Hasher(job, context, tally) as hasher:
        roots = [
            root
            for name, path in _roots(params, os.path.dirname(job.manifest), tally)
            if (root := _root(name, path, hasher)) is not None
        ]
        if not roots and not hasher.lines and not tally.failed:
            raise _nothing_to_list(job)
        make_parents(params.dest, dry=dry)
        # A dry run leaves nothing for the one who would put it together.
        most = inf if dry else context.settings.slice_cost or inf
        rest = begin(reversed(roots), hasher, most)
        if not rest[1]:
            if not tally.failed:
                lines = {_name_in(line): line for line in hasher.lines}
                _complete(job, [lines[name] for name in sorted(lines)], context, tally)
            return tally.done()
        hasher.put_aside()
    answer: Answer = (tally.counted(), *rest, [])
    seed = (_CHUNK, tuple(job), answer)
    return replace(tally.done(), spread=Spread(coordinator=_FOREST, seed=seed))


def _root(name: str, path: str, hasher: _Hasher) -> Node | None:
    """Make the root of a tree; None: it is a file, or cannot be read."""
    if name and not name.endswith("/"):
        hasher.single(name, path)
        return None
    try:
        fd = os.open(path, OPEN_DIRECTORY)
    except OSError as error:
        hasher.tally.fail(failure(error, "read the directory", path))
        return None
    try:
        return root_node((*root_of(path, fd), name))
    finally:
        os.close(fd)


def _complete(job: _Job, lines: list[bytes], context: Context, tally: Tally) -> None:
    """Write lines that are in order, unless the manifest has them already."""
    if not lines:
        raise _nothing_to_list(job)
    dry = context.settings.dry_run
    scratch = Place(None, job.manifest).beside(context.temp_name()).name
    try:
        with _Manifest(job.dest, scratch, dry=dry) as manifest:
            for start in range(0, len(lines), _BATCH):
                context.check()
                manifest.take(b"".join(lines[start : start + _BATCH]))
            tally.changed = manifest.finish()
    except OSError as error:
        raise failure(error, "write", job.dest) from error


def _name_in(line: bytes) -> bytes:
    """Return the name in a line of a manifest that we have written."""
    name = line.partition(b"  ")[2][:-1]
    if line.startswith(b"\\"):
        name = re.sub(rb"\\[\\nr]", lambda found: _UNESCAPES[found.group()], name)
    return name


def _nothing_to_list(job: _Job) -> OperationError:
    """Make the error for a manifest that would be empty.

    It is one, although to have nothing to do is mostly none: whoever counts on a manifest would
    take an empty one for proof that all is well, and one of yesterday would be written over.
    """
    found = next(look_up(job.sources), None)
    why = without_matches(job.sources) if found is None else "there is no file in its sources"
    message = f"there is nothing to list in {shown(job.dest)}: {why}"
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


def _roots(params: Checksum, directory: str, tally: Tally) -> Iterator[tuple[str, str]]:
    """Yield what is listed: how its names begin, with a slash for a tree, and where it is."""
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
        yield "" if key == "./" else key, roots[key]


def _line(digest: bytes, name: str) -> bytes:
    """Write a line as sha256sum does; a name with line breaks or backslashes is escaped."""
    raw = os.fsencode(name)
    escaped = re.sub(rb"[\\\n\r]", lambda match: _ESCAPES[match.group()], raw)
    return (b"\\" if escaped != raw else b"") + digest + b"  " + escaped + b"\n"


class _Verifier(_Hasher):
    """Compares files with the lines of a manifest, which stands in for a directory of names."""

    def __init__(self, job: _Job, context: Context, tally: Tally) -> None:
        super().__init__(job, context, tally)
        self._directory = os.path.dirname(job.manifest)
        #: Lines that name a file.
        self.found = 0

    def listed(self, node: Node) -> Iterator[Listed]:  # noqa: ARG002 - there is one manifest
        """Yield the lines of the manifest."""
        try:
            with open(self._job.dest, "rb") as lines:
                for number, line in enumerate(lines, 1):
                    entry = _parsed(line, self.digits)
                    if entry is None:
                        where = f"{shown(self._job.dest)}:{number}"
                        what = f"is not a line of {self._job.algorithm} checksums"
                        self.tally.fail(refusal(f"{where} {what}"))
                        continue
                    self.found += 1
                    yield f"{entry[0].decode('ascii')} {entry[1]}", FILES
        except OSError as error:
            raise failure(error, "read", self._job.dest) from error

    def files(self, node: Node, names: list[str]) -> int:  # noqa: ARG002 - see `listed`
        """Verify some files; each name is a checksum and a path."""
        before = self.tally.bytes_done
        for line in names:
            wanted, _, name = line.partition(" ")
            path = os.path.join(self._directory, name)
            self.context.check()
            try:
                found = self.of(path)
            except OSError as error:
                self.tally.fail(failure(error, "verify", path))
                continue
            if found != wanted.encode("ascii"):
                message = f"{shown(path)} has another checksum than the manifest says"
                self.tally.fail(OperationError(message))
        return len(names) + (self.tally.bytes_done - before) // _USUAL_SIZE


class VerifyForest(Forest):
    """Files that many workers verify."""

    def result(self) -> Done:
        """Return how it ended, with how many there were."""
        return self.tally.done(note=f"{self.config[1]} files verified")


def verify_chunk(payload: Payload, context: Context) -> Done:
    """Verify some files."""
    (config, _), deaths, items, _ = payload
    tally = Tally()
    with _Verifier(_Job(*config), context, tally) as verifier:
        rest = crawl(items, verifier, 1 if deaths else context.settings.slice_cost or inf)
    answer: Answer = (tally.counted(), *rest, [])
    return Done(outcome=Ok(changed=False), bytes_done=tally.bytes_done, answer=answer)


_VERIFY_CHUNK = f"{__name__}:{verify_chunk.__name__}"
_VERIFY_FOREST = f"{__name__}:{VerifyForest.__name__}"


def _verify(params: Checksum, context: Context) -> Done:
    """Compare every file that the manifest names with its checksum."""
    tally, job = Tally(), _job_of(params, context)
    with _Verifier(job, context, tally) as verifier:
        rest = begin([root_node(())], verifier, context.settings.slice_cost or inf)
    if not verifier.found and not tally.failed:
        raise refusal(f"{shown(params.dest)} holds no checksums")
    done = tally.done(note=f"{verifier.found} files verified")
    if not rest[1]:
        return done
    config = (tuple(job), verifier.found)
    answer: Answer = (tally.counted(), *rest, [])
    seed = (_VERIFY_CHUNK, config, answer)
    return replace(done, spread=Spread(coordinator=_VERIFY_FOREST, seed=seed))


def _parsed(line: bytes, digits: int) -> tuple[bytes, str] | None:
    """Read one line of a manifest: checksum and name; None: it is not one."""
    match = _LINE.fullmatch(line.removesuffix(b"\n"))
    if match is None or len(match.group(2)) != digits:
        return None
    name = match.group(3)
    if match.group(1):
        name = re.sub(rb"\\[\\nr]", lambda found: _UNESCAPES[found.group()], name)
    return match.group(2).lower(), os.fsdecode(name)


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
