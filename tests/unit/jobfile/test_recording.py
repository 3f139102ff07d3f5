"""Variables of a run on record: read back exactly, but for what shows a secret."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrun.errors import JobFileError
from batchrun.jobfile import LoadOptions, load_text
from batchrun.jobfile.loaded import Binding, LoadedJob
from batchrun.jobfile.recording import from_record, to_record
from batchrun.jobfile.scalars import Plain, resolve, text_of
from small_jobs import TABLE, units

JOB = """
vars:
  plain: text
  number: 1.10
  nothing: ~
  many: [a, 2, [true, 0x1F]]
  named: {b: 1, a: {c: ~}}
  computed: "{{ plain }} at {{ now('%H:%M') }}"
tasks:
- run: [work, "{{ plain }}", "{{ number }}", "{{ many }}", "{{ named.a }}", "{{ computed }}"]
"""
GIVEN = {"nothing": "given"}


def loaded(text: str, **options: Any) -> LoadedJob:
    job = load_text(
        text, file="job.yml", base_dir="/base", table=TABLE, options=LoadOptions(**options)
    )
    job.bind(Binding(run_id="run", started_at=0.0))
    return job


def on_record(job: LoadedJob) -> dict[str, Any]:
    """Return the variables of a job as they come back from a database."""
    found: dict[str, Any] = json.loads(json.dumps(job.recorded_variables()))
    return found


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(value=values)
def test_any_value_comes_back_as_it_was(value: Any) -> None:
    assert from_record(json.loads(json.dumps(to_record(value)))) == value


@pytest.mark.parametrize("source", ["1.10", "007", "0x1F", "1e3", "0o17", "1_000", "-0.0"])
def test_a_number_keeps_the_characters_it_was_written_with(source: str) -> None:
    value = resolve(Plain(source))
    back = from_record(json.loads(json.dumps(to_record(value))))
    assert (back, text_of(back), type(back)) == (value, text_of(value), type(value))


@pytest.mark.parametrize("key", ["number", "list", "map", "withheld"])
def test_a_mapping_that_looks_like_a_mark_is_a_mapping(key: str) -> None:
    value = {key: True}
    assert from_record(to_record(value)) == value


def test_what_cannot_come_back_as_it_was_is_no_value_of_a_record() -> None:
    for value in (object(), {1: "a"}, {"a": {2}}):
        with pytest.raises(ValueError, match="cannot be recorded"):
            to_record(value)


def test_a_job_that_is_loaded_with_them_plans_the_same_units() -> None:
    first = loaded(JOB, variables=GIVEN)
    changed = JOB.replace("plain: text", "plain: other").replace("1.10", "2")
    again = loaded(changed, recorded=on_record(first))
    assert [one.params for one in units(again)] == [one.params for one in units(first)]


def test_what_is_new_in_the_file_has_its_own_value_and_what_is_gone_is_left_out() -> None:
    record = on_record(loaded(JOB, variables=GIVEN))
    job = loaded("vars: {own: x, plain: y}\ntasks:\n- run: [work, '{{ own }}', '{{ plain }}']\n",
                 recorded=record)  # fmt: skip
    assert [one.params["command"] for one in units(job)] == [("work", "x", "text")]


# ---- secrets --------------------------------------------------------------------------------

SECRET = """
secrets: {token: {env: A_TOKEN}}
vars:
  header: "Bearer {{ env('A_TOKEN') }}"
  url: http://example.org
  plain: x
tasks:
- run: work
  env: {T: "{{ secrets.token }}"}
"""


def test_a_variable_that_shows_a_secret_is_not_on_record_and_is_computed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_TOKEN", "open-sesame")
    record = on_record(loaded_with_secrets(SECRET.replace("header:", "unused:")))
    assert record == {"url": "http://example.org", "plain": "x"}
    assert loaded_with_secrets(SECRET, recorded=record).job.tasks


def test_one_that_was_given_cannot_be_computed_and_the_run_is_not_gone_on_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("A_TOKEN", "open-sesame")
    first = loaded_with_secrets(SECRET, variables={"url": "http://ann:open-sesame@example.org"})
    record = on_record(first)
    assert "open-sesame" not in json.dumps(record)
    with pytest.raises(JobFileError) as caught:
        loaded_with_secrets(SECRET, recorded=record)
    (problem,) = caught.value.problems
    assert str(problem) == (
        "job.yml:5: vars.url: held a secret in the first run and is not on record; that run cannot "
        "be gone on with, run the job anew"
    )


def test_nor_is_one_from_a_file_with_variables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("A_TOKEN", "open-sesame")
    (tmp_path / "vars.yml").write_text("url: [http://x, 'with open-sesame']\n")
    first = loaded_with_secrets(SECRET, vars_files=(str(tmp_path / "vars.yml"),))
    with pytest.raises(JobFileError, match=r"vars\.url: held a secret"):
        loaded_with_secrets(SECRET, recorded=on_record(first))


def loaded_with_secrets(text: str, **options: Any) -> LoadedJob:
    """Load a job whose command may hold secrets."""
    from batchrun.plugins import OPERATIONS

    job = load_text(
        text, file="job.yml", base_dir="/base", table=OPERATIONS, options=LoadOptions(**options)
    )
    job.bind(Binding(run_id="run", started_at=0.0))
    return job
