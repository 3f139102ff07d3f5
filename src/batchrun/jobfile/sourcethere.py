"""`at: host` beside a source of `foreach`: each host of the task has items of its own.

What is to be looked up is computed when the task starts; each host looks it up when its turn
comes, and answers with all of its items at once.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from batchrun.errors import SourceError
from batchrun.jobfile.chunked import chunks
from batchrun.jobfile.commandsource import CommandSource
from batchrun.jobfile.compiled import Compiled, Constant
from batchrun.jobfile.feeder import LineSplitter
from batchrun.jobfile.filesources import LinesSource
from batchrun.jobfile.hostitems import HostItems
from batchrun.jobfile.pathsources import FindSource, GlobSource
from batchrun.jobfile.scope import Names
from batchrun.jobfile.secrets import named_in
from batchrun.jobfile.sources import Items, value_of
from batchrun.model.host import Host
from batchrun.model.outcome import Output, Report
from batchrun.model.ports import Drawn, Look
from batchrun.model.secret import HIDDEN
from batchrun.model.unit import Unit

if TYPE_CHECKING:
    from batchrun.jobfile.plan import TaskPlan

__all__ = ["ItemsThere", "SourceThere", "TheirSource"]

_NO_SUDO = Constant(value=False)
#: Sources that mean something on another machine.
TheirSource: TypeAlias = GlobSource | LinesSource | FindSource | CommandSource


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceThere:
    """A source of which each host has its own items."""

    source: TheirSource
    #: Each unit gets a list of so many; None: one.
    size: Compiled | None = None
    #: As whom they are looked up: as the task's operation is done.
    sudo: Compiled = _NO_SUDO

    @property
    def described(self) -> str:
        """The source, as written."""
        return f"{self.source.described}, at each host"

    @property
    def total(self) -> int | None:
        """Not known before every host has answered."""
        return None

    @property
    def standard_input(self) -> bool:
        """No host reads batchrun's standard input."""
        return False

    def open(self, names: Names) -> "ItemsThere":
        """Compute what is to be looked up.

        Raises:
            SourceError: it cannot be computed.
        """
        source = self.source
        operation, params = _asked(source, names)
        separated = isinstance(source, GlobSource | FindSource) or source.null_separated
        size = None if self.size is None else value_of(self.size, names)
        sudo = value_of(self.sudo, names)
        given = {**params, "sudo": sudo} if sudo else params
        return ItemsThere(operation, given, b"\0" if separated else b"\n", size)


def _asked(source: TheirSource, names: Names) -> tuple[str, Mapping[str, Any]]:
    """Name what looks items up at a host, and compute what it is given."""
    match source:
        case GlobSource():
            return "glob", {"patterns": tuple(source.wanted(names))}
        case LinesSource():
            return "lines", {"path": value_of(source.path, names)}
        case CommandSource():
            return "command", {"argv": tuple(value_of(source.argv, names))}
        case FindSource():
            return "find", source.wanted(names)


class ItemsThere:
    """The items of a task at its hosts.

    Args:
        operation: What looks them up, of the operations for that.
        params: What it is given.
        separator: Between items, in what it answers.
        size: How many of them are one item of the task; None: each is.
    """

    def __init__(
        self, operation: str, params: Mapping[str, Any], separator: bytes, size: int | None
    ) -> None:
        self._operation = operation
        self._params = params
        self._separator = separator
        self._size = size

    def look(self, host: Host, plan: "TaskPlan", told: Callable[[Report], None]) -> Look:
        """Ask for the items of a host.

        Args:
            host: Whose.
            plan: The task; what holds for its units in time holds for this, too.
            told: Called with the answer.
        """
        unit = Unit(
            task_id=plan.task.id,
            index=1,
            operation=self._operation,
            host=host.name,
            place=host,
            params=self._params,
            timeout_s=plan.frame.timeout_s,
            secrets=named_in(self._params),
        )
        return Look(unit=unit, told=told)

    def items(self, answer: Output) -> HostItems:
        """Read an answer.

        Raises:
            SourceError: it is no list of items, or not as the host has it.
        """
        if named_in(self._params) and HIDDEN.encode() in answer.stdout.head:
            message = (
                f"an item holds the password of sudo, or {HIDDEN}; let items come from this "
                "machine, or allow sudo without a password"
            )
            raise SourceError(message)
        splitter = LineSplitter(self._separator, "what the host answers")
        found = iter([*splitter.feed(answer.stdout.head), *splitter.feed(b"")])
        items = Items(next=_next_of(found))
        return HostItems(items if self._size is None else chunks(items, self._size), readers=1)


def _next_of(found: Iterator[str]) -> Callable[[], Any]:
    return lambda: next(found, Drawn.EXHAUSTED)
