"""The recap: one line of numbers, then what did not end ok, and why."""

from collections.abc import Iterator

from batchrun.model.counts import Counts, Tally, fold
from batchrun.model.event import Event, RunEnded, RunStarted, TaskEnded, UnitEnded
from batchrun.model.outcome import KINDS
from batchrun.model.unit import Unit
from batchrun.report.failures import Excerpt, Failure, Failures, Group
from batchrun.report.text import PLAIN, Palette, count, duration, size, visible
from batchrun.report.who import hosts_text, who

__all__ = [
    "Summary",
    "change_text",
    "details_text",
    "diff_text",
    "failure_text",
    "kind_words",
    "numbers_text",
    "recap_text",
    "unknown_text",
]

#: As wide as the longest kind, `UNREACHABLE`, and the space after it.
_KIND_COLUMN = 13
_SHOWN_TASKS = 20
_GOOD = frozenset({"ok", "skipped"})


class Summary:
    """What a run came to, so far; a sink that only keeps what the recap needs.

    Its size grows with the tasks of the job, never with the units.
    """

    def __init__(self) -> None:
        self.started: RunStarted | None = None
        self.ended: RunEnded | None = None
        self.counts = Counts()
        self.failures = Failures()
        #: Failures that count for nothing, because of `ignore_errors`.
        self.ignored = Failures()
        #: Units that were not planned, because an earlier run has done them.
        self.done_before = 0
        self._names: dict[str, str] = {}
        #: Task id and reason, for tasks that were never opened or not drawn to their end.
        self.not_expanded: list[tuple[str, str]] = []
        #: Task id and sentence, for tasks whose source failed.
        self.source_errors: list[tuple[str, str]] = []

    def handle(self, event: Event) -> None:
        """Take one event; never raises, never blocks."""
        fold(self.counts, event)
        match event:
            case UnitEnded():
                if event.report.outcome.kind not in _GOOD:
                    failures = self.ignored if event.ignored else self.failures
                    failures.add(event.unit, event.report)
            case TaskEnded():
                self._task_ended(event)
            case RunStarted():
                self.started = event
                self._names = {task_id: visible(name) for task_id, name in event.tasks}
            case RunEnded():
                self.ended = event
            case _:
                pass

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def task_name(self, task_id: str) -> str:
        """Return the name for people of a task, harmless to show."""
        return self._names.get(task_id) or visible(task_id)

    def _task_ended(self, event: TaskEnded) -> None:
        """Keep why a task has less units than it should."""
        self.done_before += event.done_before
        if event.not_expanded:
            self.not_expanded.append((event.task_id, event.not_expanded))
        if event.source_error:
            self.source_errors.append((event.task_id, event.source_error))


def numbers_text(total: Tally, palette: Palette = PLAIN) -> str:
    """Write how many units ended how."""
    return ", ".join(_numbers(total, palette, is_dry_run=False))


def recap_text(
    summary: Summary, *, duration_s: float | None = None, palette: Palette = PLAIN
) -> str:
    """Write the recap, each line with its newline.

    Args:
        summary: The run, ended or not (`finally` tasks see the recap so far).
        duration_s: How long it took, while the run has not ended.
        palette: Colours.
    """
    lines = [_headline(summary, duration_s, palette)]
    lines += _unaccounted(summary)
    lines += _source_errors(summary, palette)
    lines += _group_lines(summary, summary.failures, palette)
    lines += _group_lines(summary, summary.ignored, palette, word="IGNORED")
    lines += _not_expanded(summary)
    if summary.ended is not None and summary.ended.stopped:
        lines.append(f"stopped: {visible(summary.ended.stopped)}")
    lines += _again(summary)
    return "".join(f"{line}\n" for line in lines)


def _again(summary: Summary) -> Iterator[str]:
    """Say how to run again what did not end ok, where that was written down."""
    started = summary.started
    if started is None or not started.recorded or summary.ended is None:
        return
    if summary.failures.groups():
        yield f"again: batchrun rerun {started.run_id}"


def change_text(unit: Unit, task: str, note: str, palette: Palette = PLAIN) -> str:
    """Write what a dry run found that a unit would change, as one line with its newline.

    Args:
        unit: Which; without an item, what it works on says more than its task alone.
        task: The name for people of its task.
        note: What the operation has to say about it.
        palette: Colours.
    """
    what = who(unit) or ("" if note else _target(unit))
    about = ": ".join(visible(part) for part in (what, note) if part)
    return f"{palette.yellow('would change')} {task}{'  ' if about else ''}{about}\n"


