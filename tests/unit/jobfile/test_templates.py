"""Templates: what is in scope, what is inserted where, and what is never rendered."""

import time

import pytest

from batchrun.jobfile import LoadOptions
from batchrun.jobfile.loaded import Binding
from batchrun.model.outcome import Failed, Skipped
from small_jobs import loaded, only_unit, units


def text_of(template: str, variables: str = "{}") -> object:
    """Render a template as the standard input of a command."""
    quoted = template.replace("'", "''")
    return only_unit(f"vars: {variables}\ntasks:\n- {{run: a, stdin: '{quoted}'}}\n").params[
        "stdin"
    ]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{% if x %} {# note #}", "{% if x %} {# note #}"),
        ("{{ '{{' }}x{{ '}}' }}", "{{x}}"),
        ("{{ {'a': {'b': 7}}.a.b }}", "7"),
        ("a {{- ' b ' -}} c", "a b c"),
        ("{{ x | upper }}-{{ x }}", "V-v"),
        ("{{ x ~ '1' if x == 'v' else 'no' }}", "v1"),
        ("{{ [1, 2] | join(',') }}", "1,2"),
        ("{{ '/a/b.tar.gz' | basename }}", "b.tar.gz"),
        ("{{ '/a/b.tar.gz' | dirname }}", "/a"),
        ("{{ '/a/b.tar.gz' | stem }}", "b.tar"),
        ("{{ '/a/b.tar.gz' | suffix }}", ".gz"),
        ("{{ '/a/b.csv' | with_suffix('.zst') }}", "/a/b.zst"),
        ("{{ '/a/b/c' | relative_to('/a/') }}", "b/c"),
        ("{{ '/base/dir/in/x/y' | relative_to('in') }}", "x/y"),
        ("{{ 'in/x' | relative_to('/base') }}", "dir/in/x"),
        ("{{ 'in/x' | relative_to('in/') }}", "x"),
        ("{{ '/a/' | join_path('b', '/c') }}", "/a/b/c"),
        ("{{ '/' | join_path('b') }}", "/b"),
        ("{{ 'a\\n\\nb\\n' | lines | join('+') }}", "a+b"),
        ("{{ ' a  b ' | words | join('+') }}", "a+b"),
        ("{{ job.name }} {{ job.dir }}", "job /base/dir"),
        ("{{ run.id }}", "run-1"),
        ("{{ env('PATH') is string }}", "true"),
        ("{{ env('BATCHRUN_NOT_THERE', 'x') }}", "x"),
    ],
)
def test_templates_compute(template: str, text: str) -> None:
    assert text_of(template, "{x: v}") == text


def test_what_a_value_holds_is_never_rendered_again() -> None:
    options = LoadOptions(variables={"x": "{{ 7 * 7 }}"})
    text = "vars: {x: a, y: '<{{ x }}>'}\ntasks: [{run: a, stdin: '{{ y }}'}]"

    assert only_unit(text, options=options).params["stdin"] == "<{{ 7 * 7 }}>"


def test_an_entry_of_a_mapping_wins_over_a_method_of_its_name() -> None:
    assert text_of("{{ x.items }}/{{ x.copy }}", "{x: {items: 3, copy: 4}}") == "3/4"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ x.nope }}", "there is no `nope` in the mapping"),
        ("{{ x }}", "`x` is a mapping where text is expected"),
        ("{{ [x] }}", "is a list where text is expected; join it"),
        ("{{ x.a / 0 }}", "division by zero"),
        ("{{ env('BATCHRUN_NOT_THERE') }}", "BATCHRUN_NOT_THERE is not set"),
        ("{{ now('%F', 'soon') }}", "'soon' is not a duration"),
        ("{{ '/a' | relative_to('/b') }}", "'/a' is not below '/b'"),
        ("{{ '/a' | relative_to('b') }}", "'/a' is not below '/base/dir/b'"),
        ("{{ 'a' | with_suffix('gz') }}", "begins with a dot"),
        ("{{ x.__class__ }}", "unsafe"),
        ("{{ x.update({'a': 2}) }}", "update"),
        ("{{ 10 ** 100000000 }}", "the power is too large"),
        ("{{ '\\0' }}", "NUL"),
    ],
)
def test_a_template_that_fails_fails_its_unit_and_says_where(template: str, reason: str) -> None:
    quoted = template.replace("'", "''")
    job = loaded(f"vars: {{x: {{a: 1}}}}\ntasks:\n- run: a\n  stdin: '{quoted}'\n")

    (unit,) = units(job)

    assert isinstance(unit.verdict, Failed)
    assert unit.verdict.message.startswith("job.yml:4: tasks[0].stdin: ")
    assert reason in unit.verdict.message
    assert not unit.verdict.retryable
    assert unit.params == {}


