"""`secrets`: what is declared, where templates may name them, and how they are read."""

import os
from pathlib import Path
from typing import Any

import pytest

from batchrun.errors import JobFileError, SourceError
from batchrun.jobfile import LoadOptions, load_text
from batchrun.jobfile.loaded import Binding, LoadedJob
from batchrun.model.secret import SecretRef, SecretText
from batchrun.ops import OPERATIONS
from small_jobs import units

DECLARED = "secrets: {token: {env: BR_TOKEN}, other: {file: pw}}\n"
TOKEN = SecretRef("token")


def loaded(text: str, base_dir: str = "/base/dir", options: LoadOptions | None = None) -> LoadedJob:
    job = load_text(
        text, file="job.yml", base_dir=base_dir, table=OPERATIONS, options=options or LoadOptions()
    )
    job.bind(Binding(run_id="r", started_at=0))
    return job


def mistakes(text: str) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        loaded(text)
    return [str(problem) for problem in caught.value.problems]


def read(declared: str, base_dir: str = "/base/dir") -> str:
    secrets = loaded(
        f"secrets: {{token: {declared}}}\ntasks: [{{run: a, stdin: '{{{{ secrets.token }}}}'}}]",
        base_dir,
    ).secrets
    assert secrets is not None
    return secrets.read("token")


# --- where they may be named


def test_the_environment_and_the_input_of_a_command_hold_references_not_values() -> None:
    job = loaded(
        DECLARED + "vars: {who: me}\ntasks:\n- run: a\n  foreach: [1, 2]\n"
        "  stdin: '{{ secrets.other }}'\n"
        "  env: {A: 'Bearer {{ secrets.token }}', C: c, "
        "B: '{{ who }}:{{ item }}:{{secrets.token}}'}"
    )

    _, unit = units(job)

    assert unit.params["stdin"] == SecretText((SecretRef("other"),))
    assert unit.params["env"] == {
        "A": SecretText(("Bearer ", TOKEN)),
        "B": SecretText(("me", ":", "2", ":", TOKEN)),
        "C": "c",
    }
    assert unit.secrets == ("other", "token")


def test_the_text_of_a_file_is_marked_as_secret() -> None:
    job = loaded(
        DECLARED + "tasks:\n- {write: {dest: a, text: 'x={{ secrets.token }}'}}\n"
        "- {write: {dest: b, text: no secret}}\n"
        "- {replace: {path: c, find: x, with: '{{ secrets.token }}'}}\n"
    )

    marked, plain, replaced = (units(job, task)[0] for task in range(3))

    assert marked.params["secret"] is True
    assert marked.params["text"] == SecretText(("x=", TOKEN))
    assert "secret" not in plain.params
    assert plain.secrets == ()
    assert replaced.params["secret"] is True
    assert replaced.secrets == ("token",)


def test_defaults_may_give_every_command_a_secret() -> None:
    job = loaded(
        DECLARED + "defaults: {env: {T: '{{ secrets.token }}'}}\ntasks: [{run: a}, {delete: b}]"
    )

    command, files = (units(job, task)[0] for task in (0, 1))

    assert (command.secrets, files.secrets) == (("token",), ())
    assert command.params["env"] == {"T": SecretText((TOKEN,))}


def test_each_step_names_its_own_secrets() -> None:
    job = loaded(
        DECLARED + "tasks:\n- steps:\n  - {run: a, env: {T: '{{ secrets.token }}'}}\n"
        "  - {run: b, stdin: '{{ secrets.other }}'}\n"
    )

    assert job.prompts() == ()
    assert job.warnings == ()


@pytest.mark.parametrize(
    "task",
    [
        "run: 'login {{ secrets.token }}'",
        "run: [login, '{{ secrets.token }}']",
        "run: {command: 'x {{ secrets.token }}'}",
        "script: {file: a.sh, args: ['{{ secrets.token }}']}",
        "run: a\n  cwd: '{{ secrets.token }}'",
    ],
)
def test_in_what_a_command_is_started_with_a_secret_is_refused(task: str) -> None:
    (told,) = mistakes(f"{DECLARED}tasks:\n- {task}\n")

    assert told.endswith(
        "a secret would show in the process list here; use `env`, `stdin` or a file that is written"
    )


