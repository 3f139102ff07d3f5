"""What every test gets: a state directory of its own, and no skipping."""

import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """Take signals as on a terminal: what runs in the background inherits them ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep locks and journals of the tests out of the user's own, and options out of the tests."""
    for name in list(os.environ):
        if name.startswith("BATCHRUN_") and name != "BATCHRUN_KILL_ROUNDS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("BATCHRUN_STATE_DIR", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))


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
