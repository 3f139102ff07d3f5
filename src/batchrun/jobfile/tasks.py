"""One entry of `tasks:` compiled to a plan: parameters, conditions, items, limits.

Entry ──► what all tasks of its kind have in common (TaskFrame), once for all of them ──┐
      └─► what its operation is given; its id, name and needs ──────────────────────────┴─► TaskPlan
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from batchrun.jobfile.compiled import Compiled, Constant, Render
from batchrun.jobfile.entries import Entry, Kind, TaskContext
from batchrun.jobfile.fields import Compiler, Reference
from batchrun.jobfile.hosts import check_host_modifiers, check_told_apart, compile_hosts
from batchrun.jobfile.plan import StepsPlan, TaskFrame, TaskPlan
from batchrun.jobfile.problems import Path, did_you_mean
from batchrun.jobfile.richvalues import ASK
from batchrun.jobfile.shapes import Scalar, Shape
from batchrun.jobfile.variables import check_names, compile_variables
from batchrun.jobfile.works import (
    FRAGILE,
    FrameFields,
    Given,
    compile_condition,
    compile_frame,
    compile_given,
    is_harmless,
    retry_policy,
    shell_of,
)
from batchrun.model.job import Batch, Need, RetryPolicy, Task
from batchrun.model.operation import Operation
from batchrun.model.steps import Section

if TYPE_CHECKING:
    from batchrun.jobfile.sources import Source
    from batchrun.jobfile.sourcethere import SourceThere

__all__ = ["TaskCompiler"]

_TEXT = Shape(scalars=(Scalar(type=str),))
_NO_ITEM = {name: f"`{name}` is known only in a task with `foreach`" for name in ("item", "index")}
_NO_HOST = {"host": "`host` is known only in a task with `hosts`"}
_NOT_HERE = {
    "output": "`output` is known only in a command with `output: PATH` beside it",
    "failed": "`failed` is known only in `rescue` and `always`",
}
_NOT_IN_FOREACH = {**_NOT_HERE, "mine": "`mine` is the result of the same item; write `results`"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Common:
    """A task without what its operation is given; the same for all tasks of a kind."""

    #: The compiler of what its units compute.
    compiler: Compiler
    frame: TaskFrame
    #: A task like all of them; `_task` makes the others of it.
    like: Task
    #: What is done, with the parameters that are known, where that is not the one operation.
    done: Sequence[tuple[Operation, Mapping[str, Any]]]
    #: By whether what is done is harmless; filled when it is asked for.
    retries: dict[bool, RetryPolicy] = field(default_factory=dict)


class TaskCompiler:
    """Compiles the entries of one file, one after the other.

    Args:
        context: What all tasks share.
    """

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._known: dict[Kind, _Common] = {}
        self._compilers: dict[Hashable, tuple[Compiler, Compiler]] = {}

    def compile(self, entry: Entry, needs: tuple[str, ...]) -> TaskPlan | None:
        """Compile an entry; None: it has no operation (said already)."""
        references = self._context.compiler.references
        before = len(references)
        common = self._common(entry)
        if common is None:
            return None
        given = _NOTHING_GIVEN
        if entry.operation is not None:
            given = compile_given(entry, entry.operation, common.compiler)
            check_told_apart(entry, entry, common.frame.hosts, self._context.problems)
        uses = _uses(references[before:])
        return TaskPlan(
            entry=entry,
            frame=common.frame,
            task=_task(entry, needs, common.like, self._retry(entry, common, given.constants)),
            constants=given.constants,
            computed=given.computed,
            secrets=given.secrets,
            on_host=entry.on_hosts,
            uses_mine=uses.mine,
            uses_results=uses.results,
        )

    def _common(self, entry: Entry) -> _Common | None:
        """Return what an entry has in common with its kind; None: it has no operation."""
        kind = entry.kind
        if kind is None or _has_own_shell(entry):
            return self._compiled(entry)
        common = self._known.get(kind)
        if common is None:
            before = self._noted()
            common = self._compiled(entry)
            if common is not None and self._noted() == before:
                self._known[kind] = common
        return common

    def _noted(self) -> tuple[int, ...]:
        """Count what is noted with the place of one task: what notes it cannot be shared."""
        compiler = self._context.compiler
        return len(compiler.problems), len(compiler.references), len(compiler.secrets.used)

    def _compiled(self, entry: Entry) -> _Common | None:
        context, modifiers, operation = self._context, entry.modifiers, entry.operation
        outer, inner = self._compilers_of(entry)
        items = _items(entry, outer)
        hosts = compile_hosts(entry, outer, context.names, context.fleet)
        held = _held(entry, inner)
        variables = compile_variables(
            check_names(modifiers.vars, context.problems, context.variables, (*entry.path, "vars")),
            inner,
            (*entry.path, "vars"),
        )
        _check_limits(held["limit"], entry, context)
        _check_batch(entry, context)
        check_host_modifiers(entry, context.problems)
        steps: StepsPlan | None = None
        done: Sequence[tuple[Operation, Mapping[str, Any]]] = ()
        if operation is not None:
            work = compile_frame(entry, operation, inner, context)
        elif entry.has_steps:
            work, steps, done = _steps(entry, inner, context)
            for step in steps.all:
                if step.on_host and step.delegate is None:
                    check_told_apart(step.entry, entry, hosts, context.problems)
        else:
            compile_condition(modifiers.when, (*entry.path, "when"), inner)
            return None
        given_s = context.options.timeout_s
        frame = TaskFrame(
            **work,
            timeout_s=modifiers.timeout if given_s is None else given_s,
            hosts=hosts,
            connect_timeout_s=modifiers.connect_timeout,
            source=items.source,
            require=items.required,
            variables=variables,
            limits=_fixed(held["limit"]),
            locks=_fixed(held["lock"]),
            machine_locks=_fixed(held["machine"]),
            computed_limits=_computed(held["limit"]),
            computed_locks=_computed(held["lock"]),
            computed_machine_locks=_computed(held["machine"]),
            steps=steps,
            chunked=items.chunked,
        )
        like = _task_like(entry, done, steps)
        return _Common(compiler=inner, frame=frame, like=like, done=done)

    def _compilers_of(self, entry: Entry) -> tuple[Compiler, Compiler]:
        """Return the compiler of what is computed once, and that of what each unit computes."""
        context, operation = self._context, entry.operation
        fragile = operation is not None and operation.name in FRAGILE
        with_items, on_hosts = entry.modifiers.foreach is not None, entry.on_hosts
        shell = shell_of(entry, context)
        variables = frozenset(map(str, entry.modifiers.vars))
        key = (entry.final, fragile, with_items, on_hosts, shell, variables)
        if key not in self._compilers:
            known = {"run", "run.summary", "results"} if entry.final else {"run", "results"}
            outer = replace(
                context.compiler.with_names(known),
                elsewhere={**_NO_ITEM, **_NO_HOST, **_NOT_IN_FOREACH},
            )
            own = {*(_NO_ITEM if with_items else ()), *(_NO_HOST if on_hosts else ())}
            told = {**_NO_ITEM, **_NO_HOST, **_NOT_HERE}
            inner = replace(
                outer.with_names({*variables, *own, "mine"}),
                elsewhere={name: why for name, why in told.items() if name not in own},
                fragile=fragile,
                shell=shell,
            )
            self._compilers[key] = (outer, inner.at(host=on_hosts))
        return self._compilers[key]

    def _retry(self, entry: Entry, common: _Common, constants: Mapping[str, Any]) -> RetryPolicy:
        operation = entry.operation
        harmless = operation is None or is_harmless(operation, constants)
        if harmless not in common.retries:
            given = self._context.options.retries
            common.retries[harmless] = retry_policy(
                entry.modifiers,
                entry.modifiers.retries if given is None else given,
                common.done if operation is None else [(operation, constants)],
                repeat_lost=not entry.has_steps,
            )
        return common.retries[harmless]


_SUDO = Shape(scalars=(Scalar(type=bool), Scalar(type=str)))
_NOTHING_GIVEN = Given({}, (), ())


def _steps(
    entry: Entry, compiler: Compiler, context: TaskContext
) -> tuple[FrameFields, StepsPlan, list[tuple[Operation, Mapping[str, Any]]]]:
    """Compile a task with steps: what it has itself, its steps, what is done in them."""
    from batchrun.jobfile.steps import check_beside_steps, compile_steps  # noqa: PLC0415

    check_beside_steps(entry, context)
    steps = compile_steps(entry, compiler, context)
    frame = FrameFields(
        when=compile_condition(entry.modifiers.when, entry.place_of("when"), compiler),
        around=None,
        changed_when=None,
        register=entry.modifiers.registers or "",
        is_command=False,
        capture_bytes=None,
    )
    done = [
        (step.entry.operation, step.constants)
        for section in Section
        for step in steps.sections[section]
        if step.entry.operation is not None
    ]
    return frame, steps, done


def _has_own_shell(entry: Entry) -> bool:
    return isinstance(entry.raw, dict) and "shell" in entry.raw


def _held(entry: Entry, compiler: Compiler) -> dict[str, list[Compiled]]:
    """Compile the names of what its units hold: limits, locks, locks of the machine."""
    modifiers, path = entry.modifiers, entry.path
    own = [one.name for one in modifiers.lock if not one.machine]
    machine = [one.name for one in modifiers.lock if one.machine]
    return {
        "limit": _names(modifiers.limit, (*path, "limit"), compiler),
        "lock": _names(own, (*path, "lock"), compiler),
        "machine": _names(machine, (*path, "lock"), compiler),
    }


class _Uses(NamedTuple):
    """What a task uses of results."""

    mine: bool = False
    results: tuple[str, ...] = ()


_NO_USES = _Uses()


def _uses(references: Sequence[Reference]) -> _Uses:
    if not references:
        return _NO_USES
    pairs = [pair for _, expression in references for pair in expression.attributes]
    return _Uses(
        mine=any("mine" in expression.names for _, expression in references),
        results=tuple(sorted({name for via, name in pairs if via in ("results", "mine")})),
    )


def _fixed(names: Sequence[Compiled]) -> tuple[str, ...]:
    return tuple(sorted({one.value for one in names if isinstance(one, Constant)}))


def _computed(names: Sequence[Compiled]) -> tuple[Render, ...]:
    return tuple(one for one in names if not isinstance(one, Constant))


class _Items(NamedTuple):
    """What `foreach` of a task says."""

    source: "Source | SourceThere | None" = None
    #: None at all is an error.
    required: bool = False
    chunked: bool = False


_NO_ITEMS = _Items()


def _items(entry: Entry, compiler: Compiler) -> _Items:
    raw = entry.modifiers.foreach
    if raw is None:
        return _NO_ITEMS
    # They bring all sources that there are.
    from batchrun.jobfile.chunked import ChunkedSource  # noqa: PLC0415
    from batchrun.jobfile.foreach import compile_source, items_required  # noqa: PLC0415
    from batchrun.jobfile.sourcethere import SourceThere  # noqa: PLC0415

    source = compile_source(raw, (*entry.path, "foreach"), compiler)
    if isinstance(source, SourceThere):
        _check_there(entry, compiler)
        chunked = source.size is not None
        source = replace(source, sudo=_sudo_of_source(entry, compiler))
    else:
        chunked = isinstance(source, ChunkedSource)
    return _Items(source, items_required(raw), chunked)


def _check_there(entry: Entry, compiler: Compiler) -> None:
    """Note a list that hosts are to be asked for where that cannot be."""
    problems, path = compiler.problems, (*entry.path, "foreach", "at")
    if not entry.on_hosts:
        problems.add(path, "`at: host` is for a task with `hosts`")
    elif any(need.per != "all" for need in entry.needs):
        message = (
            "hosts are asked for their items when the task starts, so that nothing can wait for "
            "a single one; take `per` away from its `needs`"
        )
        problems.add(path, message)


def _sudo_of_source(entry: Entry, compiler: Compiler) -> Compiled:
    """Compile the sudo of a task for the look-ups at its hosts, which come before any item."""
    from batchrun.jobfile.sudo import compile_sudo  # noqa: PLC0415 - few tasks have one there

    raw, path = entry.modifiers.sudo, entry.place_of("sudo")
    if entry.operation is not None and isinstance(entry.raw, dict) and "sudo" in entry.raw:
        raw, path = entry.raw["sudo"], (*entry.path, entry.operation.name, "sudo")
    found: Compiled | None = None
    if isinstance(raw, dict):
        found = compile_sudo(raw, path, compiler.at(host=True))
    elif raw is not None:
        found = compiler.at(host=True).value(_SUDO, raw, path)
    return Constant(value=False) if found is None else found


def _names(names: Sequence[str], path: Path, compiler: Compiler) -> list[Compiled]:
    compiled = [compiler.value(_TEXT, name, path) for name in names]
    return [one for one in compiled if one is not None]


def _check_limits(limits: Sequence[Compiled], entry: Entry, context: TaskContext) -> None:
    for one in limits:
        if isinstance(one, Constant) and one.value not in context.limits:
            message = (
                f"there is no `{one.value}` in the job's `limits`"
                f"{did_you_mean(one.value, context.limits)}"
            )
            context.problems.add((*entry.path, "limit"), message)


def _check_batch(entry: Entry, context: TaskContext) -> None:
    """Note waves of a task that has no units to divide."""
    modifiers = entry.modifiers
    divided = modifiers.foreach is not None or entry.on_hosts
    if modifiers.batch is not None and not divided and "batch" in entry.written:
        message = (
            "`batch` divides the hosts or the items of a task in waves; this task has neither "
            "`hosts` nor `foreach`"
        )
        context.problems.add((*entry.path, "batch"), message)
    if modifiers.pause is not None and modifiers.batch is None and "pause" in entry.written:
        message = "`pause` is between the waves of a `batch`; write `batch` too"
        context.problems.add((*entry.path, "pause"), message)


def _task_like(
    entry: Entry, done: Sequence[tuple[Operation, Mapping[str, Any]]], steps: StepsPlan | None
) -> Task:
    """Make a task of what is said beside its name and needs."""
    modifiers, operation = entry.modifiers, entry.operation
    of_steps = () if steps is None else steps.registers
    return Task(
        id="",
        name="",
        operation="steps" if operation is None else operation.name,
        max_fail=modifiers.max_fail,
        max_parallel=modifiers.max_parallel,
        slots=modifiers.slots,
        batch=_batch(entry),
        ignore_errors=modifiers.ignore_errors,
        single=modifiers.foreach is None and modifiers.hosts is None,
        on_hosts=modifiers.hosts is not None,
        per_host=modifiers.per_host,
        pick=modifiers.pick,
        ignore_unreachable=modifiers.ignore_unreachable,
        is_command=any(one.is_command for one, _ in done)
        or (operation is not None and operation.is_command),
        reviewed=modifiers.registers is not None or modifiers.changed_when is not None,
        registers=tuple(filter(None, (modifiers.registers, *of_steps))),
        print_always=modifiers.print == "always",
    )


def _task(entry: Entry, needs: tuple[str, ...], like: Task, retry: RetryPolicy) -> Task:
    """Complete a task; written out, because `replace` takes four times as long."""
    return Task(
        id=entry.id,
        name=entry.name or entry.id,
        operation=like.operation,
        needs=_needs(entry, needs),
        retry=retry,
        max_fail=like.max_fail,
        max_parallel=like.max_parallel,
        slots=like.slots,
        batch=like.batch,
        ignore_errors=like.ignore_errors,
        single=like.single,
        on_hosts=like.on_hosts,
        per_host=like.per_host,
        pick=like.pick,
        ignore_unreachable=like.ignore_unreachable,
        is_command=like.is_command,
        reviewed=like.reviewed,
        registers=like.registers,
        print_always=like.print_always,
        line=entry.line,
    )


def _needs(entry: Entry, needs: tuple[str, ...]) -> tuple[Need, ...]:
    """Return what a task needs: what is written, and the task before it when that is the order."""
    if needs == tuple([need.task_id for need in entry.needs]):
        return entry.needs
    written = {need.task_id: need for need in reversed(entry.needs)}
    return tuple(written.get(one) or Need(task_id=one) for one in needs)


def _batch(entry: Entry) -> Batch | None:
    modifiers = entry.modifiers
    if modifiers.batch is None or (modifiers.foreach is None and modifiers.hosts is None):
        return None
    asked = modifiers.pause == ASK
    pause_s = 0.0 if asked or modifiers.pause is None else float(modifiers.pause)
    return Batch(sizes=modifiers.batch, pause_s=pause_s, ask=asked)
