"""The top level of a job file: which keys there are, and what each of them holds."""

from collections.abc import Mapping
from typing import Any

from batchrun.jobfile.document import Document
from batchrun.jobfile.entries import (
    BROKEN,
    MODIFIER_KEYS,
    NOT_IN_DEFAULTS,
    PER_UNIT,
    compute_now,
)
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.problems import Problems, did_you_mean
from batchrun.jobfile.scalars import is_null
from batchrun.jobfile.schema import LATER_MODIFIERS, LATER_TOP, JobText, Modifiers, read_keys
from batchrun.jobfile.scope import Names
from batchrun.jobfile.taking import later_message
from batchrun.jobfile.template import is_template

__all__ = ["good_defaults", "top_level", "validated"]

_TOP_KEYS = frozenset(JobText.keys)


def top_level(document: Document) -> dict[str, Any]:
    """Return the top-level mapping, without what is not ours.

    Raises:
        JobFileError: there is none.
    """
    data, problems = document.data, document.problems
    if not isinstance(data, dict):
        if data is None or is_null(data):
            what = "the file is empty"
        else:
            what = "the file is a list" if isinstance(data, list) else "the file is a single value"
        problems.add((), f"{what}; a job file is a mapping with `tasks:`")
        problems.raise_if_any()
    kept: dict[str, Any] = {}
    for key, value in data.items():
        if key in LATER_TOP:
            problems.add((key,), f"`{key}` is not supported by this version of batchrun yet")
        elif not key.startswith("x-"):
            kept[key] = value
    return kept


def validated(data: Mapping[str, Any], compiler: Compiler, names: Names) -> JobText:
    """Check the top level; what is wrong is noted and left out."""
    ready: dict[str, Any] = {}
    for key, value in data.items():
        is_computed = key != "description" and isinstance(value, str) and is_template(value)
        ready[key] = compute_now(value, (key,), compiler, names) if is_computed else value
    ready = {key: value for key, value in ready.items() if value is not BROKEN}
    return read_keys(JobText, ready, compiler.problems, (), _TOP_KEYS)


def good_defaults(raw: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Check the defaults once, where they are written; keep those that are good."""
    good: dict[str, Any] = {}
    for key, value in raw.items():
        path = ("defaults", key)
        if key in LATER_MODIFIERS:
            message = later_message(key)
        elif key not in MODIFIER_KEYS:
            message = f"`{key}` is not a key here{did_you_mean(key, MODIFIER_KEYS)}"
        elif key in NOT_IN_DEFAULTS:
            message = f"`{key}` cannot be a default; write it in the task"
        else:
            if _default_is_good(key, value, problems):
                good[key] = value
            continue
        problems.add(path, message)
    return good


def _default_is_good(key: str, value: Any, problems: Problems) -> bool:
    if key not in PER_UNIT and isinstance(value, str) and is_template(value):
        return True
    before = len(problems)
    read_keys(Modifiers, {key: value}, problems, ("defaults",), MODIFIER_KEYS)
    return len(problems) == before
