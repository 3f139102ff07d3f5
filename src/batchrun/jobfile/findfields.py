"""`find` of a `foreach`, compiled: its keys, and the patterns of names."""

from typing import Any

from batchrun.jobfile.compiled import Compiled, Constant, sequence
from batchrun.jobfile.expressions import Expression
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.find import TYPES
from batchrun.jobfile.pathsources import FindSource
from batchrun.jobfile.problems import Path
from batchrun.jobfile.scalars import is_null
from batchrun.jobfile.scope import Names
from batchrun.jobfile.shapes import Scalar, Shape
from batchrun.jobfile.sources import Source
from batchrun.jobfile.synonyms import hint_in_find
from batchrun.jobfile.template import insert, is_template
from batchrun.jobfile.written import WHOLE_NUMBER, Written, least_one
from batchrun.model.values import Kind
from batchrun.ops.paths import escape

__all__ = ["FIND_SHAPES", "compile_find"]

_TEXT = Scalar(type=str)
_PATH = Shape(scalars=(Scalar(type=str, kind=Kind.PATH),))
_AGE = Shape(scalars=(Scalar(type=float, kind=Kind.DURATION),))
_SIZE = Shape(scalars=(Scalar(type=int, kind=Kind.SIZE),))
#: Keys of `find` and how each is read; `name` has rules of its own.
FIND_SHAPES = {
    "path": Shape(items=_PATH),
    "name": Shape(items=Shape(scalars=(_TEXT,))),
    "older_than": _AGE,
    "newer_than": _AGE,
    "larger_than": _SIZE,
    "smaller_than": _SIZE,
    "type": Shape(scalars=(Scalar(type=str, choices=tuple(TYPES)),)),
    "owner": Shape(scalars=(_TEXT,)),
    "max_depth": WHOLE_NUMBER,
    "exclude": Shape(items=Shape(scalars=(_TEXT,))),
    "one_file_system": Shape(scalars=(Scalar(type=bool),)),
}


def compile_find(written: Written) -> Source | None:
    """Compile what stands behind `find`; None: a mistake was noted."""
    raw, path, compiler = written.raw, written.path, written.compiler
    if not isinstance(raw, dict):
        compiler.problems.add(path, "write a mapping, such as {path: DIR, older_than: 7d}")
        return None
    before = len(compiler.problems)
    for key in raw:
        if key not in FIND_SHAPES:
            free = [one for one in FIND_SHAPES if one not in raw]
            message = f"`find` has no `{key}`{hint_in_find(key, free)}"
            compiler.problems.add((*path, key), message)
    if "path" not in raw and len(compiler.problems) == before:  # it may have another name
        message = "`path` is missing; write in which directory, {find: {path: DIR}}"
        compiler.problems.add(path, message)
    given = {key: (value, (*path, key)) for key, value in raw.items() if key in FIND_SHAPES}
    fields = {key: _find_field(key, *one, compiler) for key, one in given.items()}
    known = {key: one for key, one in fields.items() if one is not None}
    if len(compiler.problems) > before or len(known) < len(fields):
        return None
    return FindSource(
        text=Written(raw["path"], path, compiler, {}).text,
        fields=known,
        hidden=written.flags["hidden"],
    )


def _find_field(key: str, raw: Any, path: Path, compiler: Compiler) -> Compiled | None:
    if key == "max_depth":
        return least_one(raw, path, compiler)
    if key != "name":
        return compiler.value(FIND_SHAPES[key], raw, path)
    one_or_many = Written(raw, path, compiler, {}).each()
    patterns = [_name_pattern(one, at, compiler) for one, at in one_or_many]
    known = [one for one in patterns if one is not None]
    return sequence(known, tuple) if len(known) == len(patterns) else None


def _name_pattern(raw: Any, path: Path, compiler: Compiler) -> Compiled | None:
    """Compile the pattern of a name: what is inserted is literal, as in paths."""
    if not isinstance(raw, str) or is_null(raw) or not raw:
        compiler.problems.add(path, "write a name or a pattern, such as '*.log'")
        return None
    parts = compiler.template(raw, path) if is_template(raw) else [str(raw)]
    if parts is None:
        return None
    if any("/" in part for part in parts if isinstance(part, str)):
        message = "a name has no `/`; say where to look in `path`, or leave out in `exclude`"
        compiler.problems.add(path, message)
        return None
    if all(isinstance(part, str) for part in parts):
        return Constant("".join(str(part) for part in parts))

    def render(names: Names) -> str:
        return "".join(part if isinstance(part, str) else _literal(part, names) for part in parts)

    return render


def _literal(expression: Expression, names: Names) -> str:
    text = insert(expression, names)
    return text if expression.glob else escape(text).replace(",", "[,]").replace("}", "[}]")
