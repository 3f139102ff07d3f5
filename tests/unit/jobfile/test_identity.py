"""Who a unit is from run to run: what it does, and to what; not how it is called or judged."""

import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.jobfile import LoadOptions, load_text
from batchrun.jobfile.identity import SIZE_BYTES, canonical
from batchrun.jobfile.loaded import Binding, LoadedJob
from batchrun.model.operation import OperationTable
from batchrun.plugins import OPERATIONS
from small_jobs import TABLE, drawn, units
from small_jobs import Waker as CountingWaker


def job_of(
    task: dict[str, Any],
    *before: dict[str, Any],
    run_id: str = "r1",
    table: OperationTable = TABLE,
    **top: Any,
) -> LoadedJob:
    """Load a job whose last task is the one that is looked at."""
    text = json.dumps({"tasks": [*before, {"id": "t", **task}], **top})
    options = LoadOptions()
    loaded = load_text(text, file="job.yml", base_dir="/base", table=table, options=options)
    loaded.bind(Binding(run_id=run_id, started_at=0.0, shown_id="first", identifies=True))
    return loaded


def identities(task: dict[str, Any], *before: dict[str, Any], **more: Any) -> list[bytes]:
    """Plan the units of a task; return who they are."""
    job = job_of(task, *before, **more)
    found = units(job, len(before))
    assert all(one.verdict is None for one in found)
    assert all(len(one.identity) == SIZE_BYTES for one in found)
    return [one.identity for one in found]


def identity(task: dict[str, Any], *before: dict[str, Any], **more: Any) -> bytes:
    (found,) = identities(task, *before, **more)
    return found


RUN = {"run": "work hard"}
COPY = {"copy": {"src": "/a", "dest": "/b"}}
REGISTERING = {"id": "before", "run": "look", "foreach": ["x"], "register": "seen"}
#: Resolved only when its item's turn has come: it uses the result of the same item.
LATE = {
    "run": "work {{ mine.seen.stdout }}",
    "foreach": ["x"],
    "needs": [{"task": "before", "per": "item"}],
}
STEPS = {"steps": [{"run": "one"}, {"copy": {"src": "/a", "dest": "/b"}}]}


def step(**more: Any) -> dict[str, Any]:
    return {"steps": [{"run": "one", **more}]}


