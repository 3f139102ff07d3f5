"""The mistakes that people make in job files, and what they are told: line, place, advice."""

import pytest

from batchrun.jobfile import LoadOptions
from small_jobs import mistakes

#: A broken file, and everything that is said about it.
SYNTAX: list[tuple[str, list[str]]] = [
    ("", ["job.yml: the file is empty; a job file is a mapping with `tasks:`"]),
    ("# only a comment\n", ["job.yml: the file is empty; a job file is a mapping with `tasks:`"]),
    ("- run: a\n", ["job.yml: the file is a list; a job file is a mapping with `tasks:`"]),
    ("hello\n", ["job.yml: the file is a single value; a job file is a mapping with `tasks:`"]),
    (
        "tasks:\n- run: @web\n",
        ['job.yml:2: `@` may not begin a value; put the whole value in quotes, as in "@web"'],
    ),
    (
        "tasks:\n- delete: [*.tmp]\n",
        [
            "job.yml:2: a value that begins with `*` is read as an alias; put the whole value "
            'in quotes, as in "*.tmp"'
        ],
    ),
    (
        "tasks:\n- delete: *tmp\n",
        [
            "job.yml:2: `*tmp` refers to an anchor `&tmp` that is not there; if the star is "
            "meant as text, put the value in quotes"
        ],
    ),
    (
        "tasks:\n- delete: {{ x }}\n",
        [
            "job.yml:2: a key must be text; a value that begins with `{{` has to be put in "
            'quotes, as in "{{ x }}"'
        ],
    ),
    (
        "tasks:\n- delete: {{ x }}/old\n",
        [
            "job.yml:2: a key must be text; a value that begins with `{{` has to be put in "
            'quotes, as in "{{ x }}"'
        ],
    ),
    (
        "tasks:\n- run: [web[01-20], db1]\n",
        [
            "job.yml:2: `[` and `]` are read as the bounds of a list; put a name that has "
            'brackets in quotes, as in ["web[01-20]", db1]'
        ],
    ),
    (
        "tasks:\n\t- run: a\n",
        [
            "job.yml:2: there is a tab in the indentation; use spaces (a tab in a value goes "
            "in quotes)"
        ],
    ),
    (
        "tasks:\n- run: a\n\tid: b\n",
        [
            "job.yml:3: there is a tab in the indentation; use spaces (a tab in a value goes "
            "in quotes)"
        ],
    ),
    (
        "tasks:\n- run: echo: b\n",
        [
            "job.yml:2: there is a second `: ` in this value; put the whole value in quotes "
            "(or the line is indented too far)"
        ],
    ),
    (
        'tasks:\n- run: "a" b\n',
        [
            "job.yml:2: there is more text after the closing quote; put the whole value in one "
            "pair of quotes"
        ],
    ),
    (
        "tasks:\n- run: 'a\n- run: b\n",
        ["job.yml:2: the quote that begins here is never closed; write the same quote at its end"],
    ),
    (
        'tasks:\n- run: "a\\d"\n',
        [
            "job.yml:2: this backslash means nothing inside double quotes; use single quotes, "
            "or write two backslashes"
        ],
    ),
    (
        "tasks:\n- run: !web07\n",
        [
            "job.yml:2: `!web07` is a YAML tag, which job files do not use; put the whole value "
            "in quotes"
        ],
    ),
    (
        "tasks: !!python/object/apply:os.system [id]\n",
        [
            "job.yml:1: `!!python/object/apply:os.system` is a YAML tag, which job files do not "
            "use; put the whole value in quotes"
        ],
    ),
    (
        "tasks: - run: a\n",
        ["job.yml:1: a list must begin on a line of its own, below its key"],
    ),
    (
        "tasks:\n- run: a\n name: b\n",
        ["job.yml:3: this line does not fit the lines above it; check its indentation and its `:`"],
    ),
    (
        "tasks: [{run: a}\n",
        ["job.yml:2: a list or mapping in brackets is not closed; `,` or `]` is missing here"],
    ),
    (
        "tasks: [{run: a}]\n---\ntasks: []\n",
        ["job.yml:2: there is a second document after `---`; a job file is one document"],
    ),
    (
        "tasks:\n- run: \x01\n",
        [
            "job.yml:2: there is a control character in the file; write it as an escape inside quotes"
        ],
    ),
    (
        "tasks:\n- run: a\n  run: b\n",
        [
            "job.yml:3: tasks[0].run: `run` is given twice, on line 2 and on line 3; keep one of "
            "them"
        ],
    ),
    ("x-a: &a [*a]\ntasks: [{run: a}]\n", ["job.yml:1: `*a` stands inside what it stands for"]),
]

