"""Secrets of one unit: filled in just before it runs, hidden in all that it says.

Imported for units that have secrets only: what this needs takes a worker some milliseconds.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import lru_cache
from typing import Any

from batchrun.model.around import Around
from batchrun.model.operation import Done
from batchrun.model.outcome import Captured, Outcome, Output
from batchrun.model.secret import Mask, revealed

__all__ = ["filled_in", "masked", "the_mask"]


def the_mask(secrets: Mapping[str, str]) -> Mask:
    """Return the mask for these values; made once, because that takes 0.1 ms for each."""
    return _made(frozenset(secrets.values()))


@lru_cache(maxsize=4)
def _made(values: frozenset[str]) -> Mask:
    return Mask(values)


def filled_in(
    params: Mapping[str, object], around: Around | None, secrets: Mapping[str, str]
) -> tuple[Mapping[str, Any], Around | None]:
    """Put the values in the places of their references.

    Raises:
        KeyError: a value is missing.
    """
    filled = {name: revealed(value, secrets) for name, value in params.items()}
    if around is not None:
        command = {name: revealed(value, secrets) for name, value in around.command.items()}
        around = replace(
            around,
            unless=revealed(around.unless, secrets),
            onlyif=revealed(around.onlyif, secrets),
            command=command,
        )
    return filled, around


def masked(done: Done, mask: Mask) -> Done:
    """Hide secrets in every text of an answer."""
    return replace(
        done,
        outcome=_masked_outcome(done.outcome, mask),
        output=Output(
            stdout=_masked_stream(done.output.stdout, mask),
            stderr=_masked_stream(done.output.stderr, mask),
        )
        if done.output
        else done.output,
        warnings=tuple(map(mask.text, done.warnings)),
        errors=tuple(map(mask.text, done.errors)),
        diff=mask.text(done.diff),
    )


def _masked_outcome(outcome: Outcome, mask: Mask) -> Outcome:
    texts: dict[str, Any] = {
        field.name: mask.text(value)
        for field in fields(outcome)
        if isinstance(value := getattr(outcome, field.name), str)
    }
    return replace(outcome, **texts) if texts else outcome


def _masked_stream(stream: Captured, mask: Mask) -> Captured:
    """Mask once more what a command's own stream was searched for already, and other operations'.

    Sizes stay true to what is shown.
    """
    return replace(stream, head=mask.data(stream.head), tail=mask.data(stream.tail))
