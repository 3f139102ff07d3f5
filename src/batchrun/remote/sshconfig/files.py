"""The files of an SSH configuration, with those they include, as one list of sections.

They are read once for all hosts. What is included below a `Host` or `Match` holds only where that
does too, so each section has all the conditions that are around it.
"""

import bisect
import dataclasses
import glob
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from batchrun.errors import UsageError
from batchrun.remote.patterns import list_matches
from batchrun.remote.sshconfig.conditions import Condition, HostIs, read_host, read_match
from batchrun.remote.sshconfig.ignored import is_known
from batchrun.remote.sshconfig.text import split_line, split_words
from batchrun.remote.sshconfig.tokens import Local, expand_tilde
from batchrun.remote.sshconfig.values import HONOURED

__all__ = ["MACHINE_FILE", "ConfigFiles", "Section", "Setting", "read_option"]

MACHINE_FILE = "/etc/ssh/ssh_config"
_USER_DIR = "~/.ssh"
_MACHINE_DIR = "/etc/ssh"
#: As OpenSSH has it.
_MOST_DEEP = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One option, as it stands in one place."""

    #: In lower case.
    keyword: str
    #: What it says, in its final type; None for what is not honoured, and for a time of `none`.
    value: Any
    #: The rest of its line.
    text: str
    #: `FILE:LINE`, or the option of the command line.
    place: str
    #: As it is written there.
    written: str
    honoured: bool
    #: Whether it is from the configuration that came with the system.
    of_machine: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Lines that hold together."""

    #: All of them must hold, from the outermost to the innermost.
    conditions: tuple[Condition, ...]
    settings: list[Setting]