STRUCTURE: list[tuple[str, list[str]]] = [
    ("tasks:\n", ["job.yml:1: tasks: write a list, one `- ` for each entry"]),
    ("tasks: []\n", ["job.yml:1: tasks: there are no tasks; add at least one"]),
    ("name: a\n", ["job.yml: `tasks` is missing; write `tasks:` with a list of tasks"]),
    (
        "tasks:\n- run: a\n  nmae: x\n  retires: 2\ntask: 1\nhosts: web\n",
        [
            "job.yml:3: tasks[0].nmae: `nmae` is not a key here; did you mean `name`?",
            "job.yml:4: tasks[0].retires: `retires` is not a key here; did you mean `retries`?",
            "job.yml:5: task: `task` is not a key here; did you mean `tasks`?",
            "job.yml:6: hosts: `hosts` is not supported by this version of batchrun yet",
        ],
    ),
    (
        "tasks:\n- cpoy: {src: a, dest: b}\n",
        ["job.yml:2: tasks[0].cpoy: `cpoy` is not a key here; did you mean `copy`?"],
    ),
    (
        "tasks:\n- name: x\n",
        ["job.yml:2: tasks[0]: the task has no operation; add one of copy, delete, run"],
    ),
    (
        "tasks:\n- foo\n",
        ["job.yml:2: tasks[0]: a task is a mapping with an operation, such as `- run: COMMAND`"],
    ),
    (
        "tasks:\n- run: a\n  copy: {src: a, dest: b}\n",
        [
            "job.yml:3: tasks[0].copy: `run` and `copy` in one task; make a task of each, with "
            "`needs:`"
        ],
    ),
    (
        "tasks:\n- sync: {src: a, dest: b}\n- steps: []\n- {run: a, sudo: true}\n",
        [
            "job.yml:2: tasks[0].sync: `sync` is not supported by this version of batchrun yet",
            "job.yml:3: tasks[1].steps: `steps` is not supported by this version of batchrun yet",
            "job.yml:4: tasks[2].sudo: `sudo` is not supported by this version of batchrun yet",
        ],
    ),
    (
        "tasks:\n- copy: a\n- copy: {src: a, dst: b}\n- run:\n",
        [
            "job.yml:2: tasks[0].copy: `dest` is missing; write `copy: {src: SRC, dest: DEST}`",
            "job.yml:3: tasks[1].copy.dst: `copy` has no `dst`; did you mean `dest`?",
            "job.yml:3: tasks[1].copy: `dest` is missing; write `copy: {src: SRC, dest: DEST}`",
            "job.yml:4: tasks[2].run: has no value; write `run: COMMAND`",
        ],
    ),
    (
        "tasks:\n- copy:\n    src: {a: b}\n    dest: [a, b]\n    if: differnt\n    verify: yes\n"
        "    level: high\n    above: big\n    older: soon\n    mode: rwx\n    extra: [1]\n"
        "    ratio: x\n",
        [
            "job.yml:3: tasks[0].copy.src: is a mapping; write a path or a list",
            "job.yml:4: tasks[0].copy.dest: is a list; write a path",
            "job.yml:5: tasks[0].copy.if: write different or always, not 'differnt'; did you "
            "mean `different`?",
            "job.yml:6: tasks[0].copy.verify: write true or false, not 'yes' (in YAML 1.2 that "
            "is text)",
            "job.yml:7: tasks[0].copy.level: write a whole number, not 'high'",
            "job.yml:8: tasks[0].copy.above: 'big' is not a size; write it like 512, 64K, 10M, "
            "2G (1024) or 10MB (1000)",
            "job.yml:9: tasks[0].copy.older: 'soon' is not a duration; write it like 90s, 10m, "
            "1h30m, 2d or 500ms",
            "job.yml:10: tasks[0].copy.mode: 'rwx' is not a file mode; write it like 0640 or "
            "u=rw,g=r",
            "job.yml:11: tasks[0].copy.extra: is a list; write a mapping",
            "job.yml:12: tasks[0].copy.ratio: write a number, not 'x'",
        ],
    ),
    (
        "tasks:\n- copy: {src: a, dest: b, level: 1, verify: true}\n",
        ["job.yml:2: tasks[0].copy: `level` and `verify` exclude each other"],
    ),
    (
        "tasks:\n- {delete: a, env: {A: b}}\n- run: {command: a, cwd: b}\n  cwd: c\n",
        [
            "job.yml:2: tasks[0].env: `env` is for commands (run, script); `delete` is none",
            "job.yml:4: tasks[1].cwd: `cwd` is given twice, beside `run` and inside it; keep one",
        ],
    ),
    (
        "tasks:\n- run: a\n  timeout: 5 minutes\n  retries: many\n  retry_on: [ok, fialed]\n"
        "  max_fail: 200%\n  max_parallel: 0\n  when: a b\n  limit: db\n  ignore_errors: on\n"
        "  retry_backoff: 0.5\n  id: 'a b'\n  needs: {task: a, per: host}\n"
        "  lock: {name: x, scope: machine}\n",
        [
            "job.yml:3: tasks[0].timeout: '5 minutes' is not a duration; write it like 90s, 10m, "
            "1h30m, 2d or 500ms",
            "job.yml:4: tasks[0].retries: write a whole number, not 'many'",
            "job.yml:5: tasks[0].retry_on: write failed, timed_out, unreachable, lost or an exit "
            "status, not 'ok' (nothing can be gained by trying that again)",
            "job.yml:6: tasks[0].max_fail: write a number or a share such as 10%, not '200%'",
            "job.yml:7: tasks[0].max_parallel: write a number of at least 1, not 0",
            "job.yml:8: tasks[0].when: `a b` is not an expression: `b` is not expected there",
            "job.yml:9: tasks[0].limit: there is no `db` in the job's `limits`",
            "job.yml:10: tasks[0].ignore_errors: write true or false, not 'on' (in YAML 1.2 that "
            "is text)",
            "job.yml:11: tasks[0].retry_backoff: write a number from 1 to 100, not 0.5",
            "job.yml:12: tasks[0].id: 'a b' is no id; write letters, digits, `-`, `_` and `.`, a "
            "letter first",
            "job.yml:13: tasks[0].needs: `per:` in `needs` is not supported by this version of "
            "batchrun yet",
            "job.yml:14: tasks[0].lock: `scope: machine` is not supported by this version of "
            "batchrun yet; write a name",
        ],
    ),
    (
        "order: seq\nprocs: -1\nlimits: {db: 0}\ndeadline: soon\nlock: on\nname: [a]\n"
        "vars: [a]\ntasks: [{run: a}]\n",
        [
            "job.yml:1: order: write concurrent or sequential, not 'seq'",
            "job.yml:2: procs: write a number of at least 0, not -1",
            "job.yml:3: limits: `db`: write a number of at least 1, not 0",
            "job.yml:4: deadline: 'soon' is not a duration; write it like 90s, 10m, 1h30m, 2d or "
            "500ms",
            "job.yml:5: lock: write true or false, not 'on' (in YAML 1.2 that is text)",
            "job.yml:6: name: is a list where text is expected; join it, as in `x | join(',')`",
            "job.yml:7: vars: write a mapping, `name: value` lines",
        ],
    ),
    (
        "defaults: {retries: x, foreach: [a], bogus: 1, batch: 2}\ntasks: [{run: a}, {run: b}]\n",
        [
            "job.yml:1: defaults.retries: write a whole number, not 'x'",
            "job.yml:1: defaults.foreach: `foreach` cannot be a default; write it in the task",
            "job.yml:1: defaults.bogus: `bogus` is not a key here",
            "job.yml:1: defaults.batch: `batch` is not supported by this version of batchrun yet",
        ],
    ),
    (
        "tasks:\n- {run: a, foreach: {glb: x}}\n- {run: a, foreach: x}\n"
        "- {run: a, foreach: {csv: x}}\n- {run: a, foreach: {range: [1, b]}}\n"
        "- {run: a, foreach: {range: 3}}\n- {run: a, foreach: {lines: x, hidden: true}}\n"
        "- {run: a, foreach: {glob: x, lines: y}}\n- {run: a, foreach: }\n"
        "- {run: a, foreach: {range: [1, 2, 0]}}\n- {run: a, foreach: {glob: x, require: maybe}}\n",
        [
            "job.yml:2: tasks[0].foreach.glb: `glb` is not a key here; did you mean `glob`?",
            "job.yml:2: tasks[0].foreach: there is no source of items; write one of glob, lines, "
            "range",
            'job.yml:3: tasks[1].foreach: write a list, one "{{ EXPR }}" that is a list, or '
            "{glob: ...}, {lines: ...}, {range: [...]}",
            "job.yml:4: tasks[2].foreach.csv: `csv` is not supported by this version of batchrun "
            "yet",
            "job.yml:5: tasks[3].foreach.range[1]: write a whole number, not 'b'",
            "job.yml:6: tasks[4].foreach.range: write [FIRST, LAST] or [FIRST, LAST, STEP]",
            "job.yml:7: tasks[5].foreach.hidden: `hidden` is not a key here",
            "job.yml:8: tasks[6].foreach: `glob` and `lines` in one `foreach`; choose one",
            "job.yml:9: tasks[7].foreach: has no value; write a list, or {glob: ...}, {lines: ...}",
            "job.yml:10: tasks[8].foreach.range[2]: the step of a range cannot be 0",
            "job.yml:11: tasks[9].foreach.require: write true or false, not 'maybe'",
        ],
    ),
]

