"""The filters of job files: paths, lines, words, and the two markers `raw` and `glob`."""

import posixpath
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context

from batchrun.jobfile.scalars import text_of

__all__ = ["FILTERS"]


def _name(path: object) -> str:
    """Return the path without slashes at its end, which mean nothing to a name."""
    text = text_of(path)
    return text.rstrip("/") or text[:1]


def _basename(path: object) -> str:
    """Return the last component.

    >>> _basename("/a/b.txt"), _basename("/a/b/")
    ('b.txt', 'b')
    """
    return posixpath.basename(_name(path))


def _dirname(path: object) -> str:
    """Return the directory a path is in; `.` for a bare name.

    >>> _dirname("/a/b.txt"), _dirname("b"), _dirname("/a")
    ('/a', '.', '/')
    """
    return posixpath.dirname(_name(path)) or "."


def _stem(path: object) -> str:
    """Return the last component without its suffix.

    >>> _stem("/a/b.tar.gz"), _stem(".profile")
    ('b.tar', '.profile')
    """
    return posixpath.splitext(_basename(path))[0]


def _suffix(path: object) -> str:
    """Return the suffix with its dot; empty when there is none.

    >>> _suffix("/a/b.tar.gz"), _suffix("/a.d/b")
    ('.gz', '')
    """
    return posixpath.splitext(_basename(path))[1]


def _with_suffix(path: object, suffix: object) -> str:
    """Return the path with another suffix; an empty one takes it away.

    >>> _with_suffix("/a/b.csv", ".gz"), _with_suffix("/a/b.csv", "")
    ('/a/b.gz', '/a/b')
    """
    ending = text_of(suffix)
    if ending and (not ending.startswith(".") or "/" in ending):
        message = f"with_suffix takes a suffix that begins with a dot, not {ending!r}"
        raise ValueError(message)
    return posixpath.splitext(_name(path))[0] + ending


@pass_context
def _relative_to(context: Context, path: object, base: object) -> str:
    """Return the path as seen from a directory above it.

    Items of `foreach` are absolute, and what people compare them with is as they wrote it: when
    one of the two is absolute, the other one begins at the job file's directory.
    """
    text, above = posixpath.normpath(text_of(path)), posixpath.normpath(text_of(base))
    if text.startswith("/") != above.startswith("/"):
        start = str(context.get("job", {}).get("dir", ""))
        text, above = posixpath.join(start, text), posixpath.join(start, above)
        text, above = posixpath.normpath(text), posixpath.normpath(above)
    if text == above:
        return "."
    inside = above.rstrip("/") + "/"
    if not text.startswith(inside):
        message = f"{text!r} is not below {above!r}"
        raise ValueError(message)
    return text[len(inside) :]


def _join_path(path: object, *parts: object) -> str:
    """Join components by single slashes; what comes later never starts at the root again.

    >>> _join_path("/srv/", "www", "/a")
    '/srv/www/a'
    """
    first, rest = text_of(path), [text_of(part).strip("/") for part in parts]
    start = first.rstrip("/") if first.strip("/") else first[:1]
    joined = "/".join(part for part in ["" if start == "/" else start, *rest] if part)
    return "/" + joined if start == "/" else joined


def _lines(text: object) -> list[str]:
    """Return the lines that are not empty."""
    return [line for line in text_of(text).split("\n") if line]


def _words(text: object) -> list[str]:
    """Return what stands between white space."""
    return text_of(text).split()


def _unchanged(value: object) -> object:
    """Mark an insertion: `raw` is not quoted for the shell, `glob` is read as a pattern."""
    return value


FILTERS: Mapping[str, Callable[..., Any]] = {
    "basename": _basename,
    "dirname": _dirname,
    "stem": _stem,
    "suffix": _suffix,
    "with_suffix": _with_suffix,
    "relative_to": _relative_to,
    "join_path": _join_path,
    "lines": _lines,
    "words": _words,
    "raw": _unchanged,
    "glob": _unchanged,
}
