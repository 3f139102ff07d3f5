"""One part of a `foreach` source, as written and where."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batchrun.jobfile.compiled import Compiled, Constant, converted
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.problems import Path
from batchrun.jobfile.shapes import Scalar, Shape

__all__ = ["WHOLE_NUMBER", "Written", "least_one"]

WHOLE_NUMBER = Shape(scalars=(Scalar(type=int),))


def least_one(raw: Any, path: Path, compiler: Compiler) -> Compiled | None:
    """Compile a number that must be at least 1."""
    compiled = compiler.value(WHOLE_NUMBER, raw, path)
    if not isinstance(compiled, Constant):
        return None if compiled is None else converted(compiled, _atleast_one)
    try:
        _atleast_one(compiled.value)
    except ValueError as error:
        compiler.problems.add(path, str(error))
        return None
    return compiled


def _atleast_one(number: int) -> int:
    if number < 1:
        message = f"write a number of at least 1, not {number}"
        raise ValueError(message)
    return number


@dataclass(frozen=True, slots=True)
class Written:
    """What stands behind the key of a source."""

    raw: Any
    path: Path
    compiler: Compiler
    flags: Mapping[str, bool]

    def value(self, shape: Shape) -> Compiled | None:
        """Compile the whole of it."""
        return self.compiler.value(shape, self.raw, self.path)

    def each(self) -> list[tuple[Any, Path]]:
        """Return the entries of a list, or the one value that needs no brackets."""
        if isinstance(self.raw, list):
            return [(one, (*self.path, at)) for at, one in enumerate(self.raw)]
        return [(self.raw, self.path)]

    @property
    def text(self) -> str:
        """It, as written."""
        return _shown(self.raw)


def _shown(raw: Any) -> str:
    return " ".join(str(one) for one in raw) if isinstance(raw, list) else str(raw)
