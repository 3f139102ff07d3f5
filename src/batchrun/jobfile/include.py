"""`include`: other files whose variables, defaults, limits, secrets and endings a job takes in.

    common.yml ──┐
    site.yml   ──┼── merged, later wins, the file itself last ──► one structure
    nightly.yml ─┘

An included file is found relative to the file that names it. Everything else that is written in
it means what it would mean in the job file: relative paths are those of the job file's directory.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from batchrun.errors import JobFileError
from batchrun.jobfile.document import Block, Document, parse
from batchrun.jobfile.problems import Path, Problems, did_you_mean
from batchrun.jobfile.scalars import is_null
from batchrun.jobfile.schema import LATER_TOP, JobText, read_keys
from batchrun.jobfile.template import is_template
from batchrun.jobfile.trust import Trust, UntrustedError

__all__ = ["with_includes"]

#: What an included file may hold, beside `include` itself and `x-...`.
_MERGED = ("vars", "defaults", "limits", "secrets", "inventory", "notify", "finally")
_ALLOWED = frozenset({*_MERGED, "include"})
_MAPPINGS = ("vars", "defaults", "limits", "secrets")
#: Defaults that are mappings themselves: merged name by name, as a task does with them.
_DEEP_DEFAULTS = ("env", "vars")
_DEEPEST = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class _Origin:
    """Where a part of the merged structure is written."""

    problems: Problems
    path: Path


@dataclass(slots=True)
class _Merged:
    """What the files read so far say together."""

    data: dict[str, Any] = field(default_factory=dict)
    #: For each part of `data` that a path can name: where it is written.
    origins: dict[Path, _Origin] = field(default_factory=dict)

    def take(self, data: Mapping[str, Any], problems: Problems) -> None:
        """Merge what a file says over what there is."""
        for key in _MAPPINGS:
            if isinstance(data.get(key), dict):
                self._take_mapping(key, data[key], problems)
        if "inventory" in data:
            self.data["inventory"] = data["inventory"]
            self.origins["inventory",] = _Origin(problems=problems, path=("inventory",))
        entries = data.get("finally")
        if isinstance(entries, list):
            together = self.data.setdefault("finally", [])
            for at, entry in enumerate(entries):
                path: Path = ("finally", len(together))
                self.origins[path] = _Origin(problems=problems, path=("finally", at))
                together.append(entry)

    def _take_mapping(self, key: str, given: Mapping[str, Any], problems: Problems) -> None:
        together = self.data.setdefault(key, Block(getattr(given, "line", None)))
        for name, value in given.items():
            before = together.get(name)
            path = (key, name)
            if key == "defaults" and name in _DEEP_DEFAULTS and isinstance(before, dict):
                self._take_deep(path, value, problems)
                if isinstance(value, dict):
                    value = {**before, **value}  # noqa: PLW2901 - the same default, complete
            together[name] = value
            self.origins[path] = _Origin(problems=problems, path=path)

    def _take_deep(self, path: tuple[str, str], value: Any, problems: Problems) -> None:
        """Keep the origin of what a mapping inside the defaults has from before."""
        before = self.origins[path]
        for name in self.data[path[0]][path[1]]:
            self.origins.setdefault(
                (*path, name), _Origin(problems=before.problems, path=(*before.path, name))
            )
        for name in value if isinstance(value, dict) else ():
            self.origins[*path, name] = _Origin(problems=problems, path=(*path, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file on the way from the job file to what is read now."""

    #: As people know it: as it was named, from where the job file was named.
    shown: str
    path: str

    @property
    def real(self) -> str:
        """The one name that it has, however it is reached."""
        return os.path.realpath(self.path)

    def beside(self, name: str) -> "_File":
        """Return the file that this one names."""
        name = os.path.expanduser(name)
        return _File(
            shown=os.path.join(os.path.dirname(self.shown), name),
            path=os.path.join(os.path.dirname(self.path), name),
        )


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Reads included files, each of them below the one that names it."""

    problems: Problems
    trust: Trust
    merged: _Merged = field(default_factory=_Merged)
    #: Files whose `finally` has been taken: it runs once, however often a file is included.
    seen: set[str] = field(default_factory=set)

    def follow(self, data: Mapping[str, Any], problems: Problems, way: tuple[_File, ...]) -> None:
        """Take in what a file includes.

        Args:
            data: Its top-level mapping.
            problems: Its mistakes.
            way: The files that lead to it, itself last.
        """
        for name, path in _included(data, problems):
            file = way[-1].beside(name)
            reals = [one.real for one in way]
            if file.real in reals:
                circle = [one.shown for one in way[reals.index(file.real) :]]
                listed = " -> ".join([*circle, circle[0]])
                problems.add(path, f"the files include each other in a circle: {listed}")
            elif len(way) > _DEEPEST:
                problems.add(path, f"files are included more than {_DEEPEST} deep")
            else:
                reason = self._read(file, way)
                if reason:
                    problems.add(path, f"the file `{file.shown}` {reason}")

    def _read(self, file: _File, way: tuple[_File, ...]) -> str:
        """Take a file in; return why that is not possible at all."""
        try:
            text = self.trust.read(file.path)
        except UntrustedError as error:
            return str(error)
        except (OSError, ValueError) as error:
            return f"cannot be read: {getattr(error, 'strerror', None) or error}"
        try:
            included = parse(text, file.shown)
        except JobFileError as error:
            self.problems.note(error.problems)
            return ""
        data = _checked(included)
        self.follow(data, included.problems, (*way, file))
        if file.real in self.seen:
            data.pop("finally", None)
        self.seen.add(file.real)
        self.merged.take(data, included.problems)
        self.problems.note(included.problems.listed())
        return ""


def with_includes(
    data: dict[str, Any], problems: Problems, *, base_dir: str, trust: Trust
) -> dict[str, Any]:
    """Return the top level of a job file with everything that it includes.

    Args:
        data: The top-level mapping, checked for what cannot be there at all.
        problems: The job file's; mistakes in what is included go there, too.
        base_dir: The job file's directory.
        trust: Who may have written what is included.
    """
    if "include" not in data:
        return data
    name = os.path.basename(problems.file)
    job_file = _File(shown=problems.file, path=os.path.join(base_dir, name))
    reader = _Reader(problems=problems, trust=trust)
    reader.follow(data, problems, (job_file,))
    merged = reader.merged
    merged.take(data, problems)
    for path, origin in merged.origins.items():
        problems.adopt(path, origin.problems, origin.path)
    own = {key: value for key, value in data.items() if not _is_done(key, value)}
    return {**own, **merged.data}


def _is_done(key: str, value: Any) -> bool:
    """Tell whether a key of the file itself went into what was merged; a mistake did not."""
    return (
        key == "include"
        or (key in _MAPPINGS and isinstance(value, dict))
        or (key == "finally" and isinstance(value, list))
    )


def _included(data: Mapping[str, Any], problems: Problems) -> Iterator[tuple[str, Path]]:
    """List the files that a file includes, each with its place."""
    raw = data.get("include")
    if raw is None:
        return
    names = list(enumerate(raw)) if isinstance(raw, list) else [(None, raw)]
    for at, name in names:
        path: Path = ("include",) if at is None else ("include", at)
        if is_null(name) or not isinstance(name, str) or not name:
            problems.add(path, "write the path of a file, or a list of paths")
        elif is_template(name):
            message = "files are included before anything is computed; write the path without {{ }}"
            problems.add(path, message)
        elif name == "-":
            problems.add(path, "standard input cannot be included; write the path of a file")
        else:
            yield name, path


def _checked(document: Document) -> dict[str, Any]:
    """Return what an included file may hold; anything else is noted and left out."""
    data, problems = document.data, document.problems
    if data is None or is_null(data):
        return {}
    if not isinstance(data, dict):
        problems.add((), "an included file is a mapping, with keys such as `vars:`")
        return {}
    good: dict[str, Any] = {}
    for key, value in data.items():
        if key in LATER_TOP:
            message = f"`{key}` is not supported by this version of batchrun yet"
        elif key in _ALLOWED:
            if key == "include" or _is_valid(key, value, problems):
                good[key] = _without_lines(value) if key == "finally" else value
            continue
        elif key.startswith("x-"):
            continue
        else:
            listed = ", ".join(_MERGED)
            message = (
                f"`{key}` cannot be included, only {listed} and `include`"
                f"{did_you_mean(key, _ALLOWED)}"
            )
        problems.add((key,), message)
    return good


def _is_valid(key: str, value: Any, problems: Problems) -> bool:
    """Check one top-level key by itself; what is computed is left to the whole."""
    if isinstance(value, str) and is_template(value):
        problems.add((key,), "write it out; an included file cannot compute it")
        return False
    before = len(problems)
    read_keys(JobText, {"tasks": [], key: value}, problems, (), frozenset(_ALLOWED))
    return len(problems) == before


def _without_lines(entries: list[Any]) -> list[Any]:
    """Let tasks forget their line: those of a task are lines of the job file."""
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, dict):
            block = Block(None)
            block.update(entry)
            found.append(block)
        else:
            found.append(entry)
    return found
