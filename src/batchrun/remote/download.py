"""The operation `download`: files and trees from a host, those that differ, renamed when whole."""

import os
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from stat import S_IMODE, S_ISDIR, S_ISREG
from typing import Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Done, Operation, PathUse
from batchrun.model.session import HostContext
from batchrun.model.values import Doc, Glob, PathPattern, PathText
from batchrun.ops.failures import Tally, refusal
from batchrun.ops.paths import shown
from batchrun.ops.targets import into, target_for, trimmed
from batchrun.ops.tree.selection import selection
from batchrun.remote.broken import broken_is_lost
from batchrun.remote.errand import SudoField
from batchrun.remote.facts import Facts, look_at
from batchrun.remote.getting import Get, Wanted
from batchrun.remote.globs import expand_there, fixed_part
from batchrun.remote.hardlinks import broken_up, groups
from batchrun.remote.hashes import hashes_there
from batchrun.remote.launch import NoShellError
from batchrun.remote.listing import entries_below
from batchrun.remote.localstore import Store, is_inside
from batchrun.remote.localtree import content_hash
from batchrun.remote.words import rooted

__all__ = ["OPERATIONS", "Download", "download"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """Parameters of `download`."""

    src: Annotated[
        tuple[PathPattern, ...],
        Doc(
            "Files, directories or globs on the host. Content, modes, times and hard links are "
            "kept; they belong to who runs batchrun, and have no ACLs or attributes."
        ),
    ]
    dest: Annotated[
        PathText,
        Doc(
            "The exact path on this machine; with a slash at its end: the directory to put things "
            "into. It must be another one for each host, such as `out/{{ host }}/`."
        ),
    ]
    flat: Annotated[
        bool,
        Doc(
            "What a pattern matches goes straight into `dest`; without it the directories that "
            "the pattern stands for are kept."
        ),
    ] = False
    checksum: Annotated[
        bool, Doc("Compare content, not size and time, to find out what differs.")
    ] = False
    verify: Annotated[
        bool, Doc("Compare the checksum of what has arrived before it gets its name.")
    ] = False
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of what to leave out, below directories.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; only files that match one are fetched.")
    ] = ()
    sudo: SudoField = field(default=False, repr=False)


@broken_is_lost
def download(params: Download, context: HostContext) -> Done:
    """Fetch what is different from the host."""
    inside = into(params.src, params.dest)
    tally = Tally()
    context.stage("comparing")
    try:
        wanted = _Plan(params, context, tally, inside=inside).wanted()
    except NoShellError:
        from batchrun.remote.sftp import get_by_sftp  # noqa: PLC0415 - only without a shell

        return get_by_sftp(params, context, tally, inside=inside)
    root, names = _rooted(params.dest, wanted, inside=inside)
    with Store(root, context.temp_name) as store:
        sends = _differing(store, names, params, context)
        links = _links(names, sends, store)
        if sends or links:
            tally.changed = True
        if context.settings.dry_run:
            return tally.done()
        context.stage("fetching")
        fetched = {name: one for name, one in sends.items() if name not in links}
        Get(params, store, context, tally).fetch(fetched | _touched(names, sends, links), links)
    return tally.done()


def _rooted(
    dest: str, wanted: Mapping[str, Wanted], *, inside: bool
) -> tuple[str, dict[str, Wanted]]:
    """Return the directory below which everything goes, and what by its name there."""
    if inside:
        return trimmed(dest), dict(wanted)
    root, name = os.path.split(dest)
    return root, {f"{name}/{below}" if below else name: one for below, one in wanted.items()}


class _Plan:
    """What the sources of one unit stand for, and how it is called here."""

    def __init__(
        self, params: Download, context: HostContext, tally: Tally, *, inside: bool
    ) -> None:
        self._params = params
        self._context = context
        self._tally = tally
        self._inside = inside
        self._selection = selection(params.exclude, params.include)
        self._wanted: dict[str, Wanted] = {}

    def wanted(self) -> dict[str, Wanted]:
        """Return what is to be fetched, by its name below `dest`; empty: `dest` itself."""
        sudo = self._params.sudo
        for source in self._params.src:
            if isinstance(source, Glob):
                paths = expand_there(source, self._context, sudo)
                if not paths:
                    self._tally.found_nothing(source.pattern)
                fixed = len(fixed_part(source.pattern))
                named = [(path, path[fixed:]) for path in paths]
            else:
                path = trimmed(source)
                name = target_for(path, "/", inside=True)[1:] if self._inside else ""
                named = [(path, name)]
            facts = look_at([path for path, _ in named], self._context, sudo)
            for (path, name), each in zip(named, facts, strict=True):
                flat = self._params.flat and isinstance(source, Glob)
                self._add(path, os.path.basename(name) if flat else name, each)
        return self._wanted

    def _add(self, path: str, name: str, facts: Facts | None) -> None:
        if facts is None:
            message = (
                f"cannot fetch {shown(path)} from {self._context.host.name}: it does not exist"
            )
            raise OperationError(message)
        if facts.is_link:
            (through,) = look_at([path], self._context, self._params.sudo, follow=True)
            # What was named may be a symlink to what is meant.
            facts = through if through is not None and through.is_file else facts
        if not facts.is_dir:
            self._take(path, name, facts)
            return
        self._take(path, name, facts)
        for below, each in entries_below(path, self._context, self._params.sudo).items():
            if self._is_meant(below, each):
                self._take(
                    f"{path.rstrip('/')}/{below}", f"{name}/{below}" if name else below, each
                )

    def _is_meant(self, below: str, facts: Facts) -> bool:
        selected = self._selection
        if selected is None:
            return True
        parts = below.split("/")
        ups = ("/".join(parts[:at]) for at in range(1, len(parts)))
        if not all(selected.enters(up) for up in ups):
            return False
        return selected.enters(below) if facts.is_dir else selected.takes(below, is_dir=False)

    def _take(self, path: str, name: str, facts: Facts) -> None:
        if name and not is_inside(name):
            raise refusal(f"the host has a name that leads elsewhere: {shown(name)}")
        if not (facts.is_file or facts.is_dir or facts.is_link):
            self._tally.warn(
                f"{shown(path)} is neither a file, a directory nor a symlink; left out"
            )
            return
        other = self._wanted.setdefault(name, Wanted(path=path, facts=facts))
        if other.path != path and not (other.facts.is_dir and facts.is_dir):
            raise refusal(
                f"{shown(other.path)} and {shown(path)} would both become {shown(name)}; leave out "
                "`flat`, or fetch them into different directories"
            )


