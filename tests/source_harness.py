"""What tests of `foreach` sources share: drawing items, and looking for what was left behind."""

import gc
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import SourceError
from batchrun.jobfile import LoadOptions
from batchrun.jobfile.scope import Names
from batchrun.jobfile.sources import Items
from batchrun.jobfile.sourcethere import SourceThere
from batchrun.model.ports import Drawn
from small_jobs import Waker, loaded
from support import wait_until

__all__ = ["failure", "items", "no_leaks", "read", "source_of"]


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Nothing of a source is left: no descriptor, no thread."""
    gc.collect()  # what earlier tests have dropped must not be let go of in the middle of this one
    before = len(open_fds())
    yield
    wait_until(
        lambda: not [t for t in threading.enumerate() if t.name == "foreach"], 10, "threads end"
    )
    wait_until(lambda: len(open_fds()) <= before, 10, "its descriptors are closed")


def source_of(text: str, base_dir: Path, names: Names, waker: Waker) -> Items:
    """Open what `foreach: TEXT` means; all of `names` are declared, and have these values."""
    variables = json.dumps(dict.fromkeys(names))
    job = loaded(
        f"vars: {variables}\ntasks: [{{run: a, foreach: {text}}}]",
        base_dir=str(base_dir),
        options=LoadOptions(variables=dict(names)),
    )
    source = job._plans["run-1"].frame.source
    assert source is not None
    assert not isinstance(source, SourceThere)
    return source.open(names, waker)


def read(opened: Items, waker: Waker) -> Iterator[Any]:
    """Draw a source to its end, waiting where it says so, and close it."""
    try:
        while (item := opened.next()) is not Drawn.EXHAUSTED:
            if item is not Drawn.PENDING:
                yield item
                continue
            wait_until(waker.called.is_set, 20, "the source calls the waker")
            waker.called.clear()
    finally:
        opened.close()


def items(text: str, base_dir: Path, **names: Any) -> list[Any]:
    """Return all items of `foreach: TEXT`."""
    waker = Waker()
    return list(read(source_of(text, base_dir, Names.of(**names), waker), waker))


def failure(text: str, base_dir: Path) -> tuple[list[Any], str]:
    """Return the items that came before a source failed, and what it said."""
    waker = Waker()
    found: list[Any] = []
    try:
        found.extend(read(source_of(text, base_dir, Names(), waker), waker))
    except SourceError as error:
        return found, str(error)
    message = f"the source did not fail: {found}"
    raise AssertionError(message)
