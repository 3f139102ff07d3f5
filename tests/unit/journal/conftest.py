"""Records in memory, where there is such a place."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from support import MEMORY


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Give a directory in which nothing waits for a disk."""
    with TemporaryDirectory(dir=MEMORY) as made:
        yield Path(made)
