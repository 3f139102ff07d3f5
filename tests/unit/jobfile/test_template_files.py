"""The operation `template`: all of Jinja2 in a file, checked at load, filled in for each unit."""

from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import JobFileError
from batchrun.jobfile import load_text
from batchrun.jobfile.loaded import Binding, LoadedJob
from batchrun.model.outcome import Failed
from batchrun.model.secret import SecretRef, SecretText
from batchrun.ops import OPERATIONS
from small_jobs import units

VARS = "vars: {who: Zoë, many: [1, 2, 3], flags: {a: true, b: null}, lazy: '{{ who }}!'}\n"
SECRETS = "secrets: {token: {env: T}, other: {env: O}}\n"


def loaded(
    directory: Path, template: str | bytes, *, more: str = "", src: str = "t.j2"
) -> LoadedJob:
    (directory / "t.j2").write_bytes(template if isinstance(template, bytes) else template.encode())
    text = f"{VARS}{more}\ntasks:\n- template: {{src: '{src}', dest: out}}\n  foreach: [x, y]\n"
    job = load_text(text, file="job.yml", base_dir=str(directory), table=OPERATIONS)
    job.bind(Binding(run_id="run-1", started_at=0.0))
    return job


def rendered(directory: Path, template: str | bytes, *, more: str = "") -> Any:
    unit = units(loaded(directory, template, more=more))[0]
    assert unit.verdict is None, unit.verdict
    return unit.params["text"]


def failure(directory: Path, template: str, *, more: str = "") -> str:
    verdict = units(loaded(directory, template, more=more))[0].verdict
    assert isinstance(verdict, Failed)
    assert not verdict.retryable
    return verdict.message.replace(f"{directory}/", "")


def mistakes(directory: Path, template: str | bytes, **more: str) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        loaded(directory, template, **more)
    return [str(problem).replace(f"{directory}/", "") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain\n", "plain\n"),
        ("no line end", "no line end"),
        ("\n\n", "\n\n"),
        ("", ""),
        ("Hello {{ who }} {{ lazy }}\n", "Hello Zoë Zoë!\n"),
        ("{{ item }}{{ index }} {{ job.name }} {{ run.id }}", "x1 job run-1"),
        ("{% for n in many %}\n- {{ n }}\n{% endfor %}\nend\n", "- 1\n- 2\n- 3\nend\n"),
        ("  {% if who %}\n  yes\n  {% endif %}\n", "    yes\n  "),
        ("a {# a note #} b\n", "a  b\n"),
        ("{% raw %}{{ x }}{% endraw %}\n", "{{ x }}"),
        ("{% set n = namespace(x=1) %}{% set n.x = n.x + 1 %}{{ n.x }}", "2"),
        ("{% macro m(a, b=2) %}{{ a }}{{ b }}{{ who }}{% endmacro %}{{ m(1) }}", "12Zoë"),
        ("{{ range(3) | join(',') }}{{ dict(a=1).a }}", "0,1,21"),
        ("{{ '/a/b.txt' | basename }}", "b.txt"),
        ("{{ flags.a }} {{ flags.b }}.{{ 1.5 }}", "true .1.5"),
        ("{{ many | tojson }} {{ who | e }}", "[1, 2, 3] Zoë"),
        ("{% for n in many %}{{ loop.index }}/{{ loop.length }}{{ loop.last }} {% endfor %}",
         "1/3false 2/3false 3/3true "),
        ("{% for n in [] %}{% else %}none{% endfor %}", "none"),
        ("{% for k, v in flags.items() %}{{ k }}={{ v }};{% endfor %}", "a=true;b=;"),
        (("{% macro wrap() %}[{{ caller(1) }}]{% endmacro %}"
         "{% call(x) wrap() %}<{{ x }}>{% endcall %}"), "[<1>]"),
    ],
)  # fmt: skip
def test_a_template_file_is_all_of_jinja2(tmp_path: Path, template: str, text: str) -> None:
    assert rendered(tmp_path, template) == text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (b"a\r\n{% if who %}\r\nb\r\n{% endif %}\r\nc\r\n", "a\r\nb\r\nc\r\n"),
        (b"caf\xe9 {{ 1 }}\n", "caf\udce9 1\n"),
        (b"\xef\xbb\xbfa\n", "\ufeffa\n"),
    ],
)
def test_bytes_and_line_ends_of_a_template_come_through_unharmed(
    tmp_path: Path, template: bytes, text: str
) -> None:
    assert rendered(tmp_path, template) == text


