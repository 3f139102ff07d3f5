"""YAML text to plain data: mappings, lists, and scalars that keep their characters.

libyaml's events are turned into data directly: no code runs for a tag, nothing recurses in C
(a composer dies of a thousand open brackets), and it is four times faster than `yaml.load`.
"""

import json
from collections.abc import Callable
from sys import intern
from typing import Any

import yaml
from yaml import MappingEndEvent, ScalarEvent

from batchrun.errors import JobFileError, Problem
from batchrun.jobfile.lines import Lines
from batchrun.jobfile.problems import Path, Problems
from batchrun.jobfile.scalars import Plain, resolve_word
from batchrun.jobfile.syntax import (
    DEEPEST,
    SMART_QUOTE,
    SMART_QUOTES,
    TOO_DEEP,
    explain,
    explain_json,
)

__all__ = ["Block", "Document", "parse"]

#: What aliases may add to the document, in nodes: a laugh, not a billion.
_MOST_EXPANDED = 200_000
_TEXT_TAG = "tag:yaml.org,2002:str"
_PLAIN_TAGS = frozenset({None, "!", _TEXT_TAG, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})

try:
    from yaml import CSafeLoader as _Parser
except ImportError:  # a PyYAML built without libyaml: slower, same events
    from yaml import SafeLoader as _Parser  # type: ignore[assignment]


class Block(dict[str, Any]):
    """A mapping that knows the line on which it begins."""

    __slots__ = ("line",)

    def __init__(self, line: int | None) -> None:
        # `dict.__init__` has nothing to do, and there are hundreds of thousands of these.
        self.line = line


class Document:
    """One parsed file: its data, and the lines, looked up when somebody asks."""

    def __init__(self, data: Any, lines: Lines, problems: Problems) -> None:
        self.data = data
        self.lines = lines
        self.problems = problems


def parse(text: str | bytes, file: str) -> Document:
    """Read a YAML (or JSON) text.

    Args:
        text: The file's content; bytes must be UTF-8.
        file: Its name, for messages.

    Raises:
        JobFileError: it is not text, or not YAML at all.
    """
    decoded = _decode(text, file)
    lines = Lines(lambda: _Events(decoded))
    problems = Problems(file, lines.line_of)
    data = _from_json(decoded)
    if data is None:
        try:
            data = _Builder(_Events(decoded), problems).document()
        except yaml.YAMLError as error:
            problem = explain_json(decoded, file) or explain(error, decoded, file)
            raise JobFileError([*problems.listed(), problem]) from None
    return Document(data, lines, problems)


def _decode(text: str | bytes, file: str) -> str:
    try:
        if isinstance(text, str):
            text.encode()
            return text.removeprefix("\ufeff")
        return text.decode("utf-8-sig")
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        before = text[:start]
        line = before.count("\n" if isinstance(before, str) else b"\n") + 1  # type: ignore[arg-type]
        message = "the file is not UTF-8 text; save it as UTF-8"
        raise JobFileError([Problem(file=file, line=line, path="", message=message)]) from None


