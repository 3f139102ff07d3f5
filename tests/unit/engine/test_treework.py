"""Spread operations between the loop and the runner: fair, bounded, repeated, stopped."""

from dataclasses import replace
from queue import SimpleQueue

from batchrun.engine.messages import Message
from batchrun.engine.treework import CHUNKS, TreeWork
from batchrun.model.event import UnitProgress
from batchrun.model.operation import Done
from batchrun.model.outcome import Cancelled, Failed, Lost, Ok, Outcome, Report, TimedOut
from batchrun.model.ports import Returned, Started
from batchrun.model.tree import Chunk, Progress, Spread
from batchrun.model.unit import Order, Unit
from doubles import FakeClock, FakeRunner

OK = Ok(changed=True)


class Counting:
    """A TreeOperation of so many chunks, each of which says its own number."""

    def __init__(self, seed: int) -> None:
        self.left = seed
        self.taken = 0
        self.absorbed: list[object] = []
        self.lost: list[int] = []
        self.again: list[Chunk] = []
        self.out = 0
        self.stopped = False

    def take(self) -> Chunk | None:
        if self.stopped or not (self.left or self.again):
            return None
        self.out += 1
        if self.again:
            return self.again.pop()
        self.left -= 1
        self.taken += 1
        return Chunk(number=self.taken, function="x:y", payload=self.taken)

    def absorb(self, chunk: Chunk, done: Done) -> None:
        self.out -= 1
        if done.answer == "broken":
            raise ValueError(done.answer)
        self.absorbed.append(chunk.number)

    def lose(self, chunk: Chunk, number: int, message: str) -> None:
        assert message
        self.out -= 1
        self.lost.append(number)
        self.again.append(chunk)

    def give_back(self, chunk: Chunk) -> None:
        self.out -= 1
        self.again.append(chunk)

    def drop(self, chunk: Chunk) -> None:
        assert chunk.number
        self.out -= 1

    def stop(self) -> None:
        self.stopped = True

    @property
    def over(self) -> bool:
        return not self.out and (self.stopped or not (self.left or self.again))

    @property
    def progress(self) -> Progress:
        return Progress(files_done=100 * len(self.absorbed), share=0.25)

    def result(self) -> Done:
        return Done(outcome=OK, warnings=(f"{len(self.absorbed)} done",))


class Work:
    """A TreeWork over a runner that answers when it is told to."""

    def __init__(self, *, slots: int = 2) -> None:
        self.queue: SimpleQueue[Message] = SimpleQueue()
        self.runner = FakeRunner(SimpleQueue(), lambda _: (), slots=slots)
        self.runner.on_stop = lambda _: None
        self.spread: list[int] = []
        self.clock = FakeClock(100.0)
        self.trees = TreeWork(self.runner, self.queue, self.spread.append, self.clock)

    def begin(self, number: int, chunks: int, **unit: float) -> None:
        """Submit a unit, whose first worker wants it to be spread."""
        made = Unit(task_id="t", index=number, operation="copy", params={"a": 1}, **unit)  # type: ignore[arg-type]  # a time limit
        self.trees.submit(Order(number=number, attempt=1, unit=made))
        spread = Spread(coordinator=f"{__name__}:Counting", seed=chunks)
        self.answer(number, spread=spread, bytes_done=10)

    def answer(
        self,
        number: int,
        outcome: Outcome = OK,
        *,
        spread: Spread | None = None,
        bytes_done: int = 0,
        answer: object = None,
    ) -> bool:
        self.runner.held.pop(number)
        return self.trees.absorbs(
            Report(
                number=number,
                attempt=1,
                outcome=outcome,
                started_at=5.0,
                duration_s=2.0,
                bytes_done=bytes_done,
                spread=spread,
                answer=answer,
            )
        )

    @property
    def out(self) -> list[int]:
        """Numbers of the chunks with the runner."""
        return [number for number in self.runner.held if number > CHUNKS]

    def run(self) -> Report:
        """Answer every chunk; returns the report of the first tree that ends."""
        while self.out:
            self.answer(self.out[0], bytes_done=1)
        return self.ended()

    def ended(self) -> Report:
        while isinstance(message := self.queue.get_nowait(), UnitProgress):
            pass
        assert isinstance(message, Report)
        return message


def test_a_spread_operation_is_one_report_with_the_number_of_its_unit() -> None:
    work = Work()
    work.begin(7, chunks=9)
    work.clock.now = 103.0

    report = work.run()

    assert (report.number, report.attempt, report.outcome) == (7, 1, OK)
    assert report.warnings == ("9 done",)
    assert (report.started_at, report.duration_s, report.bytes_done) == (5.0, 5.0, 19)
    assert report.spread is None
    assert work.spread == [7]
    assert work.queue.empty()


def test_what_is_not_spread_goes_by() -> None:
    work = Work()
    work.trees.submit(Order(number=1, attempt=1, unit=Unit(task_id="t", index=1, operation="x")))

    assert not work.answer(1)
    assert not work.trees.absorbs(Started(number=2, attempt=1, at=0.0, worker="w"))
    assert not work.trees.absorbs(Returned(number=2, attempt=1))


def test_no_more_chunks_are_out_than_keep_the_workers_busy() -> None:
    work = Work(slots=3)
    work.begin(1, chunks=100)

    assert len(work.out) == 6
    work.answer(work.out[0])
    assert len(work.out) == 6
    assert all(order.unit.params == {} for order in work.runner.orders[1:])


