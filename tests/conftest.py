"""What every test gets: a state directory of its own, and no skipping."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).resolve().parent.parent

#: Says of this machine, whatever it says of itself in /etc, that it has no groups of hosts.
NO_GROUPS = """
[Main]
default: local
confdir:
autodir:
[local]
map: true
all: true
list: true
"""

# No test is about time, and machines are busy. Without the explanation of failures nothing traces
# every line of every example, which takes most of the time on Python 3.11.
settings.register_profile(
    "project", deadline=None, phases=[one for one in Phase if one is not Phase.explain]
)
settings.load_profile("project")


def pytest_configure() -> None:
    """Take signals as on a terminal: what runs in the background inherits them ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def _checkout_is_somebody_elses() -> bool:
    """Whether root runs the tests of files that belong to another user, as in a container.

    The program would refuse the project's own job files then, and rightly.
    """
    found = (ROOT / "examples.yml").stat()
    return os.geteuid() == 0 and (found.st_uid != 0 or bool(found.st_mode & 0o022))


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep locks and journals of the tests out of the user's own, and options out of the tests."""
    for name in list(os.environ):
        if name.startswith("BATCHRUN_") and name != "BATCHRUN_KILL_ROUNDS":
            monkeypatch.delenv(name)
    if _checkout_is_somebody_elses():
        monkeypatch.setenv("BATCHRUN_INSECURE_PERMISSIONS", "1")
    monkeypatch.setenv("BATCHRUN_STATE_DIR", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    groups = tmp_path_factory.mktemp("groups")
    (groups / "groups.conf").write_text(NO_GROUPS)
    monkeypatch.setenv("CLUSTERSHELL_CFGDIR", str(groups))


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user may enter."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        os.chmod(directory, 0o777)
        yield Path(directory)


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A directory on another filesystem than tmp_path."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the top of the repository: examples, jobs and README are there."""
    return ROOT


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Count a skipped test as a failure: what is not run proves nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("a skipped test is a failure", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