def _from_json(text: str) -> dict[str, Any] | None:
    """Read a text that begins like JSON as JSON; None: it has to be read as YAML."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        data = json.loads(
            text,
            object_pairs_hook=_json_mapping,
            parse_int=Plain,
            parse_float=Plain,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and not _is_deep(data) else None


def _is_deep(data: Any) -> bool:
    """Tell whether data is nested deeper than a job file may be."""
    level: list[Any] = [data]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _json_mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        message = "duplicate key"
        raise ValueError(message)  # the YAML reader names the lines
    values = mapping.values()
    if True in values or False in values:  # numbers are texts here: nothing else is equal to them
        for key, value in pairs:
            if isinstance(value, bool):
                mapping[key] = Plain(str(value).lower())
    return mapping


def _refuse_constant(word: str) -> object:
    message = f"{word} is not JSON"
    raise ValueError(message)


class _Events:
    """The events of a text, one at a time."""

    def __init__(self, text: str) -> None:
        parser: Any = _Parser(text)
        self.next: Callable[[], Any] = parser.get_event


def _failure(message: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=message, problem_mark=mark)


class _Builder:
    """Builds data from events."""

    def __init__(self, events: _Events, problems: Problems) -> None:
        self._next = events.next
        self._problems = problems
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._open: set[str] = set()
        #: Nodes so far, with what aliases stand for counted each time.
        self._count = 0
        self._expanded = 0

    def document(self) -> Any:
        """Build the one document of the stream; None when it is empty."""
        self._next()
        event = self._next()
        if type(event) is yaml.StreamEndEvent:
            return None
        data = self._build(self._next(), ())
        self._next()
        event = self._next()
        if type(event) is not yaml.StreamEndEvent:
            message = "there is a second document after `---`; a job file is one document"
            raise _failure(message, event.start_mark)
        return data

    def _build(self, event: Any, path: Path) -> Any:
        if type(event) is yaml.AliasEvent:
            return self._alias(event)
        self._count += 1
        before = self._count
        if event.tag not in _PLAIN_TAGS:
            message = f"`{_tag(event.tag)}` is a YAML tag, which job files do not use; put the "
            raise _failure(message + "whole value in quotes", event.start_mark)
        if len(path) > DEEPEST:
            raise _failure(TOO_DEEP, event.start_mark)
        if event.anchor is not None:
            self._open.add(event.anchor)
        kind = type(event)
        if kind is ScalarEvent:
            data: Any = _scalar(event)
        elif kind is yaml.MappingStartEvent:
            data = self._mapping(event, path)
        else:
            data = self._sequence(path)
        if event.anchor is not None:
            self._open.discard(event.anchor)
            self._anchors[event.anchor] = (data, self._count - before + 1)
        return data

    def _alias(self, event: Any) -> Any:
        if event.anchor not in self._anchors:
            if event.anchor in self._open:
                message = f"`*{event.anchor}` stands inside what it stands for"
            else:
                message = (
                    f"`*{event.anchor}` refers to an anchor `&{event.anchor}` that is not there; "
                    "if the star is meant as text, put the value in quotes"
                )
            raise _failure(message, event.start_mark)
        data, size = self._anchors[event.anchor]
        self._count += size
        self._expanded += size
        if self._expanded > _MOST_EXPANDED:
            message = f"aliases expand to more than {_MOST_EXPANDED} values; write it out"
            raise _failure(message, event.start_mark)
        return data

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while type(event := self._next()) is not yaml.SequenceEndEvent:
            items.append(self._value(event, path, len(items)))
        return items

    def _mapping(self, start: Any, path: Path) -> Block:
        block = Block(start.start_mark.line + 1)
        keys: list[Any] = []
        merged: list[Any] = []
        following = self._next
        while type(event := following()) is not MappingEndEvent:
            # Few keys stand a hundred thousand times: one text of each is enough.
            key = intern(self._key(event, path))
            value = self._value(following(), path, key)
            if key == "<<" and getattr(event, "implicit", (False,))[0]:
                merged.append((value, event.start_mark))
            elif key in block:
                first = keys[list(block).index(key)].start_mark.line + 1
                line = event.start_mark.line + 1
                message = f"`{key}` is given twice, on line {first} and on line {line}; "
                self._problems.add((*path, key), message + "keep one of them", line=line)
            else:
                keys.append(event)
                block[key] = value
        for value, mark in merged:
            _merge(block, value, mark)
        return block

    def _value(self, event: Any, path: Path, step: str | int) -> Any:
        """Build what stands at `path` and `step`."""
        kind = type(event)
        if kind is not ScalarEvent or event.anchor is not None or event.tag is not None:
            return self._build(event, (*path, step))
        self._count += 1
        text: str = event.value
        if not event.implicit[0]:
            return text
        if text[:1] in SMART_QUOTES and text[-1:] in SMART_QUOTES:
            self._problems.add((*path, step), SMART_QUOTE, line=event.start_mark.line + 1)
        return resolve_word(text)

    def _key(self, event: Any, path: Path) -> str:
        if type(event) is ScalarEvent and event.anchor is None and event.tag is None:
            self._count += 1
            text: str = event.value
            return text
        if type(event) is yaml.AliasEvent:
            value = self._alias(event)
            if isinstance(value, str):
                return str(value)
        elif type(event) is ScalarEvent:
            return str(self._build(event, path))
        message = (
            "a key must be text; a value that begins with `{{` has to be put in quotes, as in "
            '"{{ x }}"'
        )
        raise _failure(message, event.start_mark)


def _scalar(event: Any) -> str:
    text: str = event.value
    if event.implicit[0] and event.tag is None:
        return resolve_word(text)
    return text


def _tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _merge(block: Block, value: Any, mark: Any) -> None:
    """Apply `<<`: a mapping or a list of them; what is written beside it wins."""
    for source in value if isinstance(value, list) else [value]:
        if not isinstance(source, dict):
            message = "`<<` takes a mapping (an alias of one), or a list of them"
            raise _failure(message, mark)
        for key, inherited in source.items():
            block.setdefault(key, inherited)