@pytest.mark.parametrize(
    "text",
    [
        "vars: {a: '{{ secrets.token }}'}\ntasks: [{run: a}]",
        "vars: {a: {b: ['x {{ secrets.token }}']}}\ntasks: [{run: a}]",
        "name: '{{ secrets.token }}'\ntasks: [{run: a}]",
        "tasks: [{run: a, name: '{{ secrets.token }}'}]",
        "tasks: [{run: a, when: secrets.token == 'x'}]",
        'tasks: [{run: a, when: "{{ secrets.token }}"}]',
        "tasks: [{run: a, foreach: '{{ secrets.token }}'}]",
        "tasks: [{run: a, foreach: ['{{ secrets.token }}']}]",
        "tasks: [{run: a, foreach: {glob: '/{{ secrets.token }}'}}]",
        "tasks: [{run: a, lock: '{{ secrets.token }}'}]",
        "tasks: [{run: a, vars: {v: '{{ secrets.token }}'}}]",
        "tasks: [{run: a, changed_when: secrets.token in stdout}]",
        "tasks: [{run: a, creates: '/{{ secrets.token }}'}]",
        "tasks: [{run: a, unless: 'test {{ secrets.token }}'}]",
        "tasks: [{run: a, timeout: '{{ secrets.token }}'}]",
        "tasks: [{delete: '/x/{{ secrets.token }}'}]",
        "tasks: [{copy: {src: a, dest: '{{ secrets.token }}'}}]",
        "tasks: [{write: {dest: a, text: b, mode: '{{ secrets.token }}'}}]",
        "deadline: '{{ secrets.token }}'\ntasks: [{run: a}]",
    ],
)
def test_anywhere_else_a_secret_is_refused_and_it_says_where_one_can_be(text: str) -> None:
    (told,) = mistakes(DECLARED + text)

    assert "a secret cannot be inserted here; it goes into `env` or `stdin` of a command" in told


@pytest.mark.parametrize(
    "template",
    [
        "{{ secrets.token | upper }}",
        "{{ secrets.token | raw }}",
        "{{ secrets.token ~ 'x' }}",
        "{{ 'a' if secrets.token == 'b' else 'c' }}",
        "{{ secrets['token'] }}",
        "{{ secrets.token.name }}",
        "{{ secrets }}",
        "{{ secrets | list }}",
        "{{ [secrets.token] }}",
    ],
)
def test_nothing_may_look_into_a_secret(template: str) -> None:
    (told,) = mistakes(f'{DECLARED}tasks:\n- run: a\n  stdin: "{template}"\n')

    assert told.startswith("job.yml:4: tasks[0].stdin: `")
    assert told.endswith("it can only be inserted as it is, as in {{ secrets.NAME }}")


def test_all_of_the_environment_at_once_cannot_be_a_secret() -> None:
    (told,) = mistakes(f"{DECLARED}tasks: [{{run: a, env: '{{{{ secrets.token }}}}'}}]")

    assert "a secret cannot be inserted here" in told


def test_an_unknown_secret_is_told_with_what_may_be_meant() -> None:
    (told,) = mistakes(f"{DECLARED}tasks: [{{run: a, stdin: '{{{{ secrets.tokne }}}}'}}]")

    assert told.endswith("there is no secret `tokne`; did you mean `token`?")


def test_a_secret_without_any_declared_says_what_to_add() -> None:
    (told,) = mistakes("tasks: [{run: a, stdin: '{{ secrets.token }}'}]")

    assert told.endswith(
        "no `secrets` are declared; add them at the top, as in secrets: {token: {env: T}}"
    )


def test_variables_cannot_take_the_name() -> None:
    assert mistakes("vars: {secrets: 1}\ntasks: [{run: a}]") == [
        "job.yml:1: vars.secrets: `secrets` is a name of batchrun's own; choose another"
    ]


def test_values_from_outside_are_never_read_as_secrets() -> None:
    options = LoadOptions(variables={"x": "{{ secrets.token }}"})
    job = loaded(DECLARED + "vars: {x: ''}\ntasks: [{run: a, stdin: '{{ x }}'}]", options=options)

    (unit,) = units(job)

    assert unit.params["stdin"] == "{{ secrets.token }}"
    assert unit.secrets == ()


# --- what is declared


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ("{a-b: {env: X}}", "secrets.a-b: `a-b` cannot be a secret; write letters, digits and `_`"),
        ("{a: text}", "secrets.a: says not where the secret comes from; write {env: NAME}, "),
        ("{a: {}}", "secrets.a: says not where the secret comes from"),
        ("{a: {fiel: x}}", "secrets.a: `fiel` is not a key here; did you mean `file`?; write"),
        ("{a: {env: X, file: y}}", "secrets.a: `env` and `file` for one secret; choose one"),
        ("{a: {env: }}", "secrets.a.env: has no value; write the name of an environment variable"),
        ("{a: {env: X=Y}}", "secrets.a.env: 'X=Y' is not the name of an environment variable"),
        ("{a: {env: [X]}}", "secrets.a.env: is a list where text is expected"),
        ("{a: {file: ''}}", "secrets.a.file: has no value; write the path of a file"),
        ("{a: {file: '{{ nope }}'}}", "secrets.a.file: `nope` is not known here"),
        ("{a: {file: '~nobody-here/x'}}", "secrets.a.file: there is no user 'nobody-here'"),
        ("{a: {command: pass show x}}", "secrets.a.command: is a program with its arguments, as a"),
        ("{a: {command: []}}", "secrets.a.command: is a program with its arguments, as a list"),
        ("{a: {command: ['']}}", "secrets.a.command: is a program with its arguments; none"),
        ("{a: {prompt: }}", "secrets.a.prompt: has no value; write the question to ask"),
        ("{a: {file: '{{ secrets.a }}'}}", "secrets.a.file: a secret cannot be inserted here"),
        ("[a]", "secrets: write a mapping"),
    ],
)
def test_a_declaration_that_says_nothing_is_a_mistake(declared: str, told: str) -> None:
    (found,) = mistakes(f"secrets: {declared}\ntasks: [{{run: a}}]")

    assert found.startswith(f"job.yml:1: {told}")


