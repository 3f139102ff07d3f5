"""What stands around an operation, compiled: guards, the output file, priorities."""

from typing import Any

from batchrun.jobfile.compiled import Compiled, Constant
from batchrun.jobfile.entries import Entry, TaskContext
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.plan import AroundPlan, Computed, OutputPlan
from batchrun.jobfile.rendering import wrong_output
from batchrun.jobfile.shapes import Scalar, Shape
from batchrun.model.values import Kind

__all__ = ["AROUND_KEYS", "compile_around"]

_PATH = Shape(scalars=(Scalar(type=str, kind=Kind.PATH),))
_PATHS = Shape(items=_PATH)
_PATTERNS = Shape(items=Shape(scalars=(Scalar(type=str, kind=Kind.PATTERN),)))
_TEXT = Shape(scalars=(Scalar(type=str),))
_COMMAND = Shape(scalars=(Scalar(type=str, kind=Kind.SHELL),), items=_TEXT)
_SHAPES = {
    "mounted": _PATHS,
    "creates": _PATTERNS,
    "removes": _PATTERNS,
    "unless": _COMMAND,
    "onlyif": _COMMAND,
}
_PRIORITIES = ("nice", "ionice")
AROUND_KEYS = (*_SHAPES, *_PRIORITIES, "output")


def compile_around(entry: Entry, compiler: Compiler, context: TaskContext) -> AroundPlan | None:
    """Compile what stands around the operation of a task or step; None: nothing does."""
    modifiers = entry.modifiers
    constants: dict[str, Any] = {}
    computed: list[Computed] = []
    for key, shape in _SHAPES.items():
        raw = getattr(modifiers, key)
        if raw is None:
            continue
        path = entry.place_of(key)
        compiled = compiler.value(shape, raw, path)
        if isinstance(compiled, Constant):
            constants[key] = compiled.value
        elif compiled is not None:
            computed.append((key, path, compiled))
    constants |= {
        key: value for key in _PRIORITIES if (value := getattr(modifiers, key)) is not None
    }
    output = _output(entry, compiler, context)
    if not constants and not computed and output is None:
        return None
    return AroundPlan(
        constants=constants,
        computed=tuple(computed),
        has_command=modifiers.unless is not None or modifiers.onlyif is not None,
        output=output,
    )


def _output(entry: Entry, compiler: Compiler, context: TaskContext) -> OutputPlan | None:
    raw = entry.modifiers.output
    if raw is None:
        return None
    place = entry.place_of("output")
    if entry.operation is not None and not entry.operation.is_command:
        message = f"`output` is for commands (run, script); `{entry.operation.name}` is none"
        context.problems.add(place, message)
        return None
    as_written = entry.written.get("output")
    inside = (*place, "path") if isinstance(as_written, dict) else place
    path = compiler.value(_PATH, raw["path"], inside)
    newer_than: Compiled | None = None
    if "newer_than" in raw:
        newer_than = compiler.value(_PATHS, raw["newer_than"], (*place, "newer_than"))
    if path is None:
        return None
    if isinstance(path, Constant):
        wrong = wrong_output(path.value, on_host=not compiler.base_dir)
        if wrong:
            context.problems.add(inside, wrong)
    return OutputPlan(place=inside, path=path, newer_than=newer_than, number=next(context.outputs))
