"""Runs that never were: any legal sequence of events, with whatever text and bytes there may be."""

import os

from hypothesis import strategies as st

from batchrun.model.event import (
    Event,
    Note,
    RunEnded,
    RunStarted,
    StatusAsked,
    TaskEnded,
    TaskOpened,
    UnitEnded,
    UnitOutput,
    UnitProgress,
    UnitRetried,
    UnitStaged,
    UnitStarted,
)
from batchrun.model.outcome import (
    Aborted,
    Cancelled,
    Captured,
    Failed,
    Lost,
    Ok,
    Outcome,
    Output,
    Report,
    Skipped,
    TimedOut,
    Unreachable,
)
from batchrun.model.unit import Unit

__all__ = ["hostile", "hostile_bytes", "outcomes", "reports", "runs", "seconds"]

hostile = st.one_of(
    st.sampled_from(
        [
            "",
            "/data/a.csv",
            "-rf",
            "\x1b]0;owned\x07\x1b[2J",
            "two\nlines\r",
            "tab\there",
            os.fsdecode(b"caf\xe9\xff"),
            "\ud800 alone",
            "right \u202e to left",
            "\x9b31m",
            "日本語 wide",
            "{} {0} %s {desc}",
        ]
    ),
    st.text(st.characters(), max_size=12),
)
hostile_bytes = st.one_of(
    st.sampled_from([b"", b"line\n", b"\x1b[31mred\x1b[0m\n", b"\xff\xfe\x00", b"50%\r100%\r\n"]),
    st.binary(max_size=40),
)
seconds = st.floats(0, 1e6)
hosts = st.sampled_from(["", "", "web07", "\x1b[2J"])
captured = st.builds(
    Captured,
    head=hostile_bytes,
    tail=hostile_bytes,
    omitted_bytes=st.sampled_from([0, 0, 5000]),
)
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(
        Ok,
        changed=st.booleans(),
        note=hostile,
        exit_status=st.none() | st.just(3),
        found_nothing=st.booleans(),
    ),
    st.builds(
        Failed,
        message=hostile,
        exit_status=st.none() | st.integers(1, 255),
        signal=st.none() | st.just(9),
        errno=st.none() | st.just(28),
        retryable=st.booleans(),
        traceback=hostile,
    ),
    st.builds(
        TimedOut,
        limit_s=seconds | st.just(float("inf")),
        stuck=st.booleans(),
        idle=st.booleans(),
        note=hostile,
    ),
    st.builds(Unreachable, message=hostile),
    st.builds(Lost, message=hostile),
    st.builds(Cancelled, was_running=st.booleans()),
    st.builds(Aborted, because=hostile),
    st.builds(Skipped, because=hostile, is_unknown=st.booleans()),
)


def reports(number: int, attempt: int) -> st.SearchStrategy[Report]:
    return st.builds(
        Report,
        number=st.just(number),
        attempt=st.just(attempt),
        outcome=outcomes,
        started_at=st.sampled_from([0.0, 1.7e9, 1_795_317_300.999999]),
        duration_s=seconds,
        output=st.builds(Output, stdout=captured, stderr=captured),
        warnings=st.lists(hostile, max_size=2).map(tuple),
        errors=st.lists(hostile, max_size=2).map(tuple),
        diff=hostile,
        bytes_done=st.integers(0, 2**50),
        worker=hostile,
    )


@st.composite
def one_unit(draw: st.DrawFn, number: int, unit: Unit) -> list[Event]:
    events: list[Event] = []
    attempts = draw(st.integers(1, 2))
    for attempt in range(1, attempts + 1):
        if draw(st.booleans()):
            events.append(UnitStarted(number=number, attempt=attempt, unit=unit, at=1.7e9))
            for data in draw(st.lists(hostile_bytes, max_size=3)):
                stream = draw(st.sampled_from(["stdout", "stderr"]))
                events.append(UnitOutput(number=number, unit=unit, stream=stream, data=data))
            events.append(UnitStaged(number=number, stage=draw(hostile), at=1.7e9))
            events.append(UnitProgress(number=number, bytes_done=draw(st.integers(0, 2**40))))
        report = draw(reports(number, attempt))
        if attempt < attempts:
            events.append(UnitRetried(unit=unit, report=report, delay_s=draw(seconds)))
        else:
            events.append(UnitEnded(unit=unit, report=report, ignored=draw(st.booleans())))
    return events


@st.composite
def runs(draw: st.DrawFn) -> list[Event]:
    names = draw(st.lists(hostile, min_size=1, max_size=3, unique=True))
    events: list[Event] = [
        RunStarted(
            run_id=draw(hostile),
            job_name=draw(hostile),
            at=1.7e9,
            procs=2,
            tasks=tuple((name, draw(hostile)) for name in names),
            dry_run=draw(st.booleans()),
        )
    ]
    number = 0
    for name in names:
        total = draw(st.integers(0, 3))
        known = total if draw(st.booleans()) else None
        events.append(TaskOpened(task_id=name, total=known))
        for index in range(1, total + 1):
            number += 1
            command = draw(hostile | st.tuples(hostile, hostile))
            params = {"command": command}
            unit = Unit(
                task_id=name,
                index=index,
                label=draw(hostile),
                host=draw(hosts),
                operation="run",
                params=params,
            )
            events += draw(one_unit(number, unit))
        if draw(st.booleans()):
            level = draw(st.sampled_from(["warning", "info"]))
            events.append(Note(message=draw(hostile), level=level, task_id=name))
            events.append(StatusAsked(at=1.7e9))
        events.append(
            TaskEnded(
                task_id=name,
                good=draw(st.booleans()),
                not_expanded=draw(hostile),
                source_error=draw(hostile),
                planned=total,
            )
        )
    events.append(
        RunEnded(
            run_id="r",
            at=1.7e9 + 5,
            duration_s=draw(seconds),
            exit_code=draw(st.sampled_from([0, 2, 130])),
            stopped=draw(hostile),
        )
    )
    return events
