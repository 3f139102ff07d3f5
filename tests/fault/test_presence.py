"""Presence files between processes: who inherits one, and many that come, look, die and go."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from batchrun.engine.presence import Presence, alive, holders, presence_path
from support import wait_until

pytestmark = pytest.mark.timeout(120)

#: Comes and goes, or dies, under one of few names; a directory says whether anybody else is there.
COMER = """
import os, random, sys
from pathlib import Path
from batchrun.engine import presence
from batchrun.ops.survivor import let_go
presence._TRIES, presence._TRY_S = 3, 0.0
state, judge = map(Path, sys.argv[1:3])
chance = random.Random(int(sys.argv[3]))
came = 0
while came < 150:
    name = chance.choice("abc")
    path = presence.presence_path(state, name)
    try:
        present = presence.Presence(path)
    except OSError:
        continue
    came += 1
    (judge / name).mkdir()
    assert presence.alive(path), "not seen"
    (judge / name).rmdir()
    if chance.random() < 0.5:
        present.close()
    else:
        let_go(present._descriptor)
        os.close(present._descriptor)
"""


def test_a_presence_lasts_as_long_as_whoever_was_handed_it(tmp_path: Path) -> None:
    path = presence_path(tmp_path, "x")
    present = Presence(path)
    with subprocess.Popen(["sleep", "1000"], pass_fds=[present._descriptor]) as child:
        assert holders(path) == sorted([os.getpid(), child.pid])
        os.close(present._descriptor)  # as the kernel does when we die
        assert alive(path)
        assert holders(path) == [child.pid]
        child.send_signal(signal.SIGKILL)
        child.wait()
    wait_until(lambda: not alive(path), 10, "nobody is left")
    assert holders(path) == []


def test_nobody_who_is_there_is_ever_taken_for_dead(tmp_path: Path) -> None:
    judge = tmp_path / "judge"
    judge.mkdir()
    comers = [
        subprocess.Popen(
            [sys.executable, "-c", COMER, tmp_path / "state", judge, str(seed)],
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(4)
    ]
    for comer in comers:
        _, errors = comer.communicate(timeout=80)
        assert (comer.returncode, errors) == (0, "")
    last = Presence(presence_path(tmp_path / "state", "last"))
    assert os.listdir(last.path.parent) == ["last"]
    last.close()
