"""The program's entry: light, because every worker process imports it too."""

import gc
import sys

from batchrun import __version__

# Importing makes objects that all stay: looking through them again and again takes a sixteenth of
# the CPU time of a start (`bench/RESULTS.md`). Whoever has imported what there is to do lets the
# collector go (`cli/app.py`, `engine/pool/worker.py`).
gc.disable()

__all__ = ["main", "main_exec"]


def main_exec() -> None:
    """Run `batchrun exec`, by its short name `bx`."""
    sys.argv[1:1] = ["exec"] if sys.argv[1:] != ["--version"] else []
    main()


def main() -> None:
    """Run the command line and end the process with its exit code."""
    if sys.argv[1:] == ["--version"]:  # answered before anything heavy is imported
        print(f"batchrun {__version__}")  # noqa: T201 - the one answer that needs no report
        return
    if not sys.platform.startswith(("linux", "darwin")):
        sys.exit("batchrun runs on Linux and macOS only: it needs POSIX processes and files")
    try:
        from batchrun.cli.main import run_cli  # noqa: PLC0415 - see above

        run_cli(sys.argv[1:])
    except KeyboardInterrupt:  # while it imports; later ones are caught where they are expected
        sys.exit(130)


if __name__ == "__main__":
    main()
