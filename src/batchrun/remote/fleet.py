"""Connections to many hosts: made when needed, kept while there is room, closed together.

    unit threads ── connect / release ──► Fleet: who uses what, least recently used first
                                            │ make
                                            ▼
                                        LinkMaker ──► Link (one reading thread each) ──► host

One lock guards who has which session; nothing is connected or closed under it. A thread that is
stopped while it waits leaves everything as it was. Not promised: any order among threads that wait
for room.
"""

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Hashable

from batchrun.model.host import Host
from batchrun.model.operation import Context
from batchrun.model.session import HostSession, Stage
from batchrun.remote.bastions import Asking, host_key
from batchrun.remote.budget import Budget
from batchrun.remote.channels import check_version
from batchrun.remote.links import Link, LinkMaker, Parts
from batchrun.remote.patience import SLICE_S
from batchrun.remote.session import Session

__all__ = ["Fleet"]


class Fleet:
    """Connections for a run; see `batchrun.model.session.Connector`.

    Args:
        parts: What the connections share.
        budget: How many there can be.
    """

    def __init__(self, parts: Parts, budget: Budget) -> None:
        check_version()
        self._maker = LinkMaker(parts)
        self._limits = parts.limits
        self._budget = budget
        self._changed = threading.Condition()
        self._open = 0
        #: Sessions that nobody uses, the one that was used last at the end.
        self._idle: OrderedDict[Session, Hashable] = OrderedDict()
        #: Hosts whose connections are closed as soon as they are released.
        self._done: set[Hashable] = set()

    @property
    def most(self) -> int:
        """How many connections can be held open at once."""
        return self._budget.most

    @property
    def budget(self) -> Budget:
        """How many connections can be held open, and what people should know of it."""
        return self._budget

    def connect(self, host: Host, context: Context, stage: Stage) -> Session:
        """Return the connection to a host for the caller's thread alone; make it if need be.

        Args:
            host: Whose; its time limit holds for each stage, and for those of its bastions.
            context: Of the unit, to be asked while it waits.
            stage: Told how far it is.

        Raises:
            UnreachableError: there is none to be had.
            UnitStoppedError: the unit was stopped meanwhile, or its time is over.
        """
        session = self._take(host)
        if session is not None and session.link.alive:
            return session
        if session is None:
            stage("waiting for room")
            self._make_room(context)
        else:
            session.link.close()
        asking = Asking(check=context.check, stage=stage, connect_s=host.connect_timeout_s)
        try:
            link = self._maker.make(host, asking)
        except BaseException:
            self._one_less()
            raise

        def reopen(context: Context) -> Link:
            # Nobody is told of the stages: this is in the middle of an operation.
            unheard = dataclasses.replace(asking, check=context.check, stage=lambda _: None)
            return self._maker.make(host, unheard)

        return Session(host, link, reopen, self._limits.channel_s)

    def release(self, session: HostSession) -> None:
        """Let others have a connection."""
        assert isinstance(session, Session)  # noqa: S101  # no other ones are handed out
        key = host_key(session.host)
        with self._changed:
            if key not in self._done:
                self._idle[session] = key
                self._changed.notify_all()
                return
        self._let_go(session)

    def forget(self, host: Host) -> None:
        """Close the connection to a host that is not needed any more; does not block."""
        key = host_key(host)
        with self._changed:
            self._done.add(key)
            idle = [session for session, whose in self._idle.items() if whose == key]
            for session in idle:
                del self._idle[session]
        for session in idle:
            self._let_go(session)

    def close(self) -> None:
        """Close all connections, side by side; returns when they are, or after a few seconds."""
        with self._changed:
            self._open -= len(self._idle)
            self._idle.clear()
        self._maker.close()

    def _take(self, host: Host) -> Session | None:
        """Take an idle session of a host."""
        key = host_key(host)
        with self._changed:
            self._done.discard(key)
            for session, whose in reversed(self._idle.items()):
                if whose == key:
                    del self._idle[session]
                    return session
        return None

    def _make_room(self, context: Context) -> None:
        """Count one more connection, after closing an idle one if there are too many.

        No thread holds two, so that those who wait here are not waited for. A host behind a bastion
        takes no descriptor for a socket, so that a bastion counts while nobody is behind it.
        """
        self._close_bastions(1)
        with self._changed:
            while self._open >= self.most and not self._idle:
                context.check()
                self._changed.wait(SLICE_S)
            oldest = self._idle.popitem(last=False)[0] if self._open >= self.most else None
            self._open += 1
        if oldest is not None:
            self._let_go(oldest)

    def _let_go(self, session: Session) -> None:
        """Close a connection; one that goes through a bastion may have to wait for that."""

        def close() -> None:
            session.link.close()
            self._close_bastions(0)

        threading.Thread(target=close, daemon=True, name="closing").start()
        self._one_less()

    def _close_bastions(self, more: int) -> None:
        """Close bastions that nobody is behind, where there is no room for them beside the hosts.

        Args:
            more: So many hosts come.
        """
        self._maker.close_bastions(max(0, self.most - self._open - more))

    def _one_less(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()