# ---- the same -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (COPY, {"copy": {"dest": "/b", "src": ["/a"]}}),
        (COPY, {"copy": {"src": "{{ a }}", "dest": "/{{ b }}"}}),
        (
            {"copy": {**COPY["copy"], "mode": "0640", "level": 3, "above": "1K", "older": "1m"}},
            {
                "copy": {
                    "older": "{{ minute }}",
                    "above": "{{ kilo }}",
                    "level": "{{ three }}",
                    "mode": "{{ mode }}",
                    "dest": "/b",
                    "src": "/a",
                }
            },
        ),
        (
            {"copy": {"src": "/a*", "dest": "/b"}},
            {"copy": {"src": "{{ a | glob }}*", "dest": "/b"}},
        ),
        ({"run": ["work", "a b"]}, {"run": ["work", "a {{ b }}"]}),
        ({"run": "work 'a b'"}, {"run": "work {{ ab }}"}),
        (
            {**RUN, "env": {"A": "1", "B": "2"}},
            {**RUN, "env": {"B": "{{ two }}", "A": "1"}},
        ),
        ({**RUN, "cwd": "/base/sub"}, {**RUN, "cwd": "sub"}),
    ],
    ids=str,
)
def test_a_value_is_the_same_written_out_computed_or_in_another_order(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    values = {
        "a": "/a",
        "b": "b",
        "ab": "a b",
        "two": "2",
        "three": 3,
        "mode": "0640",
        "kilo": "1024",
        "minute": "60s",
    }
    assert identity(one, vars=values) == identity(other, vars=values)


BESIDE: list[dict[str, Any]] = [
    {"name": "another name"},
    {"timeout": "5m"},
    {"retries": 3, "retry_delay": "5s", "retry_backoff": 3, "retry_on": ["failed"]},
    {"ok_codes": [0, 1]},
    {"changed_codes": [3]},
    {"readonly": True},
    {"idle_timeout": "1m"},
    {"ignore_errors": True},
    {"changed_when": "changed"},
    {"nice": 5},
    {"ionice": "idle"},
]


@pytest.mark.parametrize("more", BESIDE, ids=str)
def test_how_a_unit_is_called_repeated_and_judged_is_no_part_of_it(more: dict[str, Any]) -> None:
    assert identity({**RUN, **more}) == identity(RUN)


@pytest.mark.parametrize("more", BESIDE, ids=str)
def test_nor_is_it_of_a_unit_that_is_resolved_late(more: dict[str, Any]) -> None:
    assert identity({**LATE, **more}, REGISTERING) == identity(LATE, REGISTERING)


@pytest.mark.parametrize("more", BESIDE, ids=str)
def test_nor_is_it_of_a_step(more: dict[str, Any]) -> None:
    assert identity(step(**more)) == identity(step())


def test_nor_is_it_written_as_a_parameter_of_the_command() -> None:
    judged = {"command": "one", "ok_codes": [0, 1], "idle_timeout": "1m"}
    plain = {"command": "one"}
    assert identity({"run": judged}) == identity({"run": plain})
    assert identity({"steps": [{"run": judged}]}) == identity({"steps": [{"run": plain}]})


@pytest.mark.parametrize(
    "more",
    [
        *({"needs": ["before"]}, {"tags": ["x"]}, {"max_fail": 3}, {"max_parallel": 1}),
        *({"lock": "x"}, {"creates": "/x"}, {"unless": "true"}, {"register": "seen_too"}),
        *({"print": "always"}, {"slots": 2}, {"vars": {"unused": "x"}}),
    ],
    ids=str,
)
def test_when_and_beside_what_a_unit_runs_is_no_part_of_it(more: dict[str, Any]) -> None:
    before = {**REGISTERING, "foreach": ["y"]}
    assert identity({**RUN, **more}, before) == identity(RUN, before)


def test_where_a_unit_stands_is_no_part_of_it() -> None:
    task = {"run": "work {{ item }}"}
    a, b, c = identities({**task, "foreach": ["a", "b", "c"]})
    new, *others = identities({**task, "foreach": ["new", "c", "a", "b", "b"]})
    assert others == [c, a, b, b]
    assert len({a, b, c, new}) == 4


def test_an_item_is_the_same_wherever_it_comes_from() -> None:
    listed = identities({"run": "work", "foreach": ["1", "2"]})
    assert identities({"run": "work", "foreach": {"range": [1, 2]}}) == listed
    assert identities({"run": "work", "foreach": "{{ both }}"}, vars={"both": ["1", "2"]}) == listed


def test_a_mapping_is_the_same_item_in_any_order_of_its_keys() -> None:
    task = {"run": "work {{ item.a }}"}
    one = identities({**task, "foreach": [{"a": "1", "b": "2"}]})
    assert one == identities({**task, "foreach": [{"b": "2", "a": "1"}]})
    assert one != identities({**task, "foreach": [{"a": "1", "b": "3"}]})


def test_the_run_and_the_position_are_no_part_of_an_output_file() -> None:
    task = {"run": "work {{ item }} > {{ output }}", "output": "/out/{{ item }}.tar.gz"}
    one = identities({**task, "foreach": ["a", "b"]}, run_id="r1")
    other = identities({**task, "foreach": ["x", "b", "a"]}, run_id="20260101-000000-0001")
    assert one == [other[2], other[1]]


def test_nor_is_how_many_outputs_the_job_has() -> None:
    task = {"run": "work > {{ output }}", "output": "/out/x"}
    other = {"id": "other", "run": "work > {{ output }}", "output": "/out/y"}
    assert identity(task) == identity(task, other)


# ---- another --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        *({"id": "u"}, {"run": "work harder"}, {"run": ["work hard"]}, {"run": ["work", "hard"]}),
        *({"cwd": "/tmp"}, {"env": {"A": "1"}}, {"stdin": "text"}, {"shell": "bash"}),
        *({"sudo": True}, {"sudo": "www-data"}, {"foreach": ["x"]}),
    ],
    ids=str,
)
def test_what_a_unit_does_and_to_what_is_who_it_is(more: dict[str, Any]) -> None:
    assert identities({**RUN, **more}) != [identity(RUN)]


