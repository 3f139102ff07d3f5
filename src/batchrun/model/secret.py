"""Secrets: references that travel instead of values, and the mask that keeps values unseen.

A unit holds `SecretText`; the value is put in by `revealed`, in the process that runs the unit,
just before its operation begins. Whatever comes out of a run goes through a `Mask`.
"""

import base64
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

__all__ = ["HIDDEN", "SHORTEST", "Mask", "SecretRef", "SecretText", "revealed"]

#: What stands in the place of a secret.
HIDDEN = "***"
#: Values with fewer characters are refused: they would mask half of every output.
SHORTEST = 4


@dataclass(frozen=True, slots=True)
class SecretRef:
    """A secret by its name in the job file."""

    name: str


@dataclass(frozen=True, slots=True)
class SecretText:
    """Text with secrets in it, which are not filled in yet."""

    parts: tuple[str | SecretRef, ...]

    def __str__(self) -> str:
        """Show the text as people may see it."""
        return "".join(HIDDEN if isinstance(part, SecretRef) else part for part in self.parts)

    def reveal(self, values: Mapping[str, str]) -> str:
        """Fill in the values.

        Raises:
            KeyError: a secret is not among them.
        """
        return "".join(
            values[part.name] if isinstance(part, SecretRef) else part for part in self.parts
        )


def revealed(value: Any, values: Mapping[str, str]) -> Any:
    """Fill secrets into a parameter: text, or containers of text."""
    match value:
        case SecretText():
            return value.reveal(values)
        case dict():
            return {key: revealed(one, values) for key, one in value.items()}
        case list() | tuple() if type(value) in (list, tuple):  # a Glob holds no secret
            return type(value)(revealed(one, values) for one in value)
        case _:
            return value


class Mask:
    """Replaces secrets, also quoted, base64 or URL-encoded, in text and in bytes.

    >>> Mask(["s3cret!"]).text("password=s3cret%21 s3cret!")
    'password=*** ***'
    """

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in _forms(value)}
        # Longest first: a form may be part of another.
        self._texts = sorted(forms, key=lambda form: (-len(form), form))
        #: What is looked for in bytes, the longest first.
        self.forms = tuple(form.encode("utf-8", "surrogateescape") for form in self._texts)
        self._hidden = HIDDEN.encode()
        #: Length of the longest form in bytes: so much may be the beginning of a secret.
        self.longest_bytes = max(map(len, self.forms), default=0)

    def __bool__(self) -> bool:
        """Whether there is anything to hide."""
        return bool(self._texts)

    def text(self, text: str) -> str:
        """Return the text with every secret hidden."""
        for form in self._texts:
            if form in text:
                text = text.replace(form, HIDDEN)
        return text

    def data(self, data: bytes) -> bytes:
        """Return the bytes with every secret hidden."""
        for form in self.forms:
            if form in data:
                data = data.replace(form, self._hidden)
        return data


def _forms(value: str) -> set[str]:
    """List how a value may be written by programs that pass it on."""
    value = value.rstrip("\n")
    raw = value.encode("utf-8", "surrogateescape")
    forms = {value, shlex.quote(value), quote(raw, safe=""), quote(raw), quote_plus(raw)}
    forms |= {value.replace("'", "'\\''"), value.replace("\\", "\\\\").replace('"', '\\"')}
    # In messages and tracebacks: as Python and JSON write it.
    forms |= {repr(value)[1:-1], ascii(value)[1:-1], repr(raw)[2:-1], json.dumps(value)[1:-1]}
    forms |= _base64_forms(raw)
    # Many lines (a key file): each line that says something is a secret by itself.
    lines = [line.strip() for line in value.splitlines()]
    forms |= {line for line in lines if len(line) >= 2 * SHORTEST} if len(lines) > 1 else set()
    return {form for form in forms if len(form) >= SHORTEST}


def _base64_forms(raw: bytes) -> set[str]:
    """List the base64 of a value at the three offsets it can have inside a longer text."""
    forms: set[str] = set()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms.add(encode(raw).decode())
        for offset in range(3):
            text = encode(b"\0" * offset + raw).decode().rstrip("=")
            # The first characters mix with what stands before, the last with what follows.
            start = (0, 2, 3)[offset]
            end = len(text) - ((offset + len(raw)) % 3 != 0)
            if end - start >= 2 * SHORTEST:
                forms.add(text[start:end])
    return forms
