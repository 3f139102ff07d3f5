"""The version of paramiko that its replaced parts were tried with."""

import tomllib
from pathlib import Path

import paramiko
import pytest

from batchrun.errors import BatchrunError
from batchrun.remote.channels import TESTED, check_version


def test_the_installed_version_was_tried() -> None:
    check_version(paramiko.__version__)


@pytest.mark.parametrize("version", ["4.0.0", "5.0.1", "6.0.0", "7"])
def test_another_version_is_refused(version: str) -> None:
    with pytest.raises(BatchrunError, match=r"install `paramiko>=5\.1,<6\.0`"):
        check_version(version)


def test_no_other_version_is_ever_installed(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    (first, beyond) = TESTED
    assert f"paramiko>={first[0]}.{first[1]},<{beyond[0]}" in project["dependencies"]
    assert beyond[1] == 0
