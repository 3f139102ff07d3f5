"""Which line a part of the structure is written on; read a second time, and only when asked."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import yaml

from batchrun.jobfile.problems import Path

__all__ = ["Lines"]

#: Of a node: its line, and its children by key or position, each with the line of the key.
_Node: TypeAlias = "tuple[int, dict[str | int, tuple[int, _Node]]]"


class _EventStream(Protocol):
    next: Callable[[], Any]


class Lines:
    """Answers on which line a path is written.

    Args:
        events: Reads the text anew.
    """

    def __init__(self, events: Callable[[], _EventStream]) -> None:
        self._events = events
        self._root: _Node | None = None

    def line_of(self, path: Path) -> int | None:
        """Return the line of the key or item that a path names, or of what holds it."""
        if self._root is None:
            self._root = self._read()
        line, node = self._root[0], self._root
        if not path or not node[1]:
            return None if not path else line
        for step in path:
            if step not in node[1]:
                break
            line, node = node[1][step]
        return line

    def _read(self) -> _Node:
        try:
            events = self._events()
            events.next()
            event = events.next()
            if type(event) is yaml.StreamEndEvent:
                return (1, {})
            return _node(events.next, events.next(), {})
        except (yaml.YAMLError, RecursionError):
            return (1, {})  # JSON that is no YAML, such as an escaped pair of surrogates


def _node(next_event: Callable[[], Any], event: Any, anchors: dict[str, _Node]) -> _Node:
    kind = type(event)
    if kind is yaml.AliasEvent:
        return anchors.get(event.anchor, (event.start_mark.line + 1, {}))
    children: dict[str | int, tuple[int, _Node]] = {}
    node = (event.start_mark.line + 1, children)
    if kind is yaml.MappingStartEvent:
        while type(key := next_event()) is not yaml.MappingEndEvent:
            _node(next_event, key, anchors)
            value = _node(next_event, next_event(), anchors)
            name = getattr(key, "value", "")
            children.setdefault(name, (key.start_mark.line + 1, value))
            if name == "<<":
                _inherit(children, value)
    elif kind is yaml.SequenceStartEvent:
        while type(item := next_event()) is not yaml.SequenceEndEvent:
            children[len(children)] = (
                item.start_mark.line + 1,
                _node(next_event, item, anchors),
            )
    if event.anchor is not None:
        anchors[event.anchor] = node
    return node


def _inherit(children: dict[str | int, tuple[int, _Node]], merged: _Node) -> None:
    for key, child in merged[1].items():
        if isinstance(key, int):
            _inherit(children, child[1])
        else:
            children.setdefault(key, child)
