"""The usual value, taken at once: an absolute path without templates or glob characters."""

import re
from functools import lru_cache

from batchrun.jobfile.shapes import Shape
from batchrun.model.values import Kind

__all__ = ["plain_path"]

#: Characters that make a path more than its text, where it is a template or a pattern.
_SPECIAL = re.compile(r"[*?\[{\0]")
_PATHS = (Kind.PATH, Kind.PATTERN)


@lru_cache(maxsize=1024)
def _takes(shape: Shape) -> str:
    """Tell whether a shape is one path (`one`), or paths of which one may be given (`many`)."""
    inner = shape.items if not shape.scalars and shape.items is not None else shape
    if inner.entries is not None or len(inner.scalars) != 1 or inner.scalars[0].kind not in _PATHS:
        return ""
    if inner is shape:
        return "one" if shape.items is None else ""
    return "many" if inner.items is None and shape.entries is None else ""


def plain_path(shape: Shape, raw: object) -> str | tuple[str, ...] | None:
    """Return what a parameter is given when that is such a path; None: it must be compiled.

    What it returns is what compiling would: this only spares a hundred thousand tasks the way.
    """
    if type(raw) is not str or raw[:1] != "/" or _SPECIAL.search(raw):
        return None
    takes = _takes(shape)
    if takes == "one":
        return raw
    return (raw,) if takes else None
