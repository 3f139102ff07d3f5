"""Signals become messages; handlers come and go with the block."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import pytest

from batchrun.engine.interrupt import SignalArrived, kind_of, signals_to
from batchrun.engine.stops import StopKind

ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@contextmanager
def handled(number: signal.Signals, handler: signal.Handlers) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", ALL, ids=lambda number: number.name)
def test_a_signal_becomes_a_message(number: signal.Signals) -> None:
    queue: SimpleQueue[SignalArrived] = SimpleQueue()
    with signals_to(queue):
        signal.raise_signal(number)
        assert queue.get_nowait() == SignalArrived(number)


def test_what_was_installed_before_is_back_afterwards() -> None:
    before = [signal.getsignal(number) for number in ALL]
    with signals_to(SimpleQueue()):
        assert [signal.getsignal(number) for number in ALL] != before
    assert [signal.getsignal(number) for number in ALL] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda one: one.name)
def test_a_signal_that_was_ignored_stays_ignored(number: signal.Signals) -> None:
    queue: SimpleQueue[SignalArrived] = SimpleQueue()
    with handled(number, signal.SIG_IGN):
        with signals_to(queue):
            signal.raise_signal(number)
        assert queue.empty()
        assert signal.getsignal(number) is signal.SIG_IGN


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (signal.SIGINT, StopKind.INTERRUPT),
        (signal.SIGTERM, StopKind.TERMINATE),
        (signal.SIGHUP, StopKind.HANGUP),
        (signal.SIGUSR1, None),
    ],
)
def test_each_signal_asks_for_its_own_stop(number: int, kind: StopKind | None) -> None:
    assert kind_of(number) is kind
