"""The sinks of a run: each gets every event, one that fails is dropped and the run goes on."""

import logging
from collections.abc import Sequence
from contextlib import ExitStack

from batchrun.model.event import Event, Note, RunEnded
from batchrun.model.ports import Durable, ReaderGoneError, Sink, Ticker

__all__ = ["Outputs"]

_log = logging.getLogger("batchrun.engine")


class Outputs:
    """Sinks and tickers; only for the aggregator's thread.

    Args:
        sinks: Who gets the events, in this order.
        tickers: Who is called now and then to redraw; may be sinks too.
    """

    def __init__(self, sinks: Sequence[Sink], tickers: Sequence[Ticker]) -> None:
        self._all = tuple(sinks)
        self._sinks = self._all
        self._tickers = tuple(tickers)
        self._ended = False
        #: Some output could not be written, for another reason than a reader that went away.
        self.broken = False
        #: Nobody reads any more what the run is made for.
        self.unread = False

    @property
    def ticking(self) -> bool:
        """Whether anybody wants to be called when nothing happens."""
        return bool(self._tickers)

    def show(self, event: Event) -> None:
        """Hand an event to every sink, in order."""
        if type(event) is RunEnded:
            self._ended = True
        lost: list[tuple[Sink, OSError]] = []
        for sink in self._sinks:
            try:
                sink.handle(event)
            except ReaderGoneError:
                self.unread = True
            except OSError as error:
                lost.append((sink, error))
        for sink, _ in lost:
            self._remove(sink)
        for _, reason in lost:
            self._mourn(reason)

    def tick(self) -> None:
        """Let those who draw do so."""
        for ticker in self._tickers:
            try:
                ticker.tick()
            except OSError as error:
                self._remove(ticker)
                self._mourn(error)

    def settle(self, durable: Sequence[Durable]) -> None:
        """Let those who keep things make them durable; one that cannot is dropped."""
        for one in durable:
            if not any(sink is one for sink in self._sinks):
                continue
            try:
                one.settle()
            except OSError as error:
                self._remove(one)
                self._mourn(error)

    def close(self) -> None:
        """Close every sink, dropped ones too, whatever happens in one of them."""
        self._ended = True
        with ExitStack() as leaving:
            for sink in reversed(self._all):
                leaving.callback(self._close, sink)

    def _close(self, sink: Sink) -> None:
        try:
            sink.close()
        except OSError as error:
            if sink in self._sinks:  # of one that was dropped it is known already
                self._mourn(error)

    def _remove(self, lost: Sink | Ticker) -> None:
        """Go on without a sink, which may be a ticker too."""
        self._sinks = tuple(sink for sink in self._sinks if sink is not lost)
        self._tickers = tuple(ticker for ticker in self._tickers if ticker is not lost)

    def _mourn(self, error: OSError) -> None:
        """Tell those who are left; a reader that went away is no failure."""
        if isinstance(error, BrokenPipeError):
            return
        self.broken = True
        sentence = f"an output of this run cannot be written any more: {error}"
        if self._ended:  # nothing may follow the last event
            _log.error("%s", sentence)
        else:
            self.show(Note(message=sentence))
