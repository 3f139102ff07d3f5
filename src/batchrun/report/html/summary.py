"""The sections of the page that need no script: header, numbers, notes, tasks."""

from collections.abc import Iterator
from datetime import tzinfo

from batchrun.model.counts import Tally
from batchrun.model.exitcode import EXIT_CODES
from batchrun.model.outcome import KINDS
from batchrun.report.html.facts import Facts, TaskFacts
from batchrun.report.html.markup import Markup, element
from batchrun.report.html.moments import moment
from batchrun.report.recap import kind_words
from batchrun.report.text import count, duration

__all__ = ["header", "notes", "numbers", "tasks", "verdict"]

_GOOD = frozenset({"ok", "skipped"})
#: The narrowest part of the bar that can still be seen, of 1.
_SLIVER = 0.006


def verdict(facts: Facts) -> tuple[bool, str]:
    """Say whether all went well, and what came of the run, in a few words."""
    total = facts.counts.total
    bad = [
        f"{count(number)} {kind_words(kind)}"
        for kind in KINDS
        if kind not in _GOOD and (number := total.counted(kind))
    ]
    if facts.ended is None:
        return False, "The run broke before its end"
    if facts.ended.exit_code == 0:
        return True, "All went well"
    return False, ", ".join(bad) or _meaning(facts.ended.exit_code).capitalize()


def header(facts: Facts, zone: tzinfo | None = None) -> Markup:
    """Write what run it was, and what came of it."""
    started, ended = facts.started, facts.ended
    is_good, words = verdict(facts)
    total = facts.counts.total
    took = f" in {duration(ended.duration_s)}" if ended else ""
    return element(
        "header",
        element("p", "batchrun report", class_="eyebrow"),
        element(
            "h1",
            started.job_name if started else "",
            element("span", "dry run", class_="tag") if facts.is_dry_run else "",
        ),
        element(
            "p",
            element("strong", words, class_="good" if is_good else "bad"),
            f" {count(total.done)} of {_planned(facts, total)} units{took}",
            class_="verdict",
        ),
        element("dl", *_pairs(facts, zone), class_="facts"),
    )


def _planned(facts: Facts, total: Tally) -> str:
    """Say how many units were planned; while tasks go on, that is not known."""
    if facts.ended is None and total.planned < total.done:
        return f"at least {count(total.done)}"
    return count(total.planned)


def _pairs(facts: Facts, zone: tzinfo | None) -> Iterator[Markup]:
    """Write what there is to know about the run, name by name."""
    started, ended = facts.started, facts.ended
    if started is not None:
        yield _pair("Run", started.run_id)
        yield _pair("Started", moment(started.at, zone))
    if ended is not None:
        yield _pair("Ended", moment(ended.at, zone))
        yield _pair("Exit code", f"{int(ended.exit_code)}: {_meaning(ended.exit_code)}")
        if ended.stopped:
            yield _pair("Stopped", ended.stopped)
    if started is not None:
        yield _pair("Workers", _workers(started.procs))
    if operations := _operations(facts):
        yield _pair("Operations", operations)


def _pair(name: str, value: str) -> Markup:
    return element("div", element("dt", name), element("dd", value))


def _meaning(exit_code: int) -> str:
    return {int(code): words for code, words in EXIT_CODES}.get(exit_code, "a failure")


def _workers(procs: int) -> str:
    if procs == 0:
        return "none: one unit after the other in one process"
    return f"{count(procs)} process{'' if procs == 1 else 'es'}"


def _operations(facts: Facts) -> str:
    """Write how many units of each operation there were, the most frequent first."""
    found: dict[str, int] = {}
    for task in facts.tasks.values():
        for name, number in task.operations.items():
            found[name] = found.get(name, 0) + number
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count(number)} × {name}" for name, number in ordered)


# ---- numbers --------------------------------------------------------------------------------


def numbers(facts: Facts) -> Markup:
    """Write the recap: how many units ended how."""
    total = facts.counts.total
    return element(
        "section",
        element("h2", "Recap", id="recap-title", class_="unseen"),
        _bar(total),
        element("ul", *_tiles(facts, total), class_="numbers"),
        *_unaccounted(facts, total),
        aria_labelledby="recap-title",
    )


def _tiles(facts: Facts, total: Tally) -> Iterator[Markup]:
    """Write the numbers; only some are there when they are zero."""
    changed = "would change" if facts.is_dry_run else "changed"
    yield _tile(total.planned, "planned", "planned")
    yield _tile(total.ended["ok"], "ok", "ok")
    yield _tile(total.changed, changed, "changed")
    for kind in KINDS[1:]:
        number = total.ended[kind]
        if number or kind == "failed":
            ignored = total.excused[kind]
            words = kind_words(kind) + (f" ({count(ignored)} ignored)" if ignored else "")
            yield _tile(number, words, kind)
    if total.retried:
        yield _tile(total.retried, "retries", "retried")


def _tile(number: int, words: str, name: str) -> Markup:
    value = element("span", count(number), class_="number")
    label = element("span", words, class_="label")
    state = "zero" if not number else name.replace("_", "-")
    return element("li", value, " ", label, class_=f"kind-{state}")


