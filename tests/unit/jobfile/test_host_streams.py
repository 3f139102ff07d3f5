"""Units for hosts: hosts times items, wave by wave, never far ahead of a slow host."""

import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import SourceError
from batchrun.jobfile.loaded import Binding, LoadedJob
from batchrun.model.host import Host
from batchrun.model.outcome import Ok, Outcome, Unreachable
from batchrun.model.ports import Drawn, Look, UnitStream
from batchrun.model.steps import Section
from batchrun.model.unit import Unit
from reports import attempt_of, written
from small_jobs import Waker, loaded, units


def opened(text: str, waker: Waker | None = None) -> UnitStream:
    job = loaded(text)
    return job.open(job.job.tasks[-1].id, {}, waker or Waker())


def taken(stream: UnitStream, most: int = 10_000, *, end: bool = True) -> list[Unit]:
    """Draw what there is now; each unit ends at once, or never."""
    found: list[Unit] = []
    while len(found) < most and isinstance(unit := stream.draw(), Unit):
        found.append(unit)
        if end:
            stream.ended(unit)
    return found


def report(job: LoadedJob, task_id: str, stdout: bytes) -> None:
    """Let every unit of a task end well, with this output."""
    at = [task.id for task in job.job.tasks].index(task_id)
    for unit in units(job, at):
        job.review(unit, written(stdout))


def places(found: list[Unit]) -> list[str]:
    return [f"{unit.host}{'/' * bool(unit.label)}{unit.label}" for unit in found]


def test_a_task_with_hosts_has_a_unit_for_each() -> None:
    stream = opened("tasks: [{run: uptime, hosts: 'web[1-3]'}]")

    assert (stream.total, stream.hosts) == (3, 3)
    found = taken(stream)
    assert places(found) == ["web1", "web2", "web3"]
    assert [unit.index for unit in found] == [1, 2, 3]
    assert [unit.place for unit in found] == [Host(name=f"web{number}") for number in (1, 2, 3)]
    assert stream.draw() is Drawn.EXHAUSTED


def test_hosts_vary_fastest_and_each_unit_has_a_number_of_its_own() -> None:
    stream = opened("tasks: [{run: 'a {{ index }}', hosts: 'a,b', foreach: [x, y]}]")

    assert stream.total == 4
    found = taken(stream)
    assert places(found) == ["a/x", "b/x", "a/y", "b/y"]
    assert [unit.index for unit in found] == [1, 2, 3, 4]
    assert [unit.params["command"] for unit in found] == ["a '1'", "a '1'", "a '2'", "a '2'"]


@pytest.mark.parametrize(("per_host", "ahead"), [(1, 3), (4, 6)])
def test_only_a_few_units_of_a_host_are_planned_before_they_end(per_host: int, ahead: int) -> None:
    waker = Waker()
    text = f"tasks: [{{run: a, hosts: 'a,b', per_host: {per_host}, foreach: {{range: [1, 99]}}}}]"
    stream = opened(text, waker)

    found = taken(stream, end=False)

    assert Counter(unit.host for unit in found) == {"a": ahead, "b": ahead}
    assert stream.draw() is Drawn.PENDING
    assert not waker.called.is_set()
    stream.ended(found[1])
    assert waker.called.is_set()
    (unit,) = taken(stream, end=False)
    assert (unit.host, unit.label) == ("b", str(ahead + 1))


def test_a_slow_host_does_not_hold_up_another_and_has_all_items_in_order_at_last() -> None:
    stream = opened("tasks: [{run: a, hosts: 'slow,fast', foreach: {range: [1, 9000]}}]")
    held: list[Unit] = []
    fast: list[str] = []
    while isinstance(unit := stream.draw(), Unit):
        if unit.host == "slow":
            held.append(unit)
        else:
            fast.append(unit.label)
            stream.ended(unit)

    assert fast == [str(number) for number in range(1, 9001)]
    assert len(held) == 3
    slow = list(held)
    for unit in held:
        stream.ended(unit)
    slow += taken(stream)
    assert [unit.label for unit in slow] == fast
    assert stream.draw() is Drawn.EXHAUSTED
    assert stream.total == 18_000


