"""`secrets`: what the job file declares, and how the values are read, once, at their first use.

Nothing here ever puts a value into a message.
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

from batchrun.errors import SourceError
from batchrun.jobfile.entries import compute_now
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.paths import PathRules, path_renderer
from batchrun.jobfile.problems import Path, did_you_mean
from batchrun.jobfile.quietcommand import MOST_BYTES, QuietCommands
from batchrun.jobfile.scalars import is_null, text_of
from batchrun.jobfile.scope import Names
from batchrun.jobfile.template import is_template
from batchrun.model.secret import SHORTEST
from batchrun.ops.paths import shown

__all__ = [
    "CommandSecret",
    "Declared",
    "EnvSecret",
    "FileSecret",
    "PromptSecret",
    "Secrets",
    "take_secrets",
]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SOURCES = ("env", "file", "command", "prompt")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvSecret:
    """A secret in an environment variable of batchrun."""

    variable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSecret:
    """A secret that is what a file holds."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSecret:
    """A secret that a program prints."""

    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSecret:
    """A secret that somebody is asked for."""

    text: str


Declared: TypeAlias = EnvSecret | FileSecret | CommandSecret | PromptSecret


def take_secrets(raw: Mapping[str, Any], compiler: Compiler, names: Names) -> dict[str, Declared]:
    """Check what the job file declares; mistakes are noted and left out.

    Args:
        raw: The mapping under `secrets`.
        compiler: For templates, and for mistakes.
        names: The scope at load.
    """
    problems = compiler.problems
    taken: dict[str, Declared] = {}
    for name, source in raw.items():
        path: Path = ("secrets", name)
        if not _NAME.fullmatch(name):
            problems.add(path, f"`{name}` cannot be a secret; write letters, digits and `_`")
            continue
        if not isinstance(source, dict) or len(source) != 1 or next(iter(source)) not in _SOURCES:
            problems.add(path, _what_is_wrong(source))
            continue
        kind, written = next(iter(source.items()))
        before = len(problems)
        value = _computed(written, (*path, kind), compiler, names)
        if len(problems) > before:
            continue
        try:
            taken[name] = _declared(kind, value, compiler.base_dir)
        except ValueError as error:
            problems.add((*path, kind), str(error))
    return taken


def _computed(raw: Any, path: Path, compiler: Compiler, names: Names) -> Any:
    """Compute the templates of a declaration; text keeps the characters it is written with."""
    if isinstance(raw, list):
        return [_computed(one, (*path, at), compiler, names) for at, one in enumerate(raw)]
    if is_null(raw):
        return ""
    if isinstance(raw, str):
        return compute_now(raw, path, compiler, names) if is_template(raw) else str(raw)
    return raw


def _what_is_wrong(source: Any) -> str:
    wanted = "write {env: NAME}, {file: PATH}, {command: [PROGRAM, ...]} or {prompt: TEXT}"
    if not isinstance(source, dict) or not source:
        return f"says not where the secret comes from; {wanted}"
    unknown = [key for key in source if key not in _SOURCES]
    if unknown:
        return f"`{unknown[0]}` is not a key here{did_you_mean(unknown[0], _SOURCES)}; {wanted}"
    listed = " and ".join(f"`{key}`" for key in source)
    return f"{listed} for one secret; choose one"


def _declared(kind: str, value: Any, base_dir: str) -> Declared:
    """Make the declaration of one secret.

    Raises:
        ValueError: the value does not fit.
    """
    if kind == "command":
        return CommandSecret(argv=_argv(value))
    text = text_of(value)
    if not text or "\0" in text:
        message = f"has no value; write {_WANTED[kind]}"
        raise ValueError(message)
    match kind:
        case "env":
            if "=" in text:
                message = f"{text!r} is not the name of an environment variable"
                raise ValueError(message)
            return EnvSecret(variable=text)
        case "file":
            return FileSecret(path=str(path_renderer([text], PathRules(base_dir=base_dir))))
        case _:
            return PromptSecret(text=text)


_WANTED = {
    "env": "the name of an environment variable",
    "file": "the path of a file",
    "prompt": "the question to ask",
}


def _argv(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        message = "is a program with its arguments, as a list: no shell runs it"
        raise ValueError(message)
    words = tuple(text_of(one) for one in value)
    if not words[0] or any("\0" in word for word in words):
        message = "is a program with its arguments; none of them can hold a NUL character"
        raise ValueError(message)
    return words


class Secrets:
    """Reads the secrets of a job; satisfies SecretSource.

    `read` may be called from any one thread; `close` from another one ends what it waits for.

    Args:
        declared: By name.
        base_dir: Where commands run.
    """

    def __init__(self, declared: Mapping[str, Declared], base_dir: str) -> None:
        self._declared = declared
        self._commands = QuietCommands(base_dir)
        self._answers: dict[str, str] = {}

    @property
    def names(self) -> frozenset[str]:
        """Every secret that the job declares."""
        return frozenset(self._declared)

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that hold secrets, sorted."""
        found = {one.variable for one in self._declared.values() if isinstance(one, EnvSecret)}
        return tuple(sorted(found))

    def prompts(self, names: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """Return the name and the question of those among the secrets that are asked for."""
        wanted = frozenset(names)
        return tuple(
            (name, one.text)
            for name, one in self._declared.items()
            if isinstance(one, PromptSecret) and name in wanted and name not in self._answers
        )

    def answer(self, name: str, value: str) -> None:
        """Give the value of a secret that is asked for.

        Raises:
            SourceError: it is too short to be hidden.
        """
        self._answers[name] = _usable(name, value)

    def read(self, name: str) -> str:
        """Return a value; may block. Nothing is kept: it is called once for each name.

        Raises:
            SourceError: it cannot be had, or is too short to be hidden.
        """
        match self._declared[name]:
            case EnvSecret(variable=variable):
                value = _from_environment(name, variable)
            case FileSecret(path=path):
                value = _from_file(name, path)
            case CommandSecret(argv=argv):
                value = self._commands.read(f"the secret `{name}`", argv)
            case PromptSecret():
                value = self._answered(name)
            case unreachable:
                assert_never(unreachable)
        return _usable(name, value)

    def close(self) -> None:
        """End the command that a secret is read from, if there is one; no other is started."""
        self._commands.close()

    def _answered(self, name: str) -> str:
        value = self._answers.get(name)
        if value is None:
            message = f"the secret `{name}` was asked for and not given"
            raise SourceError(message)
        return value


def _from_environment(name: str, variable: str) -> str:
    value = os.environ.get(variable)
    if value is None:
        message = (
            f"the secret `{name}` is not there: the environment variable {variable} is not set"
        )
        raise SourceError(message)
    return value


def _from_file(name: str, path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        message = f"the file {shown(path)} of the secret `{name}` cannot be read: {error.strerror}"
        raise SourceError(message) from None
    if len(data) > MOST_BYTES:
        message = f"the file {shown(path)} of the secret `{name}` has more than {MOST_BYTES} bytes"
        raise SourceError(message)
    return os.fsdecode(data)


def _usable(name: str, value: str) -> str:
    """Take the line end off a value, and refuse what cannot be a secret.

    Raises:
        SourceError: it is too short, or holds a NUL character.
    """
    value = value.removesuffix("\n")
    if len(value) < SHORTEST:
        message = (
            f"the secret `{name}` has fewer than {SHORTEST} characters, so it could not be "
            "hidden in what is shown; use a longer one"
        )
        raise SourceError(message)
    if "\0" in value:
        message = f"the secret `{name}` holds a NUL character, which no text can"
        raise SourceError(message)
    return value
