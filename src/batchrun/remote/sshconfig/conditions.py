"""The conditions of an SSH configuration: `Host` and `Match`, asked for one host at a time."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from batchrun.errors import UnreachableError
from batchrun.remote.patterns import is_plain, list_matches, pattern_matches
from batchrun.remote.sshconfig.text import next_word
from batchrun.remote.sshconfig.tokens import Local, Target, expand_tokens

__all__ = ["Commands", "Condition", "HostIs", "Lookup", "MatchIs", "read_host", "read_match"]

_EXEC_S = 10.0
_DEFAULT_PORT = 22
_BARE = ("canonical", "final")
#: Newer than most OpenSSH in use; what they ask is not known here.
_UNSUPPORTED = ("localnetwork", "sessiontype", "command", "version")
_WITH_VALUE = ("host", "originalhost", "user", "localuser", "exec", "tagged", *_UNSUPPORTED)


@dataclass(slots=True, kw_only=True)
class Lookup:
    """What is known of one host while its configuration is read."""

    #: As it was asked for.
    original: str
    #: What `Host` is about: the name, in the second reading what has become of it.
    host: str
    #: Whether this is the second reading, which `Match final` asks for.
    final: bool = False
    local: Local
    commands: "Commands"
    #: By keyword; the first value wins.
    values: dict[str, Any] = field(default_factory=dict)
    #: Keywords of which no more is wanted, though their values would be collected.
    sealed: frozenset[str] = frozenset()

    def target(self) -> Target:
        """Return the host as it is known so far."""
        host = self.host
        if not self.final and "hostname" in self.values:
            host = expand_tokens(self.values["hostname"], {"h": self.original})
        return Target(
            original=self.original,
            host=host,
            port=self.values.get("port", _DEFAULT_PORT),
            user=self.values.get("user", self.local.user),
            key_alias=self.values.get("hostkeyalias", host),
        )


class Condition(Protocol):
    """What must hold for the lines below it."""

    def holds(self, lookup: Lookup) -> bool:
        """Tell whether it does."""


@dataclass(frozen=True, slots=True, eq=False)
class HostIs:
    """`Host`: one of some patterns, and none of those with `!`."""

    patterns: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The only names it can hold for; empty: there are patterns among them."""
        return self.patterns if all(map(is_plain, self.patterns)) else ()

    def holds(self, lookup: Lookup) -> bool:
        """Look at the name as it was given."""
        found = False
        for pattern in self.patterns:
            if pattern_matches(lookup.host, pattern.removeprefix("!")):
                if pattern.startswith("!"):
                    return False
                found = True
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Criterion:
    kind: str
    negated: bool
    argument: str


@dataclass(frozen=True, slots=True, eq=False)
class MatchIs:
    """`Match`: all of its criteria."""

    criteria: tuple[_Criterion, ...]

    @property
    def is_final(self) -> bool:
        """Whether it asks for a second reading."""
        return any(criterion.kind == "final" for criterion in self.criteria)

    @property
    def unsupported(self) -> list[str]:
        """The criteria that are not known here; with one, it never holds."""
        return [criterion.kind for criterion in self.criteria if criterion.kind in _UNSUPPORTED]

    def holds(self, lookup: Lookup) -> bool:
        """Ask one after the other; a command is only run when all before it hold."""
        return not self.unsupported and all(
            _ASKED[criterion.kind](lookup, criterion.argument) is not criterion.negated
            for criterion in self.criteria
        )


class Commands:
    """The commands of `Match exec`: the same one is run once."""

    def __init__(self) -> None:
        self._ended: dict[str, bool] = {}

    def succeeds(self, command: str) -> bool:
        """Tell whether a command ends with 0.

        Raises:
            UnreachableError: it does not end.
        """
        if command not in self._ended:
            self._ended[command] = _run(command)
        return self._ended[command]


def _run(command: str) -> bool:
    shell = os.environ.get("SHELL") or "/bin/sh"
    try:
        process = subprocess.Popen(
            [shell, "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        message = f"Match exec: {shell} cannot be started: {error.strerror}"
        raise UnreachableError(message) from error
    try:
        return process.wait(_EXEC_S) == 0
    except subprocess.TimeoutExpired:
        message = f"Match exec: `{command}` did not end within {_EXEC_S:g} s"
        raise UnreachableError(message) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def read_host(words: list[str]) -> HostIs:
    """Read what stands behind `Host`.

    Raises:
        ValueError: a name is missing.
    """
    if not words or not all(words):
        message = "a name is missing"
        raise ValueError(message)
    return HostIs(tuple(words))


def read_match(text: str) -> MatchIs:
    """Read what stands behind `Match`.

    Raises:
        ValueError: it cannot be read.
    """
    criteria: list[_Criterion] = []
    word, rest = next_word(text)
    while word and not word.startswith("#"):
        negated, kind = word.startswith("!"), word.removeprefix("!").lower()
        argument = ""
        if kind == "all":
            _must_be_alone(criteria, next_word(rest)[0])
        elif kind in _WITH_VALUE:
            argument, rest = next_word(rest)
            _must_be_said(kind, argument)
        elif kind not in _BARE:
            message = f"{word!r} is no criterion of Match"
            raise ValueError(message)
        criteria.append(_Criterion(kind, negated, argument))
        word, rest = next_word(rest)
    if not criteria:
        message = "a criterion is missing"
        raise ValueError(message)
    return MatchIs(tuple(criteria))


def _must_be_alone(before: list[_Criterion], after: str) -> None:
    # OpenSSH lets one other go by, so that `final all` can be said.
    if len(before) > 1 or after[:1] not in ("", "#"):
        message = "`all` must stand alone"
        raise ValueError(message)


def _must_be_said(kind: str, argument: str) -> None:
    if not argument or argument.startswith("#"):
        message = f"it is missing what `{kind}` is to be"
        raise ValueError(message)


def _command_succeeds(lookup: Lookup, argument: str) -> bool:
    command = expand_tokens(argument, lookup.target().tokens(lookup.local))
    return lookup.commands.succeeds(command)


def _host_matches(name: str, patterns: str) -> bool:
    return list_matches(name.lower(), patterns.lower())


#: By the word of a criterion.
_ASKED: Mapping[str, Callable[[Lookup, str], bool]] = {
    "all": lambda _lookup, _argument: True,
    "canonical": lambda lookup, _argument: lookup.final,
    "final": lambda lookup, _argument: lookup.final,
    "host": lambda lookup, argument: _host_matches(lookup.target().host, argument),
    "originalhost": lambda lookup, argument: _host_matches(lookup.original, argument),
    "user": lambda lookup, argument: list_matches(lookup.target().user, argument),
    "localuser": lambda lookup, argument: list_matches(lookup.local.user, argument),
    "tagged": lambda lookup, argument: list_matches(lookup.values.get("tag", ""), argument),
    "exec": _command_succeeds,
}