def unknown_text(unit: Unit, task: str, because: str, palette: Palette = PLAIN) -> str:
    """Write that a dry run cannot tell what a unit would do, as one line with its newline.

    Args:
        unit: Which.
        task: The name for people of its task.
        because: Why.
        palette: Colours.
    """
    about = ": ".join(visible(part) for part in (who(unit), because) if part)
    return f"{palette.yellow('cannot tell')}  {task}  {about}\n"


def diff_text(unit: Unit, task: str, diff: str, palette: Palette = PLAIN) -> str:
    """Write what changes in a text file, each line with its newline.

    Args:
        unit: Which.
        task: The name for people of its task, for a line above; empty: it was just named.
        diff: A unified diff.
        palette: Colours.
    """
    label = f"  {visible(who(unit))}" if who(unit) else ""
    lines = [f"{palette.yellow('changed')} {task}{label}"] if task else []
    lines += [_diff_line(line, palette) for line in diff.removesuffix("\n").split("\n")]
    return "".join(f"{line}\n" for line in lines)


def _diff_line(line: str, palette: Palette) -> str:
    """Colour a line of a diff by its mark."""
    text = f"  {visible(line, keep_tabs=True)}"
    match line[:1]:
        case "+":
            return palette.green(text)
        case "-":
            return palette.red(text)
        case "@":
            return palette.yellow(text)
        case _:
            return text


def _target(unit: Unit) -> str:
    """Return the path that a unit's parameters name first as what it works on."""
    for name in ("dest", "path", "src"):
        value = unit.params.get(name)
        first = value[0] if isinstance(value, tuple) and value else value
        if isinstance(first, tuple) and first:  # a pattern
            first = first[0]
        if isinstance(first, str):
            more = ", ..." if isinstance(value, tuple) and len(value) > 1 else ""
            return first + more
    return ""


def kind_words(kind: str) -> str:
    """Write a kind of outcome for people.

    >>> kind_words("timed_out")
    'timed out'
    """
    return kind.replace("_", " ")


def _headline(summary: Summary, duration_s: float | None, palette: Palette) -> str:
    """Write the line of numbers."""
    started, ended, total = summary.started, summary.ended, summary.counts.total
    is_dry_run = started is not None and started.dry_run
    took = ended.duration_s if ended is not None else duration_s
    text = ", ".join(_numbers(total, palette, is_dry_run=is_dry_run))
    is_short = ended is None and total.planned < total.done
    text += f" of at least {count(total.done)}" if is_short else f" of {count(total.planned)}"
    text += " planned"
    if summary.done_before:
        text += f", {count(summary.done_before)} done before"
    text += f" in {duration(took)}" if took is not None else ""
    text += " (dry run)" if is_dry_run else ""
    if started is None:
        return text
    run = f"   run {visible(started.run_id)}" if started.run_id else ""
    return f"{visible(started.job_name)}: {text}{run}"


def _numbers(total: Tally, palette: Palette, *, is_dry_run: bool) -> Iterator[str]:
    """Write the number of each kind; only `ok` is there when it is zero."""
    for kind in KINDS:
        number = total.ended[kind]
        text = f"{count(number)} {kind_words(kind)}"
        if kind == "ok":
            changed = f"{count(total.changed)} {'would change' if is_dry_run else 'changed'}"
            yield palette.green(text) + (f" ({palette.yellow(changed)})" if total.changed else "")
        elif number:
            ignored = total.excused[kind]
            note = f" ({count(ignored)} ignored)" if ignored else ""
            yield (palette.red(text) if kind not in _GOOD and number > ignored else text) + note


def _unaccounted(summary: Summary) -> list[str]:
    """Say that the numbers do not add up, once they should."""
    total = summary.counts.total
    if summary.ended is None or total.accounted:
        return []
    planned, done = count(total.planned), count(total.done)
    why = "this is a defect of batchrun, please report it"
    return [f"UNACCOUNTED  {planned} units were planned and {done} have an outcome; {why}"]


def _group_lines(
    summary: Summary, failures: Failures, palette: Palette, word: str = ""
) -> Iterator[str]:
    """Write one line for each group, and how many failures are in none of them."""
    for group in failures.groups():
        what = word or kind_words(group.kind).upper()
        items, message = _group_words(group)
        yield _line(what, summary.task_name(group.task_id), items, message, palette)
    left_out = failures.left_out()
    if left_out:
        yield f"{'':{_KIND_COLUMN}}and {count(left_out)} more with other messages"


def _line(what: str, task: str, items: str, message: str, palette: Palette) -> str:
    """Write one line of the recap."""
    paint = palette.yellow if what == "IGNORED" else palette.red
    padding = " " * (_KIND_COLUMN - len(what))
    where = f"{items}: " if items else ""
    return f"{paint(what)}{padding}{task}  {where}{message}"


