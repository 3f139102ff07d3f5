"""Signals become messages on the Queue; installed by the command line only, never by a library."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from types import FrameType
from typing import Any

from batchrun.engine.stops import StopKind

__all__ = ["SignalArrived", "kind_of", "let_questions_pass", "signals_to"]

_KINDS = {
    signal.SIGINT: StopKind.INTERRUPT,
    signal.SIGTERM: StopKind.TERMINATE,
    signal.SIGHUP: StopKind.HANGUP,
}


@dataclass(frozen=True, slots=True)
class SignalArrived:
    """A signal came; `number` is the signal's."""

    number: int


def kind_of(number: int) -> StopKind | None:
    """Return what a signal asks for; None: it asks for the status only."""
    return _KINDS.get(signal.Signals(number))


def let_questions_pass() -> None:
    """Do nothing on a SIGUSR1 outside of `signals_to`: whoever asks too early must not kill us.

    A handler, because SIG_IGN would be inherited, and taken for the user's wish.
    """
    if signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL:
        signal.signal(signal.SIGUSR1, _do_nothing)


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Let a signal pass."""


@contextmanager
def signals_to(queue: "SimpleQueue[Any]") -> Iterator[None]:
    """Put a SignalArrived on the queue for each SIGINT, SIGTERM, SIGHUP and SIGUSR1.

    A SIGHUP or SIGINT that was ignored when the program started (`nohup`, a background job of a
    shell without job control) stays ignored. Must be entered in the main thread; elsewhere it
    does nothing, because Python cannot install handlers there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(number: int, _frame: FrameType | None) -> None:
        queue.put(SignalArrived(number))  # SimpleQueue.put is safe inside a signal handler

    before: dict[signal.Signals, Any] = {}
    for which in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        if signal.getsignal(which) is not signal.SIG_IGN:
            before[which] = signal.signal(which, note)
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