ORDER: list[tuple[str, list[str]]] = [
    (
        "tasks:\n- {id: a, run: x, needs: [b]}\n- {id: b, run: x, needs: c}\n"
        "- {id: c, run: x, needs: {task: a}}\n",
        [
            "job.yml:2: tasks[0].needs: the tasks need each other in a circle: a -> b -> c -> a; "
            "take one need away"
        ],
    ),
    (
        "order: sequential\ntasks:\n- {id: a, run: x, needs: b}\n- {id: b, run: x}\n",
        [
            "job.yml:3: tasks[0].needs: the tasks need each other in a circle: a -> b -> a; take "
            "one need away"
        ],
    ),
    (
        "tasks:\n- {id: a, run: x, needs: a}\n",
        [
            "job.yml:2: tasks[0].needs: the tasks need each other in a circle: a -> a; take one "
            "need away"
        ],
    ),
    (
        "tasks:\n- {id: stage, run: x}\n- {run: x, needs: [stgae]}\n- {run: x, needs: run-2}\n"
        "- {name: Stage two, run: x}\n- {run: x, needs: Stage two}\n",
        [
            "job.yml:3: tasks[1].needs: there is no task `stgae`; did you mean `stage`?",
            "job.yml:4: tasks[2].needs: `run-2` is only a position; give that task an `id` and "
            "use it here",
            "job.yml:6: tasks[4].needs: there is no task `Stage two`; did you mean `stage-two`?",
        ],
    ),
    (
        "tasks:\n- {id: a, run: x}\n- {id: a, run: x}\n- {name: A, run: x}\n",
        [
            "job.yml:3: tasks[1].id: the id `a` is there twice, for the tasks on line 2 and on "
            "line 3; give one of them another `id`",
            "job.yml:4: tasks[2].name: the id `a` (made of the name) is there twice, for the "
            "tasks on line 2 and on line 4; give one of them another `id`",
        ],
    ),
    (
        "tasks:\n- {id: a, run: x, needs: end}\nfinally:\n- {id: end, run: x}\n"
        "- {run: x, needs: a}\n",
        [
            "job.yml:2: tasks[0].needs: `end` stands under `finally`, which runs last; no task "
            "can need it",
            "job.yml:5: finally[1].needs: tasks under `finally` run after all others; take `a` "
            "away",
        ],
    ),
    (
        "tasks:\n- {run: a, foreach: {lines: '-'}}\n- {run: a, foreach: {lines: '-'}}\n",
        [
            "job.yml:3: tasks[1].foreach: standard input is read by the task `run-1` already; it "
            "can be read only once"
        ],
    ),
]

