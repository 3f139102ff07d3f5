"""The structure of a job file, as pydantic models: which keys there are and what each takes."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from batchrun.jobfile.modifiers import (
    Anything,
    Block,
    Count,
    CountOrZero,
    Duration,
    Entries,
    Factor,
    Flag,
    Foreach,
    HostKey,
    Identifier,
    Inventory,
    Limits,
    Order,
    RetryOn,
    RunLock,
    Share,
    Text,
    Texts,
)
from batchrun.jobfile.problems import Path, Problems, did_you_mean
from batchrun.jobfile.richvalues import (
    Batches,
    Delegate,
    Guard,
    Hosts,
    IoPriority,
    Locks,
    Needs,
    Niceness,
    OutputOf,
    Overlap,
    Pause,
    Print,
    ResultName,
    StepList,
)
from batchrun.jobfile.synonyms import key_meant_by

__all__ = [
    "COMMAND_MODIFIERS",
    "LATER_MODIFIERS",
    "LATER_TOP",
    "JobText",
    "Modifiers",
    "report",
]

#: Keys of the language that this version does not know yet.
LATER_TOP = frozenset({"notify", "reports"})
LATER_MODIFIERS = frozenset({"bwlimit"})
#: Modifiers that are parameters of commands.
COMMAND_MODIFIERS = (
    "env",
    "cwd",
    "stdin",
    "shell",
    "ok_codes",
    "changed_codes",
    "readonly",
    "idle_timeout",
    "sudo",
)


_TEXT = {"type": ["string", "number", "boolean"]}
_ARGV = {"type": "array", "items": _TEXT, "minItems": 1}
_SOURCES = {"env": _TEXT, "file": _TEXT, "prompt": _TEXT, "command": _ARGV}
SecretSources: TypeAlias = Annotated[
    Block,
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
            "additionalProperties": {
                "type": "object",
                "properties": _SOURCES,
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
            },
        }
    ),
]
#: Read before the rest is (`include.with_includes`).
Included: TypeAlias = Annotated[
    Anything,
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class JobText(BaseModel):
    """The top level of a job file."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    name: Text | None = Field(None, description="Name of the job; default: the file's stem.")
    description: Text | None = Field(None, description="What the job is for.")
    vars: Block = Field({}, description="Variables; null means that it must be given.")
    secrets: SecretSources = Field({}, description="Secrets, and where each comes from.")
    include: Included = Field(None, description="Files with variables, defaults, limits, ...")
    defaults: Block = Field({}, description="Modifiers for every task.")
    limits: Limits = Field({}, description="Named semaphores and how many may hold each.")
    order: Order = Field("concurrent", description="sequential: each task needs the one before.")
    inventory: Inventory = Field(None, description="The hosts: a file, a mapping, or a command.")
    fanout: Count | None = Field(None, description="Most hosts at once.")
    host_key: HostKey | None = Field(
        None, description="What becomes of hosts whose key is not known."
    )
    procs: CountOrZero | None = Field(None, description="Worker processes; 0: in this process.")
    max_fail: Share | None = Field(None, description="More failures than this stop the run.")
    deadline: Duration | None = Field(None, description="Wall time of the whole run.")
    lock: RunLock = Field(default=False, description="At most one run of this job at a time.")
    tasks: Entries = Field(description="What is to be done.")
    finally_: Entries = Field([], alias="finally", description="Tasks that run last, always.")