def _bar(total: Tally) -> Markup:
    """Draw which part of the units ended how; the numbers beside it say the same."""
    others = [(kind.replace("_", "-"), total.ended[kind]) for kind in KINDS[1:]]
    good = [("changed", total.changed), ("ok", total.ended["ok"] - total.changed)]
    # What is skipped comes last of all kinds: it stands on the right, failures on the left.
    parts = [(name, number) for name, number in (*others[:-1], *good, others[-1]) if number]
    if not parts:
        return Markup("")
    shares = [max(number / total.done, _SLIVER) for _, number in parts]
    drawn, at = [], 0.0
    for (name, _), share in zip(parts, shares, strict=True):
        width = 100 * share / sum(shares)
        drawn.append(
            element("rect", class_=f"fill-{name}", x=f"{at:.2f}%", width=f"{width:.2f}%",
                    height="100%")
        )  # fmt: skip
        at += width
    return element("svg", *drawn, class_="bar", aria_hidden="true")


def _unaccounted(facts: Facts, total: Tally) -> Iterator[Markup]:
    """Say that the numbers do not add up, once they should."""
    if facts.ended is not None and not total.accounted:
        planned, done = count(total.planned), count(total.done)
        yield element(
            "p",
            f"{planned} units were planned and {done} have an outcome; "
            "this is a defect of batchrun, please report it",
            class_="remark bad",
        )


# ---- notes ----------------------------------------------------------------------------------


def notes(facts: Facts) -> Markup:
    """Write what people should be told: notes of the run, and the units' warnings, folded."""
    lines = [
        element("li", element("b", f"{level}: "), sentence, class_=f"note-{level}")
        for level, sentence in facts.notes
    ]
    if facts.notes_left_out:
        lines.append(element("li", f"and {count(facts.notes_left_out)} more"))
    lines += [
        element("li", element("b", "warning: "), sentence, class_="note-warning")
        for sentence in facts.warnings.sentences()
    ]
    if not lines:
        return Markup("")
    return element(
        "section",
        element("h2", "Notes", id="notes-title"),
        element("ul", *lines, class_="notes"),
        aria_labelledby="notes-title",
    )


# ---- tasks ----------------------------------------------------------------------------------


def tasks(facts: Facts) -> Markup:
    """Write the numbers of each task, and why one has less units than it should."""
    if not facts.tasks:
        return Markup("")
    total = facts.counts.total
    kinds = [kind for kind in KINDS[1:] if total.ended[kind] or kind in {"failed", "skipped"}]
    changed = "Would change" if facts.is_dry_run else "Changed"
    names = ["Planned", "Ok", changed, *(kind_words(kind).capitalize() for kind in kinds)]
    heads = [*names, *(["Retries"] if total.retried else []), "Time", "Longest"]
    rows = (
        _task_row(task, facts.counts.task(task_id), kinds, has_retries=bool(total.retried))
        for task_id, task in facts.tasks.items()
    )
    table = element(
        "table",
        element("caption", "Units of each task, by how they ended", class_="unseen"),
        element("thead", element(
            "tr",
            element("th", "Task", scope="col"),
            *(element("th", name, scope="col", class_="figure") for name in heads),
        )),
        element("tbody", *rows),
    )  # fmt: skip
    return element(
        "section",
        element("h2", "Tasks", id="tasks-title"),
        element("div", table, class_="scroll", tabindex=0, role="region",
                aria_labelledby="tasks-title"),
        aria_labelledby="tasks-title",
    )  # fmt: skip


def _task_row(task: TaskFacts, tally: Tally, kinds: list[str], *, has_retries: bool) -> Markup:
    """Write one task."""
    figures = [
        _figure(tally.planned, "planned"),
        _figure(tally.ended["ok"], "ok"),
        _figure(tally.changed, "changed"),
        *(_figure(tally.ended[kind], kind.replace("_", "-")) for kind in kinds),
        *([_figure(tally.retried, "retried")] if has_retries else []),
        element("td", duration(task.busy_s), class_="figure"),
        element("td", duration(task.longest_s), class_="figure"),
    ]
    operations = ", ".join(sorted(filter(None, task.operations)))
    name = element("span", task.name, class_="name")
    about = element("span", operations, class_="also") if operations else ""
    return element(
        "tr", element("th", name, " ", about, *_remarks(task, tally), scope="row"), *figures
    )


def _figure(number: int, name: str) -> Markup:
    shown = f"kind-{name}" if number else "kind-zero"
    return element("td", count(number), class_=f"figure {shown}")


def _remarks(task: TaskFacts, tally: Tally) -> Iterator[Markup]:
    """Say why a task has no units, or not all of them."""
    ended = task.ended
    if ended is None:
        yield element("p", "did not end", class_="remark bad")
        return
    if ended.source_error:
        yield element("p", f"not all items: {ended.source_error}", class_="remark bad")
    if ended.not_expanded:
        yield element("p", f"not expanded: {ended.not_expanded}", class_="remark")
    if tally.ignored:
        yield element("p", f"{count(tally.ignored)} ignored", class_="remark")
