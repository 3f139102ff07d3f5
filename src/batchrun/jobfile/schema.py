"""The structure of a job file, as pydantic models: which keys there are and what each takes."""

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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
    Identifier,
    Limits,
    LockNames,
    Needs,
    Order,
    RetryOn,
    Share,
    Text,
    Texts,
)
from batchrun.jobfile.problems import Path, Problems, did_you_mean

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


class JobText(BaseModel):
    """The top level of a job file."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    name: Text | None = Field(None, description="Name of the job; default: the file's stem.")
    description: Text | None = Field(None, description="What the job is for.")
    vars: Block = Field({}, description="Variables; null means that it must be given.")
    defaults: Block = Field({}, description="Modifiers for every task.")
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
    vars: Block = Field({}, description="Variables of this task, computed per unit.")
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
