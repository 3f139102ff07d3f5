"""The operations `mkdir`, `link` and `perms` on hosts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from batchrun.errors import OperationError
from batchrun.model.operation import Done, Operation, PathUse
from batchrun.model.session import HostContext
from batchrun.model.values import Doc, ModeText, PathPattern, PathText, apply_mode, parse_mode
from batchrun.ops.failures import Tally, refusal
from batchrun.ops.owners import Ownership
from batchrun.ops.paths import shown
from batchrun.ops.sudo import SudoValue
from batchrun.ops.targets import target_for, trimmed
from batchrun.ops.tree.selection import Selection, selection
from batchrun.remote.broken import broken_is_lost
from batchrun.remote.changing import change_files, must
from batchrun.remote.errand import SudoField
from batchrun.remote.facts import Facts, change_there, look_at, owner_ids
from batchrun.remote.launch import NoShellError
from batchrun.remote.listing import entries_below
from batchrun.remote.lookup import look_up_there, named_exactly
from batchrun.remote.meant import is_chosen, is_meant
from batchrun.remote.words import path_word, quote

__all__ = ["OPERATIONS", "Link", "Mkdir", "Perms", "link", "mkdir", "perms"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mkdir:
    """Parameters of `mkdir`."""

    path: Annotated[
        tuple[PathText, ...], Doc("Directories to make on the host, with those above them.")
    ]
    mode: Annotated[
        ModeText | None, Doc("Mode of the directories named; by default 0777 less the umask there.")
    ] = None
    owner: Annotated[str | None, Doc("Their user, by name or number there.")] = None
    group: Annotated[str | None, Doc("Their group, by name or number there.")] = None
    sudo: SudoField = field(default=False, repr=False)


@broken_is_lost
def mkdir(params: Mkdir, context: HostContext) -> Done:
    """Make directories there; those that exist only get the mode and owner asked for."""
    try:
        return _mkdir(params, context)
    except NoShellError:
        from batchrun.remote.sftp import mkdir_by_sftp  # noqa: PLC0415 - only without a shell

        return mkdir_by_sftp(params, context)


def _mkdir(params: Mkdir, context: HostContext) -> Done:
    tally = Tally()
    wanted = Ownership(params.owner, params.group, params.mode)
    paths = [trimmed(path) for path in params.path]
    found = look_at(paths, context, params.sudo, follow=True)
    owners = owner_ids(wanted, context, params.sudo)
    missing = [path for path, facts in zip(paths, found, strict=True) if facts is None]
    if missing:
        tally.changed = True
        if not context.settings.dry_run:
            for path in missing:
                doing = f"make the directory {shown(path)}"
                must(b"mkdir -p -- " + path_word(path), doing, context, params.sudo)
            if wanted != Ownership(None, None, None):
                found = look_at(paths, context, params.sudo, follow=True)
    changes = []
    for path, facts in zip(paths, found, strict=True):
        if facts is None:
            continue
        if not facts.is_dir:
            raise refusal(f"{shown(path)} exists on the host and is not a directory")
        change = change_there(facts, params.mode, owners)
        if change is not None:
            changes.append((path, facts, change))
    change_files(changes, context, params.sudo, tally)
    return tally.done()


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Parameters of `link`."""

    src: Annotated[
        PathText, Doc("What the link points to, on the host; a symbolic one says it as written.")
    ]
    dest: Annotated[
        PathText, Doc("The link; with a slash at its end: the directory to make it in.")
    ]
    kind: Annotated[Literal["symbolic", "hard"], Doc("Which kind of link.")] = "symbolic"
    force: Annotated[bool, Doc("Replace a file that has the link's name.")] = False
    sudo: SudoField = field(default=False, repr=False)


#: $s: the text of the link, or the other name; $d: the link; $t: a temporary name beside it.
_LINK_STATE = rb"""
if [ "$kind" = hard ]; then
  [ -d "$s" ] && { echo directory; exit 0; }
  [ -e "$s" ] || [ -L "$s" ] || { echo missing; exit 0; }
  [ "$(ls -di -- "$s" | sed 's/^ *//;s/ .*//;q')" = \
    "$(ls -di -- "$d" 2>/dev/null | sed 's/^ *//;s/ .*//;q')" ] && { echo same; exit 0; }
elif [ -L "$d" ] && [ "$(readlink -- "$d"; echo .)" = "$s
." ]; then echo same; exit 0; fi
if [ -L "$d" ]; then echo link
elif [ -d "$d" ]; then echo folder
elif [ -e "$d" ]; then echo file
else echo nothing
fi
"""
_LINK_PUT = rb"""
mkdir -p -- "$(dirname -- "$d")" || exit
trap 'rm -f -- "$t"' 0
if [ "$kind" = hard ]; then ln -- "$s" "$t"; else ln -s -- "$s" "$t"; fi || exit
mv -fT -- "$t" "$d" 2>/dev/null || mv -f -- "$t" "$d"
"""


