"""Every operation there is: batchrun's own, and those that installed packages add.

A package adds operations by entry points of the group `batchrun.operations`. The name of the
entry point is the name of the operation; its value names an `Operation`, or a mapping from
names to them, as `package.module:ATTRIBUTE`. Nothing of a package is imported before one of its
operations is asked for; workers import this table by its name.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from batchrun.errors import PluginError
from batchrun.model.operation import Operation
from batchrun.ops import OPERATIONS as OWN
from batchrun.remote import OPERATIONS as REMOTE

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "HOST_OPERATIONS", "OPERATIONS", "REFERENCE", "distributions"]

GROUP = "batchrun.operations"
#: Where a worker finds the table.
REFERENCE = "batchrun.plugins:OPERATIONS"
#: What an import may raise: anything, as it runs foreign code; these are those of broken packages.
_BROKEN = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError,
)  # fmt: skip


class _Table(Mapping[str, Operation]):
    """Operations by name; the packages' are looked for when a name is none of ours."""

    def __init__(self) -> None:
        self._found: dict[str, EntryPoint] | None = None
        self._loaded: dict[str, Operation] = {}

    def __getitem__(self, name: str) -> Operation:
        if name in OWN:
            return OWN[name]
        found = self._loaded.get(name)
        if found is None:
            found = self._loaded[name] = _load(self._entry_points()[name])
        return found

    def __contains__(self, name: object) -> bool:
        return name in OWN or name in self._entry_points()

    def __iter__(self) -> Iterator[str]:
        yield from OWN
        yield from self._entry_points()

    def __len__(self) -> int:
        return len(OWN) + len(self._entry_points())

    def _entry_points(self) -> dict[str, "EntryPoint"]:
        """Look for the packages' operations, once."""
        if self._found is None:
            self._found = _entry_points()
        return self._found

    def distribution(self, name: str) -> str:
        """Return the name of the package that an operation comes from."""
        return "batchrun" if name in OWN else _distribution(self._entry_points()[name])


def _entry_points() -> dict[str, "EntryPoint"]:
    """Find all entry points of the group, by name.

    Raises:
        PluginError: two packages, or one and batchrun, have an operation of the same name.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - 15 ms that few workers need

    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        first = found.setdefault(point.name, point)
        # A package that is on the path twice is found twice.
        clash = first.value != point.value or _distribution(first) != _distribution(point)
        if point.name in OWN or clash:
            other = "batchrun" if point.name in OWN else _distribution(first)
            message = (
                f"the operation `{point.name}` is in two installed packages, {other} and "
                f"{_distribution(point)}; remove one of them"
            )
            raise PluginError(message)
    return dict(sorted(found.items()))


def _distribution(point: "EntryPoint") -> str:
    return "an unnamed package" if point.dist is None else point.dist.name


def _load(point: "EntryPoint") -> Operation:
    """Import an operation.

    Raises:
        PluginError: it cannot be imported, or is none.
    """
    where = f"the operation `{point.name}` of the package {_distribution(point)} cannot be used"
    try:
        found = import_module(point.module)
        for attribute in point.attr.split("."):
            found = getattr(found, attribute)
        operation = found[point.name] if isinstance(found, Mapping) else found
    except _BROKEN as error:
        message = f"{where}: {type(error).__name__}: {error}; mend or remove that package"
        raise PluginError(message) from error
    if not isinstance(operation, Operation) or operation.name != point.name:
        what = f"{point.value} is no Operation of that name"
        message = f"{where}: {what}; mend or remove that package"
        raise PluginError(message)
    return operation


_TABLE = _Table()
#: Every operation on this machine, by name.
OPERATIONS: Mapping[str, Operation] = _TABLE
#: Every operation on hosts, by name; no package adds any.
HOST_OPERATIONS: Mapping[str, Operation] = REMOTE


def distributions() -> Mapping[str, str]:
    """Return the package of each operation that is not batchrun's own."""
    return {name: _TABLE.distribution(name) for name in _TABLE if name not in OWN}
