"""Variables as they are written into the record of a run, and read back exactly.

"text"  true  null  7  1.5        themselves
{"number": "1.10"}                a number with the characters it was written with
{"list": [...]}  {"map": {...}}   lists and mappings
{"withheld": true}                it was given from outside the job file, and showed a secret
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

from batchrun.jobfile.compiled import Compiled, Given
from batchrun.jobfile.scalars import Plain, SourceFloat, SourceInt, resolve
from batchrun.jobfile.scope import Names
from batchrun.model.secret import Mask

__all__ = ["WITHHELD", "from_record", "recordable", "to_record"]

#: Stands in the place of a value that nobody could find out a second time.
WITHHELD: Final = {"withheld": True}


def recordable(
    names: Names, which: Mapping[str, Compiled], hidden_env: Iterable[str]
) -> dict[str, Any]:
    """Resolve variables for the record; those that cannot be resolved or restored are left out.

    The job file computes them once more then. What it cannot compute is marked instead.

    Args:
        names: The scope.
        which: The variables.
        hidden_env: Environment variables that hold secrets: no value may show one.
    """
    secrets = Mask(value for name in hidden_env if (value := os.environ.get(name)))
    found: dict[str, Any] = {}
    for name, compiled in which.items():
        try:
            value = to_record(names[name])
        except ValueError:  # some are never asked for, or only where they can be computed
            continue
        if not _shows(value, secrets):
            found[name] = value
        elif isinstance(compiled, Given):
            found[name] = WITHHELD
    return found


def to_record(value: Any) -> Any:
    """Write a value.

    Raises:
        ValueError: it could not be read back as it is.
    """
    kind = type(value)
    if kind in (str, bool, int, float, type(None)):
        return value
    if kind in (SourceInt, SourceFloat):
        return {"number": value.source}
    if kind in (list, tuple):
        return {"list": [to_record(one) for one in value]}
    if kind is dict and all(type(key) is str for key in value):
        return {"map": {key: to_record(one) for key, one in value.items()}}
    message = f"a {kind.__name__} cannot be recorded"
    raise ValueError(message)


def from_record(value: Any) -> Any:
    """Read a value that `to_record` wrote.

    >>> from_record(to_record({"a": [1, None, "x"]}))
    {'a': [1, None, 'x']}
    """
    if not isinstance(value, dict):
        return value
    if "number" in value:
        return resolve(Plain(value["number"]))
    if "list" in value:
        return [from_record(one) for one in value["list"]]
    return {key: from_record(one) for key, one in value["map"].items()}


def _shows(value: Any, secrets: Mask) -> bool:
    """Whether a secret is in a recorded value."""
    if isinstance(value, str):
        return secrets.text(value) != value
    if isinstance(value, list):
        return any(_shows(one, secrets) for one in value)
    return isinstance(value, dict) and any(_shows(one, secrets) for one in value.values())
