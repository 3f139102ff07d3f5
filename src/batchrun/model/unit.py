"""The smallest thing that is scheduled: one operation on one target."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from batchrun.model.around import Around
from batchrun.model.host import Host
from batchrun.model.outcome import Outcome
from batchrun.model.tree import Chunk

if TYPE_CHECKING:
    from batchrun.model.steps import UnitProgram

__all__ = ["HEAD_BYTES", "TAIL_BYTES", "Order", "RunSettings", "Unit", "command_text"]

#: Kept of the beginning and of the end of each stream of a command's output.
HEAD_BYTES = 64 * 1024
TAIL_BYTES = 192 * 1024
#: A unit may have a thousand sources (`chunk`); so many are named.
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One operation on one item, fully resolved: nothing in it is a template any more."""

    task_id: str
    #: Position among the units of its task, from 1.
    index: int
    #: The item as people see it; empty for a task without `foreach`.
    #: Bytes that are not UTF-8 are kept as surrogates (`os.fsdecode`).
    label: str = ""
    #: Name in the table of operations.
    operation: str
    #: The name of the host that it is for; empty: it is for none.
    host: str = ""
    #: Where it runs, by the table of operations on hosts; None: on this machine. Not always the
    #: host that it is for: there is `delegate_to`.
    place: Host | None = None
    #: Keyword arguments of the operation's parameter class; picklable, standard types only.
    params: Mapping[str, object] = field(default_factory=dict)
    #: Wall time of one attempt in seconds; None: no limit.
    timeout_s: float | None = None
    #: Names of mutexes held while it runs, sorted, each once.
    locks: tuple[str, ...] = ()
    #: Names of semaphores of which it holds one slot while it runs, sorted, each once.
    limits: tuple[str, ...] = ()
    #: How it ends without being run: a `when` that is false, a template that failed, a host that
    #: could not be asked for its items.
    verdict: Outcome | None = None
    #: Which item: equal for equal items, also in other tasks (`needs` per item, `mine`).
    #: Empty for a task without `foreach`.
    key: str = ""
    #: Mutexes shared with other batchrun processes of this machine, sorted, each once.
    machine_locks: tuple[str, ...] = ()
    #: Guards, output file, priorities; None: none.
    around: Around | None = None
    #: Names of the secrets that it uses, sorted, each once.
    secrets: tuple[str, ...] = ()
    #: Bytes of standard output kept whole, instead of the run's head and tail (`register`).
    capture_bytes: int | None = None
    #: Known by it from run to run: equal for the same operation on the same target (16 bytes);
    #: empty: nobody asked for it, or it is not resolved.
    identity: bytes = b""
    #: Its steps; then `operation` is `steps` and no runner ever sees this unit itself.
    program: "UnitProgram | None" = None
    #: Resolves it once its item's `needs` have ended well, for templates that use their results;
    #: until then only `index`, `label` and `key` mean something. Called from the aggregator's
    #: thread, never blocks, never raises; None: it is resolved.
    later: "Callable[[], Unit] | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a runner gets: one attempt of one unit."""

    #: The unit's number within the run, from 1, in the order of planning.
    number: int
    #: Which try, from 1.
    attempt: int
    unit: Unit
    #: How long units of this task have been taking, in seconds; None: not known, or never to be
    #: queued ahead (commands). Short ones are sent to a worker in small batches.
    expected_s: float | None = None
    #: Values of all secrets read so far, by name: filled in for the process that runs it, and
    #: written nowhere.
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    #: A piece of the unit, when its operation was spread over several workers.
    chunk: Chunk | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What is the same for every unit of a run; sent once to each worker."""

    run_id: str
    #: Directory against which relative paths and the commands' working directory resolve.
    base_dir: str
    dry_run: bool = False
    #: How long a command has between TERM and KILL, in seconds.
    kill_grace_s: float = 5.0
    #: Bytes kept of each end of each stream of a command's output.
    head_bytes: int = HEAD_BYTES
    tail_bytes: int = TAIL_BYTES
    #: Send output to the parent while the command runs (`-v`).
    live_output: bool = False
    #: Tracebacks of defects travel with the outcome.
    debug: bool = False
    #: Operations that write text say what changes in it.
    diff: bool = False
    #: Where output that is longer than head and tail is kept whole; empty: it is cut.
    spool_dir: str = ""
    #: How much of a tree one worker does at a time, in files of usual size; 0: all of it.
    slice_cost: int = 0
    #: Processes that work at the same time, each on one unit or on a piece of one.
    workers: int = 1
    #: Runs that have ended and that this one goes on with: what they have left half-written is in
    #: nobody's hands.
    past_runs: tuple[str, ...] = ()
    #: Variables that commands do not inherit from batchrun: they hold secrets.
    withheld_env: tuple[str, ...] = ()


def command_text(unit: Unit) -> str:
    """Say what a unit does, for people and for lists of commands; secrets stay hidden.

    A shell text is given as it is, newlines included, and the words of a command as a shell would
    take them; of other operations the name, and what they work on.

    >>> words = {"command": ("echo", "a b")}
    >>> command_text(Unit(task_id="t", index=1, operation="run", params=words))
    "echo 'a b'"
    >>> paths = {"src": ("/a", "/b"), "dest": "/c/"}
    >>> command_text(Unit(task_id="t", index=1, operation="copy", params=paths))
    'copy /a /b -> /c/'
    """
    params = unit.params
    command = params.get("command")
    if command is not None:
        return _words(command) if isinstance(command, list | tuple) else str(command)
    if unit.operation == "script" and "file" in params:
        arguments = params.get("args")
        return _words((params["file"], *(arguments if isinstance(arguments, list | tuple) else ())))
    return _about_paths(unit.operation, params)


def _words(words: Sequence[object]) -> str:
    """Join words as a shell takes them apart; a reference to a secret is shown as `***`."""
    import shlex  # noqa: PLC0415 - workers load this module, and never ask

    return shlex.join(map(str, words))


def _about_paths(operation: str, params: Mapping[str, object]) -> str:
    """Write an operation with the parameter that comes first, and where it leads."""
    main = next((name for name in ("src", "path", "dest") if name in params), None)
    if main is None:
        main = next((name for name, value in params.items() if _is_text(value)), None)
    if main is None:
        return operation
    text = f"{operation} {_named(params[main])}"
    return f"{text} -> {params['dest']}" if main == "src" and "dest" in params else text


def _is_text(value: object) -> bool:
    """Whether a value says something in a few words: text, or a list of texts."""
    return isinstance(value, str) or (
        isinstance(value, tuple) and bool(value) and _is_text(value[0])
    )


def _named(value: object) -> str:
    """Write a path, a pattern (a tuple with a name for its field), or the first ones of a list."""
    if not isinstance(value, list | tuple):
        return str(value)
    if hasattr(value, "pattern"):
        return str(value.pattern)
    more = f" ... ({len(value)})" if len(value) > _MOST_NAMED else ""
    return " ".join(map(_named, value[:_MOST_NAMED])) + more
