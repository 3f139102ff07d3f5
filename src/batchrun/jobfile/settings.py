"""A file with defaults for the command line's options: names and texts, in the job files' YAML."""

from collections.abc import Mapping
from dataclasses import dataclass

from batchrun.errors import JobFileError, Problem
from batchrun.jobfile.document import parse
from batchrun.jobfile.scalars import is_null, text_of

__all__ = ["Setting", "read_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One option."""

    name: str
    #: The texts it has; more than one only where a list is written.
    values: tuple[str, ...]
    #: Written as a list.
    is_list: bool
    line: int | None


def read_settings(text: bytes, file: str) -> tuple[Setting, ...]:
    """Read a file of options.

    Raises:
        JobFileError: it is no mapping from names to values or lists of values.
    """
    document = parse(text, file)
    document.problems.raise_if_any()
    data = document.data
    if data is None:
        return ()
    if not isinstance(data, Mapping):
        what = "this is a file of options: write `NAME: VALUE` lines, such as `procs: 4`"
        raise JobFileError([Problem(file=file, line=1, path="", message=what)])
    found = [_setting(key, value, document.lines.line_of((key,))) for key, value in data.items()]
    bad = [
        Problem(file=file, line=one.line, path=one.name, message="write a value, or a list of them")
        for one in found
        if not one.values
    ]
    if bad:
        raise JobFileError(bad)
    return tuple(found)


def _setting(key: str, value: object, line: int | None) -> Setting:
    values = value if isinstance(value, list) else [value]
    is_good = not any(isinstance(one, list | Mapping) or is_null(one) for one in values)
    texts = tuple(text_of(one) for one in values) if is_good else ()
    return Setting(name=str(key), values=texts, is_list=isinstance(value, list), line=line)
