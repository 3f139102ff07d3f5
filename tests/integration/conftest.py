"""Hosts for the pages that show them: `web1`, `web2` and `web3`, all of them this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sshd import running_sshd

NAMED = """
Host web1
  HostName 127.0.0.1
Host web2
  HostName 127.0.0.2
Host web3
  HostName 127.0.0.3
"""


@pytest.fixture(scope="session")
def ssh_config_of_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run a server, and return the SSH configuration that knows these names."""
    with running_sshd() as server:
        path = tmp_path_factory.mktemp("pages") / "config"
        path.write_text(f"{NAMED}Host *\n  Include {server.ssh_config}\n")
        yield path


@pytest.fixture
def hosts_of_pages(ssh_config_of_pages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands of a test reach them."""
    monkeypatch.setenv("BATCHRUN_SSH_CONFIG", str(ssh_config_of_pages))
