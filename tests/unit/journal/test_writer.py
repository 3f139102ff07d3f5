"""The thread that writes: batches, bounds, and what becomes of whoever waits when it fails."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest

from batchrun.journal import writer as writer_module
from batchrun.journal.writer import Writer, insert
from doubles import FakeClock

#: Longer than anything here takes; who waits so long hangs.
LONG_S = 20.0


class Batches:
    """Keeps the batches that it is given; holds the writer up while it is closed."""

    def __init__(self, fail: Callable[[Sequence[Any]], None] = lambda _: None) -> None:
        self.seen: list[list[Any]] = []
        self.entered = threading.Event()
        self.calls = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self._fail = fail

    def __call__(self, connection: sqlite3.Connection, events: Sequence[Any]) -> None:
        self.entered.set()
        self.calls.release()
        assert self.gate.wait(LONG_S)
        insert(connection, "events", ("name",), [(str(one),) for one in events])
        self._fail(events)
        self.seen.append(list(events))


@contextmanager
def writing(
    batches: Batches, clock: Callable[[], float] | None = None
) -> Iterator[tuple[Writer, sqlite3.Connection]]:
    """Give a writer for which no time passes, so that it never thinks a batch old enough."""
    with closing(
        sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    ) as connection:
        connection.execute("CREATE TABLE events(name TEXT)")
        made = Writer(connection, batches, clock or FakeClock())
        try:
            yield made, connection
        finally:
            batches.gate.set()
            made.close()


def held_up(writer: Writer, batches: Batches) -> threading.Thread:
    """Let the writer take what waits, and hold it there; return who waits for it."""
    waits = threading.Thread(target=flush_quietly, args=(writer,), daemon=True)
    waits.start()
    assert batches.entered.wait(LONG_S)
    return waits


def flush_quietly(writer: Writer) -> None:
    with suppress(sqlite3.Error):
        writer.flush()


def names_in(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM events ORDER BY rowid")]


def test_events_that_come_shortly_after_each_other_are_one_transaction_in_their_order() -> None:
    batches = Batches()
    with writing(batches) as (writer, connection):
        numbers = [writer.put(name) for name in "abc"]
        writer.flush()
        assert batches.seen == [["a", "b", "c"]]
        assert names_in(connection) == ["a", "b", "c"]
    assert numbers == [1, 2, 3]
    assert writer.written == 3


def test_what_waits_is_written_when_it_is_old_enough_though_nobody_asks() -> None:
    batches = Batches()
    with writing(batches, time.monotonic) as (writer, _):
        writer.put("a")
        assert batches.entered.wait(LONG_S)


def test_a_batch_that_is_big_enough_does_not_wait_for_its_age() -> None:
    batches = Batches()
    with writing(batches) as (writer, _):
        for number in range(1_001):
            writer.put(number)
        assert batches.entered.wait(LONG_S)


def test_a_flush_makes_only_its_own_batch_hurry() -> None:
    batches = Batches()
    with writing(batches) as (writer, _):
        writer.put("a")
        writer.flush()
        writer.put("b")
        writer.put("c")
        writer.flush()
    assert batches.seen == [["a"], ["b", "c"]]


def test_whoever_puts_more_than_there_is_room_for_waits_and_goes_on_when_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_module, "_MOST_EVENTS", 3)
    batches = Batches()
    batches.gate.clear()
    with writing(batches) as (writer, connection):
        writer.put(0)
        waits = held_up(writer, batches)
        put: list[int] = []
        producer = threading.Thread(
            target=lambda: put.extend(writer.put(number) for number in range(1, 11)), daemon=True
        )
        producer.start()
        producer.join(0.2)
        assert producer.is_alive()
        assert writer.written == 0

        batches.gate.set()
        producer.join(LONG_S)
        waits.join(LONG_S)
        writer.flush()
        assert names_in(connection) == [str(number) for number in range(11)]
    assert put == list(range(2, 12))
    assert max(map(len, batches.seen)) <= 3


def test_much_output_fills_it_as_many_events_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_MOST_BYTES", 100)
    batches = Batches()
    batches.gate.clear()
    with writing(batches) as (writer, _):
        writer.put("first", 10)
        held_up(writer, batches)
        writer.put("big", 1_000)
        producer = threading.Thread(target=writer.put, args=("after",), daemon=True)
        producer.start()
        producer.join(0.2)
        assert producer.is_alive()

        batches.gate.set()
        producer.join(LONG_S)
        assert not producer.is_alive()


def test_having_been_full_once_does_not_make_all_later_batches_small(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_module, "_MOST_EVENTS", 2)
    batches = Batches()
    with writing(batches) as (writer, _):
        for number in range(3):
            writer.put(number)  # the third one has to wait for room, and so makes haste
        assert batches.calls.acquire(timeout=LONG_S)
        assert not batches.calls.acquire(timeout=0.2)
        writer.put(3)
        writer.flush()
    assert batches.seen == [[0, 1], [2, 3]]


def test_closing_writes_what_waits() -> None:
    batches = Batches()
    with writing(batches) as (writer, _):
        writer.put("a")
        writer.put("b")
        writer.close()
        assert batches.seen == [["a", "b"]]


# ---- when it fails --------------------------------------------------------------------------


def full_disk(events: Sequence[Any]) -> None:
    if "bad" in events:
        message = "database or disk is full"
        raise sqlite3.OperationalError(message)


def test_an_error_takes_its_whole_batch_back_and_is_raised_from_then_on() -> None:
    batches = Batches(full_disk)
    with writing(batches) as (writer, connection):
        writer.put("good")
        writer.flush()
        writer.put("beside")
        writer.put("bad")
        with pytest.raises(sqlite3.OperationalError, match="disk is full"):
            writer.flush()
        with pytest.raises(sqlite3.OperationalError, match="disk is full"):
            writer.put("later")
        with pytest.raises(sqlite3.OperationalError, match="disk is full"):
            writer.flush()
        assert names_in(connection) == ["good"]
        assert writer.written == 1


def test_whoever_waits_for_room_is_told_of_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_MOST_EVENTS", 1)
    batches = Batches(full_disk)
    batches.gate.clear()
    with writing(batches) as (writer, _):
        writer.put("bad")
        held_up(writer, batches)
        writer.put("waits")
        told: list[sqlite3.Error] = []

        def put() -> None:
            try:
                writer.put("has no room")
            except sqlite3.Error as error:
                told.append(error)

        producer = threading.Thread(target=put, daemon=True)
        producer.start()
        batches.gate.set()
        producer.join(LONG_S)
        assert len(told) == 1


def test_closing_after_an_error_returns() -> None:
    batches = Batches(full_disk)
    with writing(batches) as (writer, _):
        writer.put("bad")
        writer.close()
        with pytest.raises(sqlite3.OperationalError):
            writer.put("late")


def test_a_defect_in_what_makes_the_rows_hangs_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[type[BaseException]] = []
    monkeypatch.setattr(threading, "excepthook", lambda told: seen.append(told.exc_type))

    def defect(events: Sequence[Any]) -> None:
        raise LookupError(events)

    with writing(Batches(defect)) as (writer, connection):
        writer.put("a")
        with pytest.raises(sqlite3.InternalError, match="the writer of the record has a defect"):
            writer.flush()
        assert names_in(connection) == []
    assert seen == [LookupError]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 127, 128, 129, 300])
def test_any_number_of_rows_is_inserted_in_order(count: int) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE numbers(a, b)")
        rows = [(number, -number) for number in range(count)]
        insert(connection, "numbers", ("a", "b"), rows)
        assert connection.execute("SELECT a, b FROM numbers ORDER BY rowid").fetchall() == rows
