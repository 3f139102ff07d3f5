"""`sudo` with a password: a user, and the secret that holds it."""

import re
from collections.abc import Mapping
from typing import Any

from batchrun.jobfile.compiled import Compiled, Constant, mapping
from batchrun.jobfile.expressions import Expression, parse_expression
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.problems import Path
from batchrun.jobfile.scalars import Plain, is_null
from batchrun.jobfile.shapes import Scalar, Shape
from batchrun.jobfile.synonyms import hint_for
from batchrun.jobfile.template import is_template, sole_expression, split
from batchrun.model.secret import SecretRef, SecretText

__all__ = ["SUDO_SCHEMA", "compile_sudo"]

_TEXT = Shape(scalars=(Scalar(type=str),))
_KEYS = ("user", "password")
_REFERENCE = re.compile(r"secrets(?:\.\w+)+")
#: For editors: the mapping, and what its entries take.
SUDO_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "user": {"type": ["string", "number"]},
        "password": {
            "type": "string",
            "pattern": r"^\s*(\{\{-?\s*)?secrets\.[A-Za-z_][A-Za-z0-9_]*(\s*-?\}\})?\s*$",
        },
    },
    "required": ["password"],
    "additionalProperties": False,
}


def compile_sudo(raw: Mapping[str, Any], path: Path, compiler: Compiler) -> Compiled | None:
    """Compile a mapping with `user` and `password`; None: a mistake was noted.

    No message shows what stands at `password`: it may be one.
    """
    before = len(compiler.problems)
    for key in raw:
        if key not in _KEYS:
            hint = hint_for(key, _KEYS, "") or "; it takes `user` and `password`"
            compiler.problems.add((*path, key), f"`sudo` has no `{key}`{hint}")
    parts: dict[str, Compiled | None] = {}
    if "user" in raw:
        parts["user"] = _user(raw["user"], (*path, "user"), compiler)
    if "password" in raw:
        parts["password"] = _password(raw["password"], (*path, "password"), compiler)
    elif len(compiler.problems) == before:
        message = (
            "`password` is missing; write `password: secrets.NAME`, or where sudo asks for none "
            "`sudo: USER`"
        )
        compiler.problems.add(path, message)
    done = {key: part for key, part in parts.items() if part is not None}
    return mapping(done) if len(compiler.problems) == before else None


def _user(raw: Any, path: Path, compiler: Compiler) -> Compiled | None:
    is_word = type(raw) is Plain and raw.lower() in ("true", "false")
    if is_null(raw) or is_word or raw == "":
        message = "names no user; write a name, or leave `user` out for root"
        compiler.problems.add(path, message)
        return None
    return compiler.value(_TEXT, raw, path)


def _password(raw: Any, path: Path, compiler: Compiler) -> Compiled | None:
    text = raw.strip() if isinstance(raw, str) else ""
    expression = _expression(text)
    if expression is None or "secrets" not in expression.names:
        name = text if text in compiler.secrets.declared else "NAME"
        message = (
            "is no secret; declare the password under `secrets` and write "
            f"`password: secrets.{name}`"
        )
        compiler.problems.add(path, message)
        return None
    refusal = compiler.secrets.refusal(expression, "")
    if refusal:
        compiler.problems.add(path, refusal)
        return None
    return Constant(SecretText((SecretRef(expression.secret),)))


def _expression(text: str) -> Expression | None:
    """Read a reference, with or without braces; None: it is something else."""
    if not is_template(text):
        return parse_expression(text) if _REFERENCE.fullmatch(text) else None
    try:
        return sole_expression(split(text))
    except ValueError:
        return None
