"""What did not end ok, alike failures once, with their outputs; its size has a limit."""

from dataclasses import dataclass, field

from batchrun.model.event import UnitEnded
from batchrun.model.outcome import KINDS
from batchrun.report.failures import fold_sentence, reason
from batchrun.report.html.outputs import Ends, Excerpt, Extent, ends, excerpt
from batchrun.report.text import shorten, visible
from batchrun.report.who import who

__all__ = ["NO_GROUP", "Group", "Groups", "Variant"]

#: Instead of the number of a group: there were too many others.
NO_GROUP = -1
#: Groups shown, the biggest of those kept: a flood that comes late is still seen.
_SHOWN = 50
_KEPT = 100
#: Different outputs of a group that are kept.
_VARIANTS = 4
#: Items named for each of them.
_ITEMS = 20
_ITEM_COLUMNS = 200
#: Hosts named in all groups together.
_MOST_HOSTS = 20_000
_MESSAGE_CHARS = 1000
#: Of each stream, and of all groups together: these stand in the page once more than in the table.
_EXTENT = Extent(head_bytes=2 * 1024, tail_bytes=6 * 1024, all_chars=1024 * 1024)


@dataclass(slots=True, kw_only=True)
class Variant:
    """Failures of a group whose commands wrote the same."""

    stdout: Excerpt
    stderr: Excerpt
    number: int = 0
    #: The first items, ready to be shown.
    items: list[str] = field(default_factory=list)
    #: The hosts, each once.
    hosts: dict[str, None] = field(default_factory=dict)
    #: Failures on hosts that are not among them.
    on_more_hosts: int = 0


@dataclass(slots=True, kw_only=True)
class Group:
    """Failures of one task, of one kind, with the same message but for the item."""

    #: By which the rows of the table name it.
    at: int
    task_id: str
    kind: str
    #: `ignore_errors` applies.
    ignored: bool
    #: Why; `{}` stands for the item, `{/}` for its last part, `{host}` for the host.
    message: str
    #: Why, as the first of them says it.
    first_message: str
    number: int = 0
    #: The first different outputs, by what they are.
    variants: dict[tuple[Ends, Ends], Variant] = field(default_factory=dict)

    @property
    def others(self) -> int:
        """How many are in no variant."""
        return self.number - sum(variant.number for variant in self.variants.values())


class Groups:
    """A fold of failures that holds at most a hundred groups, whatever their number."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, str, bool, str], Group] = {}
        self._used_chars = 0
        self._hosts_named = 0
        self.number = 0

    def add(self, event: UnitEnded) -> int:
        """Take one unit that did not end ok; return its group's `at`, or NO_GROUP."""
        self.number += 1
        group = self._group(event)
        if group is None:
            return NO_GROUP
        group.number += 1
        variant = self._variant(group, event)
        if variant is not None:
            variant.number += 1
            if event.unit.label and len(variant.items) < _ITEMS:
                label = visible(who(event.unit)[:_MESSAGE_CHARS])
                variant.items.append(shorten(label, _ITEM_COLUMNS))
            if event.unit.host:
                self._name_host(variant, event.unit.host)
        return group.at

    def _name_host(self, variant: Variant, host: str) -> None:
        """Add a host to those of a variant."""
        if host in variant.hosts:
            return
        if self._hosts_named >= _MOST_HOSTS:
            variant.on_more_hosts += 1
            return
        self._hosts_named += 1
        variant.hosts[host] = None

    def shown(self) -> list[Group]:
        """Return the biggest groups: those that count first, by kind, then as they came."""
        biggest = sorted(self._groups.values(), key=lambda group: -group.number)[:_SHOWN]
        return sorted(biggest, key=lambda group: (group.ignored, KINDS.index(group.kind), group.at))

    def left_out(self) -> int:
        """Return how many failures are in no group that `shown` returns."""
        return self.number - sum(group.number for group in self.shown())

    def _group(self, event: UnitEnded) -> Group | None:
        """Return the group of a failure; None: there are too many others."""
        kind = event.report.outcome.kind
        message = _cut(reason(event.report.outcome))
        folded = fold_sentence(message, event.unit)
        key = (event.unit.task_id, kind, event.ignored, folded)
        group = self._groups.get(key)
        if group is None and len(self._groups) < _KEPT:
            group = self._groups[key] = Group(
                at=len(self._groups),
                task_id=event.unit.task_id,
                kind=kind,
                ignored=event.ignored,
                message=visible(folded),
                first_message=visible(message),
            )
        return group

    def _variant(self, group: Group, event: UnitEnded) -> Variant | None:
        """Return the variant of a failure; None: there are too many others."""
        output = event.report.output
        key = (ends(output.stdout, _EXTENT), ends(output.stderr, _EXTENT))
        variant = group.variants.get(key)
        if variant is None and len(group.variants) < _VARIANTS:
            shown = [excerpt(kept) for kept in key]
            chars = sum(len(part.head) + len(part.tail) for part in shown)
            if self._used_chars + chars > _EXTENT.all_chars:
                return None
            self._used_chars += chars
            variant = group.variants[key] = Variant(stdout=shown[0], stderr=shown[1])
        return variant


def _cut(message: str) -> str:
    """Limit a message that somebody made absurdly long."""
    return message if len(message) <= _MESSAGE_CHARS else message[:_MESSAGE_CHARS] + "..."