TEMPLATES: list[tuple[str, list[str]]] = [
    (
        "vars: {stage: /x}\ntasks:\n- delete: '{{ stge }}'\n- delete: '{{ item }}'\n"
        "- delete: '{{ host }}'\n- delete: '{{ run.summary }}'\n- delete: '{{ stage | bsename }}'\n"
        "- delete: '{{ stage }'\n- delete: '{{ stage + }}'\n- delete: '{{ }}'\n"
        "- delete: '{{ stage is exsting }}'\n- delete: '{{ (stage | raw) ~ 1 }}'\n"
        "- {run: a, when: stge == 1}\n- {run: a, when: '{{ stage }} == 1'}\n"
        "- {run: a, env: {A: '{{ nope }}'}}\n",
        [
            "job.yml:3: tasks[0].delete: `stge` is not known here; did you mean `stage`?",
            "job.yml:4: tasks[1].delete: `item` is known only in a task with `foreach`",
            "job.yml:5: tasks[2].delete: `host` is not supported by this version of batchrun yet",
            "job.yml:6: tasks[3].delete: `run.summary` is known only in `finally` tasks",
            "job.yml:7: tasks[4].delete: there is no filter `bsename`; did you mean `basename`?",
            "job.yml:8: tasks[5].delete: `{{ stage }` has no `}}` at its end; for the two braces "
            "themselves write {{ '{{' }}",
            "job.yml:9: tasks[6].delete: `stage +` is not an expression: it ends too early",
            "job.yml:10: tasks[7].delete: there is nothing between `{{` and `}}`",
            "job.yml:11: tasks[8].delete: there is no test `is exsting`; did you mean `string`?",
            "job.yml:12: tasks[9].delete: `raw` must be the last filter of an insertion",
            "job.yml:13: tasks[10].when: `stge` is not known here; did you mean `stage`?",
            "job.yml:14: tasks[11].when: `when` is an expression by itself; write it without "
            "`{{ }}`",
            "job.yml:15: tasks[12].env.A: `nope` is not known here; declare it in `vars`",
        ],
    ),
    (
        "vars:\n  a: '{{ b }}'\n  b: ['{{ a }}']\n  item: 3\n  must: null\n  'no-name': 1\n"
        "  c: '{{ item }}'\ntasks:\n- {run: x, vars: {c: 1, d: '{{ e }}', e: '{{ d }}'}}\n",
        [
            "job.yml:2: vars.a: the variables refer to each other in a circle: a -> b -> a",
            "job.yml:4: vars.item: `item` is a name of batchrun's own; choose another",
            "job.yml:5: vars.must: must be given: -e must=VALUE (it is null in the job file)",
            "job.yml:6: vars.no-name: `no-name` cannot be a variable; write letters, digits and "
            "`_`",
            "job.yml:7: vars.c: `item` is known only in a task with `foreach`",
            "job.yml:9: tasks[0].vars.c: `c` is a variable of the job already; a task may not "
            "shadow it",
            "job.yml:9: tasks[0].vars.d: the variables refer to each other in a circle: "
            "d -> e -> d",
        ],
    ),
    (
        "vars: {x: a}\ntasks:\n- run: 'echo \"a {{ x }}\"'\n- run: \"echo 'a {{ x }}'\"\n"
        "- run: echo $(ls {{ x }})\n- run: echo `ls {{ x }}`\n- run: echo ${y:-{{ x }}}\n"
        "- run: 'echo $((1 + {{ x }}))'\n- run: echo \\{{ x }}\n- run: echo ${{ x }}\n"
        "- run: 'a # {{ x }}'\n- run: \"cat <<E\\n{{ x }}\\nE\"\n- run: cat <<{{ x }}\n"
        "- run: ((a = {{ x }}))\n- {run: 'echo {{ x }}', shell: python3}\n",
        [
            "job.yml:3: tasks[0].run: `{{ x }}` is inside double quotes, so it is already "
            "quoted; close the quotes before it, or pass it in `env:`",
            "job.yml:4: tasks[1].run: `{{ x }}` is inside single quotes, so it is already "
            "quoted; close the quotes before it, or pass it in `env:`",
            "job.yml:5: tasks[2].run: `{{ x }}` is inside `$( )`, where it would not be quoted "
            "once but twice or not at all; pass it in `env:`",
            "job.yml:6: tasks[3].run: `{{ x }}` is inside backticks, where it would not be "
            "quoted once but twice or not at all; pass it in `env:`",
            "job.yml:7: tasks[4].run: `{{ x }}` is inside `${ }`, where it would not be quoted "
            "once but twice or not at all; pass it in `env:`",
            "job.yml:8: tasks[5].run: `{{ x }}` is inside `$(( ))`, where it would not be quoted "
            "once but twice or not at all; pass it in `env:`",
            "job.yml:9: tasks[6].run: `{{ x }}` follows a backslash, which would change its "
            "meaning; take it away",
            "job.yml:10: tasks[7].run: `{{ x }}` follows a `$`, which would change its meaning; "
            "put it in a word of its own",
            "job.yml:11: tasks[8].run: `{{ x }}` is in a comment, which a line break in it would "
            "end; take it out",
            "job.yml:12: tasks[9].run: `{{ x }}` is in a here-document, where it would not be "
            "quoted once but twice or not at all; pass it in `env:`",
            "job.yml:13: tasks[10].run: `{{ x }}` is the end mark of a here-document; write the "
            "mark literally",
            "job.yml:14: tasks[11].run: `{{ x }}` stands inside `(( ))`, where quotes do not "
            "protect; pass it in `env:`, or put a space between the parentheses if they are a "
            "subshell",
            "job.yml:15: tasks[12].run: values can be quoted only for a shell that is known here "
            "and reads quotes as sh does; pass them in `env:`",
        ],
    ),
    (
        "vars: {x: a}\ntasks:\n- delete: 'a[{{ x }}]*'\n- delete: '~{{ x }}/b'\n"
        "- delete: '~no-such-user/x'\n- delete: ''\n",
        [
            "job.yml:3: tasks[0].delete: `{{ x }}` stands behind an open `[`; write [[] where "
            "the character itself is meant",
            "job.yml:4: tasks[1].delete: the user's name after `~` must be written out; or write "
            "./~ for a file of that name",
            "job.yml:5: tasks[2].delete: there is no user 'no-such-user' whose home "
            "`~no-such-user` could be; write ./~no-such-user for a file of that name",
            "job.yml:6: tasks[3].delete: the path is empty",
        ],
    ),
]