def _differing(
    store: Store, names: Mapping[str, Wanted], params: Download, context: HostContext
) -> dict[str, Wanted]:
    """Return what has to be fetched.

    Raises:
        OperationError: a directory stands here where a file should, or the other way round.
    """
    sends: dict[str, Wanted] = {}
    hashed: dict[str, Wanted] = {}
    for name, one in names.items():
        context.check()
        here = store.look(name)
        if here is not None and S_ISDIR(here.st_mode) != one.facts.is_dir:
            what = "is not" if one.facts.is_dir else "is"
            raise refusal(f"{shown(store.path(name))} {what} a directory here; remove it first")
        if here is None or _differs(here, one.facts, times=not params.checksum):
            sends[name] = one
        elif params.checksum and one.facts.is_file:
            hashed[name] = one
    there = hashes_of(hashed, params, context)
    sends |= {
        name: one
        for name, one in hashed.items()
        if there.get(one.path) != content_hash(store.path(name), context.check)
    }
    return _without_equal_links(sends, store, params, context)


def _links(
    names: Mapping[str, Wanted], sends: Mapping[str, Wanted], store: Store
) -> dict[str, str]:
    """Return which names become links to which others, because there they are of the same file."""
    together = groups(
        (name, _key(one.facts), one.facts.names) for name, one in names.items() if one.facts.is_file
    )

    def here(name: str) -> Hashable:
        st = store.look(name)
        return None if st is None else (st.st_dev, st.st_ino)

    found: dict[str, str] = {}
    for group in broken_up(together, sends, here):
        leader = next((name for name in group if name not in sends), group[0])
        found |= {name: leader for name in group if name != leader}
    return found


def _key(facts: Facts) -> Hashable:
    """Tell files from others, also where numbers of inodes are made up: all of it is compared."""
    return facts.identity, facts.mode, facts.size, facts.mtime_s, facts.mtime_ns, facts.names


def _touched(
    names: Mapping[str, Wanted], sends: Mapping[str, Wanted], links: Mapping[str, str]
) -> dict[str, Wanted]:
    """Return directories that get another time here by what is put into them."""
    above = {os.path.dirname(name) for name in (*sends, *links)}
    return {name: one for name, one in names.items() if name in above and one.facts.is_dir}


def _differs(here: os.stat_result, there: Facts, *, times: bool) -> bool:
    """Tell whether something here is seen to be another one than that on the host.

    Args:
        here: What there is here.
        there: What there is on the host; what a symlink says is compared when it has come.
        times: Of a file, also its time counts.
    """
    if there.is_link:
        return True
    if there.is_dir:
        same = S_IMODE(here.st_mode) == there.permissions & 0o777
        return not same or not there.has_time(here.st_mtime_ns)
    if not S_ISREG(here.st_mode) or here.st_size != there.size:
        return True
    return times and not there.has_time(here.st_mtime_ns)


def hashes_of(
    names: Mapping[str, Wanted], params: Download, context: HostContext
) -> dict[str, str]:
    """Return the checksums of files there, by their paths there."""
    by_root: dict[str, dict[str, str]] = {}
    for one in names.values():
        root, inner = rooted(one.path)
        by_root.setdefault(root, {})[inner] = one.path
    found: dict[str, str] = {}
    for root, paths in by_root.items():
        answers = hashes_there(root, list(paths), context, params.sudo)
        found |= {paths[inner]: answer for inner, answer in answers.items()}
    return found


def _without_equal_links(
    sends: dict[str, Wanted], store: Store, params: Download, context: HostContext
) -> dict[str, Wanted]:
    links = {name: one for name, one in sends.items() if one.facts.is_link}
    texts = Get(params, store, context, Tally()).link_texts(links)
    for name in links:
        path = store.path(name)
        if os.path.islink(path) and os.readlink(path) == texts[name]:
            del sends[name]
    return sends


def _check(given: Mapping[str, Any]) -> list[str]:
    """Find values that mean nothing."""
    if given.get("dest") == "":
        return ["`dest` is empty; name a directory for each host, such as `out/{{ host }}/`"]
    return []


OPERATIONS = {
    "download": Operation(
        name="download",
        summary="Fetch files, trees and globs from the host, those that differ.",
        params=Download,
        function=download,
        main="src",
        check=_check,
        uses=(PathUse(field="dest", effect="changes", into="src"),),
        example="""\
download: {src: /var/log/app/*.log, dest: "logs/{{ host }}/"}
hosts: "@web"
""",
    )
}
