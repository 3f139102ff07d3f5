"""`each` over many items of `true`: beside xargs and GNU parallel, in the same run."""

import sys
from collections.abc import Sequence
from pathlib import Path

from common import BATCHRUN, Row, machine, measure, print_rows, workspace

UNITS = 100_000
#: GNU parallel takes 5 to 9 ms for each command.
FEW = 10_000


def rows(units: int = UNITS, few: int = FEW, rounds: int = 1) -> list[Row]:
    """Measure; everybody reads the same list of items, and keeps the output of each apart."""
    each = [*BATCHRUN, "each", "-j2", "-q"]
    with workspace() as cwd:
        for number in (units, few):
            Path(cwd, str(number)).write_text("".join(f"{at}\n" for at in range(number)))
        many, some = str(units), str(few)
        pairs: Sequence[tuple[str, list[str], list[str], int]] = (
            (f"{units} × `true ITEM`, no shell, beside xargs -P2 -n1",
             [*each, "--argv", "-a", many, "true"], ["xargs", "-P2", "-n1", "-a", many, "true"],
             rounds),
            (f"{units} × `sh -c 'true ITEM'`, beside xargs -P2 -I{{}} sh -c",
             [*each, "-a", many, "true"],
             ["xargs", "-P2", "-I{}", "-a", many, "sh", "-c", "true {}"], rounds),
            (f"{few} × `true ITEM`, beside GNU parallel -j2",
             [*each, "-a", some, "true"], ["parallel", "-j2", "-a", some, "true"], 1),
            (f"{few} × `echo ITEM`, in order, tagged, beside GNU parallel -j2 -k --tag",
             [*each, "--keep-order", "--tag", "-a", some, "echo"],
             ["parallel", "-j2", "-k", "--tag", "-a", some, "echo"], 1),
        )  # fmt: skip
        return [_row(cwd, *pair) for pair in pairs]


def _row(cwd: str, work: str, ours: list[str], peer: list[str], rounds: int) -> Row:
    ours_s, peer_s = measure([ours, peer], cwd, rounds=rounds)
    return Row(
        work=work,
        ours=f"{ours_s:.2f} s",
        peer=f"{peer_s:.2f} s",
        ratio=f"{ours_s / peer_s:.2f}",
        bar="",
        met=None,
    )


if __name__ == "__main__":
    print(machine())
    print_rows(rows(*map(int, sys.argv[1:3])))
