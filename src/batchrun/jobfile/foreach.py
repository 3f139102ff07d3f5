"""`foreach` as written, compiled to a source of items."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from batchrun.jobfile.chunked import ChunkedSource
from batchrun.jobfile.commandsource import CommandSource
from batchrun.jobfile.compiled import Compiled, Constant, Render
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.filesources import FileSource, LinesSource
from batchrun.jobfile.findfields import FIND_SHAPES, compile_find
from batchrun.jobfile.pathsources import GlobSource
from batchrun.jobfile.problems import Path
from batchrun.jobfile.readers import read_bool
from batchrun.jobfile.scalars import is_null
from batchrun.jobfile.shapes import Scalar, Shape
from batchrun.jobfile.sources import (
    ListSource,
    MatrixSource,
    RangeSource,
    Source,
    ValueSource,
)
from batchrun.jobfile.sourcethere import SourceThere, TheirSource
from batchrun.jobfile.synonyms import hint_in_source
from batchrun.jobfile.template import is_template, sole_expression, split
from batchrun.jobfile.written import WHOLE_NUMBER, Written, least_one
from batchrun.model.values import Kind

__all__ = ["SOURCE_OPTIONS", "compile_source", "items_required"]

#: Kinds of source, and what may stand beside each.
SOURCE_OPTIONS = {
    "glob": ("hidden", "at"),
    "lines": ("null_separated", "at"),
    "csv": (),
    "json": (),
    "find": ("hidden", "at"),
    "range": (),
    "command": ("null_separated", "at"),
    "matrix": (),
}
#: What hosts cannot be asked for, by source.
_NOT_THERE = {"glob": ("hidden",), "find": ("owner", "exclude", "one_file_system")}
_FLAGS = ("hidden", "null_separated", "require")
_PATTERN_MARKS = frozenset("*?[")
_LISTED = ", ".join(SOURCE_OPTIONS)

_TEXT = Scalar(type=str)
_PATH = Shape(scalars=(Scalar(type=str, kind=Kind.PATH),))
_PATTERNS = Shape(items=Shape(scalars=(Scalar(type=str, kind=Kind.PATTERN),)))
_TEXTS = Shape(items=Shape(scalars=(_TEXT,)))
_STANDARD_INPUT = Constant("-")


def items_required(raw: Any) -> bool:
    """Tell whether `require: true` stands beside the source."""
    try:
        return isinstance(raw, Mapping) and read_bool(raw.get("require", False))
    except ValueError:
        return False  # noted when the source was compiled


def compile_source(raw: Any, path: Path, compiler: Compiler) -> Source | SourceThere | None:
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
    if isinstance(raw, str) and not is_null(raw) and _looks_like_a_pattern(raw):
        message = f"a pattern of files is a source; write {{glob: {json.dumps(raw)}}}"
        compiler.problems.add(path, message)
    elif not is_null(raw) and not isinstance(raw, bool):
        message = (
            f'write a list, one "{{{{ EXPR }}}}" that is a list, or a source: one of {_LISTED}'
        )
        compiler.problems.add(path, message)
    else:
        compiler.problems.add(path, "has no value; write a list, or {glob: ...}, {lines: ...}")
    return None


def _looks_like_a_pattern(raw: str) -> bool:
    """Tell whether a text is one of paths, not one with a template around it."""
    return not is_template(raw) and not _PATTERN_MARKS.isdisjoint(raw)


def _source(raw: dict[str, Any], path: Path, compiler: Compiler) -> Source | SourceThere | None:
    kinds = [key for key in raw if key in SOURCE_OPTIONS]
    _check_keys(raw, kinds, path, compiler)
    if "at" in raw and kinds:
        if not _is_asked_right(raw, kinds[0], path, compiler):
            return None
        compiler = compiler.at(host=True)
    flags = {key: _flag(raw, key, path, compiler) for key in _FLAGS}
    size = least_one(raw["chunk"], (*path, "chunk"), compiler) if "chunk" in raw else None
    if len(kinds) != 1:
        return None
    source = _KIND_OF[kinds[0]](Written(raw[kinds[0]], (*path, kinds[0]), compiler, flags))
    if source is None or ("chunk" in raw and size is None):
        return None
    if "at" in raw and isinstance(source, TheirSource):
        return SourceThere(source=source, size=size)
    return source if size is None else ChunkedSource(source=source, size=size)


def _check_keys(raw: dict[str, Any], kinds: list[str], path: Path, compiler: Compiler) -> None:
    problems = compiler.problems
    allowed = {
        *SOURCE_OPTIONS,
        "require",
        "chunk",
        *(one for key in kinds for one in SOURCE_OPTIONS[key]),
    }
    unknown = [key for key in raw if key not in allowed]
    for key in unknown:
        problems.add((*path, key), _unknown(key, kinds, allowed))
    if len(kinds) > 1:
        listed = " and ".join(f"`{key}`" for key in kinds)
        problems.add(path, f"{listed} in one `foreach`; choose one")
    elif not kinds and not any(hint_in_source(key, SOURCE_OPTIONS) for key in unknown):
        problems.add(path, f"there is no source of items; write one of {_LISTED}")


def _unknown(key: str, kinds: list[str], allowed: set[str]) -> str:
    owners = [kind for kind, options in SOURCE_OPTIONS.items() if key in options]
    if owners and kinds:
        return f"`{key}` belongs to {_enumerated(owners)}; take it away"
    if key in FIND_SHAPES:
        return f"`{key}` stands inside `find`: {{find: {{path: DIR, {key}: ...}}}}"
    return f"`{key}` is not a key here{hint_in_source(key, allowed)}"


def _enumerated(keys: list[str]) -> str:
    *others, last = [f"`{one}`" for one in keys]
    return f"{', '.join(others)} and {last}" if others else last


def _is_asked_right(raw: dict[str, Any], kind: str, path: Path, compiler: Compiler) -> bool:
    """Note what is wrong with `at: host` beside a source; tell whether nothing is."""
    problems, before = compiler.problems, len(compiler.problems)
    if raw["at"] != "host":
        message = "write `at: host`, or take it away: items come from this machine then"
        problems.add((*path, "at"), message)
    if raw[kind] == "-":
        message = "standard input is on this machine; take `at: host` away"
        problems.add((*path, kind), message)
    given = raw[kind] if kind == "find" and isinstance(raw[kind], dict) else raw
    for key in _NOT_THERE.get(kind, ()):
        if key in given:
            where = (*path, kind, key) if given is not raw else (*path, key)
            message = f"`{key}` cannot be asked of a host; let a `command` write the items there"
            problems.add(where, message)
    return len(problems) == before and "at" in SOURCE_OPTIONS[kind]


def _flag(raw: dict[str, Any], key: str, path: Path, compiler: Compiler) -> bool:
    try:
        return read_bool(raw.get(key, False))
    except ValueError as error:
        compiler.problems.add((*path, key), str(error))
        return False


def _glob(written: Written) -> Source | None:
    compiler = written.compiler
    patterns = [compiler.value(_PATTERNS, one, path) for one, path in written.each()]
    known = [one for one in patterns if one is not None]
    if len(known) < len(patterns):
        return None
    raw = written.raw
    text = ", ".join(str(one) for one in raw) if isinstance(raw, list) else str(raw)
    return GlobSource(text=text, patterns=tuple(map(_only, known)), hidden=written.flags["hidden"])


def _only(compiled: Compiled) -> Compiled:
    """Take the one pattern out of the tuple that the shape makes; a computed list stays one."""
    if isinstance(compiled, Constant):
        return Constant(compiled.value[0])
    return compiled


def _file(written: Written) -> Compiled | None:
    return _STANDARD_INPUT if written.raw == "-" else written.value(_PATH)


def _lines(written: Written) -> Source | None:
    path = _file(written)
    if path is None:
        return None
    return LinesSource(text=written.text, path=path, null_separated=written.flags["null_separated"])


def _csv(written: Written) -> Source | None:
    path = _file(written)
    return None if path is None else FileSource(kind="csv", text=written.text, path=path)


def _json(written: Written) -> Source | None:
    path = _file(written)
    return None if path is None else FileSource(kind="json", text=written.text, path=path)


def _range(written: Written) -> Source | None:
    raw, path, compiler = written.raw, written.path, written.compiler
    if not isinstance(raw, list) or len(raw) not in (2, 3):
        compiler.problems.add(path, "write [FIRST, LAST] or [FIRST, LAST, STEP]")
        return None
    bounds = [compiler.value(WHOLE_NUMBER, bound, (*path, at)) for at, bound in enumerate(raw)]
    known = tuple(bound for bound in bounds if bound is not None)
    if len(known) == 3 and isinstance(known[2], Constant) and known[2].value == 0:
        compiler.problems.add((*path, 2), "the step of a range cannot be 0")
        return None
    return RangeSource(bounds=known) if len(known) == len(bounds) else None


def _command(written: Written) -> Source | None:
    raw, problems = written.raw, written.compiler.problems
    is_list = isinstance(raw, list) and bool(raw)
    if not is_list and not (isinstance(raw, str) and _is_sole(raw)):
        message = "write a program and its arguments as a list, such as [git, ls-files]"
        if isinstance(raw, str) and raw and not is_null(raw):
            message += f"; for a shell: [sh, -c, {json.dumps(str(raw), ensure_ascii=False)}]"
        problems.add(written.path, message)
        return None
    argv = written.value(_TEXTS)
    if argv is None:
        return None
    return CommandSource(
        argv=argv,
        text=written.text,
        base_dir=written.compiler.base_dir,
        null_separated=written.flags["null_separated"],
        withheld_env=written.compiler.secrets.withheld_env,
    )


def _is_sole(text: str) -> bool:
    try:
        return is_template(text) and sole_expression(split(text)) is not None
    except ValueError:
        return False


def _matrix(written: Written) -> Source | None:
    raw, path, compiler = written.raw, written.path, written.compiler
    if not isinstance(raw, dict) or not raw:
        compiler.problems.add(path, "write a mapping of lists, such as {a: [1, 2], b: [x, y]}")
        return None
    axes = {key: _axis(axis, (*path, key), compiler) for key, axis in raw.items()}
    known = {key: axis for key, axis in axes.items() if axis is not None}
    return MatrixSource(axes=known) if len(known) == len(axes) else None


def _axis(raw: Any, path: Path, compiler: Compiler) -> Render | tuple[Compiled, ...] | None:
    if isinstance(raw, list):
        return tuple(compiler.anything(one, (*path, at)) for at, one in enumerate(raw))
    if isinstance(raw, str) and _is_sole(raw):
        compiled = compiler.anything(raw, path)
        return None if isinstance(compiled, Constant) else compiled
    compiler.problems.add(path, 'write a list, or one "{{ EXPR }}" that is a list')
    return None


_KIND_OF: Mapping[str, Callable[[Written], Source | None]] = {
    "glob": _glob,
    "lines": _lines,
    "csv": _csv,
    "json": _json,
    "find": compile_find,
    "range": _range,
    "command": _command,
    "matrix": _matrix,
}
