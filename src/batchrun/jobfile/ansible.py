"""Ansible's inventory JSON (`ansible-inventory --list`, any dynamic inventory), read to rows.

Variables: `all` < the groups above < the groups below < the host. Ansible's own variables
(`ansible_...`) become settings where they say how a host is reached, and are left out otherwise:
there may be passwords among them.
"""

import os
import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from batchrun.nodes.inventory import GroupRow, HostRow, Inventory, Settings, build_inventory

__all__ = ["read_listing"]

#: Groups that say nothing: everything is in the one, what is in no other group in the other.
_ALL, _UNGROUPED = "all", "ungrouped"
_OWN = "ansible_"
#: Which of Ansible's variables is which setting; the first that is there counts.
_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "address": ("ansible_host", "ansible_ssh_host"),
    "port": ("ansible_port", "ansible_ssh_port"),
    "user": ("ansible_user", "ansible_ssh_user"),
    "identity": ("ansible_ssh_private_key_file", "ansible_private_key_file"),
}
_SSH_ARGUMENTS = ("ansible_ssh_common_args", "ansible_ssh_extra_args")
#: A group has a name that node sets can say.
_NAME = re.compile(r"[\w.+-]+")


def read_listing(data: Any, note: Callable[[str], None]) -> Inventory:
    """Read an inventory as Ansible prints it; mistakes are noted.

    Args:
        data: Standard types.
        note: Takes sentences.
    """
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        note("this is not Ansible's inventory: a mapping with `_meta` and groups is expected")
        return Inventory.empty()
    groups = {name: _group(one) for name, one in data.items() if name != "_meta"}
    meta = data.get("_meta")
    variables = meta.get("hostvars", {}) if isinstance(meta, dict) else {}
    if not isinstance(variables, dict):
        note("`_meta.hostvars` is no mapping")
        variables = {}
    if not groups and not variables:
        note("there are no hosts and no groups in it")
    reader = _Listing(groups, variables, note)
    return build_inventory(
        reader.settings(groups.get(_ALL, {}).get("vars"), _ALL),
        list(reader.hosts()),
        list(reader.groups()),
        lambda place, message: note(f"`{'.'.join(place)}`: {message}"),
    )


def _group(raw: Any) -> dict[str, Any]:
    """Return a group with `hosts`, `vars` and `children`; the oldest form is a list of hosts."""
    if isinstance(raw, list):
        return {"hosts": raw}
    return raw if isinstance(raw, dict) else {}


class _Listing:
    """Puts rows together."""

    def __init__(
        self,
        groups: Mapping[str, dict[str, Any]],
        variables: Mapping[str, Any],
        note: Callable[[str], None],
    ) -> None:
        self._groups = groups
        self._variables = variables
        self._note = note
        self._order = list(self._from_above())
        self._members: dict[str, set[str]] = defaultdict(set)
        for name in reversed(self._order):
            self._members[name].update(map(str, _listed(groups[name], "hosts")))
            for child in _listed(groups[name], "children"):
                self._members[name] |= self._members.get(str(child), set())

    def _from_above(self) -> Iterator[str]:
        """Yield the groups, each after all that it is a child of."""
        above: dict[str, int] = dict.fromkeys(self._groups, 0)
        for one in self._groups.values():
            for child in _listed(one, "children"):
                if child in above:
                    above[child] += 1
        ready = [name for name, count in above.items() if not count]
        for name in ready:
            yield name
            for child in _listed(self._groups[name], "children"):
                if child in above:
                    above[child] -= 1
                    if not above[child]:
                        ready.append(child)
        if len(ready) < len(above):
            left = ", ".join(sorted(set(above) - set(ready)))
            self._note(f"the groups {left} contain each other in a circle")

    def groups(self) -> Iterator[GroupRow]:
        """Yield the groups that say something, those above first."""
        for name in self._named():
            settings = self.settings(self._groups[name].get("vars"), name)
            yield GroupRow(name=name, settings=settings)

    def hosts(self) -> Iterator[HostRow]:
        """Yield every host, in the order in which they are first named."""
        named: dict[str, None] = dict.fromkeys(map(str, self._variables))
        for name in self._order:
            named.update(dict.fromkeys(map(str, _listed(self._groups[name], "hosts"))))
        groups: dict[str, list[str]] = defaultdict(list)
        for name in self._named():
            for host in self._members[name]:
                groups[host].append(name)
        for host in named:
            settings = self.settings(self._variables.get(host), host)
            yield HostRow(nodes=host, settings=settings, groups=tuple(groups[host]))

    def _named(self) -> list[str]:
        return [
            name for name in self._order if name not in (_ALL, _UNGROUPED) and _NAME.fullmatch(name)
        ]

    def settings(self, raw: Any, of: str) -> Settings:
        """Read the variables of a host or a group."""
        if not isinstance(raw, dict):
            return Settings()
        found: dict[str, Any] = {}
        for setting, names in _SETTINGS.items():
            value = next((raw[name] for name in names if raw.get(name) not in (None, "")), None)
            if value is not None:
                found[setting] = self._setting(setting, value, of)
        jump = _jump(next((str(raw[one]) for one in _SSH_ARGUMENTS if raw.get(one)), ""))
        variables = {str(key): one for key, one in raw.items() if not str(key).startswith(_OWN)}
        return Settings(**found, jump=jump or None, variables=variables)

    def _setting(self, setting: str, value: Any, of: str) -> Any:
        if setting == "identity":
            return (os.path.expanduser(str(value)),)
        if setting != "port":
            return str(value)
        try:
            return int(value)
        except ValueError:
            self._note(f"`{of}` has the port {value!r}, which is no number")
            return None


def _listed(group: Mapping[str, Any], key: str) -> list[Any]:
    found = group.get(key)
    return list(found) if isinstance(found, list | dict) else []


def _jump(arguments: str) -> str:
    """Find `-J HOST` or `-o ProxyJump=HOST` among the arguments of ssh; empty: there is none."""
    try:
        words = shlex.split(arguments)
    except ValueError:
        return ""
    for at, word in enumerate(words):
        following = words[at + 1] if at + 1 < len(words) else ""
        if word == "-J":
            return following
        option = following if word == "-o" else word.removeprefix("-o")
        name, _, value = option.partition("=")
        if name.lower() == "proxyjump":
            return value
    return ""
