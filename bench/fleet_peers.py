"""What libraries beside us do with many hosts: scripts, each run as a process of its own.

python bench/fleet_peers.py LIBRARY PORT KEY KNOWN_HOSTS FANOUT COMMANDS KEX HOST...
"""

import asyncio
import sys
from dataclasses import dataclass

COMMAND = "true"


@dataclass(frozen=True, kw_only=True)
class Given:
    """The command line."""

    port: int
    key: str
    known_hosts: str
    fanout: int
    #: So many, one after the other, on each connection.
    commands: int
    #: The one key exchange to use; empty: as the library likes.
    kex: str
    hosts: list[str]


async def _asyncssh(given: Given) -> None:
    import asyncssh

    gate = asyncio.Semaphore(given.fanout)
    options = {"kex_algs": [given.kex]} if given.kex else {}

    async def one(host: str) -> None:
        connecting = asyncssh.connect(
            host,
            given.port,
            client_keys=[given.key],
            known_hosts=given.known_hosts,
            config=None,
            **options,
        )
        async with gate, connecting as connection:
            for _ in range(given.commands):
                await connection.run(COMMAND, check=True)

    await asyncio.gather(*map(one, given.hosts))


def _parallel_ssh(given: Given) -> None:
    from pssh.clients import ParallelSSHClient

    client = ParallelSSHClient(
        given.hosts,
        user="root",
        port=given.port,
        pkey=given.key,
        pool_size=given.fanout,
        allow_agent=False,
    )
    for _ in range(given.commands):
        output = client.run_command(COMMAND)
        client.join(output)
        if any(one.exit_code for one in output):
            raise SystemExit(1)


def main() -> None:
    """Run the library that is named."""
    library, port, key, known_hosts, fanout, commands, kex, *hosts = sys.argv[1:]
    given = Given(
        port=int(port),
        key=key,
        known_hosts=known_hosts,
        fanout=int(fanout),
        commands=int(commands),
        kex=kex.strip("-"),
        hosts=hosts,
    )
    if library == "asyncssh":
        asyncio.run(_asyncssh(given))
    else:
        _parallel_ssh(given)


if __name__ == "__main__":
    main()
