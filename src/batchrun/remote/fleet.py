"""Connections to many hosts: made when needed, kept while there is room, closed together.

    unit threads ── connect / release ──► Fleet: who uses what, least recently used first
                                            │ make
                                            ▼
                                        LinkMaker ──► Link (one reading thread each) ──► host

One lock guards who has which session; nothing is connected or closed under it. A thread that is
stopped while it waits leaves everything as it was. Not promised: any order among threads that wait
for room.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from batchrun.errors import UnreachableError
from batchrun.model.host import Host
from batchrun.model.operation import Context
from batchrun.model.session import HostSession, Stage
from batchrun.remote.bastions import Asking, host_key
from batchrun.remote.budget import Budget
from batchrun.remote.channels import check_version
from batchrun.remote.links import Link, LinkMaker, Parts
from batchrun.remote.patience import SLICE_S, Patience
from batchrun.remote.session import Session

__all__ = ["Fleet"]

#: How long a unit waits for another one to let go of its connection; it may hold one itself, so
#: that two could wait for each other.
_ROOM_S: Final = 60.0


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
            session.link.hang_up()
        try:
            link = self._maker.make(host, Asking(check=context.check, stage=stage))
        except BaseException:
            self._one_less()
            raise
        return Session(host, link, self._reopen, self._limits.channel_s)

    def _reopen(self, host: Host, context: Context) -> Link:
        return self._maker.make(host, Asking(check=context.check, stage=_unheard))

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
        """Count one more connection, after closing an idle one if there are too many."""
        patience = Patience.of(_ROOM_S, context.check)
        with self._changed:
            while self._open >= self.most and not self._idle:
                if not patience.slice_s():
                    message = (
                        f"connect: {self.most} connections are in use, and no more can be open;"
                        " lower --fanout, or raise the limit for open files (`ulimit -n`)."
                    )
                    raise UnreachableError(message)
                self._changed.wait(SLICE_S)
            oldest = self._idle.popitem(last=False)[0] if self._open >= self.most else None
            self._open += 1
        if oldest is not None:
            self._let_go(oldest)

    def _let_go(self, session: Session) -> None:
        """Close a connection; one that goes through a bastion may have to wait for that."""
        if session.link.behind or session.link.proxy is not None:
            threading.Thread(target=session.link.close, daemon=True, name="closing").start()
        else:
            session.link.hang_up()
        self._one_less()

    def _one_less(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()


def _unheard(_words: str) -> None:
    """Nobody is told: a connection is made again within an operation."""