def test_what_a_value_holds_is_never_rendered_again(tmp_path: Path) -> None:
    assert rendered(tmp_path, "{{ '{{ who }}{% if %}' }}") == "{{ who }}{% if %}"


def test_a_slip_in_what_a_result_is_asked_for_is_told_with_the_line_of_the_template(
    tmp_path: Path,
) -> None:
    (tmp_path / "sub.j2").write_text("\n{{ job.titel }}\n")
    (tmp_path / "t.j2").write_text(
        "{% include 'sub.j2' %}\n"
        "{% for line in results.probe.line %}\n"
        "{{ line }} {{ results.probe.units | map(attribute='lable') | join }}\n"
        "{{ mine.probe.stdout }} {{ mine['probe'].std }}{% endfor %}\n"
        "{% set failed = {'step': 1} %}{{ failed.any }} {{ run.counts }}\n"
    )
    text = (
        "tasks:\n- {id: p, run: a, foreach: [x], register: probe}\n"
        "- {needs: p, template: {src: t.j2, dest: out}, foreach: [x]}\n"
    )

    with pytest.raises(JobFileError) as caught:
        load_text(text, file="job.yml", base_dir=str(tmp_path), table=OPERATIONS)

    told = [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]
    assert told == [
        "t.j2:2: a result has no `line`; did you mean `lines`?",
        "t.j2:3: the result of a unit has no `lable`; did you mean `label`?",
        "t.j2:4: the result of a unit has no `std`; did you mean `stdout`?",
        "t.j2:5: `run.counts` is known only in `finally` tasks",
        "sub.j2:2: `job` has no `titel`; it has name, dir",
    ]


def test_each_unit_gets_its_own_text(tmp_path: Path) -> None:
    texts = [unit.params["text"] for unit in units(loaded(tmp_path, "{{ item }}{{ index }}"))]

    assert texts == ["x1", "y2"]


def test_all_mistakes_of_a_template_are_told_at_load_with_its_file_and_line(
    tmp_path: Path,
) -> None:
    (tmp_path / "sub.j2").write_text("\n{{ whoo }}\n")

    told = mistakes(
        tmp_path,
        "{{ nope }}\n{{ who | uper }}\n{% if who is strin %}{% endif %}\n"
        "{% include 'sub.j2' %}\n{% include 'gone.j2' %}\n{{ run.summary }}\n",
    )

    assert told == [
        "t.j2:1: `nope` is not known here; declare it in `vars`",
        "t.j2:2: there is no filter `uper`; did you mean `upper`?",
        "t.j2:3: there is no test `is strin`; did you mean `string`?",
        "t.j2:5: the file gone.j2 cannot be read: No such file or directory",
        "t.j2:6: `run.summary` is known only in `finally` tasks",
        "sub.j2:2: `whoo` is not known here; did you mean `who`?",
    ]


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("a\n{% if %}", "t.j2:2: this is not Jinja2: Expected an expression, got 'end of"),
        ("{{ who }", "t.j2:1: this is not Jinja2: "),
        ("{% for x in many %}", "t.j2:1: this is not Jinja2: "),
        ("{% bogus %}", "t.j2:1: this is not Jinja2: Encountered unknown tag 'bogus'."),
        ("{{ " + "(" * 400 + "1" + ")" * 400 + " }}", "t.j2:1: "),
    ],
)
def test_a_template_that_is_none_is_told_at_load(tmp_path: Path, template: str, told: str) -> None:
    (found,) = mistakes(tmp_path, template)

    assert found.startswith(told)


