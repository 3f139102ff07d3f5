"""The commands; everything but their options is imported when a command runs."""

import typer

from batchrun.cli import options as o
from batchrun.cli.flags import (
    CheckFlags,
    DoFlags,
    EachFlags,
    ExecFlags,
    HostsFlags,
    JobFlags,
    PruneFlags,
    ReportFlags,
    RerunFlags,
    ResumeFlags,
    RunsFlags,
    ShowFlags,
    TransferFlags,
)
from batchrun.cli.signatures import command_of, group_of
from batchrun.model.exitcode import EXIT_CODES

__all__ = ["COMMANDS", "app"]

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
#: The first word that is no option begins the command, or the parameters.
_WORDS_LAST = {"allow_interspersed_args": False}

app = typer.Typer(
    help=_HELP,
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def _root(
    version: o.Version = False,  # noqa: FBT002 - an option of the command line
) -> None:
    del version


def _run(flags: JobFlags) -> int:
    """Run a job file (the default command)."""
    from batchrun.cli.running import run_job_file  # noqa: PLC0415 - heavy, as all below

    return run_job_file(flags)


def _each(flags: EachFlags) -> int:
    from batchrun.cli.each import run_each  # noqa: PLC0415

    return run_each(flags)


def _exec(flags: ExecFlags) -> int:
    from batchrun.cli.executing import run_exec  # noqa: PLC0415

    return run_exec(flags)


def _upload(flags: TransferFlags) -> int:
    """Copy files and directories to hosts; what is there already is left as it is."""
    from batchrun.cli.transferring import run_upload  # noqa: PLC0415

    return run_upload(flags)


def _download(flags: TransferFlags) -> int:
    """Copy files and directories from hosts, for each into a directory of its own.

    `{{ host }}` in the destination says where its name goes; without it, it comes last.
    """
    from batchrun.cli.transferring import run_download  # noqa: PLC0415

    return run_download(flags)


def _hosts(flags: HostsFlags) -> int:
    """Show what the inventory and the SSH configuration make of hosts; none is connected to."""
    from batchrun.cli.hostlist import list_hosts  # noqa: PLC0415

    return list_hosts(flags)


def _do(flags: DoFlags) -> int:
    """Run one operation of the job file's language, now, here or with `-w` on hosts.

    As in `batchrun do copy src=/data dest=/backup/ mode=0640`; relative paths mean the current
    directory, on a host the login directory.
    """
    from batchrun.cli.doing import run_operation  # noqa: PLC0415

    return run_operation(flags)


def _check(flags: CheckFlags) -> int:
    """Check a job file and print its plan; nothing is run."""
    from batchrun.cli.checking import check_job_file  # noqa: PLC0415

    return check_job_file(flags)


def _resume(flags: ResumeFlags) -> int:
    """Go on with a run: do everything that has not ended ok.

    The job file is read once more; `now()` and the variables are those of the first run.
    """
    from batchrun.cli.resuming import resume_run  # noqa: PLC0415

    return resume_run(flags)


def _rerun(flags: RerunFlags) -> int:
    """Run again only what did not end ok in a run, and nothing that is new in its lists."""
    from batchrun.cli.resuming import rerun_run  # noqa: PLC0415

    return rerun_run(flags)


def _runs(flags: RunsFlags) -> int:
    """List the runs that are on record, the newest first."""
    from batchrun.cli.looking import list_runs  # noqa: PLC0415

    return list_runs(flags)


def _prune(flags: PruneFlags) -> int:
    """Throw the records of old runs away.

    Without an option that says which, what is thrown away at the end of each run: all but the
    newest 1000 runs, what is older than 90 days, and what is more than 2 GiB. Runs that go on
    with each other are kept or thrown away together, and one that is running is kept.
    """
    from batchrun.cli.looking import prune_runs  # noqa: PLC0415

    return prune_runs(flags)


def _show(flags: ShowFlags) -> int:
    """Show what came of a run: its failures with their output, its slowest units, its recap."""
    from batchrun.cli.showing import show_run  # noqa: PLC0415

    return show_run(flags)


def _report(flags: ReportFlags) -> int:
    """Write what a run would have written with other options, from its record."""
    from batchrun.cli.reporting import report_run  # noqa: PLC0415

    return report_run(flags)


run = app.command("run", epilog=_EXIT_CODES)(command_of(JobFlags, _run))
each = app.command("each", epilog=_EXIT_CODES, help=_EACH_HELP, context_settings=_WORDS_LAST)(
    command_of(EachFlags, _each)
)
exec_ = app.command("exec", epilog=_EXIT_CODES, help=_EXEC_HELP, context_settings=_WORDS_LAST)(
    command_of(ExecFlags, _exec)
)
upload = app.command("upload", epilog=_EXIT_CODES)(command_of(TransferFlags, _upload))
download = app.command("download", epilog=_EXIT_CODES)(command_of(TransferFlags, _download))
hosts = app.command("hosts")(command_of(HostsFlags, _hosts))
do = app.command("do", epilog=_EXIT_CODES)(command_of(DoFlags, _do))
resume = app.command("resume", epilog=_EXIT_CODES)(command_of(ResumeFlags, _resume))
rerun = app.command("rerun", epilog=_EXIT_CODES)(command_of(RerunFlags, _rerun))
check = app.command("check", epilog=_EXIT_CODES)(command_of(CheckFlags, _check))
runs = typer.Typer(rich_markup_mode="markdown")
runs.callback(invoke_without_command=True)(group_of(RunsFlags, _runs))
prune = runs.command("prune")(command_of(PruneFlags, _prune))
app.add_typer(runs, name="runs")
show = app.command("show")(command_of(ShowFlags, _show))
report = app.command("report")(command_of(ReportFlags, _report))


@app.command("schema")
def schema() -> int:
    """Print the JSON Schema of job files, for editors."""
    from batchrun.cli.listing import print_schema  # noqa: PLC0415

    return print_schema()


@app.command("ops")
def ops(name: o.OperationChoice = None) -> int:
    """List the operations, or describe one: its parameters and an example."""
    from batchrun.cli.listing import print_operations  # noqa: PLC0415

    return print_operations(name)


COMMANDS: tuple[str, ...] = (
    *(command.name for command in app.registered_commands if command.name),
    *(group.name for group in app.registered_groups if group.name),
)
