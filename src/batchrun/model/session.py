"""What operations on hosts see of a connection; who makes one is not their business."""

from collections.abc import Callable
from typing import Protocol

from batchrun.model.host import Host
from batchrun.model.operation import Context

__all__ = ["Connector", "HostChannel", "HostContext", "HostSession", "Stage"]

#: Told which stage a connection or an operation has come to, in one or two words.
Stage = Callable[[str], None]


class HostChannel(Protocol):
    """One command on a host, seen as three pipes; for the one thread that opened it.

    No method blocks but `wait`. Both streams must be read to the end, in turns: a full window of
    one of them holds up the other.
    """

    @property
    def ahead(self) -> bool:
        """Whether it was open before it was asked for: its host may have been gone by then."""

    @property
    def exit_status(self) -> int | None:
        """How the command ended; None: it has not, or by a signal."""

    @property
    def exit_signal(self) -> str:
        """The signal that ended it, such as `TERM`; empty: none that we know of."""

    @property
    def ended(self) -> bool:
        """Whether the host has closed the channel, or the connection is gone."""

    @property
    def broken(self) -> str:
        """Why the connection is gone, as a sentence fragment; empty: it is not."""

    @property
    def refused(self) -> bool:
        """Whether the host has said that it does not run it; not known before it has ended."""

    def send(self, data: bytes | memoryview) -> int:
        """Send as much as there is room for, and return how much; 0: none, `wait` for it.

        Raises:
            ConnectionError: the connection is gone.
            BrokenPipeError: nobody reads there any more.
        """

    def end_input(self) -> None:
        """Let the command read the end of its standard input."""

    def read(self, size: int) -> bytes | None:
        """Read what has come on standard output; empty: its end; None: nothing now."""

    def read_stderr(self, size: int) -> bytes | None:
        """Read what has come on standard error; empty: its end; None: nothing now."""

    def wait(self, timeout_s: float, *, to_send: bool = False) -> None:
        """Return when there is something to read, the channel has ended, or time is over.

        The end of a stream alone is nothing as long as the command runs.

        Args:
            timeout_s: At most so long.
            to_send: Also when there is room to send.
        """

    def signal(self, name: str) -> None:
        """Ask the host to send the command a signal, such as `TERM`; it may not be able to."""

    def close(self) -> None:
        """Let go of it; what runs on the host is not ended by that."""


class HostSession(Protocol):
    """An open connection to a host; used by one thread at a time.

    All methods raise `UnitStoppedError` like `Context.check` does while they wait.
    """

    @property
    def host(self) -> Host:
        """Whose."""

    def open_channel(self, command: str, context: Context) -> HostChannel:
        """Begin a command: the login shell of the host gets this text.

        Raises:
            UnreachableError: the connection had died before, and could not be made again.
            OperationError: the host refuses it.
        """

    def open_files(self, context: Context) -> object:
        """Return a client for files without a shell (SFTP); `remote` alone knows its class.

        Raises:
            UnreachableError, OperationError: as `open_channel`.
        """


class HostContext(Context, Protocol):
    """What an operation on a host sees of the world that runs it."""

    @property
    def host(self) -> Host:
        """Where it runs."""

    @property
    def session(self) -> HostSession:
        """The connection to the host, which is made when it is first asked for.

        Raises:
            UnreachableError: there is none to be had.
            UnitStoppedError: the unit was stopped meanwhile, or its time is over.
        """

    def stage(self, words: str) -> None:
        """Say what it does now, in one or two words: `sending`, `waiting for port 443`."""

    def heard(self) -> None:
        """Take note of a sign of life, such as output: a host that gives none for long is named."""

    @property
    def insisted(self) -> bool:
        """Whether it was told to stop a second time: what runs there gets no grace any more."""


class Connector(Protocol):
    """Makes connections, and keeps them as long as they are of use; for many threads."""

    @property
    def most(self) -> int:
        """How many connections can be held open at once."""

    def connect(self, host: Host, context: Context, stage: Stage) -> HostSession:
        """Return the connection to a host for the caller's thread alone; make it if need be.

        No thread holds two at a time, so one may be let wait until another gives back what it
        has. Each stage has a time limit of its own, which `host` may name; that of the unit is not
        counted meanwhile.

        Raises:
            UnreachableError: there is none to be had.
            UnitStoppedError: the unit was stopped meanwhile, or its time is over.
        """

    def release(self, session: HostSession) -> None:
        """Let others have a connection."""

    def forget(self, host: Host) -> None:
        """Close the connection to a host that is not needed any more; does not block."""

    def close(self) -> None:
        """Close all connections, side by side; returns when they are, or after a few seconds."""
