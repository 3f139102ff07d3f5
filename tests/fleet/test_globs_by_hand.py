"""Patterns looked up on a host match what they match here."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrun.model.values import Glob
from batchrun.ops.paths import escape, expand
from batchrun.remote.globs import expand_there
from file_context import HOSTILE_NAMES
from local_host import LocalHost, local_host

PATTERNS = [
    "*",
    "*.log",
    "a*",
    "?",
    "[ab]*",
    "[!a]*",
    ".*",
    "{a,b}.log",
    "sub/*.log",
    "*/*.log",
    "**/*.log",
    "**",
    "sub/**",
    "{sub/a,b}.log",
    "*/",
    "link/*.log",
    "no/such/*",
    ".br-*",
    *(escape(name) for name in HOSTILE_NAMES.values()),
]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalHost]:
    with local_host(tmp_path) as made:
        yield made


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_finds_there_what_it_would_find_here(host: LocalHost, pattern: str) -> None:
    for name in ("a.log", "b.log", "a", "c", ".hidden", "sub/a.log", "sub/x/deep.log"):
        (host.home / name).parent.mkdir(parents=True, exist_ok=True)
        (host.home / name).touch()
    (host.home / "sub/.secret").mkdir()
    (host.home / "sub/.secret/s.log").touch()
    (host.home / ".br-20260131-120000-7f3a-12-1-3").touch()
    (host.home / "link").symlink_to("sub")
    for name in HOSTILE_NAMES.values():
        (host.home / name).touch()
    absolute = f"{host.home}/{pattern}"
    assert expand_there(Glob(absolute), host) == list(expand(Glob(absolute)))
    os.chdir(host.home)
    assert expand_there(Glob(pattern), host) == list(expand(Glob(pattern)))
    assert expand_there(Glob(f"~/{pattern}"), host) == [
        f"~/{path}" for path in expand(Glob(pattern))
    ]