def test_trees_take_turns() -> None:
    work = Work(slots=2)
    work.begin(1, chunks=100)
    work.begin(2, chunks=100)

    for _ in range(20):
        work.answer(work.out[0])

    owners = [order.unit.index for order in work.runner.orders if order.number > CHUNKS]
    assert 8 <= owners.count(2) <= 13


def test_a_chunk_whose_worker_died_is_given_out_again() -> None:
    work = Work(slots=1)
    work.begin(1, chunks=2)
    first = work.out[0]

    work.answer(first, Lost(message="killed"))

    assert len(work.out) == 2
    assert first not in work.out
    assert work.run().warnings == ("2 done",)


def test_a_chunk_that_comes_back_unbegun_is_given_out_again() -> None:
    work = Work(slots=1)
    work.begin(1, chunks=2)
    number = work.out[0]

    del work.runner.held[number]
    assert work.trees.absorbs(Returned(number=number, attempt=1))

    assert len(work.out) == 2
    assert work.run().warnings == ("2 done",)


def test_a_stop_ends_all_chunks_and_then_the_unit() -> None:
    work = Work()
    work.begin(1, chunks=100)
    out = work.out

    work.trees.stop(1)

    assert work.runner.stopped == out
    for number in out:
        assert work.queue.empty()
        work.answer(number, Cancelled(was_running=True))
    report = work.ended()
    assert report.outcome == Cancelled(was_running=True)
    assert work.out == []


def test_a_stop_that_comes_before_the_first_answer_is_obeyed() -> None:
    work = Work()
    work.runner.on_stop = lambda _: None
    unit = Unit(task_id="t", index=1, operation="copy")
    work.trees.submit(Order(number=1, attempt=1, unit=unit))
    work.trees.stop(1)

    work.answer(1, spread=Spread(coordinator=f"{__name__}:Counting", seed=5))

    assert work.ended().outcome == Cancelled(was_running=True)
    assert work.out == []
    assert work.spread == []


def test_a_full_disk_ends_everything_with_what_it_says() -> None:
    work = Work()
    work.begin(1, chunks=100)
    first, *others = work.out
    full = Failed(message="cannot write x: No space left on device", errno=28)

    work.answer(first, full)

    assert work.runner.stopped == others
    for number in others:
        work.answer(number, Lost(message="killed"))
    assert work.ended().outcome == replace(
        full, message=f"{full.message}; stopped after about 0 files, 10 B"
    )


def test_chunks_have_what_is_left_of_the_time() -> None:
    work = Work(slots=1)
    work.begin(1, chunks=3, timeout_s=30.0)
    work.clock.now = 110.0
    work.answer(work.out[0])

    limits = [order.unit.timeout_s for order in work.runner.orders if order.number > CHUNKS]
    # Two seconds had gone by when the first worker answered.
    assert limits == [28.0, 28.0, 18.0]
    for number in work.out:
        work.answer(number, TimedOut(limit_s=18.0))
    assert work.ended().outcome == TimedOut(limit_s=30.0)


def test_progress_is_that_of_all_chunks_together() -> None:
    work = Work()
    work.begin(1, chunks=9)
    one, other, *_ = work.out

    assert work.trees.absorbs(Started(number=one, attempt=1, at=0.0, worker="w"))
    for number, bytes_done in ((one, 5), (other, 7)):
        work.clock.now += 1
        assert work.trees.absorbs(UnitProgress(number=number, bytes_done=bytes_done))
    work.clock.now += 1
    work.answer(one, bytes_done=6)
    work.clock.now += 1
    assert work.trees.absorbs(UnitProgress(number=other, bytes_done=8))

    said = [work.queue.get_nowait() for _ in range(work.queue.qsize())]
    assert said == [
        UnitProgress(number=1, bytes_done=size, files_done=files, share=0.25)
        for size, files in ((15, 0), (22, 0), (23, 100), (24, 100))
    ]


def test_progress_is_not_said_more_often_than_it_can_be_read() -> None:
    work = Work()
    work.begin(1, chunks=1000)
    for _ in range(900):
        work.clock.now += 0.001
        work.answer(work.out[0])

    assert 4 <= work.queue.qsize() <= 6


def test_one_that_ends_before_its_time_says_how_far_it_got() -> None:
    work = Work()
    work.begin(1, chunks=9)
    work.begin(2, chunks=9)
    work.answer(work.out[0], bytes_done=2038)

    work.trees.stop(1)
    for number in work.out:
        if number in work.runner.held:
            work.answer(number, Cancelled(was_running=True))

    report = work.ended()
    assert report.number == 1
    assert report.outcome == Cancelled(was_running=True)
    assert report.warnings[-1] == "stopped after about 100 files, 2.0 KiB"


def test_a_coordinator_that_breaks_is_a_defect_of_the_operation() -> None:
    work = Work()
    work.begin(1, chunks=9)

    first, *others = work.out
    work.answer(first, answer="broken")
    for number in others:
        work.answer(number)

    outcome = work.ended().outcome
    assert isinstance(outcome, Failed)
    assert "defect" in outcome.message
    assert "broken" in outcome.message


def test_a_coordinator_that_cannot_be_made_is_a_defect_too() -> None:
    work = Work()
    work.trees.submit(Order(number=1, attempt=1, unit=Unit(task_id="t", index=1, operation="x")))

    work.answer(1, spread=Spread(coordinator="no_such_module:Nothing", seed=5))

    outcome = work.ended().outcome
    assert isinstance(outcome, Failed)
    assert "no_such_module" in outcome.message
