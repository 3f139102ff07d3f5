"""The operation `checksum`: write or verify a manifest that sha256sum -c reads."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf
from typing import Annotated, Any, Literal

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.outcome import Ok
from batchrun.model.tree import Spread
from batchrun.model.values import Doc, PathPattern, PathText
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.hashing import Hasher, Job
from batchrun.ops.manifest import Manifest, name_in
from batchrun.ops.paths import shown
from batchrun.ops.targets import chosen, look_up, make_parents, without_matches
from batchrun.ops.tree.crawl import Node, Rest, begin, crawl, root_node
from batchrun.ops.tree.doors import root_of
from batchrun.ops.tree.folders import OPEN_DIRECTORY, Place
from batchrun.ops.tree.forest import Forest
from batchrun.ops.tree.parcels import COMPLETE, Answer, Payload
from batchrun.ops.tree.selection import selection
from batchrun.ops.tree.spool import Spool, spool_path
from batchrun.ops.verify import verify

__all__ = [
    "OPERATIONS",
    "Checksum",
    "ChecksumForest",
    "checksum",
    "checksum_chunk",
]

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
        return verify(_job_of(params, context), context)
    if not params.src:
        raise refusal("checksum needs `src`, unless it verifies")
    return _write(params, context)


class ChecksumForest(Forest):
    """Checksums of trees that many workers compute, and one of them puts in order."""

    whole = True

    def __init__(self, seed: tuple[str, Any, Answer]) -> None:
        super().__init__(seed)
        self.clean_up("manifest")


def checksum_chunk(payload: Payload, context: Context) -> Done:
    """Work on a piece of a manifest, or put it together."""
    config, deaths, items, _ = payload
    job, tally = Job(*config), Tally()
    spool = Spool(job.spool)
    rest: Rest = ([], [], [])
    if deaths < 0:
        try:
            if deaths == COMPLETE:
                _complete(job, spool.sorted(name_in), context, tally)
        finally:
            spool.remove()
    else:
        with Hasher(job, context, tally) as hasher:
            rest = crawl(items, hasher, 1 if deaths else context.settings.slice_cost or inf)
            hasher.put_aside()
    answer: Answer = (tally.counted(), *rest, [])
    return Done(outcome=Ok(changed=tally.changed), bytes_done=tally.bytes_done, answer=answer)


_CHUNK = f"{__name__}:{checksum_chunk.__name__}"
_FOREST = f"{__name__}:{ChecksumForest.__name__}"


def _job_of(params: Checksum, context: Context) -> Job:
    directory = os.path.dirname(os.path.abspath(params.dest))
    return Job(
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
    with Hasher(job, context, tally) as hasher:
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
                lines = {name_in(line): line for line in hasher.lines}
                _complete(job, [lines[name] for name in sorted(lines)], context, tally)
            return tally.done()
        hasher.put_aside()
    answer: Answer = (tally.counted(), *rest, [])
    seed = (_CHUNK, tuple(job), answer)
    return replace(tally.done(), spread=Spread(coordinator=_FOREST, seed=seed))


def _root(name: str, path: str, hasher: Hasher) -> Node | None:
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


def _complete(job: Job, lines: list[bytes], context: Context, tally: Tally) -> None:
    """Write lines that are in order, unless the manifest has them already."""
    if not lines:
        raise _nothing_to_list(job)
    dry = context.settings.dry_run
    scratch = Place(None, job.manifest).beside(context.temp_name()).name
    try:
        with Manifest(job.dest, scratch, dry=dry) as manifest:
            for start in range(0, len(lines), _BATCH):
                context.check()
                manifest.take(b"".join(lines[start : start + _BATCH]))
            tally.changed = manifest.finish()
    except OSError as error:
        raise failure(error, "write", job.dest) from error


def _nothing_to_list(job: Job) -> OperationError:
    """Make the error for a manifest that would be empty.

    It is one, although to have nothing to do is mostly none: whoever counts on a manifest would
    take an empty one for proof that all is well, and one of yesterday would be written over.
    """
    found = next(look_up(job.sources), None)
    why = without_matches(job.sources) if found is None else "there is no file in its sources"
    message = f"there is nothing to list in {shown(job.dest)}: {why}"
    return OperationError(message, errno=errno.ENOENT, retryable=False)


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
