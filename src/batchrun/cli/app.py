"""The commands and their options; everything else is imported when a command runs."""

import typer

from batchrun.cli import options as o
from batchrun.model.exitcode import EXIT_CODES

__all__ = ["COMMANDS", "app"]

_EXIT_CODES = "**Exit codes:** " + "; ".join(
    f"{int(code)} {meaning}" for code, meaning in EXIT_CODES
)
_HELP = """Run many file operations and commands from one YAML job file, in parallel.

`batchrun JOBFILE [options]` is short for `batchrun run JOBFILE [options]`."""

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


@app.command("run", epilog=_EXIT_CODES)
def run(  # noqa: PLR0913, PLR0917 - one parameter for each option of the contract
    job_file: o.JobFile,
    var: o.Variables = None,
    vars_file: o.VarsFiles = None,
    tags: o.Tags = None,
    skip_tags: o.SkipTags = None,
    task: o.Tasks = None,
    procs: o.Procs = None,
    dry_run: o.DryRun = False,  # noqa: FBT002 - an option of the command line, as all below
    detailed_exitcode: o.DetailedExitcode = False,  # noqa: FBT002
    timeout: o.Timeout = None,
    retries: o.Retries = None,
    max_fail: o.MaxFail = None,
    deadline: o.Deadline = None,
    grace: o.Grace = "60s",
    output: o.OutputChoice = o.Output.TEXT,
    progress: o.ProgressChoice = o.Progress.AUTO,
    quiet: o.Quiet = 0,
    verbose: o.Verbose = False,  # noqa: FBT002
    lock: o.Lock = False,  # noqa: FBT002
    lock_name: o.LockName = None,
    wait: o.Wait = None,
    debug: o.Debug = False,  # noqa: FBT002
) -> int:
    """Run a job file (the default command)."""
    from batchrun.cli.running import RunFlags, run_job_file  # noqa: PLC0415 - heavy

    return run_job_file(
        RunFlags(
            job_file=str(job_file),
            variables=o.variables(var),
            vars_files=tuple(map(str, vars_file or ())),
            tags=_split(tags),
            skip_tags=_split(skip_tags),
            task_ids=tuple(task or ()),
            procs=procs,
            dry_run=dry_run,
            detailed_exitcode=detailed_exitcode,
            timeout_s=o.duration(timeout, "--timeout"),
            retries=retries,
            max_fail=o.fail_limit(max_fail),
            deadline_s=o.duration(deadline, "--deadline"),
            grace_s=o.duration(grace, "--grace") or 0.0,
            output=output,
            progress=progress,
            quiet=quiet,
            verbose=verbose,
            lock=lock,
            lock_name=lock_name,
            wait_s=o.duration(wait, "--wait"),
            debug=debug,
        )
    )


@app.command("check")
def check(  # noqa: PLR0913, PLR0917 - as above
    job_file: o.JobFile,
    var: o.Variables = None,
    vars_file: o.VarsFiles = None,
    tags: o.Tags = None,
    skip_tags: o.SkipTags = None,
    task: o.Tasks = None,
) -> int:
    """Check a job file and print its plan; nothing is run."""
    from batchrun.cli.checking import check_job_file  # noqa: PLC0415 - heavy
    from batchrun.jobfile import LoadOptions  # noqa: PLC0415 - as above

    options = LoadOptions(
        variables=o.variables(var),
        vars_files=tuple(map(str, vars_file or ())),
        task_ids=tuple(task or ()),
        tags=_split(tags),
        skip_tags=_split(skip_tags),
    )
    return check_job_file(str(job_file), options)


def _split(words: list[str] | None) -> tuple[str, ...]:
    """Take `a,b` and repeated options apart."""
    return tuple(part for word in words or () for part in word.split(",") if part)


COMMANDS: tuple[str, ...] = tuple(
    command.name for command in app.registered_commands if command.name
)