def test_a_host_that_hangs_does_not_fill_memory_with_the_items_of_another(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("".join(f"item-{number}\n" for number in range(20_000)), encoding="utf-8")
    waker = Waker()
    stream = opened(f"tasks: [{{run: a, hosts: 'slow,fast', foreach: {{lines: {lines}}}}}]", waker)
    tracemalloc.start()
    count = 0
    while (unit := stream.draw()) is not Drawn.EXHAUSTED and count < 20_000:
        if isinstance(unit, Unit):
            if unit.host == "fast":
                count += 1
                stream.ended(unit)
        else:
            assert waker.called.wait(20)
            waker.called.clear()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    stream.close()

    assert count == 20_000
    assert peak < 4 * 1024 * 1024


def test_items_that_come_late_are_waited_for(tmp_path: Path) -> None:
    waker = Waker()
    lines = tmp_path / "lines"
    lines.write_text("x\ny\n", encoding="utf-8")
    stream = opened(f"tasks: [{{run: a, hosts: 'a,b', foreach: {{lines: {lines}}}}}]", waker)
    found: list[Unit] = []
    while (unit := stream.draw()) is not Drawn.EXHAUSTED:
        if isinstance(unit, Unit):
            found.append(unit)
            stream.ended(unit)
        else:
            assert waker.called.wait(20)
            waker.called.clear()
    stream.close()

    assert sorted(places(found)) == ["a/x", "a/y", "b/x", "b/y"]


@pytest.mark.parametrize(
    ("batch", "waves"),
    [
        ("2", [2, 2, 2, 2, 2]),
        ("[1, 30%, 50%]", [1, 3, 5, 1]),
        ("1%", [1] * 10),
        ("[4, 100%]", [4, 6]),
    ],
)
def test_with_batch_the_hosts_of_a_wave_have_all_their_items_first(
    batch: str, waves: list[int]
) -> None:
    text = f"tasks: [{{run: a, hosts: 'n[01-10]', batch: {batch}, foreach: [x, y, z]}}]"
    found = taken(opened(text))

    hosts = [f"n{number:02}" for number in range(1, 11)]
    expected: list[str] = []
    for size in waves:
        wave, hosts = hosts[:size], hosts[size:]
        expected += [f"{host}/{item}" for item in "xyz" for host in wave]
    assert places(found) == expected


def test_hosts_may_be_told_by_a_task_before() -> None:
    job = loaded(
        "tasks:\n- {id: find, run: look, register: found}\n"
        "- {hosts: '{{ results.found.lines }}', needs: find, run: 'echo {{ host }}'}\n"
    )
    report(job, "find", b"web[1-2]\ndb1 db2!db2\n")

    assert places(units(job, 1)) == ["web1", "web2", "db1"]


def test_hosts_that_come_out_empty_are_no_units_and_a_slip_in_them_fails_the_task() -> None:
    text = (
        "tasks:\n- {id: find, run: look, register: found}\n"
        "- {hosts: '{{ results.found.lines }}', needs: find, run: x}\n"
    )
    empty, slip = loaded(text), loaded(text)
    report(empty, "find", b"")
    report(slip, "find", b"@nosuchgroup\n")

    assert units(empty, 1) == []
    with pytest.raises(SourceError, match="there is no group `@nosuchgroup`"):
        units(slip, 1)


def test_results_are_found_by_host_and_by_item() -> None:
    job = loaded(
        "tasks:\n"
        "- {id: a, hosts: 'web[1-2]', run: x, register: up}\n"
        "- {id: b, hosts: 'web[1-2]', needs: a, foreach: [p, q], register: each,"
        " run: 'echo {{ mine.up.stdout }}'}\n"
        "- {id: c, needs: [a, b], run: \"echo {{ results.up.by_host['web2'].stdout }}"
        " {{ results.up.units | map(attribute='host') | join('+') }}\"}\n"
        "- {id: d, hosts: 'web[1-2]', needs: b, foreach: [p, q], run: 'echo {{ mine.each.item }}"
        " {{ mine.each.host }}'}\n"
    )
    for unit in units(job, 0):
        job.review(unit, written(f"from {unit.host}".encode()))

    of_b = units(job, 1)
    assert [unit.params["command"] for unit in of_b] == [
        f"echo 'from {host}'" for _ in "pq" for host in ("web1", "web2")
    ]
    for unit in of_b:
        job.review(unit, written())
    assert units(job, 2)[0].params["command"] == "echo 'from web2' 'web1+web2'"
    assert [unit.params["command"] for unit in units(job, 3)] == [
        f"echo '{item}' '{host}'" for item in "pq" for host in ("web1", "web2")
    ]


def test_a_unit_that_waits_for_its_own_host_is_resolved_when_that_has_ended() -> None:
    job = loaded(
        "tasks:\n- {id: a, hosts: 'web[1-2]', run: x, register: up}\n"
        "- {id: b, hosts: 'web[1-3]', needs: [{task: a, per: host}],"
        " run: 'echo {{ mine.up.stdout }}'}\n"
    )
    before, waiting = units(job, 0), units(job, 1)
    job.review(before[1], written(b"from web2"))

    _, second, third = (
        unit.program.plan(Section.STEPS, 0, None).unit for unit in waiting if unit.program
    )

    assert second.params["command"] == "echo 'from web2'"
    assert (second.host, second.place) == ("web2", waiting[1].place)
    assert "`mine.up`: `a` has no unit on web3" in str(third.verdict)


def test_the_identity_of_a_unit_has_its_host_in_it() -> None:
    def identities(task: str) -> list[bytes]:
        job = loaded(f"tasks: [{{id: t, {task}}}]")
        job.bind(Binding(run_id="r", started_at=0.0, identifies=True))
        return [unit.identity for unit in units(job)]

    one, two = identities("hosts: 'web[1-2]', run: x")
    (again,) = identities("hosts: web2, run: x, connect_timeout: 3s, per_host: 2")
    (local,) = identities("run: x")

    assert len({one, two, local}) == 3
    assert again == two


def test_a_unit_knows_all_that_the_inventory_says() -> None:
    job = loaded(
        "inventory:\n"
        "  hosts: {web1: {address: 10.0.0.1, port: 7, groups: [g], vars: {rack: a1, n: 1.10}}}\n"
        "tasks:\n"
        "- hosts: '@g'\n"
        "  connect_timeout: 3s\n"
        "  run: [echo, '{{ host }}', '{{ host.address }}', '{{ host.rack }}', '{{ host.n }}',"
        " '{{ host.groups | join }}', '{{ host.upper() }}', '{{ host.nothing | default(1) }}',"
        " \"{{ host['rack'] }}\"]\n"
        "  lock: 'rack-{{ host.rack }}'\n"
    )

    (unit,) = units(job)

    assert unit.params["command"] == (
        *("echo", "web1", "10.0.0.1", "a1", "1.10", "g", "WEB1", "1", "a1"),
    )
    assert unit.locks == ("rack-a1",)
    assert unit.place is not None
    assert (unit.place.port, unit.place.connect_timeout_s) == (7, 3.0)


def test_a_variable_that_a_host_has_not_fails_its_unit_with_what_to_do() -> None:
    (unit,) = units(loaded("tasks: [{hosts: web1, run: 'echo {{ host.rack }}'}]"))

    assert unit.verdict is not None
    assert "the host `web1` has no `rack`; give it one in `vars`" in str(unit.verdict)


@pytest.mark.parametrize(
    ("written", "params"),
    [
        ("run: x, cwd: logs", {"command": "x", "cwd": "logs"}),
        ("run: x, cwd: ~/logs", {"command": "x", "cwd": "~/logs"}),
        ("delete: '~/{{ host }}/*.log'", {"path": ("~/web1/*.log",)}),
        ("delete: '{{ d }}', vars: {d: '~x'}", {"path": ("./~x",)}),
        ("delete: /abs", {"path": ("/abs",)}),
        ("upload: {src: a, dest: b/}", {"src": ("/base/dir/a",), "dest": "b/"}),
        ("download: {src: logs/x, dest: out}", {"src": ("logs/x",), "dest": "/base/dir/out"}),
    ],
)
def test_paths_on_a_host_are_left_to_the_host(written: str, params: dict[str, Any]) -> None:
    (unit,) = units(loaded(f"tasks: [{{hosts: web1, {written}}}]"))

    assert unit.verdict is None
    assert {name: plain(unit.params[name]) for name in params} == params


def plain(value: Any) -> Any:
    """Write a pattern as its text, also in a list."""
    if type(value) is tuple:
        return tuple(map(plain, value))
    return getattr(value, "pattern", value)


def test_in_a_dry_run_hosts_that_nobody_can_know_are_one_unknown_unit() -> None:
    job = loaded(
        "tasks:\n- {id: find, run: look, register: found}\n"
        "- {hosts: '{{ results.found.lines }}', needs: find, run: x}\n"
    )
    job.bind(Binding(run_id="r", started_at=0.0, dry_run=True))
    for unit in units(job, 0):
        job.review(unit, attempt_of(Ok(changed=True)))

    (unit,) = units(job, 1)

    assert getattr(unit.verdict, "is_unknown", False)


def looks(stream: UnitStream) -> list[Look]:
    """Draw what hosts are to be asked for."""
    found: list[Look] = []
    while isinstance(drawn := stream.draw(), Look):
        found.append(drawn)
    assert drawn is Drawn.PENDING
    return found


def test_each_host_has_the_items_that_it_gives_and_one_that_cannot_has_one_unit() -> None:
    waker = Waker()
    text = "tasks: [{hosts: 'a,b,c', foreach: {lines: /x, at: host}, run: [e, '{{ item }}']}]"
    stream = opened(text, waker)
    first, second, third = looks(stream)
    assert [look.unit.host for look in (first, second, third)] == ["a", "b", "c"]
    assert first.unit.params == {"path": "/x"}

    unreachable = Unreachable(message="no route")
    second.told(written(b"x\ny\n"))
    assert waker.called.is_set()
    found = taken(stream)
    third.told(attempt_of(unreachable))
    first.told(written(b""))
    found += taken(stream)

    assert places(found) == ["b/x", "b/y", "c"]
    verdicts: list[Outcome | None] = [unit.verdict for unit in found]
    assert verdicts == [None, None, unreachable]
    assert len({unit.index for unit in found}) == 3
    assert stream.draw() is Drawn.EXHAUSTED


def test_not_all_hosts_are_asked_at_once_and_those_of_a_wave_first() -> None:
    task = "foreach: {glob: 'x*', at: host}, run: a"
    many = opened(f"tasks: [{{hosts: 'a[1-100]', {task}}}]")
    asked = looks(many)
    assert len(asked) == 64
    asked[0].told(written(b""))
    assert [look.unit.host for look in looks(many)] == ["a65"]

    waves = opened(f"tasks: [{{hosts: 'a,b,c', batch: [1, 2], {task}}}]")
    (canary,) = looks(waves)
    canary.told(written(b"x1\0"))
    assert places(taken(waves, 1)) == ["a/x1"]
    assert [look.unit.host for look in looks(waves)] == ["b", "c"]
