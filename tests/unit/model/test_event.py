"""Events are plain records: what a sink keeps, nobody changes behind its back."""

import dataclasses
import pickle
from typing import get_args

import pytest

from batchrun.model.event import Event, RunEnded, RunStarted, TaskEnded


@pytest.mark.parametrize("kind", get_args(Event), ids=lambda kind: kind.__name__)
def test_every_event_is_frozen_and_without_a_dictionary(kind: type[Event]) -> None:
    assert dataclasses.is_dataclass(kind)
    assert vars(kind)["__dataclass_params__"].frozen
    assert "__slots__" in vars(kind)


@pytest.mark.parametrize(
    "event",
    [
        RunStarted(run_id="r", job_name="j", at=1.0, procs=2, tasks=(("a", "copy"),)),
        TaskEnded(task_id="a", good=False, source_error="gone", planned=3),
        RunEnded(run_id="r", at=2.0, duration_s=1.0, exit_code=2, stopped="interrupted"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_events_can_be_kept_in_a_file(event: Event) -> None:
    assert pickle.loads(pickle.dumps(event)) == event
