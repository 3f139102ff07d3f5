"""The text of a job file for what was asked for on the command line."""

import json
import re
from collections.abc import Mapping
from typing import Any

from batchrun.errors import UsageError
from batchrun.model.job import FailLimit

__all__ = [
    "Typed",
    "is_text",
    "job_text",
    "limit_word",
    "literal",
    "scalar_word",
    "shell_literal",
]

#: What YAML 1.1 and 1.2 both read as this very text.
_PLAIN = re.compile(r"[A-Za-z_/][\w./-]*", re.ASCII)
#: Numbers and words that mean something to YAML, and are meant so when a user types them.
_TYPED = re.compile(r"[-+]?\d[\d.]*|0o?[0-7]+|true|false|null", re.ASCII)
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"})
_WIDTH = 100
_NAMED = {"\0": "\\0", "\t": "\\t", "\n": "\\n", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


class Typed(str):
    """A word whose type YAML decides: `0640`, `true`, `3`."""

    __slots__ = ()


def scalar_word(text: str) -> str:
    """Take a value from the command line as a YAML scalar: numbers and booleans keep their type.

    >>> type(scalar_word("true")).__name__, type(scalar_word("a b")).__name__
    ('Typed', 'str')
    """
    return Typed(text) if _TYPED.fullmatch(text) else text


def literal(text: str) -> str:
    """Write text so that the job file's templates leave it as it is.

    >>> literal("{{.Id}}")
    "{{ '{{' }}.Id}}"
    """
    return text.replace("{{", "{{ '{{' }}")


def shell_literal(text: str) -> str:
    """Write a shell text so that templates leave it as it is, and nothing in it is quoted.

    >>> shell_literal("docker ps --format {{.ID}}")
    "docker ps --format {{ '{{' | raw }}.ID}}"
    """
    return text.replace("{{", "{{ '{{' | raw }}")


def is_text(text: str) -> bool:
    """Say whether a text can stand in a file: bytes that are not UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def job_text(job: Mapping[str, Any], *, about: str) -> str:
    """Write a job file.

    Args:
        job: Keys and values, of text, numbers, booleans, lists and mappings.
        about: One line of comment at its top.

    Raises:
        UsageError: a text in it cannot stand in a file.
    """
    return f"# {' '.join(about.split())}\n" + "".join(
        f"{line}\n" for key, value in job.items() for line in _entry(key, value)
    )


def limit_word(limit: FailLimit) -> int | str:
    """Write a fail limit as in a job file.

    >>> limit_word(FailLimit(count=3)), limit_word(FailLimit(percent=12.5))
    (3, '12.5%')
    """
    return f"{limit.percent:g}%" if limit.count is None else limit.count


def _entry(key: str, value: Any) -> list[str]:
    """Write a key with its value, as lines without indentation."""
    name = _scalar(key)
    if isinstance(value, str) and "\n" in value and _fits_block(value):
        mark = "|" if value.endswith("\n") else "|-"
        return [f"{name}: {mark}", *(f"  {line}".rstrip() for line in value.splitlines())]
    flow = _flow(value)
    if len(flow) + len(key) < _WIDTH and not _has_mappings(value):
        return [f"{name}: {flow}"]
    if isinstance(value, Mapping) and value:
        return [f"{name}:", *(f"  {line}" for one in value.items() for line in _entry(*one))]
    if isinstance(value, list | tuple) and value:
        return [f"{name}:", *(line for one in value for line in _item(one))]
    return [f"{name}: {flow}"]


def _item(value: Any) -> list[str]:
    """Write one item of a list."""
    if not isinstance(value, Mapping) or not value:
        return [f"  - {_flow(value)}"]
    lines = [line for one in value.items() for line in _entry(*one)]
    return [f"  - {lines[0]}", *(f"    {line}" for line in lines[1:])]


def _has_mappings(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value)


def _flow(value: Any) -> str:
    """Write a value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value) if isinstance(value, str) else json.dumps(value)


def _scalar(text: str) -> str:
    """Write one text: plain where nothing else could be meant, else in quotes."""
    if isinstance(text, Typed):
        return str(text)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    if text.isprintable():
        quoted = text.replace("'", "''")
        return f"'{quoted}'"
    return '"' + "".join(map(_character, text)) + '"'


def _character(char: str) -> str:
    """Write one character inside double quotes."""
    if char in _NAMED or char.isprintable():
        return _NAMED.get(char, char)
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        message = (
            "a name that is not valid UTF-8 cannot be written into a job file; read the items "
            "from a file with -a, or from standard input"
        )
        raise UsageError(message)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _fits_block(text: str) -> bool:
    """Say whether a text of many lines may be written as a block, where nothing is escaped."""
    lines = text.split("\n")
    good = all((line.isprintable() or not line.replace("\t", "").strip()) for line in lines)
    trailing = any(line != line.rstrip() for line in lines) or "\n\n" in text[-2:]
    return good and is_text(text) and not trailing and text[:1] not in (" ", "\n", "\t", "")
