"""Paths as people write and read them: glob look-up, escaping, and safe display."""

import os
from collections.abc import Iterator

from batchrun.model.values import Glob
from batchrun.ops.patterns import ANY_DEPTH, Part, compiled, escape, has_magic, split_braces
from batchrun.ops.tree.temporary import is_temporary

__all__ = ["escape", "expand", "has_magic", "shown"]


def shown(path: str) -> str:
    r"""Return a path as it may be printed: control characters and undecodable bytes escaped.

    >>> shown("/tmp/a b"), shown("two\nlines"), shown("caf\udce9")
    ('/tmp/a b', 'two\\nlines', 'caf\\xe9')
    """
    if path.isprintable():
        return path
    return "".join(map(_shown_character, path))


def _shown_character(character: str) -> str:
    if character.isprintable() and character != "\\":
        return character
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def expand(pattern: Glob, *, hidden: bool = False) -> Iterator[str]:
    """Yield the paths that match, each once, in bytewise order of the whole path.

    `*`, `?`, `[...]`, `[!...]` match inside one component, `**` any number of directories
    (never through a symlink), `{a,b}` either. A name that starts with a dot is matched only
    when the pattern writes the dot. A slash at the end asks for directories only; it is not
    part of the result. What this program is writing under a temporary name is never matched.
    Streams: one directory is held at a time for each level.

    Args:
        pattern: Absolute, or relative to the process's working directory.
        hidden: Wildcards match names that start with a dot, too.

    Raises:
        OSError: a directory that had to be read could not be; one that vanished is no error.
        ValueError: the braces stand for too many alternatives.
    """
    text = pattern.pattern
    whole = split_braces(text)
    if len(whole) == 1:
        yield from _expand_one(whole[0], hidden=hidden)
        return
    found = {path for one in whole for path in _expand_one(one, hidden=hidden)}
    yield from sorted(found, key=os.fsencode)


def _expand_one(text: str, *, hidden: bool) -> Iterator[str]:
    """Expand a pattern whose braces stay within one component."""
    root = "/" if text.startswith("/") else ""
    parts = tuple(compiled(part, hidden) for part in text.split("/") if part)
    if not parts:
        return
    walker = _Walker(parts, hidden=hidden, only_directories=text.endswith("/"))
    yield from walker.below(root, walker.closure({0}))


class _Walker:
    """Follows all components of one pattern at once, as a set of positions per directory."""

    def __init__(self, parts: tuple[Part, ...], *, hidden: bool, only_directories: bool) -> None:
        self._parts = parts
        self._hidden = hidden
        self._only_directories = only_directories

    def closure(self, positions: set[int]) -> frozenset[int]:
        """Add the positions that `**` reaches by standing for no directory at all."""
        closed = set(positions)
        for position in sorted(positions):
            at = position
            while at < len(self._parts) - 1 and self._parts[at] is ANY_DEPTH:
                at += 1
                closed.add(at)
        return frozenset(closed)

    def below(self, prefix: str, positions: frozenset[int]) -> Iterator[str]:
        """Yield the matches below the directory `prefix` (empty, or ending in a slash)."""
        parts = [self._parts[position] for position in positions]
        if all(isinstance(part, str) for part in parts):
            names: list[tuple[str, bool | None]] = [(str(part), None) for part in parts]
        else:
            names = _names_in(prefix)
        found: dict[str, frozenset[int] | None] = {}
        for name, is_real_dir in names:
            self._match(prefix, name, is_real_dir, positions, found)
        ordered = list(found) if len(found) == 1 else sorted(found, key=os.fsencode)
        for name in ordered:
            deeper = found[name]
            if deeper is None:
                yield prefix + name
            else:
                yield from self.below(prefix + name, deeper)

    def _match(
        self,
        prefix: str,
        name: str,
        is_real_dir: bool | None,  # noqa: FBT001 - a row of the listing: None when not known
        positions: frozenset[int],
        found: dict[str, frozenset[int] | None],
    ) -> None:
        """Note what one name of a directory leads to: a result, and places further down.

        A directory to enter is noted as `name/`, so that sorting gives the order of whole paths.
        """
        last = len(self._parts) - 1
        deeper: set[int] = set()
        matched = False
        for position in positions:
            part = self._parts[position]
            if part is ANY_DEPTH:
                if self._hidden or not name.startswith("."):
                    matched |= position == last
                    if is_real_dir:
                        deeper.add(position)
            elif part == name if isinstance(part, str) else part.match(name):
                matched |= position == last
                if position < last:
                    deeper.add(position + 1)
        if matched and self._is_result(prefix + name, is_real_dir):
            found[name] = None
        if deeper and (is_real_dir is not False or os.path.isdir(prefix + name)):
            found[name + "/"] = self.closure(deeper)

    def _is_result(self, path: str, is_real_dir: bool | None) -> bool:  # noqa: FBT001 - as above
        if self._only_directories:
            return bool(is_real_dir) or os.path.isdir(path)
        return is_real_dir is not None or _exists(path)


def _exists(path: str) -> bool:
    """Tell whether there is anything of this name, a broken symlink included."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _names_in(prefix: str) -> list[tuple[str, bool | None]]:
    """List a directory as names, each with whether it is a directory and not a symlink to one."""
    try:
        with os.scandir(prefix or ".") as entries:
            return [
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if not is_temporary(entry.name)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