def test_a_template_that_is_missing_is_told_where_it_is_named(tmp_path: Path) -> None:
    (told,) = mistakes(tmp_path, "", src="gone.j2")

    assert told == (
        "job.yml:4: tasks[0].template.src: the template gone.j2 cannot be read: "
        "No such file or directory"
    )


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("a\nb {{ flags.nope }}", "t.j2:2: there is no `nope` in the mapping"),
        ("{{ many }}", "t.j2:1: cannot be computed: what is inserted is a list where text is"),
        ("\n{{ 1 / (many | length - 3) }}", "t.j2:2: cannot be computed: division by zero"),
        ("{{ ''.__class__ }}", "t.j2:1: access to attribute '__class__' of 'str' object is unsafe"),
        (
            "{% for x in 5 %}{% endfor %}",
            "t.j2:1: cannot be computed: 'int' object is not iterable",
        ),
    ],
)
def test_a_template_that_cannot_be_filled_in_fails_its_unit_with_the_line(
    tmp_path: Path, template: str, told: str
) -> None:
    message = failure(tmp_path, template)

    assert message.startswith("job.yml:4: tasks[0].template.src: " + told)


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(3000) %}{% for b in range(3000) %}{% endfor %}{% endfor %}",
        "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(90) }}",
        "{% for x in range(10 ** 9) %}{% endfor %}",
        "{{ 'a' * 10 ** 9 }}",
        "{% for a in range(2000) %}{{ 'a' * 10000 }}{% endfor %}",
        "{{ [0] * 10 ** 9 }}",
        "{{ 'a' | center(10 ** 9) }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_a_template_that_would_eat_the_machine_is_stopped(tmp_path: Path, template: str) -> None:
    message = failure(tmp_path, template)

    assert any(word in message for word in ("too large", "more than", "longer than", "recursion"))


def test_other_files_are_found_beside_the_template_and_never_above_it(tmp_path: Path) -> None:
    inside = tmp_path / "templates"
    (inside / "parts").mkdir(parents=True)
    (tmp_path / "secret").write_text("outside")
    (inside / "base.j2").write_text("<{% block body %}{% endblock %}>{{ who }}\n")
    (inside / "parts/mac.j2").write_text("{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}")
    (inside / "parts/inc.j2").write_text("[{{ set_here }}{{ lazy }}{{ n | default('-') }}]")
    (inside / "page.j2").write_text(
        "{% extends 'base.j2' %}{% block body %}"
        "{% from 'parts/mac.j2' import twice %}{{ twice('a') }}"
        "{% set set_here = 7 %}{% for n in [1, 2] %}{% include 'parts/inc.j2' %}{% endfor %}"
        "{% include 'gone.j2' ignore missing %}{% include ['gone.j2', 'parts/inc.j2'] %}"
        "{% endblock %}"
    )
    (inside / "up.j2").write_text("{% include '../secret' %}")
    (inside / "root.j2").write_text("{% include '/etc/passwd' %}")
    (inside / "computed.j2").write_text("{% include item ~ '.j2' %}")
    (inside / "x.j2").write_text("{{ lazy }}{{ item }}")
    (inside / "y.j2").write_text("{% include '..' ~ '/secret' %}")

    page = loaded(tmp_path, "", src="templates/base.j2")
    assert units(page)[0].params["text"] == "<>Zoë\n"
    page = loaded(tmp_path, "", src="templates/page.j2")
    assert units(page)[0].params["text"] == "<aa[7Zoë!1][7Zoë!2][7Zoë!-]>Zoë\n"
    for name, written in (("up.j2", "../secret"), ("root.j2", "/etc/passwd")):
        assert mistakes(tmp_path, "", src=f"templates/{name}") == [
            f"templates/{name}:1: `{written}` is not below the directory of the template, templates"
        ]
    first, second = units(loaded(tmp_path, "", src="templates/computed.j2"))
    assert first.params["text"] == "Zoë!x"
    assert "`../secret` is not below the directory" in getattr(second.verdict, "message", "")


def test_a_template_whose_name_is_computed_is_read_when_its_unit_is_planned(
    tmp_path: Path,
) -> None:
    (tmp_path / "x.j2").write_text("x of {{ who }}")
    (tmp_path / "y.j2").write_text("{{ nope }}")
    job = loaded(tmp_path, "", src="{{ item }}.j2")

    first, second = units(job)

    assert first.params["text"] == "x of Zoë"
    assert f"{tmp_path}/y.j2:1: `nope` is not known here" in getattr(second.verdict, "message", "")
    (tmp_path / "x.j2").write_text("now another text of {{ who }}")
    assert units(job)[0].params["text"] == "now another text of Zoë"


