"""Tasks without order that meet at a path: what is refused, what is not, and how it is said."""

import itertools
import random
from dataclasses import replace

import pytest

from batchrun.errors import JobFileError
from batchrun.jobfile import Tables, load_text
from batchrun.jobfile.options import LoadOptions
from batchrun.jobfile.reachable import Reachability
from batchrun.ops import OPERATIONS

#: On hosts as here: what paths they use is the same.
ON_HOSTS = {name: OPERATIONS[name] for name in ("delete", "mkdir", "run", "write")}
ON_HOSTS["upload"] = replace(OPERATIONS["copy"], name="upload")
TABLES = Tables(here=OPERATIONS, on_hosts=ON_HOSTS)


def told(text: str) -> list[str]:
    """Return the mistakes in a job file with the real operations."""
    try:
        load_text(text, file="job.yml", base_dir="/base", table=TABLES, options=LoadOptions())
    except JobFileError as error:
        return [str(problem) for problem in error.problems]
    return []


def meet(*tasks: str, head: str = "") -> bool:
    """Tell whether two tasks, each written as the inside of a mapping, are refused."""
    text = head + "tasks:\n" + "".join(f"- {{{task}}}\n" for task in tasks)
    problems = told(text)
    assert all("no `needs` says which comes first" in one for one in problems), problems
    return bool(problems)


def test_archive_then_delete_of_the_same_directory_must_not_race() -> None:
    text = (
        "tasks:\n"
        "- {id: pack, archive: {src: /srv/a, dest: /srv/a.tar.gz}}\n"
        "- {id: clean, delete: /srv/a}\n"
    )

    assert told(text) == [
        (
            "job.yml:3: tasks[1]: `clean` removes `/srv/a`, and `pack` (line 2) uses it, but no "
            "`needs` says which comes first; add `needs: [pack]` here, or `overlap: allow` if "
            "that is "
            "meant"
        )
    ]
    assert told(text.replace("/srv/a}", "/srv/a, needs: pack}")) == []
    assert told(text.replace("/srv/a}", "/srv/a, overlap: allow}")) == []


