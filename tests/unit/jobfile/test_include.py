"""`include`: what is merged, who wins, and whose line a mistake is on."""

from pathlib import Path

import pytest

from batchrun.errors import JobFileError
from batchrun.jobfile import LoadOptions, load, load_text
from batchrun.jobfile.loaded import LoadedJob
from batchrun.model.unit import Unit
from small_jobs import TABLE, units

TASKS = "tasks: [{run: a, stdin: '{{ x }}'}]\n"


def written(directory: Path, **files: str) -> Path:
    """Write files, named by their stem, and return the job file, `job.yml`."""
    for stem, text in files.items():
        path = directory / f"{stem.replace('__', '/')}.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return directory / "job.yml"


def read(path: Path, **options: str) -> LoadedJob:
    return load(path, table=TABLE, options=LoadOptions(variables=options))


def mistakes(path: Path) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        read(path)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


def only_unit(job: LoadedJob) -> Unit:
    (unit,) = units(job)
    return unit


def test_later_files_win_and_the_file_itself_last(tmp_path: Path) -> None:
    job = read(
        written(
            tmp_path,
            one="vars: {a: one, b: one, c: one, d: one}\n",
            two="vars: {b: two, c: two, d: two}\n",
            job="include: [one.yml, two.yml]\nvars: {c: own, d: own, x: '{{ a }} {{ b }} {{ c }} "
            "{{ d }}'}\n" + TASKS,
        ),
        d="given",
    )

    assert only_unit(job).params["stdin"] == "one two own given"


def test_a_file_with_variables_wins_over_included_ones_and_the_command_line_over_both(
    tmp_path: Path,
) -> None:
    job = written(
        tmp_path,
        one="vars: {a: included, b: included, c: included}\n",
        more="b: file\nc: file\n",
        job="include: one.yml\nvars: {x: '{{ a }} {{ b }} {{ c }}'}\n" + TASKS,
    )
    options = LoadOptions(variables={"c": "given"}, vars_files=(str(tmp_path / "more.yml"),))

    loaded = load(job, table=TABLE, options=options)

    assert only_unit(loaded).params["stdin"] == "included file given"


def test_a_variable_that_an_included_file_wants_given_can_be_given_by_the_file(
    tmp_path: Path,
) -> None:
    one = "vars:\n  x:\n"
    job = written(tmp_path, one=one, job="include: one.yml\nvars: {x: own}\n" + TASKS)

    assert only_unit(read(job)).params["stdin"] == "own"

    written(tmp_path, job="include: one.yml\n" + TASKS)
    assert only_unit(read(job, x="given")).params["stdin"] == "given"
    assert mistakes(job) == [
        "one.yml:2: vars.x: must be given: -e x=VALUE (it is null in the job file)"
    ]


def test_limits_defaults_and_endings_are_merged(tmp_path: Path) -> None:
    job = read(
        written(
            tmp_path,
            one="limits: {db: 1, net: 1}\ndefaults: {timeout: 1m, retries: 4, env: {A: '1', B: "
            "'1'}, vars: {v: 1}}\nfinally: [{run: end of one}]\n",
            job="include: one.yml\nlimits: {db: 7}\ndefaults: {timeout: 2m, env: {B: '2'}}\n"
            "tasks: [{run: a, limit: [db, net], stdin: '{{ v }}'}]\n"
            "finally: [{run: own end, id: mine}]\n",
        )
    )

    unit = only_unit(job)
    assert job.job.limits == {"db": 7, "net": 1}
    assert (unit.timeout_s, job.job.tasks[0].retry.retries) == (120.0, 4)
    assert unit.params["env"] == {"A": "1", "B": "2"}
    assert unit.params["stdin"] == "1"
    ends = [units(job, number)[0].params["command"] for number in (1, 2)]
    assert ends == ["end of one", "own end"]
    assert [task.line for task in job.job.final_tasks] == [None, 5]


def test_files_are_found_beside_the_file_that_names_them(tmp_path: Path) -> None:
    job = written(
        tmp_path,
        sub__one="include: two.yml\n",
        sub__two="vars: {x: found}\n",
        job="include: sub/one.yml\n" + TASKS,
    )

    assert only_unit(read(job)).params["stdin"] == "found"


