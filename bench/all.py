"""Every claim, measured on this machine, as one table."""

import commands
import dispatch
import files
import million
import startup
from common import machine, print_rows


def main() -> None:
    """Measure everything; takes some minutes."""
    print(machine(), end="\n\n")
    rows = []
    for claim in (startup.rows, dispatch.rows, commands.rows, files.rows, million.rows):
        rows += claim()
    print_rows(rows)


if __name__ == "__main__":
    main()
