"""Functions for typer, made of the classes that say what a command takes."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

import typer

from batchrun.cli.optionkinds import panel_position
from batchrun.errors import UsageError

__all__ = ["command_of", "group_of"]

F = TypeVar("F")
R = TypeVar("R")


def command_of(kind: type[F], function: Callable[[F], int]) -> Callable[..., int]:
    """Make the function that typer calls: one keyword argument for each field of a class.

    So an option is written once, beside the name under which it is used.
    """

    def call(**given: Any) -> int:
        return function(kind(**given))

    return _with_signature(call, function, _parameters(kind))


def group_of(kind: type[F], function: Callable[[F], int]) -> Callable[..., int | None]:
    """Make the function that typer calls for a command that has commands of its own.

    One of them is meant when it is named; then options before it would mean nothing, and are
    refused.
    """

    def call(context: typer.Context, **given: Any) -> int | None:
        name = context.invoked_subcommand
        if name is None:
            return function(kind(**given))
        for option in given:
            source = context.get_parameter_source(option)
            if source is not None and source.name == "COMMANDLINE":
                message = f"options of `{context.info_name}` mean nothing before `{name}`"
                raise UsageError(message)
        return None

    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    return _with_signature(call, function, [context, *_parameters(kind)])


def _parameters(kind: type[Any]) -> list[inspect.Parameter]:
    """Make a parameter of each field of a class, in the order of `--help`."""
    hints = get_type_hints(kind, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)
    ]
    return sorted(parameters, key=lambda one: panel_position(one.annotation))


def _with_signature(
    call: Callable[..., R], function: Callable[..., Any], parameters: list[inspect.Parameter]
) -> Callable[..., R]:
    call.__name__ = function.__name__
    call.__doc__ = function.__doc__
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by typer
    return call
