"""What the keys of a job file take, as types: how each is read, and its schema."""

import re
from typing import Annotated, Any, TypeAlias

from batchrun.jobfile.declared import Takes
from batchrun.jobfile.problems import did_you_mean
from batchrun.jobfile.readers import read_bool, read_float, read_int
from batchrun.jobfile.scalars import is_null, text_of
from batchrun.model.job import FailLimit
from batchrun.model.outcome import KINDS
from batchrun.model.values import parse_duration

__all__ = [
    "Anything",
    "Block",
    "Count",
    "CountOrZero",
    "Duration",
    "Entries",
    "Factor",
    "Flag",
    "Foreach",
    "HostKey",
    "Identifier",
    "Inventory",
    "Limits",
    "Order",
    "RetryOn",
    "RunLock",
    "Share",
    "Text",
    "Texts",
    "as_it_is",
    "read_mapping",
]

_RETRY_KINDS = ("failed", "timed_out", "unreachable", "lost")


def _text(raw: object) -> str:
    if is_null(raw):
        message = "has no value; write text"
        raise ValueError(message)
    return text_of(raw)


def _at_least(raw: object, least: int) -> int:
    number = read_int(raw)
    if number < least:
        message = f"write a number of at least {least}, not {number}"
        raise ValueError(message)
    return number


#: What YAML 1.1 took for true or false: nobody means a name by these.
_SWITCHES = frozenset({"yes", "no", "on", "off", "y", "n"})


def _run_lock(raw: object) -> bool:
    try:
        return read_bool(raw)
    except ValueError as error:
        if str(raw).lower() in _SWITCHES:
            raise
        message = f"{error}; it has the name of the job, or that of `--lock-name`"
        raise ValueError(message) from None


def _count(raw: object) -> int:
    return _at_least(raw, 1)


def _count_or_zero(raw: object) -> int:
    return _at_least(raw, 0)


def _duration(raw: object) -> float:
    return parse_duration(_text(raw))


def _factor(raw: object) -> float:
    factor = read_float(raw)
    if not 1 <= factor <= 100:
        message = f"write a number from 1 to 100, not {factor}"
        raise ValueError(message)
    return factor


def _fail_limit(raw: object) -> FailLimit:
    text = _text(raw)
    match = re.fullmatch(r"(\d{1,18}(?:\.\d+)?)\s*(%?)", text)
    if match is None or ("." in match[1] and not match[2]) or (match[2] and float(match[1]) > 100):
        message = f"write a number or a share such as 10%, not {text!r}"
        raise ValueError(message)
    return FailLimit(percent=float(match[1])) if match[2] else FailLimit(count=int(match[1]))


def as_it_is(raw: Any) -> Any:
    """Take anything; somebody else reads it."""
    return raw


def read_mapping(raw: object) -> dict[str, Any]:
    """Take a mapping; nothing is an empty one.

    Raises:
        ValueError: it is something else.
    """
    if is_null(raw):
        return {}
    if not isinstance(raw, dict):
        message = "write a mapping, `name: value` lines"
        raise ValueError(message)
    return raw


def _limits(raw: object) -> dict[str, int]:
    limits: dict[str, int] = {}
    for name, value in read_mapping(raw).items():
        try:
            limits[name] = _count(value)
        except ValueError as error:
            message = f"`{name}`: {error}"
            raise ValueError(message) from None
    return limits


def _list(raw: object) -> list[Any]:
    if not isinstance(raw, list):
        message = "write a list, one `- ` for each entry"
        raise ValueError(message)
    return raw


def _order(raw: object) -> str:
    text = _text(raw)
    if text not in ("concurrent", "sequential"):
        known = ("concurrent", "sequential")
        message = f"write concurrent or sequential, not {text!r}{did_you_mean(text, known)}"
        raise ValueError(message)
    return text


_HOST_KEY = ("strict", "accept-new", "off")


def _host_key(raw: object) -> str:
    text = _text(raw)
    if text not in _HOST_KEY:
        message = f"write {', '.join(_HOST_KEY)}, not {text!r}{did_you_mean(text, _HOST_KEY)}"
        raise ValueError(message)
    return text


def _inventory(raw: object) -> Any:
    if isinstance(raw, list) or is_null(raw) or raw == "":
        message = "write a path, a mapping with `hosts:`, or {command: [PROGRAM, ARGUMENT]}"
        raise ValueError(message)
    if not isinstance(raw, dict):
        return _text(raw)
    parts = ("defaults", "hosts", "groups", "command")
    for key in raw:
        if key not in parts:
            message = f"`{key}` is no part of an inventory{did_you_mean(key, parts)}"
            raise ValueError(message)
    if "command" in raw and len(raw) > 1:
        message = "a `command` says everything; take the other keys away"
        raise ValueError(message)
    return raw


def _texts(raw: object) -> tuple[str, ...]:
    return tuple(_text(one) for one in (raw if isinstance(raw, list) else [raw]))


