"""Names are only names: through every operation, every source of items, every kind of output."""

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import Ended, Program

pytestmark = pytest.mark.timeout(120)

#: As bytes, because names are bytes.
NAMES: tuple[bytes, ...] = (
    b"plain",
    b"two\nlines",
    b"it's",
    b'a "quoted" one',
    b"-rf",
    b"--help",
    b" spaces  around ",
    b"*",
    b"a[b]?{c,d}",
    b"back\\slash\\n",
    b"ends in \\",
    b"{{ item }}",
    b"{% raw %}{# x",
    b"$HOME",
    b"$(touch pwned)`touch pwned`",
    b"; touch pwned #",
    b"~",
    b"~root",
    b"100%s %d",
    b"tab\there\rand",
    b"\x1b[31mred\x1b]0;title\x07",
    b"true",
    b"0x10",
    "\N{PILE OF POO} \N{ZERO WIDTH JOINER}\N{RIGHT-TO-LEFT OVERRIDE}gpj".encode(),
    b"caf\xe9\xff",
    b"\xed\xa0\x80",
)
#: What may be mistaken for a name above, and must never be touched.
DECOYS = (b"pwned", b"aXb", b"ab", b"rf", b"help", b"item", b"root", b"two", b"lines", b"a b")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path) as made:
        yield made


