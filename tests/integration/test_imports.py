"""What is imported where: start-up must stay cheap."""

import subprocess
import sys


def test_asking_for_a_command_imports_no_other_family() -> None:
    code = (
        "import sys; from batchrun.ops import OPERATIONS; OPERATIONS['run']; "
        "print(*sorted(m for m in sys.modules if m.startswith('batchrun.ops.')))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "batchrun.ops.command" in ended.stdout.split()
    assert "batchrun.ops.copy" not in ended.stdout.split()


def test_connecting_leaves_out_what_only_doubles_the_time_of_the_import() -> None:
    code = (
        "import sys, batchrun.remote.connecting\n"
        "print('paramiko' in sys.modules, 'invoke' in sys.modules)\n"
        "import invoke\n"
        "print(invoke.__name__)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.split() == ["True", "False", "invoke"]
