"""The commands: what each takes and does, of which nothing is imported before it is called.

typer is given the called command alone: making the options of all of them took longer than many
a job. Help, completion and files with defaults need all of them, and get them.
"""

import gc
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import typer

from batchrun.cli import options as o
from batchrun.cli.signatures import command_of, group_of
from batchrun.cli.values import CommandGroup, command_class, group_class
from batchrun.model.exitcode import EXIT_CODES

__all__ = ["COMMANDS", "app_of", "flags_of"]

_EXIT_CODES = "**Exit codes:** " + "; ".join(
    f"{int(code)} {meaning}" for code, meaning in EXIT_CODES
)
_HELP = """Run many file operations and commands from one YAML job file, in parallel.

`batchrun JOBFILE [options]` is short for `batchrun run JOBFILE [options]`."""
_EACH_HELP = """Run one command for many items, as with GNU parallel.

`{}` is the item, `{.}` without its suffix, `{/}` its last component, `{//}` its directory,
`{/.}` its last component without suffix, `{#}` its number, `{%}` the slot of the command; `{1}`,
`{2/}` ... belong to the first, the second `:::` group, or item of `-N`. Without any of them the
item is appended. The words are joined and run by `/bin/sh`; items are quoted. Options come before
the command."""
_EXEC_HELP = """Run one command on many hosts, as with clush or pdsh; `bx` is short for it.

The first word that is no option begins the command. Its words are joined with spaces and run by
the shell of each host, as with ssh. Output comes line by line, each behind its host; `-b` shows
the same output once. What did not end well is named at the end, in node sets for `-w`."""
_DOWNLOAD_HELP = """Copy files and directories from hosts, for each into a directory of its own.

`{{ host }}` in the destination says where its name goes; without it, it comes last."""
_DO_HELP = """Run one operation of the job file's language, now, here or with `-w` on hosts.

As in `batchrun do copy src=/data dest=/backup/ mode=0640`; relative paths mean the current
directory, on a host the login directory."""
_RESUME_HELP = """Go on with a run: do everything that has not ended ok.

The job file is read once more; `now()` and the variables are those of the first run."""
_PRUNE_HELP = """Throw the records of old runs away.

Without an option that says which, what is thrown away at the end of each run: all but the
newest 1000 runs, what is older than 90 days, and what is more than 2 GiB. Runs that go on
with each other are kept or thrown away together, and one that is running is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """One command."""

    #: `module:Class` in this package: what it takes.
    takes: str
    #: `module:function` in this package: what it does with that; it returns the exit code.
    does: str
    help: str
    #: `--help` lists the exit codes.
    runs: bool = False
    #: The first word that is no option begins a command, whose options are its own.
    words_last: bool = False
    #: Commands of its own.
    below: Mapping[str, "_Command"] = field(default_factory=dict)


_COMMANDS: Mapping[str, _Command] = {
    "run": _Command(
        takes="jobflags:JobFlags",
        does="running:run_job_file",
        help="Run a job file (the default command).",
        runs=True,
    ),
    "each": _Command(
        takes="onceflags:EachFlags",
        does="each:run_each",
        help=_EACH_HELP,
        runs=True,
        words_last=True,
    ),
    "exec": _Command(
        takes="onceflags:ExecFlags",
        does="executing:run_exec",
        help=_EXEC_HELP,
        runs=True,
        words_last=True,
    ),
    "upload": _Command(
        takes="onceflags:TransferFlags",
        does="transferring:run_upload",
        help="Copy files and directories to hosts; what is there already is left as it is.",
        runs=True,
    ),
    "download": _Command(
        takes="onceflags:TransferFlags",
        does="transferring:run_download",
        help=_DOWNLOAD_HELP,
        runs=True,
    ),
    "hosts": _Command(
        takes="lookflags:HostsFlags",
        does="hostlist:list_hosts",
        help="Show what the inventory and the SSH configuration make of hosts; none is connected "
        "to.",
    ),
    "do": _Command(takes="onceflags:DoFlags", does="doing:run_operation", help=_DO_HELP, runs=True),
    "resume": _Command(
        takes="againflags:ResumeFlags", does="resuming:resume_run", help=_RESUME_HELP, runs=True
    ),
    "rerun": _Command(
        takes="againflags:RerunFlags",
        does="resuming:rerun_run",
        help="Run again only what did not end ok in a run, and nothing that is new in its lists.",
        runs=True,
    ),
    "check": _Command(
        takes="jobflags:CheckFlags",
        does="checking:check_job_file",
        help="Check a job file and print its plan; nothing is run.",
        runs=True,
    ),
    "show": _Command(
        takes="lookflags:ShowFlags",
        does="showing:show_run",
        help="Show what came of a run: its failures with their output, its slowest units, its "
        "recap.",
    ),
    "report": _Command(
        takes="lookflags:ReportFlags",
        does="reporting:report_run",
        help="Write what a run would have written with other options, from its record.",
    ),
    "schema": _Command(
        takes="lookflags:SchemaFlags",
        does="listing:print_schema",
        help="Print the JSON Schema of job files, for editors.",
    ),
    "ops": _Command(
        takes="lookflags:OpsFlags",
        does="listing:print_operations",
        help="List the operations, or describe one: its parameters and an example.",
    ),
    "runs": _Command(
        takes="lookflags:RunsFlags",
        does="looking:list_runs",
        help="List the runs that are on record, the newest first.",
        below={
            "prune": _Command(
                takes="lookflags:PruneFlags", does="looking:prune_runs", help=_PRUNE_HELP
            ),
        },
    ),
}
#: Their names.
COMMANDS: tuple[str, ...] = tuple(_COMMANDS)


def app_of(names: Collection[str] = COMMANDS) -> typer.Typer:
    """Make the command line with these commands."""
    app = typer.Typer(
        cls=CommandGroup,
        help=_HELP,
        epilog=_EXIT_CODES,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        # Its two options stand before any command, and are read by pydantic.
        add_completion=len(names) == len(COMMANDS),
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_root)
    for name in names:
        _add(app, name, _COMMANDS[name])
    return app


def flags_of(name: str) -> type[Any]:
    """Return the class that says what a command takes."""
    found: type[Any] = _named(_COMMANDS[name].takes)
    return found


def _root(
    version: o.Version = False,  # noqa: FBT002 - an option of the command line
) -> None:
    del version


def _add(app: typer.Typer, name: str, command: _Command) -> None:
    kind = _named(command.takes)
    if command.below:
        group = typer.Typer(cls=group_class(kind), rich_markup_mode="markdown")
        made = group_of(kind, _late(command.does))
        group.callback(invoke_without_command=True, help=command.help)(made)
        for below, one in command.below.items():
            _add(group, below, one)
        app.add_typer(group, name=name)
        return
    app.command(
        name,
        cls=command_class(kind),
        help=command.help,
        epilog=_EXIT_CODES if command.runs else None,
        context_settings={"allow_interspersed_args": False} if command.words_last else None,
    )(command_of(kind, _late(command.does)))


def _late(does: str) -> Callable[[Any], int]:
    """Return a function that imports another one when it is called."""

    def call(flags: Any) -> int:
        function: Callable[[Any], int] = _named(does)
        # Held since the program began (`__main__`). What is imported by now stays to the end.
        gc.freeze()
        gc.enable()
        return function(flags)

    return call


def _named(path: str) -> Any:
    """Return what stands at `module:name` in this package."""
    module, _, name = path.partition(":")
    return getattr(import_module(f"batchrun.cli.{module}"), name)
