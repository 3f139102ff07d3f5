"""The version of paramiko that its replaced parts were tried with."""

import paramiko
import pytest

from batchrun.errors import BatchrunError
from batchrun.remote.channels import check_version


def test_the_installed_version_was_tried() -> None:
    check_version(paramiko.__version__)


@pytest.mark.parametrize("version", ["4.0.0", "5.0.1", "6.0.0", "7"])
def test_another_version_is_refused(version: str) -> None:
    with pytest.raises(BatchrunError, match=r"install `paramiko>=5\.1,<6\.0`"):
        check_version(version)
