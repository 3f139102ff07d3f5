"""On which machine an operation runs: which table it is taken from, and where its paths lead."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from batchrun.model.operation import Operation, OperationTable

__all__ = ["HERE", "Tables", "as_tables", "is_local_parameter"]

#: What `delegate_to` says for this machine.
HERE = "local"
_UPLOAD = "`upload` brings files to a host, `download` from one"
_COMMAND = "do it with `run` there"
#: What serves on a host instead of an operation for this machine.
_ON_HOSTS: Mapping[str, str] = {
    "copy": f"{_UPLOAD}; for a copy on the host itself, `run: [cp, -a, A, B]`",
    "move": f"{_UPLOAD}; to rename on the host itself, `run: [mv, A, B]`",
    "sync": "`upload` with `delete: true` makes a tree on a host like one here",
    "compare": "`upload` or `download` with `checksum: true` finds what differs",
    "touch": "`write` makes a file there, `run: [touch, PATH]` sets its time",
    "extract": "`upload` the archive, and unpack it with `run: [tar, -xf, FILE]` there",
    "archive": "pack with `run: [tar, -cf, FILE, DIR]` there, and `download` the file",
    "replace": "`template` or `write` puts the whole file there",
    "prune": "`run: [find, DIR, -mtime, '+30', -delete]` deletes by age there",
}
#: Parameters of operations on hosts that are paths on this machine.
_LOCAL: Mapping[str, frozenset[str]] = {
    "upload": frozenset({"src"}),
    "download": frozenset({"dest"}),
    "script": frozenset({"file"}),
    "template": frozenset({"src"}),
}
#: What an operation on hosts does that there is here by another name.
_ON_THIS_MACHINE: Mapping[str, str] = {
    "upload": "; on this machine it is `copy`",
    "download": "; on this machine it is `copy`",
    "wait_for": "; here, a `run` that looks, with `retries` and `retry_delay`, waits",
}


def is_local_parameter(operation: str, key: str) -> bool:
    """Tell whether a parameter of an operation on hosts is a path on this machine."""
    return key in _LOCAL.get(operation, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The operations for this machine, and those for hosts; some names are in both."""

    here: OperationTable
    on_hosts: OperationTable = field(default_factory=dict)

    def of(self, *, on_host: bool) -> OperationTable:
        """Return the table for one kind of place."""
        return self.on_hosts if on_host else self.here

    def __contains__(self, name: object) -> bool:
        return name in self.here or name in self.on_hosts

    def __iter__(self) -> Iterator[str]:
        yield from self.here
        yield from (name for name in self.on_hosts if name not in self.here)

    def any(self, name: str) -> Operation:
        """Return an operation from whichever table has it."""
        return self.here[name] if name in self.here else self.on_hosts[name]

    def misplaced(self, name: str, *, on_host: bool) -> str:
        """Say that an operation is not for this kind of place, and what is; empty: it is."""
        if name not in self or name in self.of(on_host=on_host):
            return ""
        if on_host:
            advice = _ON_HOSTS.get(name, f"{_COMMAND}, or take `hosts` away")
            return f"`{name}` works on this machine, not on hosts; {advice}"
        advice = _ON_THIS_MACHINE.get(name, "")
        return f"`{name}` is for hosts; say with `hosts` which ones{advice}"


def as_tables(table: OperationTable | Tables) -> Tables:
    """Take a plain table as that of this machine."""
    return table if isinstance(table, Tables) else Tables(here=table)
