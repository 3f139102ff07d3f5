"""`batchrun hosts`: what the inventory and the SSH configuration make of a node set."""

import sys

from batchrun import api
from batchrun.cli.lookflags import HostsFlags
from batchrun.cli.reaching import access_of
from batchrun.cli.results import palette_for
from batchrun.cli.targets import excluded_nodes, inventory_path, wanted_nodes
from batchrun.errors import UsageError
from batchrun.model.exitcode import ExitCode
from batchrun.nodes.nodeset import fold
from batchrun.report.hosttable import host_record, hosts_table
from batchrun.report.lines import Lines
from batchrun.report.machine import joined
from batchrun.report.records import VERSION, clean, dump
from batchrun.report.text import visible

__all__ = ["list_hosts"]


def list_hosts(flags: HostsFlags) -> int:
    """List hosts; return the exit code.

    Raises:
        UsageError: flags that contradict each other.
        NodeSetError: the node set cannot be read.
        JobFileError: the inventory has mistakes.
    """
    if flags.folded and flags.as_json:
        message = "--folded and --json contradict each other; give one of them"
        raise UsageError(message)
    if flags.nodes is not None and not flags.nodes.strip():
        message = "the node set is empty; name at least one host, or write no NODES for all"
        raise UsageError(message)
    named = [flags.nodes] if flags.nodes else []
    hosts = api.find_hosts(
        ",".join((*named, *wanted_nodes(flags))),
        inventory=inventory_path(flags),
        exclude=excluded_nodes(flags),
        insecure=flags.insecure_permissions,
    )
    lines = Lines(sys.stdout)
    if flags.folded:
        lines.write(f"{visible(fold(host.name for host in hosts))}\n")
        return ExitCode.OK
    found = api.look_up(hosts, access_of(flags))
    if flags.as_json:
        rows = "".join(joined(host_record(row) for row in found.rows))
        ignored = dump([clean(sentence) for sentence in found.ignored])
        lines.write(f'{{"version":{VERSION},\n"ignored":{ignored},\n"hosts":[\n{rows}\n]}}\n')
        return ExitCode.OK
    lines.write(hosts_table(found.rows, palette=palette_for(sys.stdout)))
    for sentence in found.ignored:
        Lines(sys.stderr).attempt(f"batchrun: {visible(sentence)}\n")
    return ExitCode.OK
