"""Placeholders of `each`, from the words of the command line to what the shell makes of them."""

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.main import get_command

from batchrun import load_text
from batchrun.cli.app import app_of
from batchrun.cli.each import each_text
from batchrun.cli.onceflags import EachFlags
from batchrun.jobfile.loaded import Binding
from batchrun.model.ports import Drawn
from batchrun.model.unit import Unit


def printed_by(words: list[str], directory: str) -> str:
    """Run the commands that a command line stands for, as its workers would, and join the output.

    The program itself is not started: it takes a hundred times as long as what is looked at.
    """
    context = get_command(app_of()).commands["each"].make_context("each", list(words))  # type: ignore[attr-defined]
    with ExitStack() as stack:
        text = each_text(EachFlags(**context.params), stack)
        loaded = load_text(text, file="each", base_dir=directory)
        loaded.bind(Binding(run_id="run", started_at=0.0))
        stream = loaded.open("each", {}, lambda: None)
        shown = ""
        while not isinstance(unit := stream.draw(), Drawn):
            assert isinstance(unit, Unit)
            assert unit.verdict is None, unit.verdict
            command, env = unit.params["command"], unit.params.get("env", {})
            argv = ["/bin/sh", "-c", command] if isinstance(command, str) else command
            assert isinstance(argv, list | tuple)
            assert isinstance(env, dict)
            ended = subprocess.run(
                list(argv), env={**os.environ, **env, "BATCHRUN_SLOT": "1"}, cwd=directory,
                capture_output=True, text=True, timeout=30, check=True,
            )  # fmt: skip
            shown += ended.stdout
        stream.close()
    return shown


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["echo", "{}", ":::", "a", "b"], "a\nb\n"),
        (["echo", ":::", "a b", "c"], "a b\nc\n"),
        (["echo", "{.} {/} {//} {/.}", ":::", "/d.x/f.tar.gz"], "/d.x/f.tar f.tar.gz /d.x f.tar\n"),
        (["echo", "{#}:{}", ":::", "x", "y"], "1:x\n2:y\n"),
        (["echo", "{1}-{2}", ":::", "a", "b", ":::", "1", "2"], "a-1\na-2\nb-1\nb-2\n"),
        (["echo", ":::", "a", ":::", "1"], "a 1\n"),
        (["echo", "{2/} {1.}", ":::", "a.x", ":::", "d/e"], "e a\n"),
        (["-N2", "echo", "{1}+{2}", ":::", "a", "b", "c"], "a+b\nc+\n"),
        (["-N2", "printf", "'<%s>'", "{}", ":::", "a b", "c", "d"], "<a b><c><d>"),
        (["-N2", "echo", "{/}", ":::", "x/a", "y/b"], "a b\n"),
        (["echo {} | tr a-z A-Z", ":::", "a"], "A\n"),
        (['echo "file: {}"', ":::", "a  b"], "file: a  b\n"),
        (['echo "$(basename "{}")" $(dirname {})', ":::", "/a  b/c"], "c /a b\n"),
        (["echo '{}' \"{}\"", ":::", "a  b"], "a  b a  b\n"),
        (["awk '{print $1}'", ":::", "/dev/null"], ""),
        (["echo '{{.Id}}' {{}} {{{}}}", ":::", "a"], "{{.Id}} {a} {{a}}\n"),
        (["-I", "X", "echo", "X{}", ":::", "a"], "a{}\n"),
        (["--argv", "echo", "$HOME {}", "{}", ":::", "a  b"], "$HOME a  b a  b\n"),
        (["--argv", "echo", ":::", "a", ":::", "{{ b }}"], "a {{ b }}\n"),
        ([":::", "echo one; echo two"], "one\ntwo\n"),
        (["test", "{%}", "-eq", "1", ":::", "a"], ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_placeholders_mean_what_they_mean_to_gnu_parallel(
    tmp_path: Path, words: list[str], printed: str
) -> None:
    assert printed_by(words, str(tmp_path)) == printed
