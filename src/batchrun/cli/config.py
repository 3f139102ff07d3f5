"""Defaults of options from files: `~/.config/batchrun/config.yml`, then `/etc/batchrun/...`.

The command line wins over the environment, that over the user's file, that over the machine's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.main import get_command

from batchrun.errors import JobFileError, UsageError
from batchrun.model.statedir import home_dir

if TYPE_CHECKING:
    from batchrun.jobfile.settings import Setting

__all__ = ["config_files", "option_defaults"]

#: Base of everything that the command line parser refuses, whichever parser typer brings.
_ParserError: type[Exception] = typer.BadParameter.__bases__[0]
_MACHINE = Path("/etc/batchrun/config.yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    """An option of one command."""

    #: The parser's own object for the command.
    command: Any
    #: The words that name the command.
    path: tuple[str, ...]
    #: The parser's own object for it.
    parameter: Any


def config_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the files with defaults, the weakest first; they need not exist."""
    base = environ.get("XDG_CONFIG_HOME") or home_dir(environ) / ".config"
    return _MACHINE, Path(base, "batchrun", "config.yml")


def option_defaults(
    make_app: Callable[[], typer.Typer], environ: Mapping[str, str]
) -> dict[str, Any]:
    """Read the files and return the defaults of each command, for the parser.

    Args:
        make_app: Makes the whole command line, where there is a file.
        environ: Says where the files are.

    Raises:
        UsageError: a file has an unknown option, or a value that its option does not take.
    """
    found: dict[str, Any] = {}
    for path in config_files(environ):
        if not _is_there(path):
            continue
        try:
            text = path.read_bytes()
        except OSError as error:
            message = f"{path}: cannot be read: {error.strerror}"
            raise UsageError(message) from error
        for option, value in _values(make_app(), text, str(path)):
            of_command = found
            for word in option.path:
                of_command = of_command.setdefault(word, {})
            of_command[option.parameter.name] = value
    return found


def _is_there(path: Path) -> bool:
    """Whether there is such a file; in a directory that may not be entered there is none for us.

    `sudo -u USER` often keeps the HOME of who called it.
    """
    try:
        path.stat()
    except OSError:
        return False
    return True


def _values(app: typer.Typer, text: bytes, file: str) -> Iterator[tuple[_Option, Any]]:
    """Read one file; each of its lines may be for several commands."""
    from batchrun.jobfile.settings import read_settings  # noqa: PLC0415 - only when there is one

    options = dict(_options(app))
    try:
        settings = read_settings(text, file)
    except JobFileError as error:
        raise UsageError(str(error.problems[0])) from error
    for setting in settings:
        name = setting.name.replace("_", "-")
        if name not in options:
            raise UsageError(_unknown(setting, name, options, file))
        for option in options[name]:
            yield option, _value(option, setting, file)


def _options(app: typer.Typer) -> Iterator[tuple[str, list[_Option]]]:
    """List all options, each with the commands that have it, by the names of their variables.

    Those are the long names, but for the few that mean one thing here and another one there.
    """
    found: dict[str, list[_Option]] = {}
    for path, command in _commands(get_command(app), ()):
        for parameter in command.params:
            variable = parameter.envvar
            if variable:
                name = variable.removeprefix("BATCHRUN_").lower().replace("_", "-")
                option = _Option(command=command, path=path, parameter=parameter)
                found.setdefault(name, []).append(option)
    yield from found.items()


def _commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """List a command and those below it."""
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from _commands(below, (*path, name))


def _unknown(setting: "Setting", name: str, options: Mapping[str, list[_Option]], file: str) -> str:
    from batchrun.jobfile.problems import did_you_mean  # noqa: PLC0415 - for mistakes only

    hint = did_you_mean(name, options) or "; write the long name of one, such as `procs`"
    return f"{file}:{setting.line}: {setting.name}: there is no such option{hint}"


def _value(option: _Option, setting: "Setting", file: str) -> Any:
    """Return a value as the parser takes it; it is tried, so that a mistake names its line."""
    parameter = option.parameter
    where = f"{file}:{setting.line}: {setting.name}"
    if setting.is_list and not parameter.multiple:
        message = f"{where}: takes one value, not a list"
        raise UsageError(message)
    value: Any = list(setting.values) if parameter.multiple else setting.values[0]
    try:
        parameter.process_value(typer.Context(option.command), value)
    except (_ParserError, UsageError) as error:
        reason = str(getattr(error, "message", error)).rstrip(".")
        message = f"{where}: {reason.removeprefix(f'--{setting.name}: ')}"
        raise UsageError(message) from error
    return value
