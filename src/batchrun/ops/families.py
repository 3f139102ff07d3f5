"""A table of operations, of which only those that are asked for are imported."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from batchrun.model.operation import Operation

__all__ = ["Families"]


class Families(Mapping[str, Operation]):
    """All operations by name; a family is imported when one of its operations is asked for.

    Importing all of them takes 50 to 90 ms, which a worker that only runs commands, and every
    other worker of a short run, would spend for nothing.

    Args:
        package: Where the modules are.
        families: Each module, and the names of the operations in it.
    """

    def __init__(self, package: str, families: Mapping[str, tuple[str, ...]]) -> None:
        self._package = package
        self._modules = {name: module for module, names in families.items() for name in names}
        self._loaded: dict[str, Operation] = {}

    def __getitem__(self, name: str) -> Operation:
        found = self._loaded.get(name)
        if found is None:
            module = import_module(f"{self._package}.{self._modules[name]}")
            found = self._loaded[name] = module.OPERATIONS[name]
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)