def test_a_task_without_an_id_is_told_to_get_one() -> None:
    text = "tasks:\n- delete: /srv/a/old\n- archive: {src: /srv/a/, dest: /x.tgz}\n"

    assert told(text) == [
        (
            "job.yml:3: tasks[1]: `archive-2` uses `/srv/a/`, and `delete-1` (line 2) removes "
            "`/srv/a/old`, but no `needs` says which comes first; give `delete-1` (line 2) an `id` "
            "and "
            "name it in `needs` here, or `overlap: allow` if that is meant"
        )
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("write: {dest: /a, text: x}", "write: {dest: /a, text: y}"),
        ("write: {dest: /a/./b//c, text: x}", "delete: '/a/x/../b/c/'"),
        ("write: {dest: a, text: x}", "delete: /base/a"),
        ("write: {dest: ./a, text: x}", "delete: a"),
        ("delete: ~/x", "touch: ~/x/y"),
        ("delete: '{{ stage }}/a'", "touch: '{{stage}}/a/b'"),
        ("delete: /d/*.log", "write: {dest: /d/x.log, text: x}"),
        ("delete: /d/*.log", "write: {dest: /d/x.log/deeper, text: x}"),
        ("delete: '/d/{a,b}/*'", "touch: /d/b/c"),
        ("delete: /d/*", "archive: {src: /d, dest: /x.tgz}"),
        ("delete: /d/a*", "delete: /d/*b"),
        ("delete: /d/**/*.o", "delete: /d/x/y/*"),
        ("delete: '/d/[ab].c'", "touch: /d/a.c"),
        ("copy: {src: [/s/x, /s/y], dest: /d/}", "delete: /d/y"),
        ("copy: {src: /s/*.csv, dest: /d/}", "delete: /d/*"),
        ("copy: {src: /s/*.csv, dest: /d/}", "touch: /d/q.csv"),
        ("copy: {src: /s/a, dest: /d}", "delete: /d/b"),
        ("copy: {src: '{{ item }}', dest: /d/}, foreach: {lines: /l}", "delete: /d"),
        ("copy: {src: '{{ item }}', dest: /d/}, foreach: {glob: /s/*.c}", "delete: /s/x.c"),
        ("delete: '{{ item }}', foreach: {glob: /s/*.c}", "touch: /s/x.c"),
        ("delete: '{{ item }}', foreach: [/s/a, b]", "touch: /base/b"),
        ("delete: '{{ item }}', foreach: {find: {path: /s, name: '*.c'}}", "touch: /s/x/y.c"),
        ("delete: '{{ item }}', foreach: {find: {path: /s}}", "delete: /s/x"),
        ("run: 'x {{ item }}', foreach: {lines: /l}", "write: {dest: /l, text: x}"),
        ("run: 'x {{ item }}', foreach: {glob: /l/*}", "delete: /l"),
        ("write: {dest: '/d/{{ item }}', text: x}, foreach: [a]", "delete: /d"),
        ("write: {dest: '/d/{{ v }}/x', text: x}, foreach: [a], vars: {v: 1}", "delete: /d"),
        ("move: {src: /a, dest: /b}", "compress: /a"),
        ("mkdir: /d/x", "delete: /d"),
        ("mkdir: /d/x", "archive: {src: /d, dest: /y.tgz}"),
        ("extract: {src: /a.tar, dest: /d}", "extract: {src: /b.tar, dest: /d}"),
    ],
)
def test_these_meet(one: str, other: str) -> None:
    head = "vars: {stage: /srv}\n"

    assert meet(one, other, head=head)
    assert meet(other, one, head=head)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("copy: {src: /a, dest: /b}", "copy: {src: /a, dest: /c}"),
        ("mkdir: /d", "mkdir: /d"),
        ("touch: /d/x", "touch: /d/x"),
        ("mkdir: /d", "write: {dest: /d/x, text: x}"),
        ("mkdir: /d", "copy: {src: /s/*, dest: /d/}"),
        ("mkdir: /d", "touch: /d/x/y"),
        ("delete: /d/*.log", "delete: /d/*.txt"),
        ("delete: /d/*.log", "write: {dest: /d/x.txt, text: x}"),
        ("delete: /d/*/a", "touch: /d/a"),
        ("delete: /d", "touch: /dd/x"),
        ("delete: '[*]'", "touch: x"),
        ("copy: {src: /s/a, dest: /d/}", "copy: {src: /s/b, dest: /d/}"),
        ("copy: {src: /s/*.a, dest: /d/}", "copy: {src: /s/*.b, dest: /d/}"),
        ("delete: '{{ stage }}/a'", "touch: '{{ other }}/a'"),
        ("delete: '{{ stage }}/../a'", "touch: '{{ stage }}/../a/b'"),
        ("write: {dest: '/d/{{ item }}', text: x}, foreach: [a]", "touch: /d/a"),
        ("touch: '{{ v }}/x', vars: {v: /a}", "delete: '{{ v }}', vars: {v: /b}"),
        (
            "delete: '{{ item }}', foreach: {find: {path: /s, name: '*.a'}}",
            "delete: '{{ item }}', foreach: {find: {path: /s, name: '*.b'}}",
        ),
        ("run: 'x {{ item }}', foreach: {lines: '-'}", "write: {dest: '-', text: x}"),
        ("checksum: {src: /s, dest: /m, verify: true}", "archive: {src: /m, dest: /y.tgz}"),
        ("delete: /d, id: a", "touch: /d/x, needs: a"),
        ("delete: /d, id: a, overlap: allow", "touch: /d/x"),
    ],
)  # fmt: skip
def test_these_do_not_meet(one: str, other: str) -> None:
    head = "vars: {stage: /srv, other: /srv}\n"

    assert not meet(one, other, head=head)
    if "needs" not in other:
        assert not meet(other, one, head=head)


def test_an_order_over_other_tasks_or_of_the_whole_file_or_by_item_counts() -> None:
    chain = (
        "tasks:\n- {id: a, touch: /d/x}\n- {id: b, run: x, needs: a}\n"
        "- {id: c, run: x, needs: b}\n- {delete: /d, needs: c}\n"
    )
    items = (
        "tasks:\n- {id: a, copy: {src: '{{ item }}', dest: /d/}, foreach: {glob: /s/*}}\n"
        "- {delete: '{{ item }}', foreach: {glob: /s/*}, needs: [{task: a, per: item}]}\n"
    )

    assert told(chain) == []
    assert told(items) == []
    assert told("order: sequential\ntasks: [{touch: /d/x}, {delete: /d}, {touch: /d/x}]") == []
    assert told("tasks: [{touch: /d/x}]\nfinally: [{delete: /d}]") == []
    assert len(told("tasks: [{run: a}]\nfinally: [{touch: /d/x}, {delete: /d}]")) == 1


def test_the_paths_of_steps_and_of_output_and_guards_count() -> None:
    steps = "tasks:\n- steps: [{run: a}, {delete: /d}]\n- {touch: /d/x}\n"
    output = "tasks:\n- {run: 'x > {{ output }}', output: /d/x}\n- {delete: /d}\n"
    guard = "tasks:\n- {run: x, creates: /d/x}\n- {delete: /d}\n"

    assert [len(told(text)) for text in (steps, output, guard)] == [1, 1, 1]


def test_each_pair_is_told_once_and_not_more_than_twenty() -> None:
    twice = "tasks: [{copy: {src: [/a, /b], dest: /c/}}, {delete: [/a, /b]}]"
    many = "tasks:\n- {delete: /d}\n" + "".join(f"- {{touch: /d/{n}}}\n" for n in range(100))

    assert len(told(twice)) == 1
    assert len(told(many)) == 20


