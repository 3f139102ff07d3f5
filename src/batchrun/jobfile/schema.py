"""The structure of a job file, as classes: which keys there are and what each takes."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, TypeVar

from batchrun.jobfile.declared import Declared, Takes, key, required_key
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
    as_it_is,
    read_mapping,
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
    "read_keys",
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
    dict[str, Any],
    Takes(
        read_mapping,
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
        },
    ),
]
#: Read before the rest is (`include.with_includes`).
Included: TypeAlias = Annotated[
    Any,
    Takes(
        as_it_is,
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    ),
]


class JobText(Declared):
    """The top level of a job file."""

    name: Text | None = key("Name of the job; default: the file's stem.")
    description: Text | None = key("What the job is for.")
    vars: Block = key("Variables; null means that it must be given.", default={})
    secrets: SecretSources = key("Secrets, and where each comes from.", default={})
    include: Included = key("Files with variables, defaults, limits, ...")
    defaults: Block = key("Modifiers for every task.", default={})
    limits: Limits = key("Named semaphores and how many may hold each.", default={})
    order: Order = key("sequential: each task needs the one before.", default="concurrent")
    inventory: Inventory = key("The hosts: a file, a mapping, or a command.")
    fanout: Count | None = key("Most hosts at once.")
    host_key: HostKey | None = key("What becomes of hosts whose key is not known.")
    procs: CountOrZero | None = key("Worker processes; 0: in this process.")
    max_fail: Share | None = key("More failures than this stop the run.")
    deadline: Duration | None = key("Wall time of the whole run.")
    lock: RunLock = key("At most one run of this job at a time.", default=False)
    tasks: Entries = required_key("What is to be done.", default=[])
    finally_: Entries = key("Tasks that run last, always.", default=[], name="finally")


class Modifiers(Declared):
    """What may stand beside the operation of a task."""

    name: Text | None = key("Shown to people.")
    id: Identifier | None = key("Used by `needs`; default: from the name.")
    needs: Needs = key("Tasks that must have ended well before.", default=())
    overlap: Overlap | None = key("allow: paths of other tasks may be meant.")
    when: Anything = key("Jinja2 expression; false: skipped.")
    foreach: Foreach = key("One unit per item: a list or a source of items.")
    hosts: Hosts = key("Where it runs: a node set, or a list of them.")
    pick: Count | None = key("Only the first so many that can be reached.")
    per_host: Count = key("Units of this task for one host at once.", default=1)
    connect_timeout: Duration | None = key("Time to connect to a host.")
    ignore_unreachable: Flag = key(
        "Hosts that are not reached are shown, fail nothing.", default=False
    )
    delegate_to: Delegate = key("Of a step: runs on this host instead, or here (`local`).")
    vars: Block = key("Variables of this task, computed per unit.", default={})
    timeout: Duration | None = key("Wall time of one attempt.")
    retries: CountOrZero = key("Further attempts after the first.", default=0)
    retry_delay: Duration = key("Wait before the second attempt.", default=1.0)
    retry_backoff: Factor = key("Each further wait is this times longer.", default=2.0)
    retry_on: RetryOn | None = key("Kinds of outcome, or exit statuses.")
    max_fail: Share | None = key("More failures than this stop the run.")
    max_parallel: Count | None = key("Units of this task at once.")
    slots: Count = key("How many processes' worth of room a unit takes.", default=1)
    batch: Batches | None = key("Sizes of the waves in which units go.")
    pause: Pause | None = key("Between two waves: a duration, or `ask`.")
    limit: Texts = key("Hold a slot of these semaphores while running.", default=())
    lock: Locks = key("Hold these mutexes while running.", default=())
    ignore_errors: Flag = key("Failures are shown, fail nothing.", default=False)
    tags: Texts = key("For --tags and --skip-tags.", default=())
    registers: ResultName | None = key(
        "Name of the result, for `results` and `mine`.", name="register"
    )
    print: Print = key("always: the output is shown in the recap.", default="failed")
    changed_when: Anything = key("Jinja2 expression: whether it changed.")
    creates: Guard = key("Skipped when all of these exist.")
    removes: Guard = key("Skipped unless all of these exist.")
    unless: Guard = key("Skipped when this command succeeds.")
    onlyif: Guard = key("Skipped unless this command succeeds.")
    mounted: Guard = key("Fails unless each of these is a mount point.")
    output: OutputOf | None = key("The file that a command makes.")
    nice: Niceness | None = key("Niceness to add, -20 to 19.")
    ionice: IoPriority | None = key("Disk priority: idle, best-effort:0-7.")
    env: Anything = key("Environment variables of the command.")
    cwd: Anything = key("Working directory of the command.")
    stdin: Anything = key("Text for the command's standard input.")
    shell: Anything = key("Shell that runs a command text.")
    ok_codes: Anything = key("Exit statuses that mean success.")
    changed_codes: Anything = key("Exit statuses that mean changed.")
    readonly: Anything = key("The command changes nothing.")
    idle_timeout: Anything = key("Time without output.")
    sudo: Anything = key("Run as root, or as this user, perhaps with a password.")
    steps: StepList | None = key("Operations done one after the other.")
    rescue: StepList | None = key("Steps run when one of `steps` failed.")
    always: StepList | None = key("Steps run at the end in any case.")
    rescue_ok: Flag = key("A unit that was rescued counts as ok.", default=False)


D = TypeVar("D", bound=Declared)


def read_keys(
    kind: type[D], raw: Mapping[str, Any], problems: Problems, at: Path, known: frozenset[str]
) -> D:
    """Read a mapping; what is wrong is noted and left out.

    Args:
        kind: What it holds.
        raw: As written.
        problems: Where mistakes go.
        at: Where it stands in the file.
        known: Keys that could have been meant by one that is not known.
    """
    made = kind()
    for name, value in raw.items():
        declared = kind.keys.get(name)
        if declared is None:
            problems.add((*at, name), f"`{name}` is not a key here{_meant(name, at, known)}")
            continue
        try:
            made.take(declared, value)
        except ValueError as error:
            problems.add((*at, name), str(error))
    for name, declared in kind.keys.items():
        if declared.required and name not in raw:
            problems.add(at, f"`{name}` is missing; write `{name}:` with a list of tasks")
    return made


def _meant(name: str, at: Path, known: frozenset[str]) -> str:
    if not at and name in Modifiers.keys:
        return f"; for every task write `defaults: {{{name}: ...}}`"
    if not at and name in ("cron", "schedule", "every", "at", "on"):
        return "; cron or a systemd timer starts batchrun"
    meant = key_meant_by(name, known)
    return f"; did you mean `{meant}`?" if meant else did_you_mean(name, known)
