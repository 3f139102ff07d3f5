"""Who a unit is from run to run: a hash of what it does, and of what it does that to.

    task id, operation, constant parameters ──► once for each task ──┐
    computed parameters, item, output file  ─────────────────────────┴──► 16 bytes

Equal units are equal here, wherever they stand in a list; how many equal ones there are is counted
by whoever compares. Not part of it: names, time limits, retries, and how a result is judged.

What is resolved only when it is due (steps, and what uses the result of its own item) is known by
its text in the job file instead. Its variables are those of the first run anyway.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from batchrun.jobfile.entries import SECTIONS
from batchrun.jobfile.plan import TaskPlan
from batchrun.jobfile.rendering import output_token
from batchrun.model.around import Around

__all__ = ["SIZE_BYTES", "Identifier", "canonical"]

SIZE_BYTES = 16
#: Parameters of commands that say how their end is judged, not what they do.
_JUDGING = frozenset({"ok_codes", "changed_codes", "readonly", "idle_timeout"})
#: Modifiers of a step that say how it is judged and repeated, and what it is called.
_BESIDE = _JUDGING | {
    *("name", "timeout", "retries", "retry_delay", "retry_backoff", "retry_on"),
    *("changed_when", "ignore_errors", "nice", "ionice"),
}
#: What the units of a task that are resolved late are made of, beside their item and operation.
_TEXTS = ("vars", "env", "cwd", "stdin", "shell", "sudo")
_ONLY_TEXT = {str}


class Identifier:
    """Makes the identities of the units of one task.

    Args:
        plan: The task.
        run_id: The run's, which is part of the temporary names of output files.
    """

    def __init__(self, plan: TaskPlan, run_id: str) -> None:
        self._start = hashlib.blake2b(_text_of_task(plan).encode(), digest_size=SIZE_BYTES)
        around = plan.frame.around
        output = None if around is None else around.output
        self._token = "" if output is None else output_token(run_id, output.number)
        self._slots, self._tail = _slots(plan)

    def of_host(self, host: str) -> bytes:
        """Return the identity of what stands for all units of a host whose items are not known."""
        found = self._start.copy()
        found.update(f"{host} items".encode())
        return found.digest()

    def of(
        self, params: Mapping[str, Any], around: Around | None, key: str, index: int, host: str
    ) -> bytes:
        """Return the identity of one unit.

        Args:
            params: Its parameters.
            around: What stands around them.
            key: Which item it is of.
            index: Its position, which is part of temporary names.
            host: Which host it is for; empty: none.
        """
        # No two of them write the same text: a name has no quote in it.
        text = f"{host}{key!a}" if host else ascii(key)
        for before, name in self._slots:
            text += before + _text(params[name])
        text += self._tail
        if self._token and around is not None and around.output is not None:
            path = _text(around.output.path)
            text = f"{text.replace(f'{self._token}.{index}', 'output')}{path}"
        found = self._start.copy()
        found.update(text.encode())
        return found.digest()


def _text_of_task(plan: TaskPlan) -> str:
    """Write what is the same for all units of a task, computed or not."""
    modifiers = plan.entry.modifiers
    texts: Any = ()
    if plan.frame.steps is not None:
        sections = [getattr(modifiers, name) or () for name in SECTIONS]
        texts = [[_done_in(step) for step in section] for section in sections]
    elif plan.late:
        output = (modifiers.output or {}).get("path")
        texts = [_without(_JUDGING, plan.entry.raw), output]
    if texts:
        texts = [*texts, *(getattr(modifiers, name) for name in _TEXTS)]
    return _text((plan.task.id, plan.task.operation, texts))


def _done_in(step: Any) -> Any:
    """Return what a step does, as it is written."""
    if not isinstance(step, Mapping):
        return step
    return {key: _without(_JUDGING, one) for key, one in step.items() if key not in _BESIDE}


def _without(keys: Collection[str], raw: Any) -> Any:
    """Leave keys of a mapping out; anything else stays as it is."""
    if not isinstance(raw, Mapping):
        return raw
    return {key: one for key, one in raw.items() if key not in keys}


def _slots(plan: TaskPlan) -> tuple[tuple[tuple[str, str], ...], str]:
    """Write the parameters in the order of their names, with room for what each unit computes.

    So a parameter is the same whether the job file computes it or writes it out.

    Returns:
        What stands before each computed parameter, with its name; and what stands after the last.
    """
    if _is_by_text(plan):
        return (), ""
    computed = {name for name, _, _ in plan.computed}
    slots: list[tuple[str, str]] = []
    before = ""
    for name in sorted((computed | set(plan.constants)) - _JUDGING):
        before += f"\n{name}="
        if name in computed:
            slots.append((before, name))
            before = ""
        else:
            before += _text(plan.constants[name])
    return tuple(slots), before


def _is_by_text(plan: TaskPlan) -> bool:
    """Say whether its units are resolved only when they are due."""
    return plan.late or plan.frame.steps is not None


def _text(value: Any) -> str:
    # Most values are text, or lists of it. ASCII: how Python writes other characters changes with
    # Unicode.
    kind = type(value)
    if kind is str or (kind is tuple and set(map(type, value)) == _ONLY_TEXT):
        return ascii(value)
    return ascii(canonical(value))


def canonical(value: Any) -> Any:
    """Return a value so that equal ones are written equally: mappings sorted, lists as tuples.

    >>> canonical({"b": [1], "a": None}) == canonical({"a": None, "b": (1,)})
    True
    """
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return ("mapping", *sorted((str(key), canonical(one)) for key, one in value.items()))
    if type(value) in (list, tuple):  # a pattern is a named tuple, and stays one
        return tuple(map(canonical, value))
    return value