def read_option(text: str) -> Setting:
    """Read what was given with `-o`.

    Raises:
        UsageError: it cannot be read, or there is no such option.
    """
    place = f"-o {text}"
    try:
        found = split_line(text)
    except ValueError as error:
        raise _mistake(place, str(error)) from None
    keyword = found[0].lower() if found else ""
    if found is None or keyword in ("host", "match", "include"):
        raise _mistake(place, "it is no option of the SSH configuration; write -o KEY=VALUE")
    if keyword not in HONOURED and not is_known(keyword):
        close = get_close_matches(keyword, HONOURED, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise _mistake(place, f"there is no option {found[0]}{hint}")
    return _setting(found, place=place, of_machine=False)


class ConfigFiles:
    """What the files of a configuration say, ready to be asked for one host after the other."""

    def __init__(self, local: Local) -> None:
        self._local = local
        self._sections: list[Section] = []
        #: Sections that hold for some names only, and those that must be asked.
        self._named: dict[str, list[int]] = {}
        self._others: list[int] = []
        #: Sentences about what cannot be honoured, whatever the host.
        self.complaints: list[str] = []
        #: Whether `Match final` asks for a second reading.
        self.wants_final = False
        self._unknown: list[str] = []

    def read(self, path: str, *, of_machine: bool = False, private: bool = False) -> None:
        """Add a file to what is known.

        Args:
            path: The file.
            of_machine: It belongs to the system; relative names in it mean its directory.
            private: Refuse it when somebody else could have written it.

        Raises:
            UsageError: it is wrong.
            OSError: it cannot be read.
        """
        _Reader(self, self._local, of_machine=of_machine).read(path, (), private=private)

    def sections(self, name: str) -> Iterator[Section]:
        """Return those that may hold for a name, in their order."""
        numbers = self._others
        if named := self._named.get(name):
            numbers = sorted(numbers + named)
        return (self._sections[number] for number in numbers)

    def begin(self, conditions: tuple[Condition, ...]) -> Section:
        """Add a section, for its lines to be added."""
        section = Section(conditions=conditions, settings=[])
        number = len(self._sections)
        self._sections.append(section)
        only = conditions[0] if len(conditions) == 1 else None
        names = only.names if isinstance(only, HostIs) else ()
        for name in dict.fromkeys(names):
            self._named.setdefault(name, []).append(number)
        if not names:
            bisect.insort(self._others, number)
        return section

    def setting(self, found: tuple[str, str], place: str, *, of_machine: bool) -> Setting | None:
        """Read an option; None: the configuration says itself that it may not be known."""
        setting = _setting(found, place=place, of_machine=of_machine)
        if setting.keyword == "ignoreunknown":
            self._unknown.append(setting.value)
        if not setting.honoured and not is_known(setting.keyword):
            patterns = ",".join(self._unknown).lower()
            return None if list_matches(setting.keyword, patterns) else setting
        return setting


class _Reader:
    """Reads one file and what it includes."""

    def __init__(self, files: ConfigFiles, local: Local, *, of_machine: bool) -> None:
        self._files = files
        self._local = local
        self._of_machine = of_machine

    def read(
        self, path: str, around: tuple[Condition, ...], *, private: bool, depth: int = 0
    ) -> None:
        with open(path, "rb") as file:
            if private:
                _must_be_own(path, os.fstat(file.fileno()), self._local)
            text = file.read().decode("utf-8", "surrogateescape")
        conditions = around
        section = self._files.begin(conditions)
        for number, line in enumerate(text.split("\n"), 1):
            place = f"{path}:{number}"
            try:
                found = split_line(line)
                if found is None:
                    continue
                keyword = found[0].lower()
                if keyword == "include":
                    for included in self._included(found[1]):
                        self._include(included, conditions, place, depth + 1)
                    section = self._files.begin(conditions)
                elif keyword in ("host", "match"):
                    conditions = (*around, self._condition(found, place))
                    section = self._files.begin(conditions)
                elif setting := self._files.setting(found, place, of_machine=self._of_machine):
                    section.settings.append(setting)
            except ValueError as error:
                raise _mistake(place, str(error)) from None

    def _condition(self, found: tuple[str, str], place: str) -> Condition:
        if found[0].lower() == "host":
            return read_host(split_words(found[1]))
        match = read_match(found[1])
        self._files.wants_final |= match.is_final
        if match.unsupported:
            self._files.complaints.append(
                f"{place}: Match {match.unsupported[0]} is not known here; "
                "what stands below it is passed over"
            )
        return match

    def _included(self, text: str) -> Iterator[str]:
        """Return the files that an `Include` names, as glob(3) finds and sorts them."""
        words = split_words(text)
        if not words or not all(words):
            message = "a file to include is missing"
            raise ValueError(message)
        for word in words:
            yield from sorted(glob.glob(self._anchored(word)), key=os.fsencode)

    def _anchored(self, word: str) -> str:
        if word.startswith("~") and self._of_machine:
            message = f"{word!r}: the system's configuration includes nothing of a user's"
            raise ValueError(message)
        if not word.startswith(("/", "~")):
            word = os.path.join(_MACHINE_DIR if self._of_machine else _USER_DIR, word)
        # glob(3) looks at HOME first, unlike everything else here.
        home = self._local.environ.get("HOME") or self._local.home
        return expand_tilde(word, dataclasses.replace(self._local, home=home))

    def _include(self, path: str, around: tuple[Condition, ...], place: str, depth: int) -> None:
        if depth > _MOST_DEEP:
            raise _mistake(place, "files include each other, or are nested too deeply")
        try:
            self.read(path, around, private=True, depth=depth)
        except FileNotFoundError:  # gone since it was listed
            return
        except OSError as error:
            raise _mistake(place, f"{path} cannot be read: {error.strerror}") from error


def _setting(found: tuple[str, str], *, place: str, of_machine: bool) -> Setting:
    """Read an option.

    Raises:
        UsageError: its value is wrong.
    """
    written, text = found
    keyword = written.lower()
    if not text:
        raise _mistake(place, f"{written}: its value is missing")
    read = HONOURED.get(keyword)
    try:
        value = read(text) if read else None
    except ValueError as error:
        raise _mistake(place, f"{written}: {error}") from None
    return Setting(
        keyword="identityfile" if keyword == "identityfile2" else keyword,
        value=value,
        text=text,
        place=place,
        written=written,
        honoured=read is not None,
        of_machine=of_machine,
    )


def _must_be_own(path: str, found: os.stat_result, local: Local) -> None:
    """Refuse a file that somebody else could have written: it can run commands.

    Raises:
        UsageError: it is such a file.
    """
    if found.st_uid not in (0, local.uid) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        message = "others may write to it, and it can run commands; as ssh does, it is refused"
        raise _mistake(path, f"{message}: chmod go-w, chown")


def _mistake(place: str, message: str) -> UsageError:
    return UsageError(f"{place}: {message}")
