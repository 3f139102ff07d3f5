"""Runs a command on many hosts in a process that may have few files open; see `test_many_hosts`."""

import resource
import sys

from batchrun.remote.budget import descriptor_budget
from batchrun.remote.config import SshConfig
from batchrun.remote.fleet import Fleet
from batchrun.remote.links import Parts
from hosts import answer, at_once, connect, host_at
from sshd import loopback


def main(config: str, hosts: int, descriptors: int, jump: str) -> None:
    """Run it.

    Args:
        config: The SSH configuration.
        hosts: How many.
        descriptors: How many may be open.
        jump: By way of which bastion; empty: none.
    """
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors // 2, descriptors))
    fleet = Fleet(Parts(settings_for=SshConfig.load(file=config).settings_for), descriptor_budget())
    assert 64 <= fleet.most < descriptors / 2

    def work(number: int) -> bool:
        session = connect(fleet, host_at(loopback(number), jump=jump))
        try:
            return answer(session, f"echo {number}").out == b"%d\n" % number
        finally:
            fleet.release(session)

    done = at_once(hosts, work, 64)
    fleet.close()
    print(f"{sum(done)} of {hosts}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
