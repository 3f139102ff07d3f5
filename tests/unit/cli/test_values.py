"""What the short way reads is what typer would have read; the rest is left to typer."""

from typing import Any

import pytest
import typer
from typer.core import TyperCommand
from typer.main import get_command

from batchrun.cli.app import flags_of
from batchrun.cli.signatures import command_of
from batchrun.cli.values import command_class

LINES = {
    "run": [
        "j.yml",
        "-j 1_0 -n --diff -u 90s --retries 2 --max-fail 10% --deadline 1h --grace 5 j.yml",
        "-e a=1 -e b=2 --vars-file x.yml --tags a,b --task one --output json -qq j.yml",
        "--joblog x --junit y --metrics z.prom --report p.html --progress none --debug j.yml",
        "--lock --lock-name x --wait 5m -w web[1-3] -x web2 --host-key accept-new j.yml",
        "-i hosts.yml -F none -o Port=22 -l me --connect-timeout 5s --batch 1,10% j.yml",
    ],
    "exec": ["-w a -b --mask true x -y", "-w a --script s.sh", "-a --stdin --template cat"],
    "each": ["-a list -0 -N 2 --tag echo {} ::: a b", "-I % --argv echo %"],
    "do": ["copy src=a dest=b", "run -w h --sudo true"],
    "upload": ["-w h a b /c", "-w h --save j.yml a b"],
    "check": ["j.yml", "--tags x j.yml"],
    "show": ["", "--failed --json 20260101"],
    "ops": ["", "copy"],
}
MISTAKES = {
    "run": ["", "-j x j.yml", "-j -1 j.yml", "--output yaml j.yml"],
    "exec": ["-w a --fanout 0 true", "-w a --host-key no true"],
    "each": ["-N 0 echo"],
}


def cases(lines: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(name, line) for name, some in lines.items() for line in some]


def command(name: str, kind: type[TyperCommand]) -> Any:
    app = typer.Typer(add_completion=False)
    settings = {"allow_interspersed_args": False}
    app.command(name, cls=kind, context_settings=settings)(
        command_of(flags_of(name), lambda _flags: 0)
    )
    return get_command(app)


@pytest.mark.parametrize(("name", "line"), cases(LINES))
def test_the_short_way_reads_what_typer_reads(name: str, line: str) -> None:
    short = command(name, command_class(flags_of(name)))
    long = command(name, TyperCommand)
    read = short.make_context(name, line.split()).params
    assert read == long.make_context(name, line.split()).params
    assert {key: type(value) for key, value in read.items()} == {
        key: type(value) for key, value in long.make_context(name, line.split()).params.items()
    }


@pytest.mark.parametrize(("name", "line"), cases(MISTAKES))
def test_what_is_wrong_is_said_in_the_words_of_typer(name: str, line: str) -> None:
    said = []
    for kind in (command_class(flags_of(name)), TyperCommand):
        with pytest.raises(typer.BadParameter.__bases__[0]) as error:
            command(name, kind).make_context(name, line.split())
        said.append(error.value.format_message())  # type: ignore[attr-defined]  # the parser's own
    assert said[0] == said[1]


def test_a_variable_of_the_environment_is_read_as_by_typer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCHRUN_PROCS", "3")
    monkeypatch.setenv("BATCHRUN_DIFF", "yes")
    monkeypatch.setenv("BATCHRUN_TAGS", "a b")
    short = command("run", command_class(flags_of("run"))).make_context("run", ["j.yml"]).params
    long = command("run", TyperCommand).make_context("run", ["j.yml"]).params
    assert short == long
    assert short["procs"] == 3
    assert short["diff"] is True
