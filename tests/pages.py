"""Pages of documentation, done as a reader does them: block by block, in a fresh directory.

A block that begins with the comment of a file name is that file; `sh` blocks are run and have to
succeed; of `console` blocks the output is compared, too. Numbers that differ from run to run, such
as run ids and durations, may differ; a line `...` stands for any lines.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from program import path_with_batchrun

__all__ = ["BUILDS", "Block", "anchors", "blocks", "differences", "links", "walk"]

#: Commands that build an environment of their own: `.ci/run` runs them, in a fresh clone.
BUILDS = ("make ", "python3 -m venv", "pip install")
#: Where pages say that they are.
PLACE = "/srv/demo"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"(?:#|\{#) ([\w./-]+\.\w+)(?: #\})?\n")
_END = "-- end of a command --"
_DIFFERS = (
    (re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{4}\b"), "RUN"),
    (re.compile(r"\b(in|after) \d[\d.]* (?:ms|s|min)\b(?: \d+ s)?"), r"\1 TIME"),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "DATE"),
    (re.compile(r"\bDATE \d\d:\d\d +\d[\d.]* (?:ms|s|min)\b(?: \d+ s)?"), "DATE TIME"),
    (re.compile(r"\bWHEN +TOOK\b"), "WHEN TOOK"),
    (re.compile(r"\b\d+ procs? \(the CPUs? here\)"), "PROCS"),
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page."""

    language: str
    body: str

    @property
    def file(self) -> str:
        """The file that it is; empty: none."""
        found = _FILE.match(self.body)
        return found[1] if found and self.language not in ("sh", "console") else ""


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [Block(language=language, body=body) for language, body in _BLOCK.findall(text)]


def links(page: Path) -> list[str]:
    """Return the targets of the links that lead to files of the repository or into this one."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"\]\(((?!\w+:)[^)\s]+)\)", text)


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    text = _BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def walk(page: Path, directory: Path) -> int:
    """Do what a page says; return how many commands were run.

    Raises:
        AssertionError: a command fails, or says something else than the page.
    """
    ran = 0
    for block in blocks(page):
        if block.file:
            path = directory / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body)
        elif block.language == "sh" and not block.body.startswith(BUILDS):
            ended = _shell(block.body, directory, "-eu")
            assert ended.returncode == 0, f"{block.body}\n{ended.stdout}"
            ran += 1
        elif block.language == "console":
            ran += _console(block.body, directory)
    return ran


def _console(body: str, directory: Path) -> int:
    """Run the commands of a block and compare what they say."""
    dialogue = list(_dialogue(body))
    # The exit status of each command is still there for the next one, as for people.
    mark = f"__code=$?; printf '%s\\n' '{_END}'; (exit $__code)"
    script = "".join(f"{command}\n{mark}\n" for command, _ in dialogue)
    said = _shell(script, directory).stdout.split(f"{_END}\n")
    assert len(said) == len(dialogue) + 1, f"{body}\n{said}"
    for (command, expected), output in zip(dialogue, said, strict=False):
        problem = differences(expected, output.replace(str(directory), PLACE))
        assert not problem, f"$ {command}\n{problem}"
    return len(dialogue)


def _dialogue(body: str) -> Iterator[tuple[str, str]]:
    """Yield each command with the output that the page shows."""
    command, output = "", ""
    for line in body.splitlines(keepends=True):
        if line.startswith("$ "):
            if command:
                yield command, output
            command, output = line[2:].rstrip("\n"), ""
        elif line.startswith("> ") and not output:
            command += "\n" + line[2:].rstrip("\n")
        else:
            output += line
    yield command, output


def differences(expected: str, said: str) -> str:
    """Compare what a page shows with what was said; empty: it is the same."""
    wanted, found = _steady(expected), _steady(said)
    pattern = r"(?:.*\n)*?".join(
        re.escape(part) for part in re.split(r"^\.\.\.\n", wanted, flags=re.MULTILINE)
    )
    return "" if re.fullmatch(pattern, found) else f"the page:\n{wanted}\nthe program:\n{found}"


def _steady(text: str) -> str:
    for pattern, instead in _DIFFERS:
        text = pattern.sub(instead, text)
    return text.strip("\n") + "\n"


def _shell(script: str, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", *options, "-c", script],
        cwd=directory,
        env={
            **os.environ,
            # `python3` is the one that has batchrun.
            "PATH": f"{Path(sys.executable).parent}:{path_with_batchrun(directory.parent / 'bin')}",
            "COLUMNS": "100",
            "LC_ALL": "C.UTF-8",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
