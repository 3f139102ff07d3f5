"""Commands and files on many hosts, beside everything that does the same.

python bench/fleet.py [commands] [open] [held] [files] [tree]

Peers that are not installed are left out, and said: pdsh, clustershell, pssh, ansible, parallel,
rsync (Debian packages); asyncssh, parallel-ssh (Python packages); pyinfra, from anywhere in PATH.

Beside the time there is the CPU time of the client and all that it starts: on a busy machine that
says more. That of the server is in no figure.
"""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from beside import ROUNDS, Peer, beside, middle, timed
from common import BATCHRUN, Row, machine, peak_mb, print_rows, workspace
from fleet_server import Fleet, fleet

HOSTS = 200
FANOUT = 32
KEX = "curve25519-sha256"
BIG_BYTES = 200_000_000
SMALL_FILES = 5_000
_HERE = Path(__file__).parent


def rows(*which: str) -> list[Row]:
    """Measure all, or what is named."""
    parts: Mapping[str, Callable[[str, Fleet], list[Row]]] = {
        "commands": _commands,
        "open": _open,
        "held": _held,
        "files": _files,
        "tree": _tree,
    }
    found: list[Row] = []
    with workspace() as cwd, fleet(cwd) as server:
        for name in which or parts:
            found += parts[name](cwd, server)
    return found


# ---- one command on many hosts ----------------------------------------------------------------


def _commands(cwd: str, server: Fleet) -> list[Row]:
    work = f"one command on {HOSTS} hosts, {FANOUT} at once"
    ours = _exec(server.curve, HOSTS, FANOUT, "true")
    return _beside(cwd, work, ours, _fleet_peers(cwd, server))


def _exec(config: Path, hosts: int, fanout: int, *command: str) -> list[str]:
    nodes = ",".join(_addresses(hosts))
    return [*BATCHRUN, "exec", "-q", "-F", str(config), "-f", str(fanout), "-w", nodes, *command]


def _addresses(count: int) -> list[str]:
    return [f"127.1.{number // 200}.{number % 200 + 1}" for number in range(count)]


def _fleet_peers(cwd: str, server: Fleet) -> list[Peer]:
    """Everything that runs one command on many hosts, as tuned as its options allow."""
    hosts = _addresses(HOSTS)
    listed = Path(cwd, "hosts")
    listed.write_text("".join(f"{host}\n" for host in hosts))
    inventory = Path(cwd, "inventory")
    inventory.write_text("[all]\n" + "".join(f"{host}\n" for host in hosts))
    listed_py = Path(cwd, "hosts.py")
    listed_py.write_text(f"hosts = {hosts}\n")
    nodes, many, conf = ",".join(hosts), str(FANOUT), str(server.curve)
    library = [str(server.port), str(server.key), str(server.known_hosts), many, "1", KEX]
    return [
        Peer(name="pdsh", command=["pdsh", "-R", "ssh", "-f", many, "-w", nodes, "true"],
             env={"PDSH_SSH_ARGS_APPEND": f"-F {conf}"}, bar=0.35),
        Peer(name="clush", command=["clush", "-f", many, "-o", f"-F {conf}", "-w", nodes, "true"],
             bar=0.35),
        Peer(name="pssh", command=["parallel-ssh", "-p", many, "-h", str(listed), "-x",
                                   f"-F {conf}", "true"]),
        Peer(name="xargs ssh", command=["xargs", "-P", many, "-I{}", "-a", str(listed), "ssh",
                                        "-n", "-F", conf, "{}", "true"]),
        Peer(name="GNU parallel", command=["parallel", "-j", many, "-a", str(listed), "ssh", "-n",
                                           "-F", conf, "{}", "true"]),
        Peer(name="ansible -m raw", command=["ansible", "all", "-i", str(inventory), "-f", many,
                                             "-m", "raw", "-a", "true"],
             env={"ANSIBLE_SSH_ARGS": f"-F {conf}", "ANSIBLE_LOCAL_TEMP": cwd}),
        Peer(name="asyncssh", command=_library("asyncssh", library, hosts), bar=1.15),
        Peer(name="parallel-ssh", command=_library("parallel-ssh", library, hosts)),
        Peer(name="pyinfra", command=["pyinfra", "-y", "--parallel", many, "--data",
                                      f"ssh_config_file={conf}", str(listed_py), "exec", "--",
                                      "true"]),
    ]  # fmt: skip


def _library(name: str, given: Sequence[str], hosts: Sequence[str]) -> list[str]:
    return [sys.executable, str(_HERE / "fleet_peers.py"), name, *given, *hosts]


# ---- many commands on open connections --------------------------------------------------------


def _open(cwd: str, server: Fleet) -> list[Row]:
    hosts, commands = 50, 20
    job = Path(cwd, "open.yml")
    nodes = ",".join(_addresses(hosts))
    items = f"{{range: [1, {commands}]}}"
    job.write_text(f"tasks:\n  - hosts: {nodes}\n    foreach: {items}\n    run: 'true'\n")
    ours = [*BATCHRUN, str(job), "-q", "-F", str(server.curve), "-f", str(hosts)]
    given = [str(server.port), str(server.key), str(server.known_hosts), str(hosts),
             str(commands), KEX]  # fmt: skip
    peers = [
        Peer(name=name, command=_library(name, given, _addresses(hosts)))
        for name in ("asyncssh", "parallel-ssh")
    ]
    work = f"{commands} commands each on {hosts} hosts, connecting included"
    found = _beside(cwd, work, ours, peers)
    many = job.with_name("many.yml")
    many.write_text(job.read_text().replace(f", {commands}]", f", {10 * commands}]"))
    options = ours[len(BATCHRUN) + 1 :]
    few, more = (
        middle([timed(cwd, [*BATCHRUN, str(one), *options], {}) for _ in range(ROUNDS)])
        for one in (job, many)
    )
    count = hosts * commands * 9
    rate = count / (more.wall_s - few.wall_s)
    cpu_ms = 1000 * (more.cpu_s - few.cpu_s) / count
    row = Row(
        work=f"commands on {hosts} open connections (200 each less 20 each)",
        ours=f"{rate:.0f}/s (CPU {cpu_ms:.2f} ms each)", peer="", ratio="", bar="≥ 500/s",
        met=rate >= 500,
    )  # fmt: skip
    return [*found, row]