def test_a_secret_that_nobody_uses_is_a_warning() -> None:
    job = loaded("secrets: {token: {env: T}}\ntasks: [{run: a}]")

    assert job.warnings == ("`secrets.token` is used by no task",)


def test_a_job_without_secrets_has_no_source_of_them() -> None:
    job = loaded("tasks: [{run: a}]")

    assert (job.secrets, job.withheld_env, job.prompts()) == (None, (), ())


# --- their values


def test_reading_a_job_file_reads_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BR_TOKEN", raising=False)

    job = loaded(DECLARED + "tasks: [{run: a, stdin: '{{ secrets.token }}'}]")

    assert job.secrets is not None
    assert job.secrets.names == {"token", "other"}
    assert job.withheld_env == ("BR_TOKEN",)


def test_the_environment_gives_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BR_TOKEN", "hunter22\n")

    assert read("{env: BR_TOKEN}") == "hunter22"


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BR_TOKEN", raising=False)

    with pytest.raises(SourceError, match="the environment variable BR_TOKEN is not set"):
        read("{env: BR_TOKEN}")


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"hunter22", "hunter22"),
        (b"hunter22\n", "hunter22"),
        (b"hunter22\n\n", "hunter22\n"),
        (b" hunter22 \r\n", " hunter22 \r"),
        (b"caf\xe9 22", "caf\udce9 22"),
        (b"a\nb\nc\n", "a\nb\nc"),
    ],
)
def test_a_file_gives_a_value_less_one_line_end(tmp_path: Path, content: bytes, value: str) -> None:
    (tmp_path / "pw").write_bytes(content)

    assert read("{file: pw}", str(tmp_path)) == value
    assert read("{file: '{{ job.dir }}/pw'}", str(tmp_path)) == value


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    for name, reason in (("missing", "No such file"), (".", "Is a directory")):
        with pytest.raises(SourceError, match=f"of the secret `token` cannot be read: {reason}"):
            read(f"{{file: {name}}}", str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"abc", b"abc\n"])
def test_a_value_too_short_to_be_hidden_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pw").write_bytes(content)

    with pytest.raises(SourceError, match="the secret `token` has fewer than 4 characters"):
        read("{file: pw}", str(tmp_path))


def test_a_value_that_no_text_can_hold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pw").write_bytes(b"hun\0ter22")

    with pytest.raises(SourceError, match="holds a NUL character"):
        read("{file: pw}", str(tmp_path))


def test_a_file_that_nobody_means_as_a_secret_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "pw", "wb") as file:
        os.truncate(file.fileno(), 1 << 21)

    with pytest.raises(SourceError, match="has more than 1048576 bytes") as caught:
        read("{file: pw}", str(tmp_path))
    assert caught.value.__cause__ is None


def test_only_the_secrets_of_selected_tasks_are_asked_for() -> None:
    text = (
        "secrets: {a: {prompt: A?}, b: {prompt: 'B of {{ job.name }}?'}, c: {prompt: C?}, "
        "d: {prompt: D?}}\ntasks:\n- {id: one, run: x, stdin: '{{ secrets.a }}'}\n"
        "- {id: two, run: x, env: {B: '{{ secrets.b }}'}}\n"
        "finally:\n- steps: [{run: x, stdin: '{{ secrets.c }}'}]\n"
    )

    assert loaded(text).prompts() == (("a", "A?"), ("b", "B of job?"), ("c", "C?"))
    assert loaded(text, options=LoadOptions(task_ids=("two",))).prompts() == (
        ("b", "B of job?"),
        ("c", "C?"),
    )


def test_an_answer_is_the_value_and_is_asked_for_once() -> None:
    job = loaded(
        "secrets: {a: {prompt: A?}}\ntasks: [{run: x, stdin: '{{ secrets.a }}'}]",
    )
    secrets: Any = job.secrets

    with pytest.raises(SourceError, match="was asked for and not given"):
        secrets.read("a")
    with pytest.raises(SourceError, match="fewer than 4"):
        job.answer("a", "x")
    job.answer("a", "hunter22")

    assert job.prompts() == ()
    assert secrets.read("a") == "hunter22"


def test_the_program_for_validation_gets_the_name_of_the_new_file_and_nobody_else_does() -> None:
    job = loaded("tasks: [{write: {dest: a, text: b, validate: [cat, 'x={{ new }}']}}]")

    assert units(job)[0].params["validate"] == ("cat", "x=\0new\0")
    assert mistakes("tasks: [{write: {dest: '{{ new }}', text: b}}]") == [
        (
            "job.yml:1: tasks[0].write.dest: "
            "`new`, the file before it gets its name, is known only in `validate`"
        )
    ]
