"""The structure of a job file, as pydantic models: which keys there are and what each takes."""

import re
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema

from batchrun.jobfile.problems import Path, Problems, did_you_mean
from batchrun.jobfile.readers import read_bool, read_float, read_int
from batchrun.jobfile.scalars import is_null, text_of
from batchrun.model.job import FailLimit
from batchrun.model.outcome import KINDS
from batchrun.model.values import parse_duration

__all__ = [
    "COMMAND_MODIFIERS",
    "LATER_MODIFIERS",
    "LATER_OPERATIONS",
    "LATER_TOP",
    "JobText",
    "Modifiers",
    "report",
]

#: Keys of the language that this version does not know yet.
LATER_TOP = frozenset(
    {"fanout", "host_key", "hosts", "include", "inventory", "notify", "reports", "secrets"}
)
LATER_MODIFIERS = frozenset(
    {
        "always",
        "at",
        "batch",
        "bwlimit",
        "changed_codes",
        "changed_when",
        "chunk",
        "connect_timeout",
        "creates",
        "delegate_to",
        "hosts",
        "idle_timeout",
        "ignore_unreachable",
        "ionice",
        "local",
        "mounted",
        "newer_than",
        "nice",
        "onlyif",
        "output",
        "overlap",
        "pause",
        "per_host",
        "pick",
        "print",
        "readonly",
        "register",
        "removes",
        "rescue",
        "rescue_ok",
        "slots",
        "steps",
        "sudo",
        "unless",
    }
)
LATER_OPERATIONS = frozenset(
    {
        "compare",
        "download",
        "perms",
        "prune",
        "reboot",
        "replace",
        "sync",
        "template",
        "upload",
        "wait_for",
    }
)
#: Modifiers that are parameters of commands.
COMMAND_MODIFIERS = ("env", "cwd", "stdin", "shell", "ok_codes")

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


def _mapping(raw: object) -> dict[str, Any]:
    if is_null(raw):
        return {}
    if not isinstance(raw, dict):
        message = "write a mapping, `name: value` lines"
        raise ValueError(message)
    return raw


def _limits(raw: object) -> dict[str, int]:
    limits: dict[str, int] = {}
    for name, value in _mapping(raw).items():
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


def _texts(raw: object) -> tuple[str, ...]:
    return tuple(_text(one) for one in (raw if isinstance(raw, list) else [raw]))


def _identifier(raw: object) -> str:
    text = _text(raw)
    if not re.fullmatch(r"[^\W_][\w.-]*", text):
        message = f"{text!r} is no id; write letters, digits, `-`, `_` and `.`, a letter first"
        raise ValueError(message)
    return text


def _needs(raw: object) -> tuple[str, ...]:
    return tuple(_need(one) for one in (raw if isinstance(raw, list) else [raw]))


def _need(raw: object) -> str:
    if not isinstance(raw, dict):
        return _text(raw)
    if "per" in raw:
        message = "`per:` in `needs` is not supported by this version of batchrun yet"
        raise ValueError(message)
    if set(raw) != {"task"}:
        message = "write the id of a task, or {task: ID}"
        raise ValueError(message)
    return _text(raw["task"])


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


def _named(raw: object) -> tuple[str, ...]:
    if any(isinstance(one, dict) for one in (raw if isinstance(raw, list) else [raw])):
        message = "`scope: machine` is not supported by this version of batchrun yet; write a name"
        raise ValueError(message)
    return _texts(raw)


_TEXT = {"type": ["string", "number", "boolean"]}
_DURATION = {"type": ["string", "number"], "examples": ["90s", "10m", "1h30m"]}
_TEXT_OR_LIST = {"anyOf": [_TEXT, {"type": "array", "items": _TEXT}]}
_SHARE = {"type": ["string", "integer"], "pattern": r"^\d+(\.\d+)?\s*%?$|\{\{"}
_EXPRESSION = {"type": "string", "pattern": r"\{\{"}

