"""Secrets in templates: where they may be named, and the references that units carry instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchrun.jobfile.compiled import Compiled, Constant
from batchrun.jobfile.expressions import Expression
from batchrun.jobfile.problems import did_you_mean
from batchrun.jobfile.scope import Names
from batchrun.jobfile.template import Part, insert
from batchrun.model.secret import SecretRef, SecretText

__all__ = [
    "IN_COMMAND",
    "NOT_HERE",
    "SecretNames",
    "holds_secret",
    "named_in",
    "secret_text",
    "secrets_of",
]

#: Why a secret cannot be inserted, at most places.
NOT_HERE = (
    "a secret cannot be inserted here; it goes into `env` or `stdin` of a command, or into the "
    "text of a file that is written"
)
#: Why not in what a command is started with.
IN_COMMAND = (
    "a secret would show in the process list here; use `env`, `stdin` or a file that is written"
)


@dataclass(frozen=True, slots=True)
class SecretNames:
    """The secrets that templates may name, and those that they have named."""

    declared: frozenset[str] = frozenset()
    #: Named at a place where they may be, since `take`, in the order of reading.
    used: list[str] = field(default_factory=list)
    #: Environment variables that hold one: what is run to find items does not inherit them.
    withheld_env: tuple[str, ...] = ()

    def refusal(self, expression: Expression, not_here: str) -> str:
        """Say why an expression may not use secrets as it does, and note what it uses.

        Args:
            expression: One that names `secrets`.
            not_here: Why no secret can stand there; empty: one can.

        Returns:
            A sentence; empty when all is well.
        """
        name = expression.secret
        if not self.declared:
            return (
                "no `secrets` are declared; add them at the top, as in secrets: {token: {env: T}}"
            )
        if name and name not in self.declared:
            return f"there is no secret `{name}`{did_you_mean(name, self.declared)}"
        if not_here:
            return not_here
        if not name:
            return (
                f"`{expression.source}` looks into a secret; it can only be inserted as it is, as "
                "in {{ secrets.NAME }}"
            )
        self.used.append(name)
        return ""

    def take(self) -> tuple[str, ...]:
        """Return the names used since the last call, sorted, each once."""
        if not self.used:
            return ()
        names = tuple(sorted(set(self.used)))
        self.used.clear()
        return names


def holds_secret(parts: Sequence[Part]) -> bool:
    """Tell whether a text has a secret in it."""
    return any(isinstance(part, Expression) and part.secret for part in parts)


def secret_text(parts: Sequence[Part]) -> Compiled:
    """Compile a text with secrets in it to references; what is beside them is rendered."""
    if all(isinstance(part, str) or part.secret for part in parts):
        return Constant(SecretText(tuple(_fixed(part) for part in parts)))

    def render(names: Names) -> SecretText:
        return SecretText(
            tuple(
                _fixed(part) if isinstance(part, str) or part.secret else _inserted(part, names)
                for part in parts
            )
        )

    return render


def _fixed(part: Part) -> str | SecretRef:
    return SecretRef(part.secret) if isinstance(part, Expression) else _checked_text(part)


def _inserted(expression: Expression, names: Names) -> str:
    return _checked_text(insert(expression, names))


def _checked_text(text: str) -> str:
    if "\0" in text:
        message = "text cannot hold a NUL character"
        raise ValueError(message)
    return text


def named_in(params: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the secrets that parameters refer to, sorted, each once."""
    return tuple(sorted(secrets_of(params)))


def secrets_of(value: Any) -> frozenset[str]:
    """Return the names of the secrets that a parameter, or all of them, refer to."""
    if isinstance(value, SecretText):
        return frozenset(part.name for part in value.parts if isinstance(part, SecretRef))
    if isinstance(value, Mapping):
        return frozenset().union(*map(secrets_of, value.values()))
    if isinstance(value, list | tuple):
        return frozenset().union(*map(secrets_of, value))
    return frozenset()