def fill(directory: Path, names: tuple[bytes, ...] = NAMES) -> None:
    """Make a file of each name, which holds its name."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / os.fsdecode(name)).write_bytes(name)


def listed(directory: Path) -> set[bytes]:
    return set(os.listdir(os.fsencode(directory)))


def contents(directory: Path) -> dict[bytes, bytes]:
    """Return the files of a directory by name."""
    top = os.fsencode(directory)
    return {name: Path(os.fsdecode(top + b"/" + name)).read_bytes() for name in listed(directory)}


THEMSELVES = {name: name for name in NAMES}
#: Directories that must hold a file of each name then, with that name in it.
COPIES = (
    *("in", "write", "link", "hard", "move", "copy-into", "unzip", "tree", "glob"),
    *("shell", "shell-quoted", "argv", "env", "stdin", "script"),
)

OPERATIONS = """
x-each: &each {foreach: {lines: names, null_separated: true}}
tasks:
  - {<<: *each, id: mkdir, mkdir: "mkdir/{{ item }}/sub"}
  - {<<: *each, id: touch, touch: "touch/{{ item }}"}
  - {<<: *each, id: write, write: {dest: "write/{{ item }}", text: "{{ item }}"}}
  - {<<: *each, id: link, link: {src: "in/{{ item }}", dest: "link/{{ item }}", relative: true}}
  - {<<: *each, id: hard, link: {src: "in/{{ item }}", dest: "hard/{{ item }}", kind: hard}}
  - {<<: *each, id: copy, copy: {src: "in/{{ item }}", dest: "copy/{{ item }}", verify: true}}
  - {<<: *each, id: copy-into, copy: {src: "in/{{ item }}", dest: copy-into/}}
  - {<<: *each, id: move, needs: [copy], move: {src: "copy/{{ item }}", dest: "move/{{ item }}"}}
  - {<<: *each, id: delete, delete: "delete/{{ item }}"}
  - {<<: *each, id: to-zip, copy: {src: "in/{{ item }}", dest: zip/}}
  - {<<: *each, id: compress, needs: [to-zip], compress: {src: "zip/{{ item }}"}}
  - {<<: *each, id: to-unzip, needs: [compress], copy: {src: "zip/{{ item }}.gz", dest: unzip/}}
  - {<<: *each, id: decompress, needs: [to-unzip], decompress: {src: "unzip/{{ item }}.gz"}}
  - {<<: *each, id: archive, archive: {src: "in/{{ item }}", dest: "archive/{{ item }}.tar"}}
  - <<: *each
    id: extract
    needs: [archive]
    extract: {src: "archive/{{ item }}.tar", dest: "extract/{{ item }}"}
  - {<<: *each, id: checksum, checksum: {src: "in/{{ item }}", dest: "checksum/{{ item }}.sha256"}}
  - <<: *each
    id: verify
    needs: [checksum]
    checksum: {dest: "checksum/{{ item }}.sha256", verify: true}
  - <<: *each
    id: shell
    run: printf %s {{ item }} > shell/"$BATCHRUN_ITEM"
  - <<: *each
    id: shell-quoted
    run: printf %s "{{ item }}" > shell-quoted/'{{ item }}'
  - <<: *each
    id: argv
    run: [sh, -c, 'printf %s "$1" > "argv/$2"', sh, "{{ item }}", "{{ item }}"]
  - <<: *each
    id: env
    run: printf %s "$NAME" > "env/$NAME"
    env: {NAME: "{{ item }}"}
  - <<: *each
    id: stdin
    run: cat > "stdin/$BATCHRUN_ITEM"
    stdin: "{{ item }}"
  - <<: *each
    id: cwd
    needs: [mkdir]
    run: printf %s {{ item }} > here
    cwd: "mkdir/{{ item }}"
  - <<: *each
    id: script
    script: {file: "scripts/{{ item }}", args: ["{{ item }}"]}
  - {id: tree, foreach: [1], copy: {src: in, dest: tree}}
  - {id: glob, foreach: [1], copy: {src: in/*, dest: glob/}}
  - {id: tree-archive, foreach: [1], archive: {src: in, dest: tree.tar.gz}}
  - {id: tree-checksum, foreach: [1], checksum: {src: in, dest: tree.sha256}}
  - {id: tree-delete, foreach: [1], delete: delete-tree}
"""


def test_every_operation_takes_them_as_source_and_as_destination(program: Program) -> None:
    top = program.dir
    fill(top / "in")
    fill(top / "delete", (*NAMES, *DECOYS))
    fill(top / "delete-tree")
    fill(top / "scripts")
    for name in NAMES:
        (top / "scripts" / os.fsdecode(name)).write_text('printf %s "$1" > "script/$1"\n')
    for directory in ("shell", "shell-quoted", "argv", "env", "stdin", "script"):
        (top / directory).mkdir()
    (top / "names").write_bytes(b"\0".join(NAMES))
    job = program.job(OPERATIONS)
    ended = program.run(job, "--procs", "2", "--output", "json")
    bad = [
        (unit["task"], unit["item"], unit["outcome"], unit["stderr"])
        for unit in ended.units
        if unit["outcome"]["kind"] != "ok"
    ]
    assert (ended.code, bad) == (0, [])
    assert ended.counts["ok"] == 24 * len(NAMES) + 5

    assert listed(top / "mkdir") == listed(top / "touch") == set(NAMES)
    for name in NAMES:
        text = os.fsdecode(name)
        assert sorted(os.listdir(top / "mkdir" / text)) == ["here", "sub"]
        assert (top / "mkdir" / text / "here").read_bytes() == name
        assert os.readlink(top / "link" / text) == f"../in/{text}"
        assert contents(top / "extract" / text) == {name: name}
    for directory in COPIES:
        assert contents(top / directory) == THEMSELVES, directory
    assert listed(top / "copy") == set()
    assert listed(top / "zip") == {name + b".gz" for name in NAMES}
    assert listed(top / "delete") == set(DECOYS)
    assert not (top / "delete-tree").exists()
    check = [b"sha256sum", b"--check", b"--quiet", b"--strict", b"--"]
    manifests = listed(top / "checksum")
    subprocess.run([*check, *manifests], cwd=top / "checksum", check=True)
    subprocess.run([*check, b"tree.sha256"], cwd=top, check=True)
    (top / "untarred").mkdir()
    subprocess.run(["tar", "-xzf", "../tree.tar.gz"], cwd=top / "untarred", check=True)
    assert contents(top / "untarred" / "in") == THEMSELVES
    assert not (top / "pwned").exists()
    assert not list(top.rglob(".br-*"))


def yaml_list() -> str:
    """Write the names that are UTF-8 as a list in YAML, whose templates give them back."""
    texts = [name.decode() for name in NAMES if is_utf8(name)]
    return json.dumps(
        [f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" for text in texts], ensure_ascii=False
    )


def is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_every_source_of_items_gives_them_unharmed(program: Program) -> None:
    fill(program.dir / "in")
    lines = tuple(name for name in NAMES if b"\n" not in name)
    (program.dir / "names").write_bytes(b"\0".join(NAMES) + b"\0")
    (program.dir / "lines").write_bytes(b"\n".join(lines))
    sources = {
        "glob": "{glob: in/*}",
        "separated": "{lines: names, null_separated: true}",
        "lines": "{lines: lines}",
        "list": yaml_list(),
        "expression": '"{{ words }}"',
        "input": "{lines: '-', null_separated: true}",
    }  # fmt: skip
    tasks = "".join(
        f"""
  - id: {name}
    foreach: {source}
    run: |
      test "$BATCHRUN_ITEM" = {{{{ item }}}} || exit 9
      printf %s {{{{ item | basename }}}} > got/{name}/{{{{ item | basename }}}}
  - id: {name}-file
    foreach: {source.replace("'-'", "names")}
    touch: "got/{name}-file/{{{{ item | basename }}}}"
"""
        for name, source in sources.items()
    )
    for name in sources:
        (program.dir / "got" / name).mkdir(parents=True)
    job = program.job(f"vars:\n  words: {yaml_list()}\ntasks:{tasks}")
    ended = program.run(job, stdin=b"\0".join(NAMES))
    assert (ended.code, ended.err) == (0, ""), ended
    expected = {
        "glob": set(NAMES),
        "separated": set(NAMES),
        "lines": set(lines),
        "list": set(filter(is_utf8, NAMES)),
        "expression": set(filter(is_utf8, NAMES)),
        "input": set(NAMES),
    }
    for name, names in expected.items():
        assert listed(program.dir / "got" / f"{name}-file") == names, name
        assert contents(program.dir / "got" / name) == {one: one for one in names}, name
    assert not (program.dir / "pwned").exists()


FAILING = """
name: "hostile \\e[31m \\u202e name"
tasks:
  - name: "task \\e]0;x\\a of \\r mine"
    id: command
    foreach: {lines: names, null_separated: true}
    run: printf '%s\\n' {{ item }}; printf 'no newline %s' {{ item }} >&2; exit 1
  - id: file
    foreach: {lines: names, null_separated: true}
    copy: {src: "missing/{{ item }}", dest: "copied/{{ item }}"}
  - id: good
    foreach: {lines: names, null_separated: true}
    run: printf '%s' {{ item }}
"""


def failing(program: Program, *words: str) -> Ended:
    (program.dir / "names").write_bytes(b"\0".join(NAMES))
    ended = program.run(program.job(FAILING), *words)
    assert ended.code == 2
    assert not (program.dir / "pwned").exists()
    return ended


@pytest.mark.parametrize(
    "options", [[], ["-v"], ["-q"], ["--progress", "lines"], ["-v", "--debug"]], ids=" ".join
)
def test_readable_output_has_no_control_character(program: Program, options: list[str]) -> None:
    ended = failing(program, *options)
    for text in (ended.out, ended.err):
        assert CONTROL.search(text) is None
    assert r"\x1b[31mred\x1b]0;title\x07" in ended.out
    assert r"two\nlines" in ended.out
    assert r"caf\xe9\xff" in ended.out
    assert f"{len(NAMES)} ok" in ended.out
    assert f"{2 * len(NAMES)} failed" in ended.out
    if options == ["-v"]:
        tagged = {r"two\nlines: two", r"two\nlines: lines", r"caf\xe9\xff: caf\xe9\xff",
                  "plain: plain", "{{ item }}: {{ item }}"}  # fmt: skip
        assert tagged <= set(ended.out.splitlines())
        assert "plain: no newline plain" in ended.err.splitlines()
        assert "plain: failed: exit status 1" in ended.err.splitlines()


def name_of(record: dict[str, str], key: str) -> bytes:
    """Return the bytes that a record holds, exactly."""
    exact = record.get(f"{key}_base64")
    if exact is None:
        return record[key].encode()
    assert "\ufffd" in record[key]
    return base64.b64decode(exact)


def test_the_json_document_holds_them_exactly(program: Program) -> None:
    ended = failing(program, "--output", "json")
    assert ended.stdout.isascii()
    assert CONTROL.search(ended.out.replace("\n", "")) is None
    for task in ("command", "file", "good"):
        units = [unit for unit in ended.units if unit["task"] == task]
        assert [name_of(unit, "item") for unit in units] == list(NAMES)
        if task != "file":
            ending = b"\n" if task == "command" else b""
            assert [name_of(unit, "stdout") for unit in units] == [n + ending for n in NAMES]
    assert CONTROL.search(ended.err) is None


def test_every_event_is_a_line_of_json_that_holds_them_exactly(program: Program) -> None:
    ended = failing(program, "--output", "ndjson", "-v")
    assert ended.stdout.isascii()
    events = ended.events
    ends = [event for event in events if event["type"] == "unit_ended"]
    assert len(ends) == ended.events[-1]["counts"]["planned"] == 3 * len(NAMES)
    for task in ("command", "file", "good"):
        mine = sorted((end for end in ends if end["task"] == task), key=lambda end: end["index"])
        assert [name_of(end, "item") for end in mine] == list(NAMES)
    written: dict[bytes, bytes] = {}
    for event in events:
        if event["type"] == "unit_output" and event["task"] == "good":
            item = name_of(event, "item")
            written[item] = written.get(item, b"") + name_of(event, "data")
    assert written == THEMSELVES


@pytest.mark.parametrize("options", [["--lock", "-v"], ["--output", "json"], ["-n"]])
def test_a_job_file_may_be_called_anything(program: Program, options: list[str]) -> None:
    words = [os.fsdecode(name) + ".yml" for name in (b"two\nlines \x1b[2J \xff", b"-rf {{ x }}")]
    for word in words:
        program.job("tasks:\n  - run: echo {{ job.name }}\n", word)
        ended = program.run(*options, "--procs", "0", "--", word)
        assert ended.code == 0, ended.err
        assert CONTROL.search((ended.out + ended.err).replace("\n", "")) is None
    missing = program.run("--", words[0] + "x")
    assert missing.code == 65
    assert missing.err.startswith(r"two\nlines \x1b[2J \xff.ymlx: cannot be read: ")


def test_a_variable_of_the_command_line_may_hold_anything(program: Program) -> None:
    job = program.job("""
vars: {name: null}
tasks:
  - write: {dest: "made/{{ name }}", text: x}
  - run: printf %s {{ name }} > out
""")
    chosen = (b"{{ item }} $HOME", b"caf\xe9\xff\n'\"", b"a=b=c", b"; touch pwned")
    for name in chosen:
        ended = program.run(job, "-e", os.fsdecode(b"name=" + name), "--procs", "0")
        assert ended.code == 0, ended.err
        assert (program.dir / "out").read_bytes() == name
    assert listed(program.dir / "made") == set(chosen)


@pytest.mark.parametrize("encoding", ["ascii", "iso-8859-1"])
@pytest.mark.parametrize("options", [["-v"], ["--output", "json"]], ids=" ".join)
def test_what_the_encoding_of_a_stream_cannot_hold_is_written_as_an_escape(
    program: Program, encoding: str, options: list[str]
) -> None:
    job = program.job("""
name: "\u00e9\U0001f4a9"
tasks:
  - foreach: ["\u00e9\U0001f4a9"]
    run: echo {{ item }}; echo {{ item }} >&2; exit 1
  - foreach: []
    id: "none"
    name: "none \U0001f4a9"
    run: echo
""")
    ended = program.run(job, *options, env={"PYTHONIOENCODING": encoding})
    assert ended.code == 2
    seen = "\\xe9" if encoding == "ascii" else "\xe9"
    assert "none \\U0001f4a9" in ended.stderr.decode(encoding)
    if options == ["-v"]:
        assert f"{seen}\\U0001f4a9: {seen}\\U0001f4a9\n" in ended.stdout.decode(encoding)
    else:
        assert ended.units[0]["item"] == "\xe9\U0001f4a9"
