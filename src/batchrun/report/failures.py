"""What did not end ok, folded by task and message; its size has a limit, whatever happens."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import assert_never

from batchrun.model.outcome import (
    KINDS,
    Aborted,
    Cancelled,
    Captured,
    Failed,
    Lost,
    Ok,
    Outcome,
    Report,
    Skipped,
    TimedOut,
    Unreachable,
)
from batchrun.model.unit import Unit
from batchrun.report.text import decode, duration, shorten, visible
from batchrun.report.who import who, without_who

__all__ = [
    "Excerpt",
    "Failure",
    "Failures",
    "Group",
    "failure_of",
    "fold_message",
    "fold_reason",
    "fold_sentence",
    "reason",
]

#: Groups shown in full.
SHOWN_GROUPS = 20
#: Groups counted, of which the biggest are shown: a flood that comes late is still seen.
_KEPT_GROUPS = 100
#: Items named for a group.
_ITEMS = 3
#: Hosts named in all groups together: a node set is of use only when it is whole.
_MOST_HOSTS = 50_000
#: Failures of a group kept with their output.
_SAMPLES = 3
_EXCERPT_LINES = 10
_EXCERPT_BYTES = 16 * 1024
_LINE_COLUMNS = 400
_ITEM_COLUMNS = 400
_MESSAGE_CHARS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """The end of what a command wrote to one stream."""

    #: Ready to be shown; none: nothing was written.
    lines: tuple[str, ...] = ()
    #: How much was written in all.
    size_bytes: int = 0
    #: Something came before these lines.
    is_cut: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One unit that did not end ok, ready to be shown."""

    #: Its host and item; empty: its task has no other unit.
    item: str
    #: Why, in one sentence, without these in front.
    message: str
    attempts: int
    duration_s: float
    stdout: Excerpt
    stderr: Excerpt
    #: Of a defect; shown when debugging only.
    traceback: str = ""


@dataclass(slots=True, kw_only=True)
class Group:
    """Failures of one task, of one kind, with the same message but for the item."""

    task_id: str
    kind: str
    #: The message; `{}` stands for the item, `{/}` for its last part, `{host}` for the host.
    message: str
    number: int = 0
    #: The first items.
    items: list[str] = field(default_factory=list)
    #: The hosts, each once, in the order in which they came.
    hosts: dict[str, None] = field(default_factory=dict)
    #: Failures on hosts that are not among `hosts`: there were too many.
    on_more_hosts: int = 0
    #: The first failures.
    samples: list[Failure] = field(default_factory=list)