@broken_is_lost
def link(params: Link, context: HostContext) -> Done:
    """Make a link there; one that points elsewhere is replaced at once."""
    source = trimmed(params.src)
    dest = target_for(source, params.dest, inside=params.dest.endswith("/"))
    hard = params.kind == "hard"
    # A symbolic link holds its text as it is, not as this program would reach it.
    said = path_word(source) if hard or source.startswith("~") else quote(os.fsencode(source))
    temp = os.path.join(os.path.dirname(dest), context.temp_name())
    head = b"kind=%b s=%b d=%b t=%b" % (
        params.kind.encode(),
        said,
        path_word(dest),
        path_word(temp),
    )
    state = (
        must(head + _LINK_STATE, f"look at {shown(dest)}", context, params.sudo).decode().strip()
    )
    match state:
        case "same":
            return Done.unchanged()
        case "directory":
            raise refusal(f"{shown(source)} is a directory, which cannot have hard links")
        case "missing":
            raise OperationError(f"cannot link to {shown(source)}: it does not exist on the host")
        case "folder":
            raise refusal(
                f"{shown(dest)} is a directory; write {shown(dest)}/ to make the link "
                f"{shown(os.path.basename(source))} in it"
            )
        case "file" if not params.force:
            raise refusal(
                f"{shown(dest)} exists and is not such a link; remove it first, or say "
                "`force: true`"
            )
    if not context.settings.dry_run:
        must(head + _LINK_PUT, f"make the link {shown(dest)}", context, params.sudo)
    return Done.changed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Perms:
    """Parameters of `perms`."""

    path: Annotated[
        tuple[PathPattern, ...],
        Doc("Files, directories or globs on the host; a symlink means what it points to."),
    ]
    mode: Annotated[
        ModeText | None,
        Doc(
            "Their mode; `X` means x for directories and what somebody may execute. With "
            "`recursive`, directories may also be entered by who may read them when it is octal."
        ),
    ] = None
    dir_mode: Annotated[ModeText | None, Doc("Mode of directories, instead of `mode`.")] = None
    owner: Annotated[str | None, Doc("Their user, by name or number there.")] = None
    group: Annotated[str | None, Doc("Their group, by name or number there.")] = None
    recursive: Annotated[
        bool,
        Doc(
            "Everything below directories, too; symlinks are never followed, only their owner set."
        ),
    ] = False
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of what stays as it is, below each path.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; only what matches one is changed.")
    ] = ()
    sudo: SudoField = field(default=False, repr=False)


def _check_perms(given: Mapping[str, Any]) -> list[str]:
    """Refuse to change nothing."""
    if any(name in given for name in ("mode", "dir_mode", "owner", "group")):
        return []
    return ["perms needs `mode`, `dir_mode`, `owner` or `group`: what to change"]


@broken_is_lost
def perms(params: Perms, context: HostContext) -> Done:
    """Give files and trees there a mode and an owner, where they have others."""
    tally = Tally()
    sudo = params.sudo
    owners = owner_ids(Ownership(params.owner, params.group, None), context, sudo)
    paths = look_up_there(params.path, context, sudo, tally.found_nothing)
    selected, exact = selection(params.exclude, params.include), named_exactly(params.path)
    changes = []
    for path, facts in zip(paths, look_at(paths, context, sudo, follow=True), strict=True):
        if facts is None:
            raise OperationError(
                f"cannot change the mode of {shown(path)}: it does not exist on the host"
            )
        if path not in exact and not is_chosen(path, selected, is_dir=facts.is_dir):
            continue
        entries = [(path, facts)]
        if params.recursive and facts.is_dir:
            entries += _entries_in(path, selected, context, sudo)
        for name, each in entries:
            change = change_there(each, _mode_for(params, each), owners)
            if change is not None:
                changes.append((name, each, change))
    _change_all(changes, context, sudo, tally)
    return tally.done()


def _entries_in(
    path: str, selected: Selection | None, context: HostContext, sudo: SudoValue
) -> list[tuple[str, Facts]]:
    """Return everything below a directory that patterns mean.

    Raises:
        OperationError: it could not be listed whole, or is all that there is.
    """
    if path == "/":
        raise refusal("refused to change everything below /: it is the root of the filesystem")
    base = path.rstrip("/")
    return [
        (f"{base}/{name}", facts)
        for name, facts in entries_below(path, context, sudo).items()
        if is_meant(name, facts, selected)
    ]


def _mode_for(params: Perms, facts: Facts) -> str | None:
    """Return the mode that was asked for of a file or of a directory."""
    if not facts.is_dir:
        return params.mode
    if params.dir_mode is not None:
        return params.dir_mode
    if params.mode is not None and params.recursive and parse_mode(params.mode) is not None:
        mode = apply_mode(params.mode, 0, is_dir=True)
        return f"{mode | (mode & 0o444) >> 2:o}"
    return params.mode


def _change_all(changes: list[Any], context: HostContext, sudo: SudoValue, tally: Tally) -> None:
    # What is deepest first: a directory may be closed by its own new mode.
    changes.sort(key=lambda change: -change[0].count("/"))
    change_files(changes, context, sudo, tally)


OPERATIONS = {
    "mkdir": Operation(
        name="mkdir",
        summary="Make directories on the host, with those above them.",
        params=Mkdir,
        function=mkdir,
        main="path",
        uses=(PathUse(field="path", effect="changes", whole=False),),
        example='mkdir: {path: /srv/app, owner: deploy, mode: 0750}\nhosts: "@web"\nsudo: true\n',
    ),
    "link": Operation(
        name="link",
        summary="Make a symbolic or hard link on the host.",
        params=Link,
        function=link,
        main="src",
        uses=(PathUse(field="dest", effect="changes", whole=False, into="src"),),
        example='link: {src: /srv/releases/42, dest: /srv/current}\nhosts: "@web"\n',
    ),
    "perms": Operation(
        name="perms",
        summary="Set mode, owner and group of files and trees on the host.",
        params=Perms,
        function=perms,
        main="path",
        check=_check_perms,
        uses=(
            PathUse(field="path", effect="changes", whole=False),
            PathUse(field="path", effect="changes", only_if="recursive"),
        ),
        example="""\
perms: {path: /srv/www, mode: "u=rwX,g=rX,o=", group: www-data, recursive: true}
hosts: "@web"
sudo: true
""",
    ),
}
