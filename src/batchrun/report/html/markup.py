"""HTML and JSON from text that may hold anything: the only place that escapes."""

import html
from collections.abc import Iterable
from typing import Any

from batchrun.report.records import dump
from batchrun.report.text import visible

__all__ = ["Markup", "element", "join", "script_json", "verbatim", "void"]

#: Inside a script element these could end it or begin a comment; in JSON they stand in strings
#: only. `dump` writes ASCII, so U+2028 and its like are escapes already.
_NOT_IN_SCRIPTS = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | int | None) -> Markup:
    """Write an element.

    Args:
        name: The tag.
        children: What is inside; what is no Markup is made visible and escaped.
        attributes: By name, `_` for `-` and one at the end dropped; None: it is left out.

    >>> element("p", "a < b", element("b", "!"), class_="note")
    '<p class="note">a &lt; b<b>!</b></p>'
    """
    return Markup(f"{void(name, **attributes)}{join(children)}</{name}>")


def void(name: str, /, **attributes: str | int | None) -> Markup:
    """Write an element that holds nothing."""
    given = (_attribute(key, value) for key, value in attributes.items() if value is not None)
    return Markup(f"<{name}{''.join(given)}>")


def join(children: Iterable[str], between: str = "") -> Markup:
    """Put pieces one after the other; those that are no Markup are made visible and escaped."""
    return Markup(_safe(between).join(map(_safe, children)))


def verbatim(text: str) -> Markup:
    """Escape a text of several lines that is visible already."""
    return Markup(html.escape(text, quote=False))


def script_json(value: Any) -> str:
    r"""Write a value as JSON that can stand in a script element.

    >>> script_json("</script><!--")
    '"\\u003c/script\\u003e\\u003c!--"'
    """
    return dump(value).translate(_NOT_IN_SCRIPTS)


def _attribute(key: str, value: str | int) -> str:
    text = html.escape(visible(str(value)))
    return f' {key.rstrip("_").replace("_", "-")}="{text}"'


def _safe(text: str) -> str:
    return text if isinstance(text, Markup) else html.escape(visible(text), quote=False)