Text: TypeAlias = Annotated[str, PlainValidator(_text), WithJsonSchema(_TEXT)]
Identifier: TypeAlias = Annotated[str, PlainValidator(_identifier), WithJsonSchema(_TEXT)]
Flag: TypeAlias = Annotated[
    bool, PlainValidator(read_bool), WithJsonSchema({"anyOf": [{"type": "boolean"}, _EXPRESSION]})
]
Count: TypeAlias = Annotated[
    int,
    PlainValidator(_count),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, _EXPRESSION]}),
]
CountOrZero: TypeAlias = Annotated[
    int,
    PlainValidator(_count_or_zero),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, _EXPRESSION]}),
]
Factor: TypeAlias = Annotated[
    float,
    PlainValidator(_factor),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 1, "maximum": 100}, _EXPRESSION]}),
]
Duration: TypeAlias = Annotated[float, PlainValidator(_duration), WithJsonSchema(_DURATION)]
Share: TypeAlias = Annotated[FailLimit, PlainValidator(_fail_limit), WithJsonSchema(_SHARE)]
Texts: TypeAlias = Annotated[tuple[str, ...], PlainValidator(_texts), WithJsonSchema(_TEXT_OR_LIST)]
LockNames: TypeAlias = Annotated[
    tuple[str, ...], PlainValidator(_named), WithJsonSchema(_TEXT_OR_LIST)
]
Needs: TypeAlias = Annotated[tuple[str, ...], PlainValidator(_needs), WithJsonSchema(_TEXT_OR_LIST)]
RetryOn: TypeAlias = Annotated[
    tuple[str | int, ...], PlainValidator(_retry_on), WithJsonSchema(_TEXT_OR_LIST)
]
Mapping_: TypeAlias = Annotated[
    dict[str, Any], PlainValidator(_mapping), WithJsonSchema({"type": "object"})
]
Limits: TypeAlias = Annotated[
    dict[str, int],
    PlainValidator(_limits),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}}),
]
Entries: TypeAlias = Annotated[
    list[Any],
    PlainValidator(_list),
    WithJsonSchema({"type": "array"}),
]
Order: TypeAlias = Annotated[
    str, PlainValidator(_order), WithJsonSchema({"enum": ["concurrent", "sequential"]})
]
_FOREACH = {
    "anyOf": [
        {"type": "array"},
        _EXPRESSION,
        {
            "type": "object",
            "properties": {
                "glob": _TEXT_OR_LIST,
                "hidden": {"type": "boolean"},
                "lines": {"type": "string"},
                "null_separated": {"type": "boolean"},
                "require": {"type": "boolean"},
                "range": {"type": "array", "minItems": 2, "maxItems": 3},
            },
            "additionalProperties": False,
        },
    ]
}
Foreach: TypeAlias = Annotated[Any, PlainValidator(lambda raw: raw), WithJsonSchema(_FOREACH)]
Anything: TypeAlias = Annotated[Any, PlainValidator(lambda raw: raw), WithJsonSchema({})]


class JobText(BaseModel):
    """The top level of a job file."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    name: Text | None = Field(None, description="Name of the job; default: the file's stem.")
    description: Text | None = Field(None, description="What the job is for.")
    vars: Mapping_ = Field({}, description="Variables; null means that it must be given.")
    defaults: Mapping_ = Field({}, description="Modifiers for every task.")
    limits: Limits = Field({}, description="Named semaphores and how many may hold each.")
    order: Order = Field("concurrent", description="sequential: each task needs the one before.")
    procs: CountOrZero | None = Field(None, description="Worker processes; 0: in this process.")
    max_fail: Share | None = Field(None, description="More failures than this stop the run.")
    deadline: Duration | None = Field(None, description="Wall time of the whole run.")
    lock: Flag = Field(default=False, description="At most one run of this job at a time.")
    tasks: Entries = Field(description="What is to be done.")
    finally_: Entries = Field([], alias="finally", description="Tasks that run last, always.")


class Modifiers(BaseModel):
    """What may stand beside the operation of a task."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    name: Text | None = Field(None, description="Shown to people.")
    id: Identifier | None = Field(None, description="Used by `needs`; default: from the name.")
    needs: Needs = Field((), description="Tasks that must have ended well before.")
    when: Anything = Field(None, description="Jinja2 expression; false: skipped.")
    foreach: Foreach = Field(None, description="One unit per item: a list or a source of items.")
    vars: Mapping_ = Field({}, description="Variables of this task, computed per unit.")
    timeout: Duration | None = Field(None, description="Wall time of one attempt.")
    retries: CountOrZero = Field(0, description="Further attempts after the first.")
    retry_delay: Duration = Field(1.0, description="Wait before the second attempt.")
    retry_backoff: Factor = Field(2.0, description="Each further wait is this times longer.")
    retry_on: RetryOn | None = Field(None, description="Kinds of outcome, or exit statuses.")
    max_fail: Share | None = Field(None, description="More failures than this stop the run.")
    max_parallel: Count | None = Field(None, description="Units of this task at once.")
    limit: Texts = Field((), description="Hold a slot of these semaphores while running.")
    lock: LockNames = Field((), description="Hold these mutexes while running.")
    ignore_errors: Flag = Field(default=False, description="Failures are shown, fail nothing.")
    tags: Texts = Field((), description="For --tags and --skip-tags.")
    env: Anything = Field(None, description="Environment variables of the command.")
    cwd: Anything = Field(None, description="Working directory of the command.")
    stdin: Anything = Field(None, description="Text for the command's standard input.")
    shell: Anything = Field(None, description="Shell that runs a command text.")
    ok_codes: Anything = Field(None, description="Exit statuses that mean success.")


def report(error: ValidationError, problems: Problems, at: Path, known: frozenset[str]) -> None:
    """Note what pydantic found, in our words.

    Args:
        error: What it raised.
        problems: Where mistakes go.
        at: The path of what was validated.
        known: Keys that could have been meant by one that is not known.
    """
    for one in error.errors(include_url=False, include_context=True):
        path = (*at, *(one["loc"][:1]))
        key = str(one["loc"][0]) if one["loc"] else ""
        if one["type"] == "extra_forbidden":
            problems.add(path, f"`{key}` is not a key here{did_you_mean(key, known)}")
        elif one["type"] == "missing":
            problems.add(at, f"`{key}` is missing; write `{key}:` with a list of tasks")
        else:
            cause = one.get("ctx", {}).get("error")
            problems.add(path, str(cause) if cause is not None else str(one["msg"]))
