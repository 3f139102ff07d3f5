"""What the modifiers with a structure of their own take, read to their final types."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from batchrun.jobfile.declared import Takes
from batchrun.jobfile.problems import did_you_mean
from batchrun.jobfile.readers import read_int
from batchrun.jobfile.scalars import is_null, text_of
from batchrun.model.job import Need, WaveSize
from batchrun.model.values import parse_duration

__all__ = [
    "ASK",
    "Batches",
    "Delegate",
    "Guard",
    "Hosts",
    "IoPriority",
    "LockName",
    "Locks",
    "Needs",
    "Niceness",
    "OutputOf",
    "Overlap",
    "Pause",
    "Print",
    "ResultName",
    "StepList",
]

#: What `pause: ask` is read as.
ASK = "ask"
_IO_CLASSES = ("idle", "best-effort", "realtime")
#: The kernel's own middle; the idle class has no levels, and ionice(1) writes 7 for it.
_IO_LEVEL = 4
_IDLE_LEVEL = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class LockName:
    """One entry of `lock`."""

    #: May be a template.
    name: str
    #: Other batchrun processes of this machine are excluded, too.
    machine: bool = False


def _text(raw: object) -> str:
    if is_null(raw):
        message = "has no value; write text"
        raise ValueError(message)
    return text_of(raw)


def _listed(raw: object) -> list[Any]:
    return raw if isinstance(raw, list) else [raw]


def _choice(raw: object, known: tuple[str, ...]) -> str:
    text = _text(raw)
    if text not in known:
        message = f"write {' or '.join(known)}, not {text!r}{did_you_mean(text, known)}"
        raise ValueError(message)
    return text


_PERS: tuple[Literal["all", "host", "item"], ...] = ("all", "host", "item")


def _needs(raw: object) -> tuple[Need, ...]:
    return tuple(_need(one) for one in _listed(raw))


def _need(raw: object) -> Need:
    if not isinstance(raw, dict):
        return Need(task_id=_text(raw))
    if "task" not in raw or not set(raw) <= {"task", "per"}:
        message = "write the id of a task, or {task: ID, per: host} (or item)"
        raise ValueError(message)
    per = _text(raw["per"]) if "per" in raw else "all"
    for one in _PERS:
        if per == one:
            return Need(task_id=_text(raw["task"]), per=one)
    message = (
        f"write `per: host` or `per: item`, or leave `per` away to wait for all of it, not {per!r}"
    )
    raise ValueError(message)


def _locks(raw: object) -> tuple[LockName, ...]:
    return tuple(_lock(one) for one in _listed(raw))


def _lock(raw: object) -> LockName:
    if not isinstance(raw, dict):
        return LockName(name=_text(raw))
    if "name" not in raw or not set(raw) <= {"name", "scope"}:
        message = "write a name, or {name: NAME, scope: machine}"
        raise ValueError(message)
    scope = _choice(raw.get("scope", "run"), ("machine", "run"))
    return LockName(name=_text(raw["name"]), machine=scope == "machine")


def _batches(raw: object) -> tuple[WaveSize, ...]:
    if raw == []:
        message = "there are no sizes; write a number, a share such as 10%, or a list of them"
        raise ValueError(message)
    return tuple(_wave(one) for one in _listed(raw))


def _wave(raw: object) -> WaveSize:
    text = "" if isinstance(raw, dict | list) else _text(raw)
    match = re.fullmatch(r"(\d{1,18}(?:\.\d{1,18})?)\s*(%?)", text, re.ASCII)
    if match is None or ("." in match[1] and not match[2]):
        message = f"write a number or a share such as 10%, not {text or raw!r}"
        raise ValueError(message)
    number = float(match[1])
    if number <= 0 or (match[2] and number > 100):
        message = f"write at least 1, or a share over 0 and up to 100%, not {text!r}"
        raise ValueError(message)
    return WaveSize(percent=number) if match[2] else WaveSize(count=int(match[1]))


def _pause(raw: object) -> float | str:
    text = _text(raw)
    return ASK if text == ASK else parse_duration(text)


def _niceness(raw: object) -> int:
    number = read_int(raw)
    if not -20 <= number <= 19:
        message = f"write a number from -20 (first) to 19 (last), not {number}"
        raise ValueError(message)
    return number


def _io_priority(raw: object) -> tuple[str, int]:
    if isinstance(raw, dict):
        if "class" not in raw or not set(raw) <= {"class", "level"}:
            message = "write idle, best-effort:0 to 7, or {class: best-effort, level: 4}"
            raise ValueError(message)
        name, level = _text(raw["class"]), raw.get("level")
    else:
        name, colon, text = _text(raw).partition(":")
        level = text if colon else None
    name = _choice(name, _IO_CLASSES)
    if name == "idle" and level is not None:
        message = "`idle` has no levels; write idle alone"
        raise ValueError(message)
    if level is None:
        return name, _IDLE_LEVEL if name == "idle" else _IO_LEVEL
    number = read_int(level)
    if not 0 <= number <= 7:
        message = f"write a level from 0 (first) to 7 (last), not {number}"
        raise ValueError(message)
    return name, number


def _output(raw: object) -> dict[str, Any]:
    if not isinstance(raw, dict):
        return {"path": _text(raw)}
    if "path" not in raw or not set(raw) <= {"path", "newer_than"}:
        message = "write the path of the file, or {path: PATH, newer_than: OTHER}"
        raise ValueError(message)
    return raw


def _steps(raw: object) -> list[Any]:
    if not isinstance(raw, list) or not raw:
        message = "write a list of steps, one `- OPERATION: ...` for each"
        raise ValueError(message)
    return raw


def _result_name(raw: object) -> str:
    text = _text(raw)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", text):
        message = f"{text!r} cannot be a name in templates; write letters, digits and `_`"
        raise ValueError(message)
    return text


def _hosts(raw: object) -> Any:
    if is_null(raw) or raw in ("", []):
        message = 'names no host; write a node set, such as web[1-3] or "@web", or a list of them'
        raise ValueError(message)
    if isinstance(raw, dict):
        message = "write a node set, such as web[1-3], or a list of them; settings of hosts belong "
        raise ValueError(message + "into `inventory`")
    return raw


def _delegate(raw: object) -> Any:
    if isinstance(raw, dict | list) or is_null(raw) or raw == "":
        message = "write the name of one host, or local"
        raise ValueError(message)
    return raw


def _guard(raw: object) -> Any:
    if is_null(raw) or raw == []:
        message = "has no value; write it, or take the key away"
        raise ValueError(message)
    return raw


_TEXT = {"type": ["string", "number", "boolean"]}
_TEXTS = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]}
_TEMPLATE = {"type": "string", "pattern": r"\{\{"}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    """Write the schema of a mapping."""
    return {
        "type": "object",
        "properties": properties,
        "required": [required],
        "additionalProperties": False,
    }


def _one_or_many(one: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [one, {"type": "array", "items": one}]}


_NEED = {"anyOf": [_TEXT, _object("task", task=_TEXT, per={"enum": list(_PERS)})]}
_LOCK = {"anyOf": [_TEXT, _object("name", name=_TEXT, scope={"enum": ["run", "machine"]})]}
_WAVE = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%?$|\{\{"},
    ]
}
_LEVEL = {"type": ["integer", "string"], "pattern": r"^[0-7]$"}
_IO = {
    "anyOf": [
        {"type": "string", "pattern": r"^(idle|(best-effort|realtime)(:[0-7])?)$|\{\{"},
        _object("class", **{"class": {"enum": list(_IO_CLASSES)}, "level": _LEVEL}),
    ]
}
_STEPS = {"type": "array", "minItems": 1}  # what a step is, the whole schema says

Needs: TypeAlias = Annotated[tuple[Need, ...], Takes(_needs, _one_or_many(_NEED))]
Locks: TypeAlias = Annotated[tuple[LockName, ...], Takes(_locks, _one_or_many(_LOCK))]
Batches: TypeAlias = Annotated[tuple[WaveSize, ...], Takes(_batches, _one_or_many(_WAVE))]
Pause: TypeAlias = Annotated[
    float | str,
    Takes(_pause, {"type": ["string", "number"], "examples": ["5m", "ask"]}),
]
Niceness: TypeAlias = Annotated[
    int,
    Takes(_niceness, {"anyOf": [{"type": "integer", "minimum": -20, "maximum": 19}, _TEMPLATE]}),
]
IoPriority: TypeAlias = Annotated[tuple[str, int], Takes(_io_priority, _IO)]
OutputOf: TypeAlias = Annotated[
    dict[str, Any],
    Takes(_output, {"anyOf": [_TEXT, _object("path", path=_TEXT, newer_than=_TEXTS)]}),
]
ResultName: TypeAlias = Annotated[
    str,
    Takes(_result_name, {"type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_]*$"}),
]
StepList: TypeAlias = Annotated[list[Any], Takes(_steps, _STEPS)]
Guard: TypeAlias = Annotated[Any, Takes(_guard, _TEXTS)]
Hosts: TypeAlias = Annotated[Any, Takes(_hosts, _TEXTS)]
Delegate: TypeAlias = Annotated[Any, Takes(_delegate, _TEXT)]
Print: TypeAlias = Annotated[
    str,
    Takes(lambda raw: _choice(raw, ("failed", "always")), {"enum": ["failed", "always"]}),
]
Overlap: TypeAlias = Annotated[
    str, Takes(lambda raw: _choice(raw, ("allow",)), {"enum": ["allow"]})
]