# --- secrets


def test_a_secret_in_a_template_stays_a_reference(tmp_path: Path) -> None:
    job = loaded(
        tmp_path,
        "user={{ item }}\n{% if who %}password={{ secrets.token }}{% endif %}\n"
        "{% for n in [1, 2] %}{{ secrets.other }}{% endfor %}",
        more=SECRETS,
    )

    unit = units(job)[0]

    assert unit.params["text"] == SecretText(
        ("user=x\npassword=", SecretRef("token"), SecretRef("other"), SecretRef("other"))
    )
    assert unit.params["secret"] is True
    assert unit.secrets == ("other", "token")


def test_a_template_that_inserts_no_secret_for_a_unit_writes_no_secret_file(
    tmp_path: Path,
) -> None:
    job = loaded(tmp_path, "{% if item == 'y' %}{{ secrets.token }}{% endif %}", more=SECRETS)

    first, second = units(job)

    assert (first.params["text"], first.params["secret"], first.secrets) == ("", False, ())
    assert (second.params["secret"], second.secrets) == (True, ("token",))


def test_a_template_whose_name_is_computed_may_hold_secrets(tmp_path: Path) -> None:
    (tmp_path / "x.j2").write_text("{{ secrets.token }}")
    (tmp_path / "y.j2").write_text("{{ secrets.nope }}")

    first, second = units(loaded(tmp_path, "", src="{{ item }}.j2", more=SECRETS))

    assert first.params["text"] == SecretText((SecretRef("token"),))
    assert first.secrets == ("token",)
    assert "y.j2:1: there is no secret `nope`" in getattr(second.verdict, "message", "")


@pytest.mark.parametrize(
    "template",
    [
        "{{ secrets.token | upper }}",
        "{{ secrets.token ~ 'x' }}",
        "{{ 'x' + secrets.token }}",
        "{{ secrets['token'] }}",
        "{{ secrets.token.x }}",
        "{{ secrets }}",
        "{% if secrets.token %}{% endif %}",
        "{% set x = secrets.token %}",
        "{% set x %}{{ secrets.token }}{% endset %}",
        "{% filter upper %}{{ secrets.token }}{% endfilter %}",
        "{% for x in secrets.token %}{% endfor %}",
        "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(secrets.token) }}",
        "{% with x = secrets.token %}{{ x }}{% endwith %}",
    ],
)
def test_nothing_in_a_template_may_look_into_a_secret(tmp_path: Path, template: str) -> None:
    (told,) = mistakes(tmp_path, template, more=SECRETS)

    assert told.startswith("t.j2:1: a secret can only be inserted as it is")


@pytest.mark.parametrize(
    "template",
    [
        "{% macro m() %}{{ secrets.token }}{% endmacro %}{{ m() | upper }}",
        "{% macro m() %}{{ secrets.token }}{% endmacro %}{{ m() | length }}",
        "{% macro m() %}{{ secrets.token }}{% endmacro %}{{ m() | reverse }}",
        "{% block b %}{{ secrets.token }}{% endblock %}{{ self.b()[:9] }}",
    ],
)
def test_a_secret_that_was_changed_on_its_way_fails_the_unit(tmp_path: Path, template: str) -> None:
    message = failure(tmp_path, template, more=SECRETS)

    assert "a secret can only be inserted as it is" in message
    assert message.endswith("here what holds one was changed by a filter")


@pytest.mark.parametrize(
    ("template", "more", "told"),
    [
        ("\n{{ secrets.tokne }}", SECRETS, "t.j2:2: there is no secret `tokne`; did you mean"),
        ("{{ secrets.token }}", "", "t.j2:1: no `secrets` are declared; add them at the top"),
    ],
)
def test_a_secret_that_is_not_declared_is_told_at_load(
    tmp_path: Path, template: str, more: str, told: str
) -> None:
    (found,) = mistakes(tmp_path, template, more=more)

    assert found.startswith(told)
