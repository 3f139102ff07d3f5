"""The timeline: exact while it can be, then merged, and nothing is ever lost from it."""

from hypothesis import given
from hypothesis import strategies as st

from batchrun.model.outcome import Failed, Ok, Report
from batchrun.report.html.timeline import MOST_LANES, MOST_OF_LANE, MOST_SPANS, Timeline

BEGAN = 1.7e9


def attempt(number: int, begin_s: float, took_s: float, worker: str = "worker-1") -> Report:
    return Report(
        number=number, attempt=1, outcome=Ok(changed=False), started_at=BEGAN + begin_s,
        duration_s=took_s, worker=worker,
    )  # fmt: skip


def test_few_attempts_are_drawn_exactly() -> None:
    timeline = Timeline()
    timeline.add(attempt(1, 0.5, 1.25), is_bad=False)
    timeline.add(attempt(2, 2.0, 0.5, "worker-2"), is_bad=True)
    timeline.add(attempt(3, 2.0, 0.5), is_bad=False)

    assert timeline.as_json(BEGAN, timeline.lanes()) == [
        [0, 500, 1250, 1, 1, 0, 1250],
        [0, 2000, 500, 3, 1, 0, 500],
        [1, 2000, 500, 2, 1, 1, 500],
    ]


def test_lanes_are_in_the_order_of_their_numbers() -> None:
    timeline = Timeline()
    for number, worker in enumerate(("worker-10", "worker-9", "", "worker-1")):
        timeline.add(attempt(number, 1.0, 1.0, worker), is_bad=False)

    assert [lane.name for lane in timeline.lanes()] == ["", "worker-1", "worker-9", "worker-10"]


def test_what_never_began_is_nowhere() -> None:
    timeline = Timeline()
    report = Report(
        number=1, attempt=1, outcome=Failed(message="no"), started_at=0.0, duration_s=0.0
    )
    timeline.add(report, is_bad=True)

    assert timeline.lanes() == []


def test_many_attempts_are_merged_with_their_neighbours_and_counted_exactly() -> None:
    timeline = Timeline()
    for number in range(40_000):
        worker = f"worker-{number % 4}"
        timeline.add(attempt(number, number * 0.1, 0.3, worker), is_bad=number % 1000 == 0)

    lanes = timeline.lanes()
    assert all(100 < len(lane.spans) <= MOST_OF_LANE for lane in lanes)
    assert sum(span.number for lane in lanes for span in lane.spans) == 40_000
    assert sum(span.bad for lane in lanes for span in lane.spans) == 40
    assert [lane.attempts for lane in lanes] == [10_000] * 4
    assert round(lanes[0].busy_s) == round(sum(one.busy_s for one in lanes[0].spans)) == 3_000


def test_more_workers_than_lanes_share_the_last_one() -> None:
    timeline = Timeline()
    for number in range(300):
        timeline.add(attempt(number, 1.0, 1.0, f"worker-{number}"), is_bad=False)

    lanes = timeline.lanes()
    assert len(lanes) == MOST_LANES + 1
    assert (lanes[-1].name, lanes[-1].attempts) == ("all others", 300 - MOST_LANES)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(0, 1e9), st.floats(0, 1e6), st.booleans()),
        max_size=60,
    )
)
def test_no_attempt_is_lost_whatever_the_clock_says(
    attempts: list[tuple[str, float, float, bool]],
) -> None:
    timeline = Timeline()
    for number, (worker, begin_s, took_s, is_bad) in enumerate(attempts * 60):
        timeline.add(attempt(number, begin_s, took_s, worker), is_bad=is_bad)

    spans = [span for lane in timeline.lanes() for span in lane.spans]
    assert len(spans) <= MOST_SPANS
    assert sum(span.number for span in spans) == len(attempts) * 60
    assert sum(span.bad for span in spans) == 60 * sum(is_bad for *_, is_bad in attempts)
    assert all(span.end >= span.begin for span in spans)