def _held(cwd: str, server: Fleet) -> list[Row]:
    """Hold many connections open at the same time."""
    found = []
    for hosts in (1, 500):
        command = _exec(server.curve, hosts, hosts, "sleep 20")
        took_s, memory_mb = peak_mb(command, cwd)
        found.append(
            Row(work=f"{hosts} hosts held open for 20 s ({took_s:.0f} s): peak memory",
                ours=f"{memory_mb:.0f} MB", peer="", ratio="", bar="", met=None)
        )  # fmt: skip
    return found


# ---- files ------------------------------------------------------------------------------------


def _files(cwd: str, server: Fleet) -> list[Row]:
    big = Path(cwd, "big")
    with big.open("wb") as file:
        for _ in range(BIG_BYTES // 1_000_000):
            file.write(os.urandom(1_000_000))
    conf, there, here = str(server.plain), f"{cwd}/there", f"{cwd}/here"
    found: list[Row] = []
    up = [*BATCHRUN, "upload", "-q", "-F", conf, "-w"]
    clean = _emptied(Path(there), Path(here))
    batch = Path(cwd, "put")
    batch.write_text(f"put {big} {there}/big\n")
    put = ["sftp", "-q", "-F", conf, "-b", str(batch), "127.1.0.1"]
    found += _beside(
        cwd, "200 MB to one host", [*up, "127.1.0.1", str(big), f"{there}/"],
        [Peer(name="sftp", command=put, bar=0.6),
         Peer(name="scp", command=["scp", "-q", "-F", conf, str(big), f"127.1.0.1:{there}/"]),
         Peer(name="rsync", command=["rsync", "-a", "-W", "-e", f"ssh -F {conf}", str(big),
                                     f"127.1.0.1:{there}/"])],
        before=clean,
    )  # fmt: skip
    ten = " ".join(_addresses(10))
    scp_ten = f"for h in {ten}; do scp -q -F {conf} {big} $h:{there}/$h & done; wait"
    job = Path(cwd, "ten.yml")
    dest = f"{there}/{{{{ host }}}}"
    nodes = ten.replace(" ", ",")
    job.write_text(f"tasks:\n  - hosts: {nodes}\n    upload: {{src: {big}, dest: '{dest}'}}\n")
    found += _beside(
        cwd, "200 MB to ten hosts", [*BATCHRUN, str(job), "-q", "-F", conf],
        [Peer(name="ten scp at once", command=["sh", "-c", scp_ten])], before=clean,
    )  # fmt: skip
    get = Path(cwd, "get")
    get.write_text(f"get {big} {here}/big\n")
    down = [*BATCHRUN, "download", "-q", "-F", conf, "-w", "127.1.0.1", str(big), f"{here}/"]
    found += _beside(
        cwd, "200 MB from one host", down,
        [Peer(name="sftp", command=["sftp", "-q", "-F", conf, "-b", str(get), "127.1.0.1"],
              bar=0.6),
         Peer(name="scp", command=["scp", "-q", "-F", conf, f"127.1.0.1:{big}", f"{here}/"])],
        before=clean,
    )  # fmt: skip
    return found


def _tree(cwd: str, server: Fleet) -> list[Row]:
    tree, there, conf = Path(cwd, "tree"), f"{cwd}/there", str(server.plain)
    for number in range(SMALL_FILES):
        path = tree / f"d{number % 50}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (number % 4096))
    return _beside(
        cwd, f"{SMALL_FILES} small files to one host",
        [*BATCHRUN, "upload", "-q", "-F", conf, "-w", "127.1.0.1", str(tree), f"{there}/tree"],
        [Peer(name="scp -r", command=["scp", "-q", "-r", "-F", conf, str(tree),
                                      f"127.1.0.1:{there}/tree"], bar=0.2),
         Peer(name="rsync", command=["rsync", "-a", "-e", f"ssh -F {conf}", f"{tree}/",
                                     f"127.1.0.1:{there}/tree/"], bar=1.0)],
        before=_emptied(Path(there)),
    )  # fmt: skip


def _emptied(*directories: Path) -> Callable[[], None]:
    def clean() -> None:
        for one in directories:
            shutil.rmtree(one, ignore_errors=True)
            one.mkdir()

    return clean


# ---- measuring --------------------------------------------------------------------------------


def _beside(
    cwd: str,
    work: str,
    ours: Sequence[str],
    peers: Sequence[Peer],
    before: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Leave out the libraries that are not installed."""
    libraries = {"asyncssh": "asyncssh", "parallel-ssh": "pssh"}
    there = []
    for peer in peers:
        if peer.name in libraries and importlib.util.find_spec(libraries[peer.name]) is None:
            print(f"not installed, left out: {peer.name}", file=sys.stderr)
        else:
            there.append(peer)
    return beside(cwd, work, ours, there, before)


if __name__ == "__main__":
    print(machine())
    print_rows(rows(*sys.argv[1:]))