@pytest.mark.parametrize(
    "more",
    [{"src": "/x"}, {"src": ["/a", "/a"]}, {"dest": "/x"}, {"verify": True}, {"extra": {"a": "1"}}],
    ids=str,
)
def test_every_parameter_of_an_operation_counts(more: dict[str, Any]) -> None:
    assert identity({"copy": {**COPY["copy"], **more}}) != identity(COPY)


def test_a_pattern_is_not_the_file_of_that_name() -> None:
    pattern = {"copy": {"src": "/a*", "dest": "/b"}}
    file = {"copy": {"src": "{{ name }}", "dest": "/b"}}
    assert identity(pattern) != identity(file, vars={"name": "/a*"})


def test_another_environment_working_directory_or_input_is_another_unit() -> None:
    found = [
        identity({**RUN, "env": {"A": "1"}}),
        identity({**RUN, "env": {"A": "2"}}),
        identity({**RUN, "env": {"B": "1"}}),
        identity({**RUN, "cwd": "/a"}),
        identity({**RUN, "cwd": "/b"}),
        identity({**RUN, "stdin": "a"}),
        identity({**RUN, "stdin": "a\n"}),
    ]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("late", [False, True])
def test_another_output_file_is_another_unit(late: bool) -> None:
    command = f"work {'{{ mine.seen.stdout }}' if late else ''} > {{{{ output }}}}"
    task = {**LATE, "run": command}
    one, two = (identity({**task, "output": path}, REGISTERING) for path in ("/o/1", "/o/2"))
    assert one != two


@pytest.mark.parametrize(
    "more",
    [
        *({"run": "other {{ mine.seen.stdout }}"}, {"env": {"A": "1"}}, {"cwd": "/x"}),
        *({"stdin": "x"}, {"shell": "bash"}, {"sudo": True}, {"vars": {"a": "x"}}),
    ],
    ids=str,
)
def test_a_unit_that_is_resolved_late_is_known_by_what_is_written(more: dict[str, Any]) -> None:
    assert identity({**LATE, **more}, REGISTERING) != identity(LATE, REGISTERING)


@pytest.mark.parametrize(
    "more",
    [
        *({"run": "other"}, {"env": {"A": "1"}}, {"cwd": "/x"}, {"stdin": "x"}, {"sudo": True}),
        *({"shell": "bash"}, {"register": "r"}, {"when": "1 == 2"}),
        {"run": "one > {{ output }}", "output": "/o"},
    ],
    ids=str,
)
def test_what_a_step_does_is_who_its_unit_is(more: dict[str, Any]) -> None:
    assert identity(step(**more)) != identity(step())


@pytest.mark.parametrize(
    "other",
    [
        {"steps": STEPS["steps"][::-1]},
        {"steps": STEPS["steps"][:1]},
        {**STEPS, "rescue": [{"run": "three"}]},
        {**STEPS, "always": [{"run": "three"}]},
        {**STEPS, "env": {"A": "1"}},
        {**STEPS, "foreach": ["x"]},
    ],
    ids=str,
)
def test_the_steps_and_their_order_are_who_a_unit_is(other: dict[str, Any]) -> None:
    assert identity(other) != identity(STEPS)


