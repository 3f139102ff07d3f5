"""Checksums of files on a host."""

import os
from collections.abc import Sequence

from batchrun.errors import OperationError
from batchrun.model.session import HostContext
from batchrun.ops.sudo import SudoValue
from batchrun.remote.errand import Pipes, ask
from batchrun.remote.sources import TextSource
from batchrun.remote.words import path_word

__all__ = ["hashes_there"]

#: Reads names, NUL-terminated, and writes a checksum for each, in their order; `-` for none.
_TEXT = rb"""
cd -- "$root" || exit
if command -v sha256sum >/dev/null 2>&1; then tool=sha256sum
elif command -v shasum >/dev/null 2>&1; then tool='shasum -a 256'
else echo "it has neither sha256sum nor shasum" >&2; exit 1; fi
export tool
exec xargs -0 sh -c 'for f; do h=$($tool <"$f" 2>/dev/null) && echo "${h%% *}" || echo -; done' sh
"""


def hashes_there(
    root: str, names: Sequence[str], context: HostContext, sudo: SudoValue
) -> dict[str, str]:
    """Return the SHA-256 of files below a directory there; those that cannot be read are left out.

    Raises:
        OperationError: the host cannot compute any.
    """
    if not names:
        return {}
    list_ = b"".join(b"./" + os.fsencode(name) + b"\0" for name in names)
    answer = ask(
        b"root=%b\n" % path_word(root) + _TEXT, context, sudo, pipes=Pipes(source=TextSource(list_))
    )
    lines = answer.stdout.decode("ascii", "replace").split()
    if answer.status or len(lines) != len(names):
        message = f"cannot compute checksums on {context.host.name}: {answer.complaint}"
        raise OperationError(message)
    return {name: line for name, line in zip(names, lines, strict=True) if line != "-"}
