"""Every claim, measured on this machine, as one table."""

import commands
import compress
import dispatch
import each
import files
import history
import journal
import million
import report
import startup
import tree
from common import machine, print_rows

import fleet


def main() -> None:
    """Measure everything; takes some minutes."""
    print(machine(), end="\n\n")
    rows = []
    for claim in (
        startup.rows,
        dispatch.rows,
        commands.rows,
        each.rows,
        files.rows,
        tree.rows,
        fleet.rows,
        compress.rows,
        million.rows,
        journal.rows,
        report.rows,
        history.rows,
    ):
        rows += claim()
    print_rows(rows)


if __name__ == "__main__":
    main()
