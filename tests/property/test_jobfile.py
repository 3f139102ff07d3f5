"""Any text at all: a job, or mistakes with their places; never anything else."""

import json
import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchrun.errors import JobFileError, SourceError, UsageError
from batchrun.jobfile import LoadOptions, load_text
from batchrun.model.outcome import Failed
from batchrun.model.values import Glob
from batchrun.ops.paths import expand
from small_jobs import BASE, TABLE, loaded, units

#: Words of job files; put together at random they are nearly job files.
_WORDS = (
    "tasks finally vars defaults limits order name id needs when foreach run copy delete src "
    "dest glob lines range env retries timeout lock limit item index run.id {{ }} {{x}} "
    "'{{ item }}' true null 1.10 0640 - : [ ] { } , ' \" | > & * ! % @ ` # ? ~ << &a *a --- "
    "\\ x a 10% sequential"
)
_GLUE = ["\n", "\n- ", "\n  ", "\n    ", ": ", " ", "\t", "\0", "\ud800", "é", "tasks:\n- "]
WORDS = st.sampled_from([*_WORDS.split(), *_GLUE])
NEARLY = st.lists(WORDS, max_size=40).map("".join)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(["{{ item }}", "{{ x }}", "a", "*", "{{", "10%", "run-1", "1m", "sequential"]),
)  # fmt: skip
_KEYS = (
    "tasks finally vars defaults limits order name id needs when foreach run copy delete src "
    "dest mode glob lines range env cwd stdin shell ok_codes retries retry_on timeout lock "
    "limit tags x max_fail require command path if"
)
KEYS = st.one_of(st.sampled_from(_KEYS.split()), st.text(max_size=4))
STRUCTURES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=25,
)


def load_anything(text: str | bytes) -> None:
    try:
        job = load_text(text, file="f.yml", base_dir=BASE, table=TABLE)
    except JobFileError as error:
        told = [problem.message for problem in error.problems]
    else:
        assert job.job.tasks
        assert len(job.describe()) == len(job.job.tasks) + len(job.job.final_tasks)
        return
    assert told
    assert all(told)


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(st.text(), st.binary(), NEARLY, NEARLY.map(lambda t: "tasks:\n- " + t)))
@example(text="tasks: [{run: a}]")
@example(text="? [a]\n: b")
@example(text="<<: {a: 1}")
@example(text="<<: 3")
@example(text="*a : b")
@example(text="&a a: *a")
@example(text="tasks: [{? {a: b} : c}]")
@example(text="%YAML 1.1\n---\ntasks: []")
@example(text='{"tasks": [{"run": NaN}]}')
def test_any_text_is_a_job_or_a_list_of_mistakes(text: str | bytes) -> None:
    load_anything(text)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(structure=st.dictionaries(KEYS, STRUCTURES, max_size=6), tasks=STRUCTURES)
@example(structure={}, tasks=[{"run": "a", "foreach": {"range": [1, 2, 3]}}])
def test_any_structure_is_a_job_or_a_list_of_mistakes(
    structure: dict[str, object], tasks: object
) -> None:
    load_anything(json.dumps({**structure, "tasks": tasks}))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(task=st.dictionaries(KEYS, STRUCTURES, max_size=4), vars_=st.dictionaries(KEYS, SCALARS))
def test_any_task_that_loads_can_be_planned(
    task: dict[str, object], vars_: dict[str, object]
) -> None:
    text = json.dumps({"vars": {"x": "v"} | vars_, "tasks": [{"run": "a {{ x }}"} | task]})
    try:
        job = load_text(text, file="f.yml", base_dir=BASE, table=TABLE)
        stream = job.open(job.job.tasks[0].id, {}, lambda: None)
    except (JobFileError, SourceError, UsageError):
        return
    try:
        for _ in range(5):
            stream.draw()
    except SourceError:
        return  # an honest answer, too
    finally:
        stream.close()


NAMES = st.binary(min_size=1, max_size=12).map(
    lambda raw: os.fsdecode(raw.replace(b"\0", b"0").replace(b"/", b"_"))
)


@pytest.mark.parametrize("before", ["", "x", "{a,b}", "[ab]"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.one_of(NAMES, st.text("*?[]{},!-^ab", min_size=1, max_size=8)))
def test_a_name_inserted_into_a_pattern_matches_itself_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, before: str, name: str
) -> None:
    directory = tmp_path_factory.mktemp("names")
    literal = {"{a,b}": "b", "[ab]": "b"}.get(before, before)
    wanted = os.path.join(directory, f"{literal}n{name}.end")
    for other in ("", "a", "ab", "abc", "*", "x", ",", "}", "{a,b}"):
        open(os.path.join(directory, f"{literal}n{other}.end"), "wb").close()
    open(wanted, "wb").close()
    job = loaded(
        "vars: {names: null}\n"
        f"tasks: [{{delete: '{before}n{{{{ item }}}}.e*', foreach: '{{{{ names }}}}'}}]",
        base_dir=str(directory),
        options=LoadOptions(variables={"names": [name]}),
    )

    (unit,) = units(job)

    assert not isinstance(unit.verdict, Failed), unit.verdict
    (pattern,) = unit.params["path"] if isinstance(unit.params["path"], tuple) else ()
    assert isinstance(pattern, Glob)
    assert list(expand(pattern)) == [wanted]
