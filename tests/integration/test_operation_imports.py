"""A worker that copies and writes small files loads nothing that takes long to load."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    *("bz2", "compression", "concurrent.futures", "ctypes", "datetime", "difflib", "hashlib"),
    *("isal", "jinja2", "logging", "lzma", "pathspec", "pydantic", "subprocess", "tarfile"),
    *("tempfile", "threading", "tqdm", "typer", "typing_extensions", "yaml", "zipfile"),
    *("zlib", "zstandard"),
}
PARAMS = {
    "mkdir": "path=('dir',)",
    "touch": "path=('new',)",
    "link": "src='x', dest='link'",
    "copy": "src=('f',), dest='copy'",
    "delete": "path=('f',)",
    "write": "dest='f', text='new'",
    "template": "src='t', dest='f', text='new'",
    "replace": "path=('f',), find='old', with_='new'",
    "perms": "path=('f',), mode='0600'",
}


@pytest.mark.parametrize("operation", PARAMS)
def test_an_operation_on_a_small_file_loads_nothing_heavy(tmp_path: Path, operation: str) -> None:
    (tmp_path / "f").write_text("old")
    tests = Path(__file__).parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(tests)!r})\n"
        "class Context:\n"
        "    from batchrun.model.unit import RunSettings\n"
        "    settings = RunSettings(run_id='r', base_dir='/')\n"
        "    number = attempt = 1\n"
        "    def check(self): pass\n"
        "    def progress(self, bytes_done): pass\n"
        "    def temp_name(self): return '.br-r-1-1-1'\n"
        "from batchrun.ops import OPERATIONS\n"
        f"row = OPERATIONS[{operation!r}]\n"
        f"done = row.function(row.params({PARAMS[operation]}), Context())\n"
        "assert done.outcome.kind == 'ok' and done.outcome.changed, done\n"
        "print(*sys.modules)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    loaded = {name.partition(".")[0] for name in ended.stdout.split()} | set(ended.stdout.split())
    assert not loaded & HEAVY
