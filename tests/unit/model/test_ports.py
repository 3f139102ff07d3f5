"""What stands in for the seams in the tests satisfies them, by the type checker and at run time."""

import pickle
from queue import SimpleQueue

from batchrun.model.ports import (
    Drawn,
    Returned,
    Runner,
    Sink,
    Started,
    Ticker,
    UnitSource,
    UnitStream,
)
from doubles import FakeRunner, ListSource, RecordingSink, units


def test_the_doubles_satisfy_the_protocols() -> None:
    runner: Runner = FakeRunner(SimpleQueue())
    source: UnitSource = ListSource({"a": units("a", 1)})
    stream: UnitStream = source.open("a", {}, lambda: None)
    recorder = RecordingSink()
    sink: Sink = recorder
    ticker: Ticker = recorder
    ticker.tick()
    sink.close()
    drawn = [stream.draw(), stream.draw(), stream.draw()]
    assert (runner.slots, drawn) == (2, [units("a", 1)[0], Drawn.EXHAUSTED, Drawn.EXHAUSTED])
    assert (recorder.ticks, recorder.closed) == (1, 1)


def test_what_a_runner_says_travels_between_processes() -> None:
    for word in (
        Started(number=1, attempt=2, at=3.0, worker="worker-1"),
        Returned(number=1, attempt=2),
    ):
        assert pickle.loads(pickle.dumps(word)) == word
