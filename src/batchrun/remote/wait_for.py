"""The operation `wait_for`: a port, a path, a command, a URL, or SSH itself."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from batchrun.errors import BatchrunError, UnitStoppedError, UnreachableError
from batchrun.model.operation import Done, Operation
from batchrun.model.outcome import TimedOut
from batchrun.model.session import HostContext
from batchrun.model.values import Doc, PathText, Seconds, ShellText
from batchrun.ops.failures import refusal
from batchrun.ops.launch import argv_of
from batchrun.ops.paths import shown
from batchrun.ops.spawn import encode
from batchrun.ops.sudo import NO_SUDO, SudoValue
from batchrun.remote.errand import SudoField, ask
from batchrun.remote.launch import NotBegunError
from batchrun.remote.polling import Polling, unreached
from batchrun.remote.within import Within
from batchrun.remote.words import path_word, quote, words

__all__ = ["OPERATIONS", "WaitFor", "wait_for"]

_LIMIT_S = 300.0
#: One look may take so long.
_LOOK_S = 10.0
_NO_ANSWER = "no answer in time"
_KINDS = ("port", "path", "command", "url", "ssh")
#: Is anything listening at a port? $p: the port, $h: the same as four hex digits.
_LISTENS = rb"""
if [ -r /proc/net/tcp ]; then
  grep -Eqi ":$h 0+:0000 0A" /proc/net/tcp /proc/net/tcp6 2>/dev/null
else
  nc -z 127.0.0.1 "$p" 2>/dev/null
fi
"""
_FETCH = rb"""
if command -v curl >/dev/null 2>&1; then
  curl -s -o /dev/null -m 10 -w '%{http_code}' -- "$u"
else
  wget -T 10 -S -O /dev/null -- "$u" 2>&1 | sed -n 's/^ *HTTP[^ ]* \([0-9]*\).*/\1/p' | tail -n 1
fi
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitFor:
    """Parameters of `wait_for`."""

    port: Annotated[int | None, Doc("A TCP port that accepts connections.")] = None
    path: Annotated[PathText | None, Doc("A path on the host that is there.")] = None
    command: Annotated[
        ShellText | tuple[str, ...] | None,
        Doc("A command on the host that succeeds: a text for the shell, or a list."),
    ] = None
    url: Annotated[str | None, Doc("A URL that answers with one of `status`.")] = None
    status: Annotated[tuple[int, ...], Doc("HTTP statuses that are meant.")] = (200,)
    ssh: Annotated[bool, Doc("That commands can be run on the host.")] = False
    from_: Annotated[
        Literal["here", "host"],
        Doc("From where a port or a URL is tried: from this machine, or on the host itself."),
    ] = "here"
    every: Annotated[Seconds, Doc("How long to wait between two looks.")] = 2.0
    for_: Annotated[int, Doc("So many successes in a row.")] = 1
    sudo: SudoField = field(default=False, repr=False)


def wait_for(params: WaitFor, context: HostContext) -> Done:
    """Wait until it is there, so many times in a row."""
    problems = _check(
        {name: getattr(params, name) for name in (*_KINDS, "for_") if getattr(params, name)}
    )
    if problems:
        raise refusal(problems[0])
    look, what = _look_for(params, context)
    context.stage(f"waiting for {what}")
    if context.settings.dry_run:
        reason = _try(look)
        return Done.unchanged(note=f"would wait for {what} ({reason})" if reason else "")
    polling = Polling(context, params.every, _LIMIT_S)
    began, successes, reason = time.monotonic(), 0, ""
    while polling.goes_on():
        found = _try(look)
        successes = 0 if found else successes + 1
        if not reason or found != _NO_ANSWER or not polling.is_over():
            reason = found
        if successes >= params.for_:
            return Done.unchanged(note=f"{what} after {time.monotonic() - began:.0f} s")
    note = f"{what}: {reason or f'{successes} of {params.for_} successes in a row'}"
    return Done(outcome=TimedOut(limit_s=polling.limit_s, note=note))


def _try(look: "_Look") -> str:
    """Look once; return why it is not there, empty when it is.

    Raises:
        UnitStoppedError: the unit was told to stop.
        NotBegunError: looking again would not help.
    """
    try:
        return look.look()
    except NotBegunError as error:
        if not error.retryable:
            raise
        return unreached(error)
    except UnitStoppedError as stopped:
        if not stopped.timed_out:
            raise
        return _NO_ANSWER
    except BatchrunError as error:
        return unreached(error)


