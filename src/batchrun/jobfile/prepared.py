"""Parameters that the reader itself prepares: templates are filled in, scripts are looked at."""

from typing import Any

from batchrun.jobfile.compiled import Render
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.problems import Path
from batchrun.jobfile.trust import UntrustedError
from batchrun.model.operation import Operation
from batchrun.ops.paths import shown

__all__ = ["PREPARED", "SECRET_FLAG", "prepare"]

#: The operations whose parameters are prepared.
PREPARED = frozenset({"script", "template"})
#: The parameter that says that a secret is in what is written.
SECRET_FLAG = "secret"  # noqa: S105 - the name of a parameter


def prepare(
    operation: Operation,
    constants: dict[str, Any],
    computed: list[tuple[str, Path, Render]],
    path: Path,
    compiler: Compiler,
) -> None:
    """Complete the parameters of an operation.

    Args:
        operation: Which one.
        constants: Its fields that are the same for all units; what is added goes there.
        computed: The others.
        path: Where the operation stands in the job file.
        compiler: For its names, and for mistakes.
    """
    if operation.name == "template":
        from batchrun.jobfile.filledin import add_text  # noqa: PLC0415 - loads Jinja2

        add_text(constants, computed, path, compiler)
    elif operation.name == "script":
        _look_at_script(constants, path, compiler)


def _look_at_script(constants: dict[str, Any], path: Path, compiler: Compiler) -> None:
    file = constants.get("file")
    if not isinstance(file, str):
        return
    try:
        compiler.trust.look(file)
    except UntrustedError as error:
        compiler.problems.add((*path, "file"), f"the script {shown(file)} {error}")
