"""The operations `compress` and `decompress`: each file to or from `.gz`, `.zst`, `.xz`, `.bz2`."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from stat import S_ISDIR, S_ISREG
from typing import Annotated, Any, Literal

from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.values import Doc, PathPattern
from batchrun.ops.failures import Tally, refusal
from batchrun.ops.manyfiles import Aim, rewrite_all, target_of, unpacked
from batchrun.ops.paths import shown
from batchrun.ops.targets import Item, chosen, finds, look_up
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.selection import selection

__all__ = ["OPERATIONS", "Compress", "Decompress", "compress", "decompress"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compress:
    """Parameters of `compress`."""

    src: Annotated[
        tuple[PathPattern, ...], Doc("Files or globs; each file becomes one of its own.")
    ]
    format: Annotated[Literal["gz", "zst", "xz", "bz2"], Doc("How to compress.")] = "gz"
    level: Annotated[
        int | None, Doc("How hard to try; by default fast for gz, else as the format's own tool.")
    ] = None
    keep: Annotated[bool, Doc("Leave the original.")] = False
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of names that a glob finds in vain.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; a glob finds only names that match one.")
    ] = ()
    threads: Annotated[
        int,
        Doc(
            "Threads that compress one file; 0: as many as there are CPUs to use. Several workers "
            "need none: they share the files, and the parts of those above 64 MB."
        ),
    ] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Decompress:
    """Parameters of `decompress`."""

    src: Annotated[tuple[PathPattern, ...], Doc("Compressed files or globs.")]
    keep: Annotated[bool, Doc("Leave the compressed file.")] = False
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of names that a glob finds in vain.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; a glob finds only names that match one.")
    ] = ()


def _check(given: Mapping[str, Any]) -> list[str]:
    """Check the level against the format."""
    from batchrun.ops.codecs import level_problem  # noqa: PLC0415 - loads the libraries

    level, form = given.get("level"), given.get("format", "gz")
    known = isinstance(level, int) and isinstance(form, str)
    problem = level_problem(form, level) if known else ""
    return [problem] if problem else []


def compress(params: Compress, context: Context) -> Done:
    """Compress each file beside itself, and remove the original when that has worked."""
    from batchrun.ops.codecs import is_compressed  # noqa: PLC0415 - loads the libraries

    problems = _check({"format": params.format, "level": params.level})
    if problems:
        raise refusal(problems[0])
    tally = Tally()
    aim = Aim("compress", params.format, params.level, params.threads, params.keep)

    def missed(pattern: str) -> None:
        # What it found before has its other name by now: then this is a repetition.
        if params.keep or not finds(f"{pattern}.{params.format}"):
            tally.found_nothing(pattern)

    items = _meant(params, look_up(params.src, missed))
    todo = [item for item in items if not is_compressed(item.path)]
    return rewrite_all(_files(todo, aim, tally), aim, context, tally)


def decompress(params: Decompress, context: Context) -> Done:
    """Decompress each file beside itself, checked to its end before it gets its name."""
    from batchrun.ops.codecs import SUFFIXES, format_of  # noqa: PLC0415 - loads the libraries

    tally = Tally()
    aim = Aim("decompress", "", None, 1, params.keep)

    def missed(pattern: str) -> None:
        # As above.
        if params.keep or format_of(pattern) is None or not finds(unpacked(pattern)):
            tally.found_nothing(pattern)

    todo: list[Item] = []
    for item in _meant(params, look_up(params.src, missed)):
        if os.path.basename(item.path) in SUFFIXES:
            tally.fail(refusal(f"{shown(item.path)} would have no name left without its suffix"))
        elif format_of(item.path) is not None:
            todo.append(item)
        elif item.exact:
            suffixes = ", ".join(SUFFIXES)
            tally.fail(refusal(f"{shown(item.path)} does not end in one of {suffixes}"))
    return rewrite_all(_files(todo, aim, tally), aim, context, tally)


def _meant(params: Compress | Decompress, items: Iterator[Item]) -> list[Item]:
    """Return the items that patterns mean; held whole: what is written must not be found."""
    patterns = selection(params.exclude, params.include)
    return [item for item in items if chosen(item, patterns)]


def _files(items: list[Item], aim: Aim, tally: Tally) -> list[str]:
    """Return the paths of what may be done side by side; the rest is refused, or only noted."""
    targets: dict[str, str] = {}
    found: list[str] = []
    for item in items:
        if not _is_file(item, aim, tally):
            continue
        target = target_of(item.path, aim)
        other = targets.setdefault(os.path.abspath(target), item.path)
        if other != item.path:
            both = f"{shown(other)} and {shown(item.path)}"
            tally.fail(refusal(f"{both} would both become {shown(target)}"))
            continue
        found.append(item.path)
    return found


def _is_file(item: Item, aim: Aim, tally: Tally) -> bool:
    """Tell whether something is a regular file, or cannot be looked at yet."""
    st = Place(None, item.path).lstat()
    if st is None or S_ISREG(st.st_mode):
        return True
    kind = "a directory" if S_ISDIR(st.st_mode) else "not a regular file"
    hint = f"; use a glob such as {shown(item.path)}/**" if S_ISDIR(st.st_mode) else ""
    message = f"cannot {aim.doing} {shown(item.path)}: it is {kind}{hint}"
    if item.exact:
        tally.fail(refusal(message))
    elif not S_ISDIR(st.st_mode):
        tally.warn(message)
    return False


#: The new file is beside the old one.
_USES = (
    PathUse(field="src", effect="changes", whole=False),
    PathUse(field="src", effect="removes", whole=False, unless="keep"),
)

OPERATIONS = {
    "compress": Operation(
        name="compress",
        summary="Compress each file beside itself, with its metadata.",
        params=Compress,
        function=compress,
        main="src",
        check=_check,
        uses=_USES,
        example="compress: {src: /var/log/app/*.log, format: zst}\n",
    ),
    "decompress": Operation(
        name="decompress",
        summary="Decompress each file beside itself, checked to its end.",
        params=Decompress,
        function=decompress,
        main="src",
        uses=_USES,
        example="decompress: /data/incoming/*.gz\n",
    ),
}