def _group_words(group: Group) -> tuple[str, str]:
    """Write whom a group is about, and why."""
    first = group.samples[0]
    tries = f", {first.attempts} attempts" if first.attempts > 1 else ""
    if group.number == 1:
        return first.item, first.message + tries
    message = group.message.removeprefix("{host}: ").removeprefix("{}: ") + tries
    if group.hosts:
        return _hosts_and_items(group), message
    more = ", ..." if group.items and group.number > len(group.items) else ""
    number = f"({count(group.number)})"
    items = f"{', '.join(group.items)}{more} {number}" if group.items else number
    return items, message


def _hosts_and_items(group: Group) -> str:
    """Write which hosts a group is about, to be pasted behind `-w`, and how many items there."""
    hosts = hosts_text(group.hosts, group.on_more_hosts)
    if not group.items:
        return hosts
    return f"{hosts}, {count(group.number)} items"


def _source_errors(summary: Summary, palette: Palette) -> Iterator[str]:
    """Write which tasks could not read their items, and why."""
    for task_id, why in summary.source_errors[:_SHOWN_TASKS]:
        yield _line("FAILED", summary.task_name(task_id), "", visible(why), palette)
    more = len(summary.source_errors) - _SHOWN_TASKS
    if more > 0:
        yield f"{'':{_KIND_COLUMN}}and {count(more)} more tasks whose items could not all be read"


def _not_expanded(summary: Summary) -> Iterator[str]:
    """Write which tasks have no units, or not all of them, and why."""
    for task_id, why in summary.not_expanded[:_SHOWN_TASKS]:
        yield f"not expanded: {summary.task_name(task_id)} ({visible(why)})"
    more = len(summary.not_expanded) - _SHOWN_TASKS
    if more > 0:
        yield f"not expanded: {count(more)} more tasks"


def details_text(
    summary: Summary, *, rest_is_in: str = "", debug: bool = False, palette: Palette = PLAIN
) -> str:
    """Write a block for each failure that has output, the first three of each group.

    Args:
        summary: The run.
        rest_is_in: Where complete output is, such as a directory; empty: nowhere else.
        debug: With tracebacks of defects.
        palette: Colours.
    """
    blocks: list[str] = []
    for failures in (summary.failures, summary.ignored):
        for group in failures.groups():
            if summary.started is not None and group.task_id in summary.started.printed:
                continue  # all of its output is shown already
            blocks += _blocks(summary, group, rest_is_in, palette, debug=debug)
    return "".join(blocks)


def _blocks(
    summary: Summary, group: Group, rest_is_in: str, palette: Palette, *, debug: bool
) -> Iterator[str]:
    """Write the blocks of one group."""
    for sample in group.samples:
        body = list(_body(sample, rest_is_in, debug=debug))
        if body:
            name = summary.task_name(group.task_id)
            yield "".join(
                f"{line}\n" for line in (*_title(group.kind, name, sample, palette), *body, "")
            )


def failure_text(
    kind: str, task: str, sample: Failure, *, note: str = "", palette: Palette = PLAIN
) -> str:
    """Write the block of one failure, also of one without output, each line with its newline.

    Args:
        kind: How it ended.
        task: The name for people of its task.
        sample: The failure.
        note: What else stands in its first line.
        palette: Colours.
    """
    title, why = _title(kind, task, sample, palette)
    lines = (f"{title}  {note}" if note else title, why, *_body(sample, "", debug=False))
    return "".join(f"{line}\n" for line in lines)


def _title(kind: str, task: str, sample: Failure, palette: Palette) -> tuple[str, str]:
    """Write which failure it is, and why."""
    what = palette.red(kind_words(kind).upper())
    item = f"  {sample.item}" if sample.item else ""
    tries = f", attempt {sample.attempts}" if sample.attempts > 1 else ""
    why = f"  {sample.message}, after {duration(sample.duration_s)}{tries}"
    return f"{what}  {task}{item}", why


def _body(sample: Failure, rest_is_in: str, *, debug: bool) -> Iterator[str]:
    """Write the output of one failure, and its traceback when debugging."""
    yield from _stream("stdout", sample.stdout, rest_is_in)
    yield from _stream("stderr", sample.stderr, rest_is_in)
    if debug and sample.traceback:
        yield "  traceback:"
        yield from (f"    | {visible(line)}" for line in sample.traceback.rstrip().splitlines())


def _stream(name: str, excerpt: Excerpt, rest_is_in: str) -> Iterator[str]:
    """Write the end of one stream."""
    if not excerpt.size_bytes:
        return
    if excerpt.is_cut:
        rest = f", all of it in {visible(rest_is_in)}" if rest_is_in else ""
        yield f"  {name}, the last {len(excerpt.lines)} lines of {size(excerpt.size_bytes)}{rest}:"
    else:
        yield f"  {name}:"
    yield from (f"    | {line}" for line in excerpt.lines)
