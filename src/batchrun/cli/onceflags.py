"""What the commands take that make a job of the command line."""

from dataclasses import dataclass

from batchrun.cli import hostoptions as ho
from batchrun.cli import options as o
from batchrun.cli.flags import Flags, FleetFlags

__all__ = ["DoFlags", "EachFlags", "ExecFlags", "ShownFlags", "TransferFlags"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class EachFlags(Flags):
    """What `each` takes."""

    words: o.CommandWords = None
    arg_file: o.ArgFile = None
    null: o.NullSeparated = False
    max_args: o.MaxArgs = None
    replace: o.Replace = "{}"
    argv: o.Argv = False
    tag: o.Tag = False
    keep_order: o.KeepOrder = False
    save: o.Save = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ShownFlags(FleetFlags):
    """What commands take that show what was written on hosts."""

    fold: ho.Fold = False
    mask: ho.MaskOutput = False
    raw: ho.Raw = False
    save: o.Save = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class ExecFlags(ShownFlags):
    """What `exec` takes."""

    words: ho.HostCommand = None
    script: ho.ScriptFile = None
    argv: o.Argv = False
    stdin: ho.Stdin = False
    template: ho.Templates = False
    diff: ho.MajorityDiff = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class DoFlags(ShownFlags):
    """What `do` takes."""

    operation: o.OperationName
    words: o.Words = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TransferFlags(FleetFlags):
    """What `upload` and `download` take."""

    paths: ho.TransferPaths = None
    save: o.Save = None
