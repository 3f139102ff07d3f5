"""Which results templates use, and whether they can be there: checked when all tasks are known."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from batchrun.jobfile.entries import SECTIONS, Entry
from batchrun.jobfile.fields import Reference
from batchrun.jobfile.members import VIAS, wrong_member
from batchrun.jobfile.problems import Path, Problems, did_you_mean
from batchrun.jobfile.records import Registration

__all__ = ["Order", "check_references", "check_selected", "find_registrations"]

#: Modifiers that are computed when a unit is planned, whatever it waits for.
_PLANNED = ("limit", "lock")


def find_registrations(entries: Iterable[Entry], problems: Problems) -> dict[str, Registration]:
    """Find every `register`; note names that are there twice."""
    found: dict[str, Registration] = {}
    places: dict[str, Path] = {}
    for entry in entries:
        for registration, place in _registered_in(entry):
            name = registration.name
            if name in found:
                message = (
                    f"`{name}` is registered twice, here and on "
                    f"{problems.place(places[name])}; give one of them another name"
                )
                problems.add((*place, "register"), message)
                continue
            found[name], places[name] = registration, (*place, "register")
    return found


def _registered_in(entry: Entry) -> Iterable[tuple[Registration, Path]]:
    """List the names that a task and its steps register; most have none."""
    own = entry.modifiers.registers
    if own is None and not entry.has_steps:
        return
    plain = Registration(
        name=own or "",
        task_id=entry.id,
        with_items=entry.modifiers.foreach is not None,
        on_hosts=entry.on_hosts,
        final=entry.final,
    )
    if own is not None:
        yield plain, entry.path
    if not entry.has_steps:
        return
    for section in SECTIONS:
        raw_steps = entry.written.get(section)
        for at, raw in enumerate(raw_steps if isinstance(raw_steps, list) else ()):
            name = raw.get("register") if isinstance(raw, dict) else None
            if isinstance(name, str):
                place = (section, at)
                yield replace(plain, name=name, step=place), (*entry.path, *place)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """What has ended when a task begins: a bit for each task that registers something."""

    #: Every unit of these.
    complete: int = 0
    #: Of these, the unit with the same item, or on the same host.
    same_target: int = 0


class Order:
    """What comes before what, as far as results are concerned.

    Args:
        needs: The ids that each task needs.
        per_target: Pairs of a task and one that it needs per item, or per host, only.
        registering: The tasks that register something.
    """

    def __init__(
        self,
        needs: Mapping[str, Sequence[str]],
        per_target: frozenset[tuple[str, str]],
        registering: Iterable[str],
    ) -> None:
        self._needs = needs
        self._per_target = per_target
        self._bits = {task_id: 1 << at for at, task_id in enumerate(registering)}
        self._known: dict[str, _Before] = {}

    def is_complete(self, earlier: str, task_id: str) -> bool:
        """Tell whether all of a task has ended when another one begins."""
        return bool(self._before(task_id).complete & self._bits[earlier])

    def is_same_target(self, earlier: str, task_id: str) -> bool:
        """Tell whether the unit of the same item or host has ended when one of a task begins."""
        return bool(self._before(task_id).same_target & self._bits[earlier])

    def _before(self, task_id: str) -> _Before:
        """Compute bottom up, without recursion: chains may be as long as the file."""
        waiting = [task_id]
        open_: set[str] = set()
        while waiting:
            one = waiting[-1]
            missing = [
                need
                for need in self._needs.get(one, ())
                if need not in self._known and need not in open_
            ]
            if missing and one not in open_:
                open_.add(one)
                waiting += missing
                continue
            waiting.pop()
            if one not in self._known:
                self._known[one] = self._joined(one)
        return self._known[task_id]

    def _joined(self, task_id: str) -> _Before:
        complete = same_target = 0
        for need in self._needs.get(task_id, ()):
            before = self._known.get(need, _Before())  # a circle has been noted already
            complete |= before.complete
            if (task_id, need) in self._per_target:
                same_target |= before.same_target | self._bits.get(need, 0)
            else:
                complete |= self._bits.get(need, 0)
        return _Before(complete=complete, same_target=same_target)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """One use of a result."""

    #: `results` or `mine`.
    via: str
    registration: Registration
    path: Path
    entry: Entry


def check_references(
    references: Iterable[Reference],
    entries: Iterable[Entry],
    registered: Mapping[str, Registration],
    order: Order,
    problems: Problems,
) -> frozenset[str]:
    """Note every use of a result that cannot be there.

    Returns:
        The ids of the tasks whose units can be resolved only when they are due.
    """
    late: set[str] = set()
    for use in _uses(references, entries, registered, problems):
        message = _why_not(use, order)
        if not message and _is_late(use, order):
            late.add(use.entry.id)
            message = _TOO_EARLY if _is_planned(use.entry, use.path) else ""
        if message:
            problems.add(use.path, message)
    return frozenset(late)


def _uses(
    references: Iterable[Reference],
    entries: Iterable[Entry],
    registered: Mapping[str, Registration],
    problems: Problems,
) -> Iterator[_Use]:
    """List the uses of results that exist; note the others."""
    by_path: dict[Path, Entry] = {}
    for path, expression in references:
        used = expression.names & VIAS
        if not used:
            continue
        if not by_path:
            by_path.update((entry.path, entry) for entry in entries)
        entry = by_path.get(path[:2])
        if entry is None:
            named = " and ".join(f"`{via}`" for via in sorted(used))
            problems.add(path, f"{named} can be used only in tasks; write it there")
            continue
        pairs = sorted(pair for pair in expression.attributes if pair[0] in VIAS)
        for via in sorted(used - {via for via, _ in pairs}):
            message = f"write `{via}.NAME`: which result is meant must be known at load"
            problems.add(path, message)
        for via, name in pairs:
            if name in registered:
                for chain in sorted(expression.chains):
                    if chain[:2] == (via, name) and (message := wrong_member(chain)):
                        problems.add(path, message)
                yield _Use(via=via, registration=registered[name], path=path, entry=entry)
            else:
                hint = did_you_mean(name, registered) or "; write `register` in the task meant"
                problems.add(path, f"nothing is registered as `{name}`{hint}")


_TOO_EARLY = (
    "this is computed before the unit with the same item or host has ended; need its task without "
    "`per`"
)


def _is_planned(entry: Entry, path: Path) -> bool:
    """Tell whether something is computed as soon as the unit is planned."""
    key = path[len(entry.path)]
    return key in _PLANNED or (key == "when" and entry.has_steps)


def check_selected(
    references: Iterable[Reference],
    entries: Iterable[Entry],
    registered: Mapping[str, Registration],
    chosen: frozenset[str],
    problems: Problems,
) -> None:
    """Note results of tasks that the command line leaves out.

    Raises:
        JobFileError: there are any.
    """
    by_path: dict[Path, Entry] = {}
    for path, expression in references:
        names = {name for via, name in expression.attributes if via in VIAS}
        missing = sorted(
            registered[name].task_id
            for name in names
            if name in registered and registered[name].task_id not in chosen
        )
        if not missing:
            continue
        if not by_path:
            by_path.update((entry.path, entry) for entry in entries)
        entry = by_path.get(path[:2])
        if entry is not None and entry.id in chosen:
            message = (
                f"this uses the result of the task `{missing[0]}`, which --task, --tags or "
                "--skip-tags leaves out; select it too"
            )
            problems.add(path, message)
    problems.raise_if_any()


def _is_late(use: _Use, order: Order) -> bool:
    """Tell whether a result may come only after the unit that uses it was planned."""
    earlier = use.registration.task_id
    return earlier != use.entry.id and not _has_ended(use, order)


def _has_ended(use: _Use, order: Order) -> bool:
    """Tell whether all of the task that registers has ended when the one that uses it begins."""
    if use.entry.final and not use.registration.final:
        return True
    return order.is_complete(use.registration.task_id, use.entry.id)


def _why_not(use: _Use, order: Order) -> str:
    """Say why a result cannot be used where it is; empty: it can."""
    registration, entry = use.registration, use.entry
    name, earlier = registration.name, registration.task_id
    if earlier == entry.id:
        return _why_not_own(use)
    if use.via == "mine" and (message := _why_not_mine(registration, entry)):
        return message
    if not _has_ended(use, order) and not order.is_same_target(earlier, entry.id):
        return f"`{use.via}.{name}` is the result of `{earlier}`; add `needs: [{earlier}]`"
    if use.via == "results" and not _has_ended(use, order):
        return (
            f"`{earlier}` may not have ended here: write `mine.{name}` for the same "
            f"{registration.same or 'item'}, or need it without `per`"
        )
    return ""


def _why_not_mine(registration: Registration, entry: Entry) -> str:
    """Say why no unit of another task is that of the same item or host; empty: one is."""
    name, earlier = registration.name, registration.task_id
    if registration.single:
        what = "hosts" if entry.on_hosts and entry.modifiers.foreach is None else "items"
        return f"`{earlier}` has no {what}, so nothing of it is `mine`; write `results.{name}`"
    if registration.with_items and entry.modifiers.foreach is None:
        missing = "`foreach`"
    elif registration.on_hosts and not entry.on_hosts:
        missing = "`hosts`"
    else:
        return ""
    instead = f"results.{name}" + (".by_host" if registration.on_hosts else "")
    return (
        f"`mine.{name}` is for the same {registration.same}, and this task has no {missing}; write "
        f"`{instead}`"
    )


def _why_not_own(use: _Use) -> str:
    """Say why a result of the same task cannot be used: only earlier steps have one."""
    registration = use.registration
    name = registration.name
    if registration.step is None:
        return f"`{name}` is the result of this task itself; it is known when the task has ended"
    at = len(use.entry.path)
    section, position = (*use.path[at : at + 2], None, None)[:2]
    if section == "vars" and (use.via == "mine" or registration.single):
        return ""  # computed anew for each step
    if section not in SECTIONS or not isinstance(position, int):
        return f"`{name}` is registered by a step; only later steps can use it"
    used_at = (SECTIONS.index(str(section)), position)
    made_at = (SECTIONS.index(registration.step[0]), registration.step[1])
    if made_at >= used_at:
        return f"the step that registers `{name}` does not come before this one"
    if use.via == "results" and not registration.single:
        return f"each unit has its own `{name}`; write `mine.{name}`"
    return ""