class Modifiers(BaseModel):
    """What may stand beside the operation of a task."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    name: Text | None = Field(None, description="Shown to people.")
    id: Identifier | None = Field(None, description="Used by `needs`; default: from the name.")
    needs: Needs = Field((), description="Tasks that must have ended well before.")
    overlap: Overlap | None = Field(None, description="allow: paths of other tasks may be meant.")
    when: Anything = Field(None, description="Jinja2 expression; false: skipped.")
    foreach: Foreach = Field(None, description="One unit per item: a list or a source of items.")
    hosts: Hosts = Field(None, description="Where it runs: a node set, or a list of them.")
    pick: Count | None = Field(None, description="Only the first so many that can be reached.")
    per_host: Count = Field(1, description="Units of this task for one host at once.")
    connect_timeout: Duration | None = Field(None, description="Time to connect to a host.")
    ignore_unreachable: Flag = Field(
        default=False, description="Hosts that are not reached are shown, fail nothing."
    )
    delegate_to: Delegate = Field(
        None, description="Of a step: runs on this host instead, or here (`local`)."
    )
    vars: Block = Field({}, description="Variables of this task, computed per unit.")
    timeout: Duration | None = Field(None, description="Wall time of one attempt.")
    retries: CountOrZero = Field(0, description="Further attempts after the first.")
    retry_delay: Duration = Field(1.0, description="Wait before the second attempt.")
    retry_backoff: Factor = Field(2.0, description="Each further wait is this times longer.")
    retry_on: RetryOn | None = Field(None, description="Kinds of outcome, or exit statuses.")
    max_fail: Share | None = Field(None, description="More failures than this stop the run.")
    max_parallel: Count | None = Field(None, description="Units of this task at once.")
    slots: Count = Field(1, description="How many processes' worth of room a unit takes.")
    batch: Batches | None = Field(None, description="Sizes of the waves in which units go.")
    pause: Pause | None = Field(None, description="Between two waves: a duration, or `ask`.")
    limit: Texts = Field((), description="Hold a slot of these semaphores while running.")
    lock: Locks = Field((), description="Hold these mutexes while running.")
    ignore_errors: Flag = Field(default=False, description="Failures are shown, fail nothing.")
    tags: Texts = Field((), description="For --tags and --skip-tags.")
    # `register` is an attribute of every class with an abstract one among its parents.
    registers: ResultName | None = Field(
        None, alias="register", description="Name of the result, for `results` and `mine`."
    )
    print: Print = Field("failed", description="always: the output is shown in the recap.")
    changed_when: Anything = Field(None, description="Jinja2 expression: whether it changed.")
    creates: Guard = Field(None, description="Skipped when all of these exist.")
    removes: Guard = Field(None, description="Skipped unless all of these exist.")
    unless: Guard = Field(None, description="Skipped when this command succeeds.")
    onlyif: Guard = Field(None, description="Skipped unless this command succeeds.")
    mounted: Guard = Field(None, description="Fails unless each of these is a mount point.")
    output: OutputOf | None = Field(None, description="The file that a command makes.")
    nice: Niceness | None = Field(None, description="Niceness to add, -20 to 19.")
    ionice: IoPriority | None = Field(None, description="Disk priority: idle, best-effort:0-7.")
    env: Anything = Field(None, description="Environment variables of the command.")
    cwd: Anything = Field(None, description="Working directory of the command.")
    stdin: Anything = Field(None, description="Text for the command's standard input.")
    shell: Anything = Field(None, description="Shell that runs a command text.")
    ok_codes: Anything = Field(None, description="Exit statuses that mean success.")
    changed_codes: Anything = Field(None, description="Exit statuses that mean changed.")
    readonly: Anything = Field(None, description="The command changes nothing.")
    idle_timeout: Anything = Field(None, description="Time without output.")
    sudo: Anything = Field(
        None, description="Run as root, or as this user, perhaps with a password."
    )
    steps: StepList | None = Field(None, description="Operations done one after the other.")
    rescue: StepList | None = Field(None, description="Steps run when one of `steps` failed.")
    always: StepList | None = Field(None, description="Steps run at the end in any case.")
    rescue_ok: Flag = Field(default=False, description="A unit that was rescued counts as ok.")


def _meant(key: str, at: Path, known: frozenset[str]) -> str:
    if not at and key in Modifiers.model_fields:
        return f"; for every task write `defaults: {{{key}: ...}}`"
    if not at and key in ("cron", "schedule", "every", "at", "on"):
        return "; cron or a systemd timer starts batchrun"
    meant = key_meant_by(key, known)
    return f"; did you mean `{meant}`?" if meant else did_you_mean(key, known)


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
            problems.add(path, f"`{key}` is not a key here{_meant(key, at, known)}")
        elif one["type"] == "missing":
            problems.add(at, f"`{key}` is missing; write `{key}:` with a list of tasks")
        else:
            cause = one.get("ctx", {}).get("error")
            problems.add(path, str(cause) if cause is not None else str(one["msg"]))
