"""What SIGUSR1 tells of the units that run."""

from batchrun.model.event import RunStarted, UnitProgress, UnitStaged, UnitStarted
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


class OnHost:
    """A unit on a host, and a clock that is moved by hand."""

    def __init__(self, label: str = "") -> None:
        self.now = 0.0
        self.running = Running(clock=lambda: self.now)
        unit = Unit(task_id="t", index=1, label=label, operation="run", host="web1")
        self.running.handle(UnitStarted(number=1, attempt=1, unit=unit, at=0.0, worker="web1"))

    def stage(self, words: str, number: int = 1) -> None:
        self.running.handle(UnitStaged(number=number, stage=words, at=0.0))

    @property
    def line(self) -> str:
        return status_text(self.running, self.running.counts).splitlines()[1].strip()


def test_a_unit_on_a_host_is_shown_with_its_stage_and_since_when_it_is_there() -> None:
    unit = OnHost("item 7")
    unit.now = 2.0
    unit.stage("authenticating")
    unit.now = 14.0
    assert unit.line == "14 s  t  web1  item 7  (authenticating for 12 s)"


def test_a_host_that_has_said_nothing_yet_is_shown_once() -> None:
    assert OnHost("web1").line == "0 ms  t  web1"


def test_what_was_done_in_a_step_is_not_said_of_the_next() -> None:
    unit = OnHost()
    unit.stage("running")
    unit.running.handle(UnitProgress(number=1, bytes_done=0, step="drain"))
    assert unit.line == "0 ms  t  web1  (step drain)"


def test_a_stage_cannot_write_on_the_terminal_and_one_of_nobody_is_harmless() -> None:
    unit = OnHost()
    unit.stage("\x1b[2J")
    unit.stage("connecting", number=9)
    assert "\x1b" not in unit.line


class Tree:
    """A unit that works on a tree, and a clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.running = Running(clock=lambda: self.now)
        unit = Unit(task_id="t", index=1, label="/data", operation="copy")
        self.running.handle(UnitStarted(number=1, attempt=1, unit=unit, at=0.0, worker="worker-1"))

    def come(self, now: float, files: int, size_bytes: int, share: float | None) -> str:
        self.now = now
        self.running.handle(
            UnitProgress(number=1, bytes_done=size_bytes, files_done=files, share=share)
        )
        (line,) = status_text(self.running, self.running.counts).splitlines()[1:]
        return line.partition("(")[2].removesuffix(", worker-1)")


def test_a_tree_is_shown_with_files_bytes_rate_and_how_long_it_will_take() -> None:
    assert (
        Tree().come(20.0, 12_340, 200 << 20, 0.4)
        == "12 340 files, 200.0 MiB, 10.0 MiB/s, 40 %, about 30 s left"
    )


def test_a_tree_of_which_no_data_is_read_is_as_fast_as_its_files() -> None:
    assert Tree().come(10.0, 5_000, 0, 0.5) == "5 000 files, 500/s, 50 %, about 10 s left"


def test_nothing_is_foretold_of_what_has_just_begun_or_of_what_nobody_knows() -> None:
    assert "left" not in Tree().come(0.5, 100, 0, 0.5)
    assert "left" not in Tree().come(100.0, 100, 0, 0.001)
    assert "left" not in Tree().come(100.0, 100, 0, 1.0)
    assert Tree().come(10.0, 100, 0, None) == "100 files, 10/s"