def test_now_is_the_start_of_the_run_and_moves_by_whole_days_of_the_calendar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    job = loaded(
        "tasks:\n- run: a\n  stdin: \"{{ now('%F %T') }} | {{ now('%F %T %Z', '-1d') }} | "
        "{{ now('%T', '+90m') }} | {{ now() }}\"\n"
    )
    # 2026-03-30 04:00 in Berlin, the day after the clocks changed.
    job.bind(Binding(run_id="r", started_at=1774836000.0))

    (unit,) = units(job)
    monkeypatch.undo()
    time.tzset()

    assert unit.params["stdin"] == (
        "2026-03-30 04:00:00 | 2026-03-29 04:00:00 CEST | 05:30:00 | 2026-03-30T04:00:00"
    )


def test_variables_refer_to_each_other_in_any_order_and_keep_their_types() -> None:
    text = (
        "vars: {c: '{{ b }}/x', b: '{{ a | first }}', a: [/data, /y], all: ['{{ c }}', 3]}\n"
        "tasks: [{run: a, foreach: '{{ all }}', stdin: '{{ item }}'}]"
    )

    assert [unit.params["stdin"] for unit in units(loaded(text))] == ["/data/x", "3"]


def test_variables_of_a_task_are_computed_for_each_unit() -> None:
    text = (
        "tasks:\n- run: a\n  foreach: [/a/x.csv, /b/y.csv]\n"
        "  vars: {stem: '{{ item | stem }}', out: '{{ stem }}-{{ index }}'}\n"
        "  stdin: '{{ out }}'\n"
    )

    assert [unit.params["stdin"] for unit in units(loaded(text))] == ["x-1", "y-2"]


@pytest.mark.parametrize("when", ["item != 'b'", "{{ item != 'b' }}", "index != 2"])
def test_a_condition_that_is_false_skips_the_unit_and_says_why(when: str) -> None:
    job = loaded(f"tasks: [{{run: 'a {{{{ item }}}}', foreach: [a, b], when: \"{when}\"}}]")

    first, second = units(job)

    assert first.verdict is None
    assert second.verdict == Skipped(because=f"when: {when.strip('{} ')} is false")
    assert second.params == {}


def test_a_skipped_unit_never_renders_its_parameters() -> None:
    text = "vars: {x: {}}\ntasks: [{run: 'echo {{ x.missing }}', when: x.missing is defined}]"

    (unit,) = units(loaded(text))

    assert isinstance(unit.verdict, Skipped)


@pytest.mark.parametrize(("flag", "skipped"), [("true", False), ("false", True)])
def test_a_condition_on_a_variable_of_the_command_line_reads_its_words(
    flag: str, *, skipped: bool
) -> None:
    options = LoadOptions(variables={"full": flag})
    (unit,) = units(loaded("vars: {full: true}\ntasks: [{run: a, when: full}]", options=options))

    assert (unit.verdict is not None) is skipped


def test_names_of_the_final_scope_reach_finally_tasks() -> None:
    job = loaded("tasks: [{run: a}]\nfinally: [{run: [log, '{{ run.id }}: {{ run.summary }}']}]")

    (unit,) = units(job, 1, {"run": {"summary": "all well", "outcome": "ok"}})

    assert unit.params["command"] == ("log", "run-1: all well")
