"""Compare one source here with what there is of it on a host."""

import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING

from batchrun.model.session import HostContext
from batchrun.model.values import apply_mode, parse_mode
from batchrun.ops.failures import Tally, refusal
from batchrun.ops.owners import Ownership
from batchrun.ops.paths import shown
from batchrun.ops.tree.metadata import Keep, attributes
from batchrun.remote.changing import change_text, must
from batchrun.remote.errand import batches
from batchrun.remote.facts import Facts, Owners, change_there, look_at, owner_ids
from batchrun.remote.hardlinks import broken_up, groups
from batchrun.remote.hashes import hashes_there
from batchrun.remote.listing import entries_below
from batchrun.remote.localtree import Here, content_hash
from batchrun.remote.ownership import OwnersThere, owners_there
from batchrun.remote.words import path_word

if TYPE_CHECKING:
    from batchrun.remote.upload import Upload

__all__ = ["Target"]

_EVERYTHING = Keep()


class Target:
    """What one source becomes on the host.

    Args:
        params: Of the operation.
        path: On the host.
        found: What there is here, by relative path; the source itself has an empty one.
        context: The unit's.
        tally: Of the unit.
    """

    def __init__(
        self,
        params: "Upload",
        path: str,
        found: Mapping[str, Here],
        context: HostContext,
        tally: Tally,
    ) -> None:
        self.params = params
        self.path = path
        self.found = found
        self.context = context
        self.tally = tally
        self.sudo = params.sudo
        #: Who shall own all of it there, as far as that was said.
        self.owners = Owners()
        #: Who shall own each part of it, where nothing was.
        self.owners_there = OwnersThere()
        #: Names here that are of the same file.
        self.same_files = groups(
            (name, (here.st.st_dev, here.st.st_ino), here.st.st_nlink)
            for name, here in found.items()
            if here.is_file
        )
        #: What there is of it, by relative path.
        self.there: dict[str, Facts] = {}

    def look(self, *, onto: bool, source: str) -> None:
        """Find out what is there.

        Args:
            onto: The path is an exact name, which must not be that of a directory for a file.
            source: For messages.

        Raises:
            OperationError: it is something that must not be replaced.
        """
        (facts,) = look_at([self.path], self.context, self.sudo)
        through = facts
        if facts is not None and facts.is_link and (onto or self.found[""].is_dir):
            (through,) = look_at([self.path], self.context, self.sudo, follow=True)
        leads_to_directory = through is not None and through.is_dir
        if self.found[""].is_dir:
            facts = through
            if facts is not None and not facts.is_dir:
                raise refusal(f"{shown(self.path)} exists on the host and is not a directory")
            if facts is not None:
                self.there = entries_below(self.path, self.context, self.sudo)
        elif leads_to_directory:
            raise refusal(
                f"{shown(self.path)} is a directory on the host; write "
                f"{shown(self.path)}/ to put {shown(source)} into it"
            )
        if facts is not None:
            self.there[""] = facts
        wanted = Ownership(self.params.owner, self.params.group, None)
        self.owners = owner_ids(wanted, self.context, self.sudo)
        if self.owners == Owners():
            files = self.found.values()
            self.owners_there = owners_there(files, self.context, self.sudo, self.tally)

    def owners_of(self, here: Here) -> Owners:
        """Return who shall own something there."""
        return self.owners_there.of(here) if self.owners_there else self.owners

    def differing(self) -> list[str]:
        """Return the names of what has to be sent.

        Raises:
            OperationError: a directory stands where a file should, or the other way round.
        """
        sends, hashed = [], []
        for name, here in self.found.items():
            there = self.there.get(name)
            if there is None:
                sends.append(name)
                continue
            if here.is_dir != there.is_dir:
                what = "is not" if here.is_dir else "is"
                path = shown(self.path_of(name))
                raise refusal(f"{path} {what} a directory on the host; remove it first")
            if self._differs(name, here, there):
                sends.append(name)
            elif self.params.checksum and here.is_file:
                hashed.append(name)
        sends += self._differ_by_content(hashed)
        return self._with_same_files(self._without_equal_links(sends))

    def _with_same_files(self, sends: list[str]) -> list[str]:
        """Add the other names of files, where these are not names of the same file there."""
        if not self.same_files:
            return sends
        sent = frozenset(sends)
        apart = broken_up(self.same_files, sent, lambda name: self.there[name].identity)
        return sends + [name for names in apart for name in names if name not in sent]

    def _differs(self, name: str, here: Here, there: Facts) -> bool:
        """Tell whether something is seen to be another one; a symlink's text is compared later."""
        same_time = there.has_time(here.st.st_mtime_ns)
        if here.is_dir:
            # One that was named, and is there, is the host's own business.
            return bool(name) and not (there.permissions == self.mode_of(here) and same_time)
        if not here.is_file or not there.is_file or there.size != here.st.st_size:
            return True
        return not self.params.checksum and not same_time

    def _differ_by_content(self, names: list[str]) -> list[str]:
        if not names:
            return []
        root, base = self._hash_root()
        there = hashes_there(root, [name or base for name in names], self.context, self.sudo)
        check = self.context.check
        return [
            name
            for name in names
            if there.get(name or base) != content_hash(self.found[name].path, check)
        ]

    def _hash_root(self) -> tuple[str, str]:
        """Return the directory in which names are, and that of a target that is a file."""
        if self.found[""].is_dir:
            return self.path, ""
        return os.path.dirname(self.path) or ".", os.path.basename(self.path)

    def _without_equal_links(self, names: list[str]) -> list[str]:
        """Leave out symlinks that say the same there."""
        links = [
            name
            for name in names
            if self.found[name].link and name in self.there and self.there[name].is_link
        ]
        equal = set()
        for part in batches([path_word(self.path_of(name)) for name in links]):
            text = b"for p in %b; do readlink -n -- \"$p\"; printf '\\0'; done" % b" ".join(part)
            said = must(text, "read links", self.context, self.sudo).split(b"\0")
            for name, link in zip(links[: len(part)], said, strict=False):
                if os.fsencode(self.found[name].link) == link:
                    equal.add(name)
            links = links[len(part) :]
        return [name for name in names if name not in equal]

    def note_left_behind(self, names: list[str]) -> None:
        """Count what is sent without something that belongs to it."""
        rich = [name for name in names if _has_attributes(self.found[name].path)]
        if rich:
            first = shown(self.found[rich[0]].path)
            number = "1 file has" if len(rich) == 1 else f"{len(rich)} files have"
            self.tally.warn(f"{number} attributes or an ACL, which are not sent: {first}")

    def path_of(self, name: str) -> str:
        """Return the path on the host of what has a name."""
        return os.path.join(self.path, name) if name else self.path

    def mode_of(self, here: Here) -> int:
        """Return the permissions that something gets."""
        own = stat.S_IMODE(here.st.st_mode)
        wanted = self.params.mode
        if wanted is None or here.link:
            return own
        mode = apply_mode(wanted, own, is_dir=here.is_dir)
        if here.is_dir and parse_mode(wanted) is not None:
            mode |= (mode & 0o444) >> 2
        return mode

    def change_rest(self, sends: list[str]) -> None:
        """Give what need not be sent mode and owner, where they are others."""
        sent = set(sends)
        lines = []
        for name, here in self.found.items():
            there = self.there.get(name)
            if there is None or name in sent or (not name and here.is_dir):
                continue
            mode = None if here.link else f"{self.mode_of(here):04o}"
            change = change_there(there, mode, self.owners_of(here))
            if change is not None:
                lines.append(change_text(path_word(self.path_of(name)), there, change))
        if not lines:
            return
        self.tally.changed = True
        if not self.context.settings.dry_run:
            for part in batches(lines):
                text = b" || exit\n".join(part)
                must(text, f"change {shown(self.path)}", self.context, self.sudo)


def _has_attributes(path: str) -> bool:
    """Tell whether something has what a copy here would keep, and a transfer does not."""
    try:
        return bool(attributes(path, _EVERYTHING))
    except OSError:  # whether it can be read at all is told when it is
        return False
