"""Which task comes after which: ids, needs, circles, and which tasks are selected at all."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from batchrun.errors import UsageError
from batchrun.jobfile.entries import Entry
from batchrun.jobfile.options import LoadOptions
from batchrun.jobfile.problems import Problems, did_you_mean
from batchrun.jobfile.variables import cycle_in

__all__ = ["find_needs", "select", "with_ids"]


def with_ids(entries: Sequence[Entry], problems: Problems) -> tuple[list[Entry], frozenset[str]]:
    """Give every entry its id; note ids that are there twice.

    Returns:
        The entries, and the ids that were made of a position: `needs` may not use them.
    """
    seen: dict[str, Entry] = {}
    for entry in entries:
        first = seen.setdefault(entry.id, entry) if entry.id else entry
        if first is not entry:
            _note_double(first, entry, problems)
    automatic: set[str] = set()
    named: list[Entry] = []
    for entry in entries:
        if not entry.id:
            other = "steps" if entry.has_steps else "task"
            operation = entry.operation.name if entry.operation else other
            prefix = "finally-" if entry.final else ""
            made = f"{prefix}{operation}-{int(entry.path[1]) + 1}"
            while made in seen:
                made += "x"
            automatic.add(made)
            entry = replace(entry, id=made)  # noqa: PLW2901 - the same entry, complete
        named.append(entry)
    return named, frozenset(automatic)


def _note_double(first: Entry, entry: Entry, problems: Problems) -> None:
    places = [problems.place(one.path) for one in (first, entry)]
    key = "id" if entry.has_own_id else "name"
    made = "" if entry.has_own_id else " (made of the name)"
    message = (
        f"the id `{entry.id}`{made} is there twice, for the tasks on {places[0]} and on "
        f"{places[1]}; give one of them another `id`"
    )
    problems.add((*entry.path, key), message)


def find_needs(
    entries: Sequence[Entry], automatic: frozenset[str], problems: Problems, *, sequential: bool
) -> dict[str, tuple[str, ...]]:
    """Find out what each task needs, by id; note unknown needs and circles."""
    known = {entry.id: entry for entry in entries}
    needs: dict[str, tuple[str, ...]] = {}
    before: dict[bool, str] = {}
    for entry in entries:
        found = dict.fromkeys(
            [
                need.task_id
                for need in entry.needs
                if _is_possible(need.task_id, entry, known, automatic, problems)
            ]
        )
        _check_per(entry, known, problems)
        if sequential and entry.final in before:
            found.setdefault(before[entry.final])
        before[entry.final] = entry.id
        needs[entry.id] = tuple(found)
    for circle in cycle_in(needs):
        message = (
            f"the tasks need each other in a circle: {' -> '.join(circle)}; take one need away"
        )
        problems.add((*known[circle[0]].path, "needs"), message)
    return needs


def _check_per(entry: Entry, known: Mapping[str, Entry], problems: Problems) -> None:
    """Note needs per item, or per host, between a task that has them and one that has not."""
    for need in entry.needs:
        if need.per == "all" or (other := known.get(need.task_id)) is None:
            continue
        key = "foreach" if need.per == "item" else "hosts"
        without = [one for one in (entry, other) if getattr(one.modifiers, key) is None]
        if len(without) == 1 or (without and need.per == "host"):
            message = (
                f"`per: {need.per}` joins the {need.per}s of two tasks, and `{without[0].id}` has "
                f"no `{key}`; take `per` away"
            )
            problems.add((*entry.path, "needs"), message)


def _is_possible(
    need: str,
    entry: Entry,
    known: Mapping[str, Entry],
    automatic: frozenset[str],
    problems: Problems,
) -> bool:
    if need in automatic:
        message = f"`{need}` is only a position; give that task an `id` and use it here"
    elif need not in known:
        usable = set(known) - automatic
        by_name = [one.id for one in known.values() if one.name == need]
        by_name += sorted(one for one in usable if one.startswith(f"{need}-"))
        hint = f"; did you mean `{by_name[0]}`?" if by_name else did_you_mean(need, usable)
        message = f"there is no task `{need}`{hint}"
    elif known[need].final and not entry.final:
        message = f"`{need}` stands under `finally`, which runs last; no task can need it"
    elif entry.final and not known[need].final:
        message = f"tasks under `finally` run after all others; take `{need}` away"
    else:
        return True
    problems.add((*entry.path, "needs"), message)
    return False


def select(entries: Sequence[Entry], options: LoadOptions) -> frozenset[str]:
    """Return the ids of the tasks that the command line asks for.

    Tasks under `finally` are kept unless a tag skips them.

    Raises:
        UsageError: `--task` or `--tags` names something that is not there.
    """
    known = [entry.id for entry in entries]
    for one in options.task_ids:
        if one not in known:
            message = f"--task {one}: there is no such task{did_you_mean(one, known)}"
            raise UsageError(message)
    by_tag: dict[str, int] = defaultdict(int)
    for entry in entries:
        for tag in entry.modifiers.tags:
            by_tag[tag] += 1
    for tag in options.tags:
        if tag not in by_tag:
            message = f"--tags {tag}: no task has this tag{did_you_mean(tag, by_tag)}"
            raise UsageError(message)
    if not (options.task_ids or options.tags or options.skip_tags):
        return frozenset(known)
    return frozenset(entry.id for entry in entries if _is_selected(entry, options))


def _is_selected(entry: Entry, options: LoadOptions) -> bool:
    tags = set(entry.modifiers.tags)
    if tags & set(options.skip_tags):
        return False
    if entry.final:
        return True
    if options.task_ids and entry.id not in options.task_ids:
        return False
    return not options.tags or bool(tags & set(options.tags))
