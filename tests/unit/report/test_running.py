"""What SIGUSR1 tells of the units that run."""

from batchrun.model.event import RunStarted, UnitProgress, UnitStarted
from batchrun.model.unit import Unit
from batchrun.report.running import Running, status_text


def status(*, step: str) -> str:
    running = Running(clock=iter([10.0, 13.0]).__next__)
    unit = Unit(task_id="deploy", index=1, label="web1", operation="steps")
    events = (
        RunStarted(run_id="r", job_name="j", at=0.0, procs=1, tasks=(("deploy", "deploy it"),)),
        UnitStarted(number=1, attempt=1, unit=unit, at=0.0, worker="worker-1"),
        UnitProgress(number=1, bytes_done=0, step=step),
    )
    for event in events:
        running.handle(event)
    return status_text(running, running.counts)


def test_a_unit_with_steps_is_shown_with_the_step_that_runs() -> None:
    assert (
        status(step="restart")
        .splitlines()[1]
        .split("  ", 2)[-1]
        .endswith("deploy it  web1  (step restart, worker-1)")
    )


def test_a_unit_without_steps_names_none() -> None:
    assert "step" not in status(step="")


def test_a_step_name_cannot_write_on_the_terminal() -> None:
    assert "\x1b" not in status(step="\x1b[2Jrestart")
