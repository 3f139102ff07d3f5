"""`inventory`: a file, a mapping in the job file, or a command, read to what is known of hosts.

    path ──parse──► mapping ──┐
    inline mapping ───────────┼──► rows (HostRow, GroupRow, Settings) ──nodes.inventory──► Inventory
    command ──JSON──ansible───┘

Mistakes are told like all others, where they are written.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batchrun.errors import JobFileError, Problem, SourceError
from batchrun.jobfile.ansible import read_listing
from batchrun.jobfile.document import parse
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.hostsettings import SettingsReader
from batchrun.jobfile.problems import Path, Problems, did_you_mean
from batchrun.jobfile.quietcommand import QuietCommands
from batchrun.jobfile.scalars import is_null, resolve, text_of
from batchrun.jobfile.synonyms import key_meant_by
from batchrun.jobfile.trust import Trust, UntrustedError
from batchrun.nodes.inventory import (
    GroupRow,
    HostRow,
    Inventory,
    Place,
    Settings,
    build_inventory,
)

__all__ = ["INVENTORY_KEYS", "read_inventory"]

#: The keys of an inventory.
INVENTORY_KEYS = ("defaults", "hosts", "groups")
_PLACE: Path = ("inventory",)
#: Ten thousand hosts with a hundred variables each.
_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Where:
    """Where an inventory is written."""

    problems: Problems
    #: Where it stands in that file.
    path: Path = ()
    #: Against which its relative paths resolve.
    base_dir: str

    def add(self, place: Place, message: str) -> None:
        """Note a mistake."""
        self.problems.add((*self.path, *place), message)


def read_inventory(raw: Any, compiler: Compiler, given: str, *, needed: bool) -> Inventory:
    """Read the inventory of a job; mistakes are noted.

    Args:
        raw: As it is written, its structure checked; None: there is none.
        compiler: For messages, and for what may be read.
        given: The path of another one, from the command line; empty: there is none.
        needed: Some task is for hosts; otherwise no command is run.
    """
    if given:
        return _from_file(os.path.abspath(given), given, compiler, _PLACE)
    if raw is None:
        return Inventory.empty()
    if isinstance(raw, str):
        path = os.path.join(compiler.base_dir, os.path.expanduser(raw))
        return _from_file(path, raw, compiler, _PLACE)
    if "command" in raw:
        return _from_command(_argv(raw["command"], compiler), compiler, needed=needed)
    where = _Where(problems=compiler.problems, path=_PLACE, base_dir=compiler.base_dir)
    return _from_mapping(raw, where)


def _from_file(path: str, shown: str, compiler: Compiler, place: Path) -> Inventory:
    problems, reason = compiler.problems, ""
    try:
        document = parse(_text(path, compiler.trust), shown)
    except _UnreadableError as error:
        reason = str(error)
    except JobFileError as error:
        problems.note(error.problems)
    else:
        found = _checked(document.data, document.problems, os.path.dirname(path))
        problems.note(document.problems.listed())
        return found
    if reason:
        problems.add(place, f"the inventory `{shown}` {reason}")
    return Inventory.empty()


class _UnreadableError(Exception):
    """A file cannot be read; the message says why."""


def _text(path: str, trust: Trust) -> bytes:
    try:
        return trust.read(path)
    except UntrustedError as error:
        raise _UnreadableError(str(error)) from None
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise _UnreadableError(reason) from None


def _checked(data: Any, problems: Problems, base_dir: str) -> Inventory:
    """Read the structure of a file of its own."""
    if data is None or is_null(data):
        return Inventory.empty()
    if isinstance(data, dict) and "_meta" in data:
        return read_listing(resolve(data), lambda message: problems.add((), message))
    if not isinstance(data, dict):
        problems.add((), "an inventory is a mapping with `hosts:`, and perhaps `groups:`")
        return Inventory.empty()
    good: dict[str, Any] = {}
    for key, value in data.items():
        if key in INVENTORY_KEYS:
            good[key] = value
        elif not key.startswith("x-"):
            problems.add((key,), unknown_part(key, INVENTORY_KEYS))
    return _from_mapping(good, _Where(problems=problems, base_dir=base_dir))


def unknown_part(key: str, parts: tuple[str, ...]) -> str:
    """Say that something is no part of an inventory."""
    meant = key_meant_by(key, parts)
    hint = f"; did you mean `{meant}`?" if meant else did_you_mean(key, parts)
    return f"`{key}` is no part of an inventory{hint or '; it has ' + ', '.join(parts)}"


# --- commands


def _from_command(argv: Sequence[str], compiler: Compiler, *, needed: bool) -> Inventory:
    if not argv or not needed:
        return Inventory.empty()
    place = (*_PLACE, "command")
    untrusted = _untrusted(argv, compiler)
    if untrusted:
        compiler.problems.add(place, untrusted)
        return Inventory.empty()
    commands = QuietCommands(compiler.base_dir, most_bytes=_MOST_BYTES)
    try:
        text = commands.read("the inventory", argv)
    except SourceError as error:
        compiler.problems.add(place, str(error))
        return Inventory.empty()
    finally:
        commands.close()
    try:
        data = parse(text, "the output of the command").data
    except JobFileError as error:
        compiler.problems.add(place, f"what the command prints is no JSON: {_first(error)}")
        return Inventory.empty()
    return read_listing(resolve(data), lambda message: compiler.problems.add(place, message))


def _untrusted(argv: Sequence[str], compiler: Compiler) -> str:
    """Say which file others could change: the program, or one that it is given; empty: none.

    What a program makes an inventory of is as good as the inventory.
    """
    found = argv[0] if "/" in argv[0] else shutil.which(argv[0]) or ""
    for word in filter(None, (found, *argv[1:])):
        try:
            compiler.trust.look(os.path.join(compiler.base_dir, word))
        except UntrustedError as error:
            return f"`{word}` {error}"
    return ""


def _first(error: JobFileError) -> str:
    problem: Problem = error.problems[0]
    return problem.message if problem.line is None else f"line {problem.line}: {problem.message}"


def _argv(raw: Any, compiler: Compiler) -> list[str]:
    """Return a program and its arguments; none: a mistake was noted."""
    if isinstance(raw, list) and raw and not any(isinstance(one, list | dict) for one in raw):
        return [text_of(one) for one in raw]
    message = "write a program and its arguments as a list, such as [ansible-inventory, --list]"
    compiler.problems.add((*_PLACE, "command"), message)
    return []


# --- our own structure


def _from_mapping(data: Mapping[str, Any], where: _Where) -> Inventory:
    reader = SettingsReader(where.add, where.base_dir)
    defaults = Settings()
    if "defaults" in data:
        defaults = reader.settings(data["defaults"], ("defaults",))
    hosts = [
        HostRow(
            nodes=name,
            settings=reader.settings(one, ("hosts", name), of_host=True),
            groups=reader.names(one, "groups", ("hosts", name)),
        )
        for name, one in reader.entries(data.get("hosts"), ("hosts",)).items()
    ]
    groups = [
        GroupRow(
            name=name,
            nodes=" ".join(reader.names(_group(one), "hosts", ("groups", name))),
            settings=reader.settings(_group(one), ("groups", name), of_group=True),
        )
        for name, one in reader.entries(data.get("groups"), ("groups",)).items()
    ]
    return build_inventory(defaults, hosts, groups, where.add)


def _group(raw: Any) -> Any:
    """Take a group that is only a node set as one with hosts."""
    return raw if isinstance(raw, dict) or is_null(raw) else {"hosts": raw}
