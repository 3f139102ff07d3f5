"""The operation `move`: rename, or across filesystems copy, verify and delete."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.outcome import Ok
from batchrun.model.tree import Spread
from batchrun.model.values import Doc, PathPattern, PathText
from batchrun.ops.failures import Tally, failure
from batchrun.ops.moveone import OneMove, has_appeared, move_one
from batchrun.ops.paths import escape
from batchrun.ops.patterns import split_braces
from batchrun.ops.relocate import Begun, Relocation, deleting, name_copy, remove_dead_copies
from batchrun.ops.targets import Names, chosen, finds, into, look_up, target_for
from batchrun.ops.tree.copyvisitor import CopyVisitor
from batchrun.ops.tree.crawl import Rest, crawl
from batchrun.ops.tree.folders import Place
from batchrun.ops.tree.moving import COPY, DELETE, NAME, NEXT, Moving, MovingForest
from batchrun.ops.tree.parcels import Payload
from batchrun.ops.tree.removing import RemoveVisitor, Removing, remove
from batchrun.ops.tree.selection import selection
from batchrun.ops.tree.temporary import PREFIX, of_runs
from batchrun.ops.tree.treecopy import copying

__all__ = ["OPERATIONS", "Move", "move", "move_chunk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Parameters of `move`."""

    src: Annotated[tuple[PathPattern, ...], Doc("Files, directories or globs to move.")]
    dest: Annotated[
        PathText, Doc("The exact new path; with a slash at its end: the directory to move into.")
    ]
    overwrite: Annotated[bool, Doc("Replace what has the new name and is different.")] = False
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of names that a glob finds in vain.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; a glob finds only names that match one.")
    ] = ()


def move(params: Move, context: Context) -> Done:
    """Move files and trees, never losing the only copy of anything."""
    inside = into(params.src, params.dest)
    tally = Tally()
    patterns = selection(params.exclude, params.include)

    def missed(pattern: str) -> None:
        if not _was_moved(pattern, params.dest):
            tally.found_nothing(pattern)

    # Held whole: the moves must not change what the patterns find.
    items = [item for item in look_up(params.src, missed) if chosen(item, patterns)]
    moves = [
        OneMove(item.path, item.exact, target_for(item.path, params.dest, inside=inside), inside,
              params.overwrite)
        for item in items
    ]  # fmt: skip
    names = Names(params.src)
    for one in moves:
        names.take(one.path, one.target)
    if not context.settings.dry_run:
        past = tuple(
            f"{PREFIX}{context.settings.run_id}-{context.number}-{attempt}-"
            for attempt in range(1, context.attempt)
        )
        _tidy(moves, (*of_runs(context.settings.past_runs), *past))
    left = _move_all(moves, context, tally)
    if left is None:
        return tally.done()
    begun, waiting = left
    seed = (_CHUNK, (tally.counted(), tuple(begun.relocation), waiting), begun.answer)
    return replace(tally.done(), spread=Spread(coordinator=_FOREST, seed=seed))


def _move_all(
    moves: Sequence[OneMove], context: Context, tally: Tally
) -> tuple[Begun, tuple[tuple[Any, ...], ...]] | None:
    """Move one after the other, up to a tree that is more than a slice.

    Returns:
        The beginning of that, and what comes after it; None: everything was moved.
    """
    for number, one in enumerate(moves, start=1):
        context.check()
        try:
            begun = move_one(one, context, tally)
        except OperationError as error:
            tally.fail(error)
            continue
        if begun is not None:
            return begun, tuple(map(tuple, moves[number:]))
    return None


def _tidy(moves: Sequence[OneMove], dead: tuple[str, ...]) -> None:
    """Remove what those have left who moved something here and have died."""
    for directory in {os.path.dirname(one.target) for one in moves} if dead else ():
        remove_dead_copies(directory or ".", dead)


def _never() -> None:
    """Do not stop while cleaning up."""


def move_chunk(payload: Payload, context: Context) -> Done:
    """Work on a piece of the moves of trees."""
    config, deaths, items, lost = payload
    moving, tally = Moving(*config), Tally()
    rest: Rest = ([], [], [])
    extras: list[Any] = []
    if deaths < 0:
        for temp in items:
            remove(Place(None, temp), Removing(check=_never), Tally())
    elif moving.turn == NEXT:
        moves = [OneMove(*one) for one in moving.waiting]
        _tidy(moves, tuple(f"{PREFIX}{context.settings.run_id}-{number}-" for number in lost))
        left = _move_all(moves, context, tally)
        if left is not None:
            (relocation, (counted, opened, works, marks, _)), waiting = left
            rest = opened, works, marks
            extras = [(tuple(relocation), counted, waiting)]
    elif moving.turn == NAME:
        _name(moving.relocation, tally)
    else:
        most = 1 if deaths else context.settings.slice_cost or inf
        with _visitor(moving, context, tally, lost) as visitor:
            rest = crawl(items, visitor, most)
    answer = (tally.counted(), *rest, extras)
    return Done(outcome=Ok(changed=tally.changed), bytes_done=tally.bytes_done, answer=answer)


_CHUNK = f"{__name__}:{move_chunk.__name__}"
_FOREST = f"{MovingForest.__module__}:{MovingForest.__name__}"


def _visitor(
    moving: Moving, context: Context, tally: Tally, lost: list[int]
) -> CopyVisitor | RemoveVisitor:
    relocation = moving.relocation
    if moving.turn == COPY:
        return copying(context, relocation.config, tally, lost)
    if moving.turn == DELETE:
        return RemoveVisitor(deleting(relocation, context), tally)
    return RemoveVisitor(Removing(check=context.check), tally, side=1)


def _name(relocation: Relocation, tally: Tally) -> None:
    """Give a complete copy its name."""
    try:
        name_copy(relocation)
    except FileExistsError as error:
        tally.fail(has_appeared(relocation.path, relocation.target, error))
    except OSError as error:
        tally.fail(failure(error, "move", relocation.path))


def _was_moved(pattern: str, dest: str) -> bool:
    """Tell whether what a pattern finds no more is where it should go: then all is as asked.

    Its directory must still be there, or a directory that is written wrongly would look the same
    as soon as anything has been moved.
    """
    for one in split_braces(pattern):
        directory, _, name = one.rstrip("/").rpartition("/")
        if (not directory or finds(f"{directory}/")) and finds(f"{escape(dest)}{name}"):
            return True
    return False


OPERATIONS = {
    "move": Operation(
        name="move",
        summary="Rename, or across filesystems copy, verify and delete.",
        params=Move,
        function=move,
        main="src",
        uses=(
            PathUse(field="src", effect="removes"),
            PathUse(field="dest", effect="changes", into="src"),
        ),
        example="move: {src: /data/incoming/*.csv, dest: /data/done/}\n",
    )
}