def test_a_job_that_is_only_text_includes_from_its_directory(tmp_path: Path) -> None:
    written(tmp_path, one="vars: {x: found}\n")

    job = load_text("include: one.yml\n" + TASKS, file="-", base_dir=str(tmp_path), table=TABLE)

    assert only_unit(job).params["stdin"] == "found"


def test_relative_paths_in_an_included_file_are_those_of_the_job_file(tmp_path: Path) -> None:
    job = read(
        written(
            tmp_path,
            sub__one="finally: [{delete: old}]\n",
            job="include: sub/one.yml\ntasks: [{run: a}]\n",
        )
    )

    assert units(job, 1)[0].params["path"] == (f"{tmp_path}/old",)


def test_a_file_included_on_two_ways_ends_once(tmp_path: Path) -> None:
    job = read(
        written(
            tmp_path,
            base="finally: [{run: end}]\n",
            one="include: base.yml\n",
            two="include: base.yml\n",
            job="include: [one.yml, two.yml]\ntasks: [{run: a}]\n",
        )
    )

    assert len(job.job.final_tasks) == 1


def test_an_empty_file_and_one_with_only_anchors_can_be_included(tmp_path: Path) -> None:
    job = written(
        tmp_path,
        one="# nothing\n",
        two="x-a: 1\n",
        job="include: [one.yml, two.yml]\nvars: {x: 1}\n" + TASKS,
    )

    assert only_unit(read(job)).params["stdin"] == "1"


def test_a_circle_is_shown(tmp_path: Path) -> None:
    job = written(
        tmp_path,
        one="include: two.yml\n",
        two="\ninclude:\n- one.yml\n",
        job="include: one.yml\n" + TASKS,
    )

    told = mistakes(job)

    assert told[0] == "job.yml:2: tasks[0].stdin: `x` is not known here; declare it in `vars`"
    assert told[1:] == [
        (
            "two.yml:3: include[0]: the files include each other in a circle: "
            "one.yml -> two.yml -> one.yml"
        )
    ]


def test_a_file_that_includes_itself_is_a_circle(tmp_path: Path) -> None:
    assert mistakes(written(tmp_path, job="include: ./job.yml\ntasks: [{run: a}]\n")) == [
        "job.yml:1: include: the files include each other in a circle: job.yml -> job.yml"
    ]


def test_a_chain_without_end_is_refused(tmp_path: Path) -> None:
    files = {f"f{number}": f"include: f{number + 1}.yml\n" for number in range(60)}

    told = mistakes(written(tmp_path, **files, job="include: f0.yml\ntasks: [{run: a}]\n"))

    assert told == ["f31.yml:1: include: files are included more than 32 deep"]


def test_mistakes_name_the_file_and_line_in_which_they_are(tmp_path: Path) -> None:
    job = written(
        tmp_path,
        one=(
            "vars:\n  a: '{{ nope }}'\ntasks: []\nlimits: 7\ndefaults:\n  retries: many\n"
            "  bogus: 1\nfinally:\n- run: a\n  when: '))'\n- {rn: x}\n"
        ),
        job="vars: {b: '{{ gone }}'}\ninclude:\n- one.yml\n- two.yml\ntasks: [{run: a}]\n"
        "finally:\n- {run: a, bogus: 1}\n",
    )

    told = mistakes(job)

    assert [line.partition(": ")[0] for line in told] == [
        "job.yml:1", "job.yml:4", "job.yml:7",
        "one.yml:2", "one.yml:3", "one.yml:4", "one.yml:6", "one.yml:7", "one.yml:10", "one.yml:11",
    ]  # fmt: skip
    assert told[1] == (
        "job.yml:4: include[1]: the file `two.yml` cannot be read: No such file or directory"
    )
    assert told[2].startswith("job.yml:7: finally[0].bogus: ")
    assert told[3] == "one.yml:2: vars.a: `nope` is not known here; declare it in `vars`"
    assert told[4].startswith("one.yml:3: tasks: `tasks` cannot be included, only vars, defaults")
    assert told[7].startswith("one.yml:7: defaults.bogus: `bogus` is not a key here")
    assert told[8].startswith("one.yml:10: finally[0].when: ")


