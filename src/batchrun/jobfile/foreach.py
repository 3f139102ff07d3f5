"""`foreach` as written, compiled to a source of items."""

from collections.abc import Mapping
from typing import Any

from batchrun.jobfile.compiled import Compiled, Constant
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.problems import Path, did_you_mean
from batchrun.jobfile.readers import read_bool
from batchrun.jobfile.scalars import is_null
from batchrun.jobfile.shapes import Scalar, Shape
from batchrun.jobfile.sources import (
    GlobSource,
    LinesSource,
    ListSource,
    RangeSource,
    Source,
    ValueSource,
)
from batchrun.jobfile.template import is_template, sole_expression
from batchrun.model.values import Kind

__all__ = ["compile_source", "items_required"]

_LATER = ("csv", "json", "find", "command", "matrix")
_KINDS = ("glob", "lines", "range")
_OPTIONS = {"glob": ("hidden",), "lines": ("null_separated",), "range": ()}

_PATH = Shape(scalars=(Scalar(type=str, kind=Kind.PATH),))
_PATTERNS = Shape(items=Shape(scalars=(Scalar(type=str, kind=Kind.PATTERN),)))
_STANDARD_INPUT = Constant("-")


def items_required(raw: Any) -> bool:
    """Tell whether `require: true` stands beside the source."""
    try:
        return isinstance(raw, Mapping) and read_bool(raw.get("require", False))
    except ValueError:
        return False  # noted when the source was compiled


def compile_source(raw: Any, path: Path, compiler: Compiler) -> Source | None:
    """Compile `foreach`; None: a mistake was noted."""
    if isinstance(raw, list):
        compiled = [compiler.anything(one, (*path, at)) for at, one in enumerate(raw)]
        return ListSource(items=tuple(compiled))
    if isinstance(raw, dict):
        return _source(raw, path, compiler)
    if isinstance(raw, str) and is_template(raw):
        parts = compiler.template(raw, path)
        sole = sole_expression(parts or [])
        if sole is not None:
            return ValueSource(text=raw, compute=sole.evaluate)
        if parts is None:
            return None
    if not is_null(raw) and not isinstance(raw, bool):
        message = 'write a list, one "{{ EXPR }}" that is a list, or {glob: ...}, {lines: ...}, '
        compiler.problems.add(path, message + "{range: [...]}")
    else:
        compiler.problems.add(path, "has no value; write a list, or {glob: ...}, {lines: ...}")
    return None


def _source(raw: dict[str, Any], path: Path, compiler: Compiler) -> Source | None:
    kinds = [key for key in raw if key in _KINDS]
    problems = compiler.problems
    allowed = {*_KINDS, "require", *(one for key in kinds for one in _OPTIONS[key])}
    for key in raw:
        if key in _LATER or key in ("at", "chunk"):
            message = f"`{key}` is not supported by this version of batchrun yet"
            problems.add((*path, key), message)
        elif key not in allowed:
            problems.add((*path, key), f"`{key}` is not a key here{did_you_mean(key, allowed)}")
    if len(kinds) > 1:
        listed = " and ".join(f"`{key}`" for key in kinds)
        problems.add(path, f"{listed} in one `foreach`; choose one")
    elif not kinds and not any(key in _LATER for key in raw):
        problems.add(path, "there is no source of items; write one of glob, lines, range")
    flags = {
        key: _flag(raw, key, path, compiler) for key in ("hidden", "null_separated", "require")
    }
    if len(kinds) != 1:
        return None
    return _KIND_OF[kinds[0]](raw[kinds[0]], (*path, kinds[0]), compiler, flags)


def _flag(raw: dict[str, Any], key: str, path: Path, compiler: Compiler) -> bool:
    try:
        return read_bool(raw.get(key, False))
    except ValueError as error:
        compiler.problems.add((*path, key), str(error))
        return False


def _glob(raw: Any, path: Path, compiler: Compiler, flags: Mapping[str, bool]) -> Source | None:
    patterns = [
        compiler.value(_PATTERNS, one, (*path, at) if isinstance(raw, list) else path)
        for at, one in enumerate(raw if isinstance(raw, list) else [raw])
    ]
    known = [one for one in patterns if one is not None]
    if len(known) < len(patterns):
        return None
    text = ", ".join(str(one) for one in raw) if isinstance(raw, list) else str(raw)
    return GlobSource(text=text, patterns=tuple(map(_only, known)), hidden=flags["hidden"])


def _only(compiled: Compiled) -> Compiled:
    """Take the one pattern out of the tuple that the shape makes; a computed list stays one."""
    if isinstance(compiled, Constant):
        return Constant(compiled.value[0])
    return compiled


def _lines(raw: Any, path: Path, compiler: Compiler, flags: Mapping[str, bool]) -> Source | None:
    compiled = _STANDARD_INPUT if raw == "-" else compiler.value(_PATH, raw, path)
    if compiled is None:
        return None
    return LinesSource(text=str(raw), path=compiled, null_separated=flags["null_separated"])


def _range(raw: Any, path: Path, compiler: Compiler, flags: Mapping[str, bool]) -> Source | None:  # noqa: ARG001 - one signature for all
    if not isinstance(raw, list) or len(raw) not in (2, 3):
        compiler.problems.add(path, "write [FIRST, LAST] or [FIRST, LAST, STEP]")
        return None
    one = Shape(scalars=(Scalar(type=int),))
    bounds = [compiler.value(one, bound, (*path, at)) for at, bound in enumerate(raw)]
    known = tuple(bound for bound in bounds if bound is not None)
    if len(known) == 3 and isinstance(known[2], Constant) and known[2].value == 0:
        compiler.problems.add((*path, 2), "the step of a range cannot be 0")
        return None
    return RangeSource(bounds=known) if len(known) == len(bounds) else None


_KIND_OF = {"glob": _glob, "lines": _lines, "range": _range}
