"""Failures that are alike are one, whatever their number."""

from batchrun.model.event import UnitEnded
from batchrun.model.outcome import Captured, Failed, Outcome, Output, Report, TimedOut
from batchrun.model.unit import Unit
from batchrun.report.html.groups import NO_GROUP, Groups


def ended(
    outcome: Outcome, label: str, stdout: bytes = b"", *, task: str = "t", ignored: bool = False
) -> UnitEnded:
    report = Report(
        number=1, attempt=1, outcome=outcome, started_at=1.0, duration_s=1.0,
        output=Output(stdout=Captured(head=stdout)),
    )  # fmt: skip
    unit = Unit(task_id=task, index=1, label=label, operation="run")
    return UnitEnded(unit=unit, report=report, ignored=ignored)


def test_task_kind_and_message_make_a_group_and_the_item_does_not() -> None:
    groups = Groups()
    places = [
        groups.add(ended(Failed(message="/a.csv: full"), "/a.csv")),
        groups.add(ended(Failed(message="/b.csv: full"), "/b.csv")),
        groups.add(ended(Failed(message="/b.csv: full"), "/b.csv", task="u")),
        groups.add(ended(Failed(message="/b.csv: full"), "/b.csv", ignored=True)),
        groups.add(ended(TimedOut(limit_s=5), "/b.csv")),
    ]

    assert places == [0, 0, 1, 2, 3]
    assert [group.at for group in groups.shown()] == [0, 1, 3, 2]
    assert (groups.shown()[0].message, groups.shown()[0].number) == ("{}: full", 2)


def test_different_outputs_of_a_group_stand_apart_with_their_items() -> None:
    groups = Groups()
    for item, stdout in (("a", b"x"), ("b", b"y"), ("c", b"x")):
        groups.add(ended(Failed(message="no"), item, stdout))

    (group,) = groups.shown()
    assert [(one.stdout.head, one.items) for one in group.variants.values()] == [
        ("x", ["a", "c"]),
        ("y", ["b"]),
    ]
    assert group.others == 0


def test_of_many_different_outputs_some_are_counted_only() -> None:
    groups = Groups()
    for at in range(50):
        groups.add(ended(Failed(message="no"), f"item{at}", b"%d" % at))

    (group,) = groups.shown()
    assert (len(group.variants), group.others) == (4, 46)


def test_of_many_items_some_are_named() -> None:
    groups = Groups()
    for at in range(50):
        groups.add(ended(Failed(message="no"), f"item{at}"))

    (variant,) = groups.shown()[0].variants.values()
    assert (len(variant.items), variant.number) == (20, 50)


def test_a_flood_of_different_messages_is_counted_and_the_biggest_groups_are_shown() -> None:
    groups = Groups()
    for at in range(300):
        groups.add(ended(Failed(message=f"code {at * 7919}"), f"item{at}"))
    for _ in range(10):
        assert groups.add(ended(Failed(message="code 0"), "again")) == 0
    assert groups.add(ended(Failed(message="another one"), "x")) == NO_GROUP

    assert len(groups.shown()) == 50
    assert groups.shown()[0].number == 11
    assert groups.number == 311
    assert groups.left_out() == 311 - 11 - 49


def test_all_outputs_together_have_a_limit() -> None:
    groups = Groups()
    for at in range(90):
        for variant in range(4):
            groups.add(ended(Failed(message=f"code {at * 7919}"), "x", b"%d " % variant * 9_000))

    kept = [one for group in groups.shown() for one in group.variants.values()]
    assert sum(len(one.stdout.head) + len(one.stdout.tail) for one in kept) <= 1024 * 1024
    assert any(group.others for group in groups.shown())
