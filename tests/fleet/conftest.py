"""Servers that the tests of one process share: sshd takes longer to start than to serve."""

from collections.abc import Iterator

import pytest

from sshd import Sshd, running_sshd


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    """Run a server that refuses nothing; a test that wants another one runs its own."""
    with running_sshd() as server:
        yield server


@pytest.fixture(scope="session")
def bastion(sshd: Sshd) -> Iterator[Sshd]:
    """Run a second server that the same key opens, to go through."""
    with running_sshd(key=sshd.key) as server:
        yield server
