"""Units for hosts, in any order in which they end: each once, in order, never far ahead."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchrun.jobfile.hoststream import HostStream
from batchrun.model.ports import Drawn
from batchrun.model.unit import Unit
from small_jobs import Waker, loaded

pytestmark = pytest.mark.timeout(300)


@settings(max_examples=60, deadline=None)
@given(
    hosts=st.integers(1, 5),
    items=st.integers(0, 7),
    per_host=st.integers(1, 3),
    batch=st.sampled_from(["", "batch: 1, ", "batch: [1, 50%], ", "batch: 30%, "]),
    choices=st.lists(st.integers(0, 1000), max_size=80),
)
def test_every_host_has_every_item_once_and_in_order(
    hosts: int, items: int, per_host: int, batch: str, choices: list[int]
) -> None:
    """Draw or end, as the choices say; at last end everything."""
    job = loaded(
        f"tasks: [{{hosts: 'n[1-{hosts}]', foreach: {{range: [1, {items}]}}, {batch}"
        f"per_host: {per_host}, run: x}}]"
    )
    waker = Waker()
    stream = job.open(job.job.tasks[0].id, {}, waker)
    assert isinstance(stream, HostStream)
    assert stream.total == hosts * items
    had: dict[str, list[int]] = defaultdict(list)
    running: list[Unit] = []
    numbers: set[int] = set()

    def end(choice: int) -> None:
        stream.ended(running.pop(choice % len(running)))

    left = list(choices)
    while True:
        if running and left and left[-1] % 3 == 0:
            end(left.pop())
            continue
        unit = stream.draw()
        if isinstance(unit, Unit):
            had[unit.host].append(int(unit.label))
            running.append(unit)
            numbers.add(unit.index)
            open_here = sum(one.host == unit.host for one in running)
            assert open_here <= per_host + 2
        elif unit is Drawn.EXHAUSTED:
            break
        else:
            waker.called.clear()
            while running and not waker.called.is_set():
                end(left.pop() if left else 0)
            assert waker.called.is_set(), "nobody is told that there is something again"

    assert {host: sorted(some) for host, some in had.items()} == dict(had)
    assert sorted(map(len, had.values())) == [items] * (hosts if items else 0)
    assert len(numbers) == hosts * items