def test_a_template_that_fails_in_an_included_ending_names_its_own_file(tmp_path: Path) -> None:
    one = "finally:\n- run: a\n  stdin: '{{ 1 / (x | int) }}'\n"
    job = read(
        written(tmp_path, one=one, job="include: one.yml\nvars: {x: 0}\ntasks: [{run: a}]\n")
    )

    verdict = units(job, 1)[0].verdict

    assert f"{tmp_path}/one.yml:3: finally[0].stdin: " in getattr(verdict, "message", "")


def test_the_same_id_in_two_files_is_told_with_both_places(tmp_path: Path) -> None:
    job = written(
        tmp_path,
        one="finally:\n- {run: a, id: end}\n",
        job="include: one.yml\ntasks: [{run: a}]\nfinally: [{run: a, id: end}]\n",
    )

    assert mistakes(job) == [
        (
            "job.yml:3: finally[0].id: the id `end` is there twice, for the tasks on one.yml:2 "
            "and on line 3; give one of them another `id`"
        )
    ]


def test_a_broken_included_file_is_told_like_a_broken_job_file(tmp_path: Path) -> None:
    job = written(tmp_path, one="vars: {a: [}\n", two="- a\n",
                  job="include: [one.yml, two.yml]\ntasks: [{run: a}]\n")  # fmt: skip

    first, second = mistakes(job)

    assert first.startswith("one.yml:1: ")
    assert second == "two.yml: an included file is a mapping, with keys such as `vars:`"


@pytest.mark.parametrize(
    ("include", "told"),
    [
        ("[[a]]", "include[0]: write the path of a file, or a list of paths"),
        ("{a: b}", "include: write the path of a file, or a list of paths"),
        ("''", "include: write the path of a file, or a list of paths"),
        ("'-'", "include: standard input cannot be included; write the path of a file"),
        (
            "'{{ x }}.yml'",
            "include: files are included before anything is computed; write the path without {{ }}",
        ),
    ],
)
def test_what_is_no_path_is_refused(tmp_path: Path, include: str, told: str) -> None:
    job = written(tmp_path, job=f"include: {include}\ntasks: [{{run: a}}]\n")

    assert mistakes(job) == [f"job.yml:1: {told}"]


def test_an_inventory_may_be_included_and_later_ones_win(tmp_path: Path) -> None:
    tasks = "include: [one.yml, two.yml]\ntasks: [{run: a}]\n"
    files = {"one": "inventory: a.yml\n", "two": "inventory: b.yml\n"}
    job = written(tmp_path, **files, b="hosts: {x: {port: 1}}\n", job=tasks)
    # There is no a.yml: nobody asks for it.
    assert [task.id for task in read(job).job.tasks] == ["run-1"]

    job = written(tmp_path, two="inventory: [b.yml]\n", a="hosts: {}\n", job=tasks)
    assert mistakes(job) == [
        (
            "two.yml:1: inventory: write a path, a mapping with `hosts:`, "
            "or {command: [PROGRAM, ARGUMENT]}"
        )
    ]


@pytest.mark.parametrize("key", ["notify"])
def test_what_comes_later_is_said_of_included_files_too(tmp_path: Path, key: str) -> None:
    job = written(tmp_path, one=f"{key}: x\n", job="include: one.yml\ntasks: [{run: a}]\n")

    assert mistakes(job) == [
        f"one.yml:1: {key}: `{key}` is not supported by this version of batchrun yet"
    ]


def test_only_a_limit_of_the_file_itself_must_be_used(tmp_path: Path) -> None:
    tasks = "include: one.yml\nlimits: {mine: 1}\ntasks: [{run: a}]\n"
    job = written(tmp_path, one="limits: {shared: 2}\n", job=tasks)

    assert read(job).warnings == ("`limits.mine` is used by no task",)
