"""The table of operations names exactly what its modules have."""

import pkgutil
from importlib import import_module

import batchrun.ops
from batchrun.model.operation import Operation
from batchrun.ops import OPERATIONS


def test_every_operation_of_every_module_is_in_the_table_under_its_own_name() -> None:
    found: dict[str, Operation] = {}
    for module in pkgutil.iter_modules(batchrun.ops.__path__, "batchrun.ops."):
        found.update(getattr(import_module(module.name), "OPERATIONS", {}))
    assert dict(OPERATIONS) == found
    assert all(operation.name == name for name, operation in found.items())
