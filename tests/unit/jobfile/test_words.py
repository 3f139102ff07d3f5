"""Words that people bring along for the parameters of the real operations, and the answers."""

from collections.abc import Sequence

import pytest

from batchrun.errors import JobFileError
from batchrun.jobfile import load_text
from batchrun.ops import OPERATIONS

BY_AGE = (
    "files are chosen by age and size with `foreach: {find: {path: DIR, older_than: AGE}}`, and "
    "then `{{ item }}` is each of them"
)


def told(task: str) -> Sequence[str]:
    """Return what is said of a task, without the place."""
    with pytest.raises(JobFileError) as caught:
        load_text(f"tasks: [{{{task}}}]", file="job.yml", base_dir="/base", table=OPERATIONS)
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("write: {path: x, content: y}", {"path": "dest", "content": "text"}),
        ("template: {template: a, path: b, check: [x]}",
         {"template": "src", "path": "dest", "check": "validate"}),
        ("checksum: {path: a, file: sums}", {"path": "src", "file": "dest"}),
        ("checksum: {verify: true, manifest: sums}", {"manifest": "dest"}),
        ("checksum: {src: a, output: sums, algo: md5}", {"output": "dest", "algo": "algorithm"}),
        ("archive: {path: a, file: a.tar, compress: gz}",
         {"path": "src", "file": "dest", "compress": "format"}),
        ("extract: {archive: a.tar, to: b}", {"archive": "src", "to": "dest"}),
        ("link: {target: a, link: b}", {"target": "src", "link": "dest"}),
        ("link: {src: a, target: b}", {"target": "dest"}),
        ("perms: {path: a, files: 644, dirs: 755}", {"files": "mode", "dirs": "dir_mode"}),
        ("perms: {path: a, file_mode: 644}", {"file_mode": "mode"}),
        ("replace: {file: a, pattern: b, replacement: c}",
         {"file": "path", "pattern": "regex", "replacement": "with"}),
        ("replace: {path: a, search: b, by: c}", {"search": "find", "by": "with"}),
        ("compress: {path: a, type: zst}", {"path": "src", "type": "format"}),
        ("copy: {from: a, to: b, overwrite: true}",
         {"from": "src", "to": "dest", "overwrite": "if"}),
        ("move: {path: a, dest: b/, force: true}", {"path": "src", "force": "overwrite"}),
        ("mkdir: {name: a}", {"name": "path"}),
        ("script: {path: a, arguments: [b]}", {"path": "file", "arguments": "args"}),
    ],
)  # fmt: skip
def test_each_word_gets_the_right_one_and_nothing_else_is_said(
    task: str, words: dict[str, str]
) -> None:
    operation = task.partition(":")[0]
    expected = [
        f"`{operation}` has no `{word}`; did you mean `{ours}`?" for word, ours in words.items()
    ]
    assert told(task) == expected


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("delete: {path: a, older_than: 30d}", f"`delete` has no `older_than`; {BY_AGE}"),
        ("compress: {src: a, min_size: 1M}", f"`compress` has no `min_size`; {BY_AGE}"),
        ("mkdir: {path: a, parents: true}",
         "`mkdir` has no `parents`; the directories above are made anyway"),
        ("compress: {src: a, delete: true}",
         "`compress` has no `delete`; the original goes when that has worked, unless `keep: true`"),
        ("touch: {path: a, colour: red}",
         "`touch` has no `colour`; it has path, mode, owner, group, mtime (`batchrun ops touch`)"),
        ("checksum: a", "`dest` is missing; write `checksum: {src: SRC, dest: DEST}`"),
        ("checksum: {verify: true}", "`dest` is missing; write `checksum: {dest: DEST}`"),
        ("run: a | b, shell: bash -o pipefail",
         "`shell` is one program, without options; begin the text with `set -o pipefail` or so"),
        ("perms: a", "perms needs `mode`, `dir_mode`, `owner` or `group`: what to change"),
        ("script: a, arguments: [x]",
         "`arguments` is not a key here; did you mean `args`, inside `script`?"),
    ],
)  # fmt: skip
def test_what_no_other_word_serves_is_answered_with_what_does(task: str, message: str) -> None:
    assert told(task) == [message]