def test_what_differs_only_in_where_one_value_ends_and_the_next_begins_differs() -> None:
    found = [
        identity({"copy": {"src": ["/a", "/b"], "dest": "/c"}}),
        identity({"copy": {"src": ["/a /b"], "dest": "/c"}}),
        identity({"copy": {"src": "/a', '/b", "dest": "/c"}}),
        identity({"copy": {"src": "/a\ndest=/b", "dest": "/c"}}),
        identity({"copy": {"src": "/a", "dest": "/b\nsrc=/a"}}),
        identity({"run": "a", "stdin": "b"}),
        identity({"run": "a\nstdin=b"}),
    ]
    assert len(set(found)) == len(found)


@given(names=st.lists(st.binary(min_size=1, max_size=6), min_size=2, max_size=5, unique=True))
def test_items_of_any_bytes_are_told_apart(names: list[bytes]) -> None:
    job = job_of({"run": "work", "foreach": "{{ names }}"}, vars={"names": ["x"]})
    items = [os.fsdecode(one) for one in names]
    waker = CountingWaker()
    stream = job.open("t", {"names": items}, waker)
    found = [one.identity for one in drawn(stream, waker)]
    stream.close()
    assert len(set(found)) == len(found) == len(names)


# ---- secrets, and what stays the same for years ---------------------------------------------


def test_a_secret_counts_by_its_name_and_not_by_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = {**RUN, "env": {"TOKEN": "{{ secrets.token }}"}}
    secrets = {"token": {"env": "A_TOKEN"}, "other": {"env": "B_TOKEN"}}
    monkeypatch.setenv("A_TOKEN", "first-value")
    one = identity(task, secrets=secrets, table=OPERATIONS)
    monkeypatch.setenv("A_TOKEN", "another-value")
    assert identity(task, secrets=secrets, table=OPERATIONS) == one
    other = {**RUN, "env": {"TOKEN": "{{ secrets.other }}"}}
    assert identity(other, secrets=secrets, table=OPERATIONS) != one
    assert identity({**RUN, "env": {"TOKEN": "***"}}, table=OPERATIONS) != one


def test_nobody_is_identified_when_nobody_asks() -> None:
    job = job_of(RUN)
    job.bind(Binding(run_id="r", started_at=0.0))
    assert [one.identity for one in units(job)] == [b""]


GOLDEN: list[tuple[str, dict[str, Any]]] = [
    ("32722d8e3a06af7cc9b77ea19b9f32a8", RUN),
    (
        "178c79a6970bba72504685d60bebce0f",
        {"run": ["wörk", "{{ item.a }}"], "foreach": [{"a": "日本", "b": 1.10}]},
    ),
    (
        "57d901f7df3dafd4aae5845632a5d37f",
        {"copy": {"src": ["/a*", "/b"], "dest": "/c", "older": "1m", "extra": {"z": 1, "a": 2}}},
    ),
    (
        "5e3c24917a6237bc16b83d9f98cfa4dc",
        {"run": "work > {{ output }}", "output": "/out/{{ item }}", "foreach": ["x"]},
    ),
    ("5876bfaa454cd8d102f9918bd5c81960", LATE),
    ("0567860780f530f5e5bb8c00b47aeabe", STEPS),
]


@pytest.mark.parametrize(("expected", "task"), GOLDEN)
def test_units_of_records_on_peoples_disks_are_known_again(
    expected: str, task: dict[str, Any]
) -> None:
    # Whoever changes these values makes everybody's interrupted runs begin anew.
    assert identity(task, REGISTERING).hex() == expected


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(value=VALUES)
def test_the_canonical_form_of_a_value_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    assert canonical(value) == canonical(turned_round(value))


def turned_round(value: Any) -> Any:
    """Write all mappings in the opposite order, and lists as tuples."""
    if isinstance(value, dict):
        return {key: turned_round(value[key]) for key in reversed(value)}
    return tuple(map(turned_round, value)) if isinstance(value, list) else value
