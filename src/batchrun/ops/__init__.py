"""What a worker does to files and commands on this machine, one family of operations per file."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from batchrun.model.operation import Operation

__all__ = ["OPERATIONS"]

#: Each family's module, and the operations in it, in the order of the reference.
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "files": ("mkdir", "touch"),
    "link": ("link",),
    "copy": ("copy",),
    "move": ("move",),
    "sync": ("sync",),
    "compare": ("compare",),
    "delete": ("delete",),
    "prune": ("prune",),
    "write": ("write",),
    "template": ("template",),
    "replace": ("replace",),
    "perms": ("perms",),
    "archive": ("archive",),
    "extract": ("extract",),
    "compress": ("compress", "decompress"),
    "checksum": ("checksum",),
    "command": ("run", "script"),
}


class _Table(Mapping[str, Operation]):
    """All operations by name; a family is imported when one of its operations is asked for.

    Importing all of them takes 50 to 90 ms, which a worker that only runs commands, and every
    other worker of a short run, would spend for nothing.
    """

    def __init__(self, families: Mapping[str, tuple[str, ...]]) -> None:
        self._modules = {name: module for module, names in families.items() for name in names}
        self._loaded: dict[str, Operation] = {}

    def __getitem__(self, name: str) -> Operation:
        found = self._loaded.get(name)
        if found is None:
            module = import_module(f"{__name__}.{self._modules[name]}")
            found = self._loaded[name] = module.OPERATIONS[name]
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


#: Every operation on this machine, by name.
OPERATIONS: Mapping[str, Operation] = _Table(_FAMILIES)
