"""Put a file on a host under a name of its own, for as long as something needs it there."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from batchrun.errors import BatchrunError, OperationError
from batchrun.model.session import HostContext
from batchrun.remote.errand import Pipes, ask
from batchrun.remote.sources import TextSource
from batchrun.remote.within import Within
from batchrun.remote.words import quote

__all__ = ["sent_script"]

_CLEANUP_S = 10.0
#: A directory of our own: nobody else can have put anything there before us.
_SEND = rb"""
d=${TMPDIR:-/tmp}/$name
umask 077
mkdir -- "$d" || exit 70
cat >"$d/script" && [ "$(wc -c <"$d/script")" -eq "$size" ] && chmod 0755 "$d/script" "$d" ||
  { rm -rf -- "$d"; exit 71; }
printf %s "$d"
"""


@contextmanager
def sent_script(data: bytes, context: HostContext) -> Iterator[str]:
    """Have a script on the host while the body runs; gives its path there.

    Everybody there may read it, because who runs it may be another user.

    Raises:
        OperationError: it could not be put there.
    """
    name = context.temp_name()
    head = b"name=%b size=%d\n" % (quote(name.encode()), len(data))
    answer = ask(head + _SEND, context, pipes=Pipes(source=TextSource(data)))
    if answer.status:
        message = f"the script could not be put on the host: {answer.complaint}"
        raise OperationError(message)
    directory = answer.stdout
    try:
        yield directory.decode("utf-8", "surrogateescape") + "/script"
    finally:
        remove = b"rm -rf -- " + quote(directory)
        with suppress(BatchrunError):
            ask(remove, Within(context, _CLEANUP_S, to_the_end=True))