class Failures:
    """A fold of failures that holds at most a hundred groups, whatever their number."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, str], Group] = {}
        self.number = 0
        self._hosts_named = 0

    def add(self, unit: Unit, report: Report) -> None:
        """Take one unit that did not end ok."""
        self.number += 1
        outcome = report.outcome
        folded = fold_reason(unit, outcome)
        key = (unit.task_id, outcome.kind, folded)
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= _KEPT_GROUPS:
                return
            group = Group(task_id=unit.task_id, kind=outcome.kind, message=visible(folded))
            self._groups[key] = group
        group.number += 1
        if len(group.items) < _ITEMS and unit.label:
            group.items.append(_short(unit.label))
        if unit.host:
            self._name_host(group, unit.host)
        if len(group.samples) < _SAMPLES:
            group.samples.append(failure_of(unit, report))

    def _name_host(self, group: Group, host: str) -> None:
        """Add a host to those of a group."""
        if host in group.hosts:
            return
        if self._hosts_named >= _MOST_HOSTS:
            group.on_more_hosts += 1
            return
        self._hosts_named += 1
        group.hosts[host] = None

    def groups(self) -> list[Group]:
        """Return the biggest groups, at most 20: by kind, then as they came."""
        biggest = sorted(self._groups.values(), key=lambda group: -group.number)[:SHOWN_GROUPS]
        shown = {id(group) for group in biggest}
        kept = [group for group in self._groups.values() if id(group) in shown]
        return sorted(kept, key=lambda group: KINDS.index(group.kind))

    def left_out(self) -> int:
        """Return how many failures are in no group that `groups` returns."""
        return self.number - sum(group.number for group in self.groups())


def reason(outcome: Outcome) -> str:
    """Say in one sentence why a unit ended as it did; empty for a plain `ok`."""
    match outcome:
        case Ok():
            return outcome.note
        case Failed():
            return _with_status(outcome)
        case TimedOut():
            return _over_limit(outcome)
        case Unreachable() | Lost():
            return outcome.message
        case Cancelled(was_running=was_running):
            return "stopped while it ran" if was_running else "not started"
        case Aborted() | Skipped():
            return outcome.because
        case _:
            assert_never(outcome)


def _over_limit(outcome: TimedOut) -> str:
    """Say which limit was passed, and what else there is to say."""
    what = "wrote nothing for" if outcome.idle else "ran longer than"
    left = ", is blocked in the kernel and was left behind" if outcome.stuck else ""
    note = f": {outcome.note}" if outcome.note else ""
    return f"{what} {duration(outcome.limit_s)}{left}{note}"


def _with_status(outcome: Failed) -> str:
    """Add the exit status or the signal to a message that does not name it."""
    message = outcome.message
    if outcome.exit_status is not None and "status" not in message:
        return f"{message} (exit status {outcome.exit_status})"
    if outcome.signal is not None and "signal" not in message:
        return f"{message} (signal {outcome.signal})"
    return message


def fold_reason(unit: Unit, outcome: Outcome) -> str:
    """Say why a unit ended as it did, so that those that ended alike say the same."""
    return fold_sentence(_cut(reason(outcome)), unit)


def fold_sentence(message: str, unit: Unit) -> str:
    """Put marks in place of what in a sentence about a unit is about no other: host and item."""
    if unit.host:
        message = _replace(message, unit.host, "{host}")
        address = unit.place.address if unit.place is not None else ""
        message = _replace(message, address, "{address}")
    return fold_message(message, unit.label[:_MESSAGE_CHARS])


def fold_message(message: str, label: str) -> str:
    """Put `{}` in place of the item and `{/}` in place of its last part.

    >>> fold_message("cannot write /srv/b.csv (from /data/b.csv)", "/data/b.csv")
    'cannot write /srv/{/} (from {})'
    """
    message = _replace(message, label, "{}")
    last = label.rpartition("/")[2]
    return message if last == label else _replace(message, last, "{/}")


def _replace(text: str, part: str, mark: str) -> str:
    """Replace a part where it stands alone; a short one or a number only as a path or in front.

    Items called `a` or `1` would otherwise be found in `not a directory` and `exit status 1`.
    """
    if not part or part not in text:
        return text
    is_short = len(part) < 3 or part.isdigit()
    pieces, done = [], 0
    for start in _places(text, part):
        end = start + len(part)
        before, after = text[max(start - 1, 0) : start], text[end : end + 1]
        fits = before in {"", "/", "'", '"'} if is_short else not _is_word(before)
        if fits and not _is_word(after):
            pieces += [text[done:start], mark]
            done = end
    return "".join(pieces) + text[done:]


def _places(text: str, part: str) -> Iterator[int]:
    """Find where a part occurs, without overlaps."""
    start = text.find(part)
    while start >= 0:
        yield start
        start = text.find(part, start + len(part))


def _is_word(char: str) -> bool:
    """Say whether a name goes on at this character; not at the text's end (empty)."""
    return char.isalnum() or char == "_"


def _cut(message: str) -> str:
    """Limit a message that somebody made absurdly long."""
    return message if len(message) <= _MESSAGE_CHARS else message[:_MESSAGE_CHARS] + "..."


def _short(text: str) -> str:
    """Write whom a failure is about for people."""
    return shorten(visible(text[:_MESSAGE_CHARS]), _ITEM_COLUMNS)


def failure_of(unit: Unit, report: Report) -> Failure:
    """Keep of a failure what will be shown of it."""
    outcome = report.outcome
    return Failure(
        item=_short(who(unit)),
        message=visible(_cut(without_who(reason(outcome), unit))),
        attempts=report.attempt,
        duration_s=report.duration_s,
        stdout=_excerpt(report.output.stdout),
        stderr=_excerpt(report.output.stderr),
        traceback=outcome.traceback[-_EXCERPT_BYTES:] if isinstance(outcome, Failed) else "",
    )


def _excerpt(captured: Captured) -> Excerpt:
    """Take the last lines of a stream."""
    end = captured.tail[-_EXCERPT_BYTES:]
    if not captured.omitted_bytes:
        end = (captured.head[-_EXCERPT_BYTES:] + end)[-_EXCERPT_BYTES:]
    elif not end:
        end = captured.head[-_EXCERPT_BYTES:]
    if not end:
        return Excerpt(size_bytes=captured.size_bytes, is_cut=captured.size_bytes > 0)
    lines = end.removesuffix(b"\n").split(b"\n")
    kept = lines[-_EXCERPT_LINES:]
    return Excerpt(
        lines=tuple(shorten(decode(line), _LINE_COLUMNS) for line in kept),
        size_bytes=captured.size_bytes,
        is_cut=len(kept) < len(lines) or len(end) < captured.size_bytes,
    )
