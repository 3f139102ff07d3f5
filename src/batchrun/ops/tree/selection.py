"""Which entries of a tree are meant: gitignore-style `exclude` and `include`."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

__all__ = ["Selection", "selection"]


@dataclass(frozen=True, slots=True)
class Selection:
    """What is left out, and what alone is taken.

    Patterns see paths relative to the source. An excluded directory is not entered. With
    `include`, a file must match it or lie in a directory that does; directories are entered
    to find out.
    """

    exclude: "GitIgnoreSpec | None"
    include: "GitIgnoreSpec | None"

    def enters(self, relative: str) -> bool:
        """Tell whether a directory is looked into."""
        return self.exclude is None or not self.exclude.match_file(relative + "/")

    def takes(self, relative: str, *, is_dir: bool) -> bool:
        """Tell whether the entry itself is meant."""
        name = relative + "/" if is_dir else relative
        if self.exclude is not None and self.exclude.match_file(name):
            return False
        return self.include is None or bool(self.include.match_file(name))


@lru_cache(maxsize=64)
def selection(exclude: tuple[str, ...], include: tuple[str, ...]) -> Selection | None:
    """Compile patterns; None when there are none, so everything is meant."""
    if not exclude and not include:
        return None
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - only where patterns are given

    def compiled(patterns: tuple[str, ...]) -> GitIgnoreSpec | None:
        return GitIgnoreSpec.from_lines(patterns) if patterns else None

    return Selection(compiled(exclude), compiled(include))