@pytest.mark.parametrize(("text", "told"), [*SYNTAX, *STRUCTURE, *ORDER, *TEMPLATES])
def test_every_mistake_is_told_with_its_line_and_what_to_write(text: str, told: list[str]) -> None:
    assert mistakes(text) == told


def test_mistakes_of_all_kinds_come_together_in_the_order_of_their_lines() -> None:
    text = (
        "vars: {a: '{{ b }}'}\ntasks:\n- {run: 'x', bogus: 1, needs: nobody}\n- delete:\nfoo: 1\n"
    )

    lines = [told.split(":")[1] for told in mistakes(text)]

    assert lines == ["1", "3", "3", "4", "5"]


def test_bytes_that_are_not_utf8_are_named_with_their_line() -> None:
    assert mistakes(b"tasks:\n- run: caf\xe9\n") == [
        "job.yml:2: the file is not UTF-8 text; save it as UTF-8"
    ]


def test_a_billion_laughs_are_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    told = mistakes("\n".join(lines))

    assert told == ["job.yml:6: aliases expand to more than 200000 values; write it out"]


@pytest.mark.parametrize("text", ["[" * 100_000, "x: " + "{a: " * 50_000, "- " * 20_000])
def test_bottomless_nesting_is_refused(text: str) -> None:
    assert mistakes(text) == ["job.yml:1: nested more than 64 levels deep"]


def test_a_line_of_a_merged_key_is_that_of_the_anchor() -> None:
    text = "x-base: &base\n  retries: many\ntasks:\n- <<: *base\n  run: a\n"

    assert mistakes(text) == ["job.yml:2: tasks[0].retries: write a whole number, not 'many'"]


def test_json_has_lines_too() -> None:
    text = '{\n "tasks": [\n  {"run": "a",\n   "foo": 1}]}'

    assert mistakes(text) == ["job.yml:4: tasks[0].foo: `foo` is not a key here"]


def test_a_variable_that_must_be_given_can_be_given() -> None:
    text = "vars: {must: null}\ntasks: [{run: 'echo {{ must }}'}]\n"

    assert mistakes(text, LoadOptions(variables={"must": "x"})) == []