def test_needs_that_are_wrong_are_told_without_what_follows_from_them() -> None:
    text = "tasks: [{id: pack, archive: {src: /a, dest: /b.tgz}}, {delete: /a, needs: pakc}]"

    assert told(text) == [
        "job.yml:1: tasks[1].needs: there is no task `pakc`; did you mean `pack`?"
    ]


def test_when_the_advice_is_followed_nothing_is_left_to_tell() -> None:
    tasks = [
        "touch: /d/x",
        "archive: {src: /d, dest: /y.tgz}",
        "delete: /d/x",
        "mkdir: /d/x",
        "delete: /d",
    ]
    for order in itertools.permutations(tasks):
        needs: dict[int, set[int]] = {at: set() for at in range(len(order))}
        problems: list[str] = []
        for _ in range(20):
            lines = [
                f"- {{id: t{at}, {task}, needs: [{', '.join(f't{n}' for n in sorted(needs[at]))}]}}"
                for at, task in enumerate(order)
            ]
            problems = told("tasks:\n" + "\n".join(lines))
            if not problems:
                break
            for problem in problems:
                after = int(problem.split("tasks[")[1][0])
                needs[after].add(int(problem.split("needs: [t")[1][0]))
        else:
            pytest.fail(f"{order}: {problems}")


def test_reachability_agrees_with_a_search_of_all_chains() -> None:
    chance = random.Random(1)
    for _ in range(200):
        count = chance.randint(1, 12)
        needs = [[one for one in range(task) if chance.random() < 0.25] for task in range(count)]
        names = list(range(count))
        chance.shuffle(names)
        shuffled: list[list[int]] = [[] for _ in names]
        for task, some in enumerate(needs):
            shuffled[names[task]] = [names[one] for one in some]
        before: list[set[int]] = [set() for _ in names]
        for task in range(count):
            for one in needs[task]:
                before[names[task]] |= before[names[one]] | {names[one]}
        order = Reachability(shuffled)
        for one, other in itertools.combinations(range(count), 2):
            assert order.ordered(one, other) == (one in before[other] or other in before[one])
            assert order.ordered(one, other) == order.ordered(other, one)


def test_a_long_chain_over_one_path_is_read_without_a_search() -> None:
    tasks = [
        f"- {{id: t{n}, touch: /log, {f'needs: t{n - 1}' if n else 'run: x'}}}" for n in range(3)
    ]
    tasks = [
        f"- {{id: t{n}, write: {{dest: /log, text: x}}{f', needs: t{n - 1}' if n else ''}}}"
        for n in range(3_000)
    ]

    assert told("tasks:\n" + "\n".join(tasks)) == []


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("hosts: '@h', write: {dest: /x, text: a}", "hosts: '@h', delete: /x", True),
        ("hosts: '@h', write: {dest: /x, text: a}", "hosts: a, delete: /x", False),
        ("hosts: '@h', write: {dest: /x, text: a}", "delete: /x", False),
        ("hosts: '@h', write: {dest: x, text: a}", "hosts: '@h', delete: ~/x", True),
        ("hosts: '@h', write: {dest: x/y, text: a}", "hosts: '@h', delete: x", True),
        ("hosts: '@h', delete: 'x/*.log'", "hosts: '@h', write: {dest: x/a.log, text: a}", True),
        ("hosts: '@h', delete: '{{ host }}/x'", "hosts: '@h', delete: /x", False),
        ("hosts: '@h', upload: {src: /x, dest: /y}", "delete: /x", True),
        ("hosts: '@h', upload: {src: /x, dest: /y}", "hosts: '@h', delete: /x", False),
        ("hosts: '@h', upload: {src: z, dest: /y}", "delete: /base/z", True),
        ("hosts: '@h', steps: [{delete: /x, delegate_to: local}]", "mkdir: /x", True),
        ("hosts: '@h', steps: [{delete: /x}]", "hosts: '@h', mkdir: /x", True),
        ("hosts: '@h', steps: [{delete: /x, delegate_to: b}]", "hosts: b, mkdir: /x", True),
        ("hosts: '@h', steps: [{delete: /x, delegate_to: b}]", "hosts: '@h', mkdir: /x", False),
        ("hosts: '@h', creates: /x, run: a", "hosts: '@h', delete: /x", True),
        ("hosts: '@h', creates: /x, run: a", "delete: /x", False),
    ],
)
def test_paths_on_hosts_meet_only_those_on_the_same_hosts(
    one: str, other: str, clash: bool
) -> None:
    head = "inventory: {hosts: {a: {groups: h}, b: {groups: h}}}\n"

    assert meet(one, other, head=head) is clash
