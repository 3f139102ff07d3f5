"""What an inventory says about hosts, from the values of a document to `Settings`."""

import os
import re
from collections.abc import Mapping
from typing import Any

from batchrun.jobfile.hostname import HOST_ENTRIES
from batchrun.jobfile.problems import did_you_mean
from batchrun.jobfile.readers import read_int
from batchrun.jobfile.scalars import is_null, resolve, text_of
from batchrun.jobfile.synonyms import setting_meant_by
from batchrun.jobfile.template import is_template
from batchrun.nodes.inventory import Note, Place, Settings

__all__ = ["SETTING_KEYS", "SettingsReader"]

#: What can be said in the defaults, of groups and of hosts; hosts have `address` as well.
SETTING_KEYS = ("user", "port", "identity", "jump", "vars")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GROUP = re.compile(r"[\w.+-]+")


class SettingsReader:
    """Reads one inventory; what is wrong is noted and left out.

    Args:
        note: Takes mistakes.
        base_dir: Against which the paths of keys resolve.
    """

    def __init__(self, note: Note, base_dir: str) -> None:
        self._note = note
        self._base_dir = base_dir

    def entries(self, raw: Any, place: Place) -> Mapping[str, Any]:
        """Return the entries of `hosts` or of `groups`, by name."""
        if is_null(raw):
            return {}
        if isinstance(raw, str) and place == ("hosts",):
            raw = [raw]
        if isinstance(raw, list) and place == ("hosts",):
            return dict.fromkeys(map(str, raw))
        if not isinstance(raw, dict):
            example = "`web[01-20]: {groups: [web]}`" if place == ("hosts",) else '`NAME: "@web"`'
            self._note(place, f"write a mapping, one {example} for each")
            return {}
        if place == ("groups",):
            for name in [name for name in raw if not _GROUP.fullmatch(name)]:
                message = f"`{name}` cannot be a group; write letters, digits, `-`, `_` and `.`"
                self._note((*place, name), message)
            return {name: one for name, one in raw.items() if _GROUP.fullmatch(name)}
        return raw

    def names(self, raw: Any, key: str, place: Place) -> tuple[str, ...]:
        """Return the texts of an entry that is one or a list of them: groups, node sets."""
        value = raw.get(key) if isinstance(raw, dict) else None
        if value is None:
            return ()
        listed = value if isinstance(value, list) else [value]
        if is_null(value) or any(isinstance(one, list | dict) or is_null(one) for one in listed):
            what = "a group, or a list of them" if key == "groups" else "a node set, or a list"
            self._note((*place, key), f"write {what}")
            return ()
        found = tuple(map(text_of, listed))
        if key == "groups":
            for one in [one for one in found if not _GROUP.fullmatch(one)]:
                hint = "; leave the `@` away" if one.startswith("@") else ""
                self._note((*place, key), f"`{one}` cannot be a group{hint}")
            return tuple(one for one in found if _GROUP.fullmatch(one))
        return found

    def settings(
        self, raw: Any, place: Place, *, of_host: bool = False, of_group: bool = False
    ) -> Settings:
        """Read what is said in one place."""
        if is_null(raw):
            return Settings()
        if not isinstance(raw, dict):
            self._note(place, f"write a mapping, with keys such as {', '.join(SETTING_KEYS)}")
            return Settings()
        known: tuple[str, ...] = SETTING_KEYS
        if of_host:
            known = ("address", *known, "groups")
        elif of_group:
            known = ("hosts", *known)
        found: dict[str, Any] = {}
        for key, value in raw.items():
            if key not in known:
                self._note((*place, key), self._unknown(key, known))
            elif key not in ("groups", "hosts"):
                self._read(key, value, (*place, key), found)
        return Settings(**found)

    def _unknown(self, key: str, known: tuple[str, ...]) -> str:
        if key in ("address", "groups", "hosts"):
            where = "a group" if key == "hosts" else "a host"
            return f"`{key}` is said of {where}; write it there"
        meant = setting_meant_by(key, known)
        hint = f"; did you mean `{meant}`?" if meant else did_you_mean(key, known)
        if not hint:
            hint = f"; variables of your own belong into `vars`, it has {', '.join(known)}"
        return f"`{key}` is not a key here{hint}"

    def _read(self, key: str, raw: Any, place: Place, found: dict[str, Any]) -> None:
        if key == "vars":
            found["variables"] = self._variables(raw, place)
            return
        try:
            _refuse_templates(raw)
            match key:
                case "port":
                    found[key] = _port(raw)
                case "identity":
                    found[key] = self._identity(raw)
                case _:
                    found[key] = _word(raw, key)
        except ValueError as error:
            self._note(place, str(error))

    def _identity(self, raw: Any) -> tuple[str, ...]:
        texts = [_word(one, "identity") for one in (raw if isinstance(raw, list) else [raw])]
        return tuple(os.path.join(self._base_dir, os.path.expanduser(one)) for one in texts)

    def _variables(self, raw: Any, place: Place) -> dict[str, Any]:
        if is_null(raw):
            return {}
        if not isinstance(raw, dict):
            self._note(place, "write a mapping, `name: value` lines")
            return {}
        good: dict[str, Any] = {}
        for name, value in raw.items():
            if not _NAME.fullmatch(name):
                message = f"`{name}` cannot be a variable; write letters, digits and `_`"
                self._note((*place, name), message)
            elif name in HOST_ENTRIES:
                message = f"`host.{name}` has a meaning already; choose another name"
                self._note((*place, name), message)
            else:
                good[name] = resolve(value)
        return good


def _refuse_templates(raw: Any) -> None:
    for one in raw if isinstance(raw, list) else [raw]:
        if isinstance(one, str) and is_template(one):
            message = "an inventory is read before anything is computed; write it without {{ }}"
            raise ValueError(message)


def _word(raw: Any, key: str) -> str:
    if is_null(raw) or raw == "":
        message = f"has no value; write it, or take `{key}` away"
        raise ValueError(message)
    if isinstance(raw, list | dict):
        message = "write text"
        raise ValueError(message)
    text = text_of(raw)
    if any(one.isspace() or one == "\0" for one in text) and key != "identity":
        message = f"there is a blank in {text!r}; take it away"
        raise ValueError(message)
    return text


def _port(raw: Any) -> int:
    port = read_int(raw)
    if not 1 <= port <= 65535:
        message = f"write a port from 1 to 65535, not {port}"
        raise ValueError(message)
    return port