def _identifier(raw: object) -> str:
    text = _text(raw)
    if not re.fullmatch(r"[^\W_][\w.-]*", text):
        message = f"{text!r} is no id; write letters, digits, `-`, `_` and `.`, a letter first"
        raise ValueError(message)
    return text


def _retry_on(raw: object) -> tuple[str | int, ...]:
    return tuple(_retry_case(one) for one in (raw if isinstance(raw, list) else [raw]))


def _retry_case(raw: object) -> str | int:
    text = _text(raw)
    if text in _RETRY_KINDS:
        return text
    if re.fullmatch(r"\d{1,3}", text) and int(text) <= 255:
        return int(text)
    why = " (nothing can be gained by trying that again)" if text in KINDS else ""
    message = (
        f"write {', '.join(_RETRY_KINDS)} or an exit status, not {text!r}{why}"
        f"{did_you_mean(text, _RETRY_KINDS)}"
    )
    raise ValueError(message)


_TEXT = {"type": ["string", "number", "boolean"]}
_DURATION = {"type": ["string", "number"], "examples": ["90s", "10m", "1h30m"]}
_TEXT_OR_LIST = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_SHARE = {"type": ["string", "integer"], "pattern": r"^\d+(\.\d+)?\s*%?$|\{\{"}
_EXPRESSION = {"type": "string", "pattern": r"\{\{"}
_SETTINGS = {
    "user": _TEXT,
    "port": {"type": ["integer", "string"], "minimum": 1, "maximum": 65535},
    "identity": _TEXT_OR_LIST,
    "jump": _TEXT,
    "vars": {"type": "object"},
}


def _settings(**more: Any) -> dict[str, Any]:
    """Write the schema of what can be said about hosts."""
    return {
        "type": ["object", "null"],
        "properties": {**_SETTINGS, **more},
        "additionalProperties": False,
    }


_HOSTS = _settings(address=_TEXT, groups=_TEXT_OR_LIST)
_GROUPS = {"anyOf": [_TEXT_OR_LIST, _settings(hosts=_TEXT_OR_LIST)]}
_INVENTORY = {
    "type": "object",
    "properties": {
        "defaults": _settings(),
        "hosts": {"anyOf": [_TEXT_OR_LIST, {"type": "object", "additionalProperties": _HOSTS}]},
        "groups": {"type": "object", "additionalProperties": _GROUPS},
        "command": {"type": "array", "items": _TEXT, "minItems": 1},
    },
    "additionalProperties": False,
}

Text: TypeAlias = Annotated[str, Takes(_text, _TEXT)]
Identifier: TypeAlias = Annotated[str, Takes(_identifier, _TEXT)]
_FLAG = {"anyOf": [{"type": "boolean"}, _EXPRESSION]}
Flag: TypeAlias = Annotated[bool, Takes(read_bool, _FLAG)]
RunLock: TypeAlias = Annotated[bool, Takes(_run_lock, _FLAG)]
Count: TypeAlias = Annotated[
    int,
    Takes(_count, {"anyOf": [{"type": "integer", "minimum": 1}, _EXPRESSION]}),
]
CountOrZero: TypeAlias = Annotated[
    int,
    Takes(_count_or_zero, {"anyOf": [{"type": "integer", "minimum": 0}, _EXPRESSION]}),
]
Factor: TypeAlias = Annotated[
    float,
    Takes(_factor, {"anyOf": [{"type": "number", "minimum": 1, "maximum": 100}, _EXPRESSION]}),
]
Duration: TypeAlias = Annotated[float, Takes(_duration, _DURATION)]
Share: TypeAlias = Annotated[FailLimit, Takes(_fail_limit, _SHARE)]
HostKey: TypeAlias = Annotated[str, Takes(_host_key, {"enum": list(_HOST_KEY)})]
Inventory: TypeAlias = Annotated[Any, Takes(_inventory, {"anyOf": [_TEXT, _INVENTORY]})]
Texts: TypeAlias = Annotated[tuple[str, ...], Takes(_texts, _TEXT_OR_LIST)]
RetryOn: TypeAlias = Annotated[tuple[str | int, ...], Takes(_retry_on, _TEXT_OR_LIST)]
Block: TypeAlias = Annotated[dict[str, Any], Takes(read_mapping, {"type": "object"})]
Limits: TypeAlias = Annotated[
    dict[str, int],
    Takes(_limits, {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}}),
]
Entries: TypeAlias = Annotated[
    list[Any],
    Takes(_list, {"type": "array"}),
]
Order: TypeAlias = Annotated[str, Takes(_order, {"enum": ["concurrent", "sequential"]})]
#: Compiled, and its schema written, by `foreach` and `exported`.
Foreach: TypeAlias = Annotated[Any, Takes(as_it_is, {})]
Anything: TypeAlias = Annotated[Any, Takes(as_it_is, {})]