class _Look(ABC):
    """One way to look at the host."""

    def __init__(self, params: WaitFor, context: HostContext) -> None:
        self.params = params
        self.context = context

    @abstractmethod
    def look(self) -> str:
        """Return why it is not there; empty: it is."""

    def ask(self, text: bytes, sudo: SudoValue = NO_SUDO) -> tuple[int, bytes]:
        answer = ask(text, Within(self.context, _LOOK_S), sudo)
        return answer.status, answer.stdout


class _Port(_Look):
    def look(self) -> str:
        from batchrun.remote.dial import dial  # noqa: PLC0415 - only where a port is waited for
        from batchrun.remote.patience import Patience  # noqa: PLC0415 - likewise
        from batchrun.remote.resolve import Resolver  # noqa: PLC0415 - likewise

        host = self.context.host
        patience = Patience.of(_LOOK_S, self.context.check)
        addresses = Resolver().addresses(host.address or host.name, self.params.port or 0, patience)
        try:
            dial(addresses, patience).close()
        except UnreachableError:
            return "it accepts no connections"
        return ""


class _PortThere(_Look):
    def look(self) -> str:
        port = self.params.port or 0
        status, _ = self.ask(b"p=%d h=%04X\n" % (port, port) + _LISTENS)
        return "nothing listens there" if status else ""


class _Path(_Look):
    def look(self) -> str:
        word = path_word(self.params.path or "")
        status, _ = self.ask(b"[ -e %b ] || [ -L %b ]" % (word, word), self.params.sudo)
        return "it is not there" if status else ""


class _Command(_Look):
    def look(self) -> str:
        argv = argv_of(self.params.command or ())
        encoded = (encode(word, "An argument of the command") for word in argv)
        status, _ = self.ask(b"exec " + words(*encoded), self.params.sudo)
        return f"exit status {status}" if status else ""


class _Url(_Look):
    def look(self) -> str:
        if self.params.from_ == "host":
            _, said = self.ask(b"u=%b\n" % quote(encode(self.params.url or "", "The URL")) + _FETCH)
            text = said.decode("ascii", "replace").strip()
            status = int(text) if text.isdigit() else 0
        else:
            status = _status_of(self.params.url or "")
        if status in self.params.status:
            return ""
        return f"HTTP status {status}" if status else "no answer"


def _status_of(url: str) -> int:
    """Return the HTTP status of a URL; 0: there was no answer."""
    from urllib.error import HTTPError  # noqa: PLC0415 - only where a URL is waited for
    from urllib.request import urlopen  # noqa: PLC0415 - likewise

    try:
        with urlopen(url, timeout=_LOOK_S) as answer:  # noqa: S310 - the scheme is checked before
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


class _Ssh(_Look):
    def look(self) -> str:
        status, _ = self.ask(b":")
        return f"exit status {status}" if status else ""


def _look_for(params: WaitFor, context: HostContext) -> tuple[_Look, str]:
    """Return how to look, and what for."""
    there = params.from_ == "host"
    if params.port is not None:
        kind = _PortThere if there else _Port
        return kind(params, context), f"port {params.port}"
    if params.path is not None:
        return _Path(params, context), shown(params.path)
    if params.command is not None:
        return _Command(params, context), "the command"
    if params.url is not None:
        return _Url(params, context), shown(params.url)
    return _Ssh(params, context), "SSH"


def _check(given: Mapping[str, Any]) -> list[str]:
    """Refuse to wait for nothing, or for several things at once."""
    kinds = [kind for kind in _KINDS if given.get(kind) not in (None, False)]
    if len(kinds) != 1:
        return ["wait_for needs one of `port`, `path`, `command`, `url` or `ssh: true`"]
    problems = []
    url = given.get("url")
    if isinstance(url, str) and not url.startswith(("http://", "https://")):
        problems.append("`url` must begin with http:// or https://")
    port = given.get("port")
    if isinstance(port, int) and not 0 < port < 65536:
        problems.append(f"{port} is no port; they go from 1 to 65535")
    count = given.get("for_", given.get("for"))
    if isinstance(count, int) and count < 1:
        problems.append("`for` is a number of successes, 1 or more")
    return problems


OPERATIONS = {
    "wait_for": Operation(
        name="wait_for",
        summary="Wait for a port, a path, a command, a URL, or SSH.",
        params=WaitFor,
        function=wait_for,
        main="port",
        check=_check,
        example='wait_for: {port: 443, for: 3}\nhosts: "@web"\ntimeout: 2m\n',
    )
}
