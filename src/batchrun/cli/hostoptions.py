"""The options that say which hosts are meant, and how they are reached."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from batchrun.cli.optionkinds import HOSTS, LIMITS, SHOW, WHAT, duration, option
from batchrun.errors import UsageError

__all__ = [
    "AllHosts",
    "AskPass",
    "AskSudoPass",
    "Batch",
    "ConnectTimeout",
    "Exclude",
    "Fanout",
    "Fold",
    "FoldedNames",
    "Groups",
    "HostCommand",
    "HostFile",
    "HostKey",
    "HostKeyChoice",
    "Hosts",
    "Inventory",
    "MajorityDiff",
    "MaskOutput",
    "NodesArgument",
    "Raw",
    "ScriptFile",
    "SshConfig",
    "SshOptions",
    "Stdin",
    "Sudo",
    "Templates",
    "TransferPaths",
    "User",
]


class HostKey(StrEnum):
    """What becomes of a host whose key is not known."""

    STRICT = "strict"
    ACCEPT_NEW = "accept-new"
    OFF = "off"


def _wave_sizes(text: object) -> str:
    """Read `N`, `N%`, or several of them with commas between.

    Raises:
        UsageError: it is none of these.
    """
    if re.fullmatch(r"[1-9]\d*%?(,[1-9]\d*%?)*", str(text)):
        return str(text)
    message = f"--batch: {text!r} is no number or percentage; write 5, 10%, or 1,10%,50%"
    raise UsageError(message)


def _ssh_option(text: object) -> str:
    """Read `KEY=VALUE`, or `KEY VALUE` as ssh takes it too.

    Raises:
        UsageError: it is neither.
    """
    if re.match(r"\s*[A-Za-z0-9]+\s*[= ]\s*\S", str(text)):
        return str(text)
    message = f"-o: {str(text)!r} is no option of ssh; write it as in -o Port=2222"
    raise UsageError(message)


Hosts: TypeAlias = Annotated[
    list[str] | None,
    option(HOSTS, "On these hosts, such as web[01-20],@db!db3; `-` reads them from standard "
           "input. A job file's tasks run on those of theirs that are among them.",
           "-w", "--hosts", metavar="NODES"),
]  # fmt: skip
Exclude: TypeAlias = Annotated[
    list[str] | None,
    option(HOSTS, "Not on these hosts.", "-x", "--exclude", metavar="NODES"),
]
Groups: TypeAlias = Annotated[
    list[str] | None,
    option(HOSTS, "On the hosts of this group.", "-g", "--group", metavar="GROUP"),
]
AllHosts: TypeAlias = Annotated[
    bool, option(HOSTS, "On all hosts of the inventory.", "-a", "--all-hosts")
]
HostFile: TypeAlias = Annotated[
    list[Path] | None,
    option(HOSTS, "On the hosts in this file, separated by white space; `-` is standard input.",
           "--hostfile", metavar="FILE", readable=False),
]  # fmt: skip
Inventory: TypeAlias = Annotated[
    Path | None,
    option(HOSTS, "The inventory, instead of the job file's.", "-i", "--inventory",
           metavar="FILE", readable=False),
]  # fmt: skip
SshConfig: TypeAlias = Annotated[
    Path | None,
    option(HOSTS, "The SSH configuration, as with ssh -F.", "-F", "--ssh-config",
           metavar="FILE", readable=False),
]  # fmt: skip
SshOptions: TypeAlias = Annotated[
    list[str] | None,
    option(HOSTS, "An option of the SSH configuration, as with ssh -o; may be given several "
           "times.", "-o", "--ssh-option", metavar="KEY=VALUE", parser=_ssh_option),
]  # fmt: skip
User: TypeAlias = Annotated[
    str | None, option(HOSTS, "Log in as this user.", "-l", "--user", metavar="USER")
]
ConnectTimeout: TypeAlias = Annotated[
    float | None,
    option(HOSTS, "Longest time to connect to a host. Default: 10s.", "-t", "--connect-timeout",
           metavar="TIME", parser=duration("--connect-timeout")),
]  # fmt: skip
Fanout: TypeAlias = Annotated[
    int | None,
    option(HOSTS, "Most hosts at once. Default: what the job file says, else 64.",
           "-f", "--fanout", min=1, max=100_000, metavar="N"),
]  # fmt: skip
HostKeyChoice: TypeAlias = Annotated[
    HostKey | None,
    option(HOSTS, "What becomes of a host whose key is not known: refuse it, note its key and go "
           "on, or do not look. Default: strict.", "--host-key", show_default=False),
]  # fmt: skip
Sudo: TypeAlias = Annotated[bool, option(HOSTS, "Run it as root on the hosts, by sudo.", "--sudo")]
AskSudoPass: TypeAlias = Annotated[
    bool,
    option(HOSTS, "Ask once for the password of sudo; means --sudo.", "-K", "--ask-sudo-pass"),
]
AskPass: TypeAlias = Annotated[
    bool, option(HOSTS, "Ask once for the password of the login.", "-k", "--ask-pass")
]
Batch: TypeAlias = Annotated[
    str | None,
    option(LIMITS, "In waves of so many hosts, such as 5, 10% or 1,10%,50%.", "--batch",
           metavar="N", parser=_wave_sizes),
]  # fmt: skip

Fold: TypeAlias = Annotated[
    bool,
    option(SHOW, "Show the same output once, below the hosts that wrote it.", "-b", "--fold"),
]
# The variable of `--diff` means the changes in files, for all other commands.
MajorityDiff: TypeAlias = Annotated[
    bool,
    option(SHOW, "Show what is different from the output of most hosts.", "--diff",
           variable="BATCHRUN_EXEC_DIFF"),
]  # fmt: skip
MaskOutput: TypeAlias = Annotated[
    bool,
    option(SHOW, "With -b or --diff: what differs only in numbers, dates, times and the host's "
           "own name is the same.", "--mask"),
]  # fmt: skip
Raw: TypeAlias = Annotated[
    bool, option(SHOW, "Pass on what acts on a terminal, such as colours.", "--raw")
]
ScriptFile: TypeAlias = Annotated[
    Path | None,
    option(WHAT, "Run this file of this machine there; the words are its arguments.",
           "--script", metavar="FILE", readable=False),
]  # fmt: skip
Stdin: TypeAlias = Annotated[
    bool, option(WHAT, "Give standard input to the command on each host.", "--stdin")
]
Templates: TypeAlias = Annotated[
    bool,
    option(WHAT, "{{ }} in the command is a template, as in a job file: {{ host }} ...",
           "--template"),
]  # fmt: skip
HostCommand: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CMD...",
        help="The command; its words are joined with spaces and run by the shell of the host, as "
        "with ssh.",
        show_default=False,
    ),
]
TransferPaths: TypeAlias = Annotated[
    list[str] | None,
    typer.Argument(metavar="SRC... DEST", help="What is copied, and where to.",
                   show_default=False),
]  # fmt: skip
FoldedNames: TypeAlias = Annotated[
    bool, option(SHOW, "Nothing but their names, as one node set.", "--folded")
]
NodesArgument: TypeAlias = Annotated[
    str | None,
    typer.Argument(metavar="NODES", help="The hosts; without it, all of the inventory.",
                   show_default=False),
]  # fmt: skip
