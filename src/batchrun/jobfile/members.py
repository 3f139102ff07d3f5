"""What the names of the program's own hold, so that a slip is a mistake of the file at load."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from batchrun.jobfile.expressions import ONE_OF, Chain
from batchrun.jobfile.problems import did_you_mean
from batchrun.jobfile.records import TaskResult, UnitResult
from batchrun.model.counts import Tally
from batchrun.model.steps import StepFailure

__all__ = ["VIAS", "is_final_only", "wrong_member"]

#: The names under which results are found.
VIAS: Final = frozenset({"results", "mine"})
#: What of `run` is known only when the other tasks have ended.
_FINAL_ONLY = frozenset({"outcome", "counts", "failures", "summary"})
#: What every mapping can be asked.
_METHODS = frozenset({"get", "items", "keys", "values"})
#: Words that other tools have for what a result says.
_WORDS = {
    word: ours
    for ours, words in {
        "exit_status": "code exit_code exitcode rc return_code returncode status",
        "stdout": "out output text",
        "lines": "stdout_lines",
        "message": "error msg reason",
        "outcome": "kind state",
        "failed": "failure",
        "units": "items results",
    }.items()
    for word in words.split()
}


@dataclass(frozen=True, slots=True)
class _Shape:
    """What something holds."""

    #: In a sentence: `a result`.
    what: str
    #: Its entries, each with what it holds; None: something that has no entries of ours.
    entries: Mapping[str, "_Shape | None"]
    #: What to write instead of some that it has not.
    instead: Mapping[str, str] = field(default_factory=dict)


def _only(names: Iterable[str]) -> "dict[str, _Shape | None]":
    """Make entries that hold nothing of ours."""
    return dict.fromkeys(names)


_INSTEAD = {
    "stderr": "only standard output is kept; add `2>&1` to the command",
    **dict.fromkeys(("ok", "success", "succeeded"), "write `failed`, with `not` before it"),
}
_UNIT = _Shape(
    "the result of a unit",
    _only(UnitResult.entries),
    {**_INSTEAD, "units": "take `results` for all units"},
)
_UNITS = _Shape("the list of units", {ONE_OF: _UNIT})
_TASK = _Shape(
    "a result",
    {**_only(TaskResult.entries), "units": _UNITS, "by_host": None},
    {
        **_INSTEAD,
        **dict.fromkeys(
            UnitResult.entries.keys() - TaskResult.entries.keys(),
            "each unit has its own; take `mine`, or go through `units`",
        ),
    },
)
_RUN = _Shape(
    "`run`",
    {
        **_only(("id", *sorted(_FINAL_ONLY))),
        "counts": _Shape("`run.counts`", _only(Tally().as_dict())),
    },
)
_ROOTS: Mapping[str, _Shape] = {
    "run": _RUN,
    "job": _Shape("`job`", _only(("name", "dir"))),
    "failed": _Shape("`failed`", _only(one.name for one in fields(StepFailure))),
}


def wrong_member(chain: Chain) -> str:
    """Say what is wrong with an entry that something of the program's own is asked for.

    Args:
        chain: With `results` and `mine`, the second step is a name that is registered.

    Returns:
        A sentence; empty: nothing is wrong, or it is not known what it is asked of.

    >>> wrong_member(("results", "dump", "stdot"))
    'a result has no `stdot`; did you mean `stdout`?'
    """
    root, *steps = chain
    if root in VIAS:
        shape: _Shape | None = _TASK if root == "results" else _UNIT
        steps = steps[1:]
    else:
        shape = _ROOTS.get(root)
    for step in steps:
        if shape is None or (ONE_OF in shape.entries and step != ONE_OF):
            return ""
        if step not in shape.entries:
            return "" if step in _METHODS else _wrong(shape, step)
        shape = shape.entries[step]
    return ""


def _wrong(shape: _Shape, step: str) -> str:
    if step == ONE_OF:
        units = "; go through `units`" if shape is _TASK else ""
        return f"{shape.what} is no list{units}"
    if step in shape.instead:
        hint = f"; {shape.instead[step]}"
    elif _WORDS.get(step) in shape.entries:
        hint = f"; did you mean `{_WORDS[step]}`?"
    else:
        hint = did_you_mean(step, shape.entries)
    return f"{shape.what} has no `{step}`{hint or '; it has ' + ', '.join(shape.entries)}"


def is_final_only(chain: Chain) -> bool:
    """Tell whether something is known only in `finally` tasks."""
    return chain[0] == "run" and chain[1] in _FINAL_ONLY
