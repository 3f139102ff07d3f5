"""Tasks on hosts: inventories, `-w` and `-x`, steps on other hosts, what `check` knows."""

import json
from pathlib import Path

import pytest

from batchrun.errors import JobFileError, NodeSetError, UsageError
from batchrun.jobfile import LoadOptions, load_text
from batchrun.jobfile.loaded import LoadedJob
from batchrun.model.host import Host
from batchrun.model.job import Need
from batchrun.model.steps import Section
from batchrun.model.unit import Unit
from small_jobs import TABLES, loaded, units

INVENTORY = """\
inventory:
  defaults: {user: deploy, identity: [~/.ssh/id, keys/other]}
  hosts:
    web[01-04]: {groups: [web], vars: {rack: a1}}
    db[1-2]: {user: postgres, port: 2222, jump: gate, groups: db}
    lab1: {address: 127.0.0.1, port: 2022}
  groups:
    prod: {hosts: "@web,db1", vars: {env: prod}}
    short: [lab1, db2]
"""


def hosts_of(job: LoadedJob, task: int = 0) -> list[str]:
    return [unit.host for unit in units(job, task)]


def place(job: LoadedJob, task: int = 0) -> Host:
    """Return where the only unit of a task runs."""
    (unit,) = units(job, task)
    assert unit.place is not None
    return unit.place


# --- the inventory


def test_an_inventory_in_the_job_file_says_how_hosts_are_reached() -> None:
    job = loaded(INVENTORY + "tasks: [{hosts: db1, run: x}]")

    assert place(job) == Host(
        name="db1",
        port=2222,
        user="postgres",
        identity=(str(Path("~/.ssh/id").expanduser()), "/base/dir/keys/other"),
        jump="gate",
        groups=("db", "prod"),
        variables={"env": "prod"},
    )


def test_a_group_may_be_only_a_node_set() -> None:
    assert hosts_of(loaded(INVENTORY + "tasks: [{hosts: '@short', run: x}]")) == ["lab1", "db2"]


def test_a_list_of_hosts_is_an_inventory_too() -> None:
    job = loaded("inventory: {hosts: ['n[1-2]', m]}\ntasks: [{hosts: '@*', run: x}]")

    assert hosts_of(job) == ["n1", "n2", "m"]


@pytest.mark.parametrize("kind", ["yaml", "json"])
def test_an_inventory_may_be_a_file_beside_the_job_file(tmp_path: Path, kind: str) -> None:
    data = {"hosts": {"a": {"port": 7, "identity": "key"}}, "groups": {"g": {"hosts": "a"}}}
    text = json.dumps(data) if kind == "json" else "hosts: {a: {port: 7, identity: key}}\n"
    (tmp_path / "inv").mkdir()
    (tmp_path / "inv" / f"hosts.{kind}").write_text(text, encoding="utf-8")

    job = loaded(
        f"inventory: inv/hosts.{kind}\ntasks: [{{hosts: a, run: x}}]", base_dir=str(tmp_path)
    )

    assert place(job).port == 7
    assert place(job).identity == (str(tmp_path / "inv" / "key"),)


@pytest.mark.parametrize("given", ["nosuch.yml", "{hosts: {a: {prot: 1}}}"])
def test_of_an_inventory_that_is_not_whole_nothing_is_missed(given: str, tmp_path: Path) -> None:
    with pytest.raises(JobFileError) as raised:
        loaded(
            f"inventory: {given}\ntasks: [{{hosts: '@web', run: x}}, {{hosts: '@*', run: x}}]",
            base_dir=str(tmp_path),
        )
    assert "no group" not in str(raised.value)
    assert "none is" not in str(raised.value)


def test_mistakes_in_an_inventory_file_are_told_with_its_lines(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(
        "defaults: {usr: x}\nhosts:\n  web[1-2: {}\nhots: {}\n", encoding="utf-8"
    )

    with pytest.raises(JobFileError) as caught:
        loaded("inventory: hosts.yml\ntasks: [{hosts: a, run: x}]", base_dir=str(tmp_path))

    assert [str(one) for one in caught.value.problems] == [
        "hosts.yml:1: defaults.usr: `usr` is not a key here; did you mean `user`?",
        'hosts.yml:3: hosts.web[1-2: `web[1-2` cannot be read: missing bracket: "web[1-2"',
        "hosts.yml:4: hots: `hots` is no part of an inventory; did you mean `hosts`?",
    ]


def test_the_command_line_may_name_another_inventory(tmp_path: Path) -> None:
    other = tmp_path / "other.yml"
    other.write_text("hosts: {db1: {port: 9}}\n", encoding="utf-8")

    job = loaded(
        INVENTORY + "tasks: [{hosts: db1, run: x}]", options=LoadOptions(inventory=str(other))
    )

    assert place(job) == Host(name="db1", port=9)


def test_an_included_file_may_bring_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text(INVENTORY, encoding="utf-8")

    job = loaded("include: site.yml\ntasks: [{hosts: '@db', run: x}]", base_dir=str(tmp_path))

    assert hosts_of(job) == ["db1", "db2"]


def test_mistakes_of_an_included_inventory_are_told_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "site.yml").write_text("inventory:\n  hosts:\n    a: {port: x}\n", encoding="utf-8")

    with pytest.raises(JobFileError) as caught:
        loaded("include: site.yml\ntasks: [{hosts: a, run: x}]", base_dir=str(tmp_path))

    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("site.yml", 3)


LISTING = {
    "_meta": {
        "hostvars": {
            "web1": {"ansible_host": "10.0.0.1", "rack": "a1", "level": "host"},
            "db1": {
                "ansible_port": "2222",
                "ansible_ssh_user": "postgres",
                "ansible_ssh_private_key_file": "/keys/db",
                "ansible_ssh_common_args": "-o ProxyJump=gate -o X=y",
                "ansible_become_password": "hunter22",
            },
        }
    },
    "all": {"children": ["ungrouped", "prod"], "vars": {"ansible_user": "all", "level": "all"}},
    "prod": {"children": ["web", "db"], "vars": {"level": "prod", "site": "x"}},
    "web": {"hosts": ["web1", "web2"], "vars": {"level": "web"}},
    "db": ["db1"],
    "ungrouped": {"hosts": ["lone"]},
}


def test_the_json_of_ansible_is_an_inventory(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps(LISTING), encoding="utf-8")
    job = loaded(
        "inventory: list.json\ntasks:\n- {hosts: '@*', run: x}\n- {hosts: '@prod!@web', run: x}\n"
        "- {hosts: '@web', run: 'echo {{ host.level }} {{ host.site }}'}\n",
        base_dir=str(tmp_path),
    )

    assert sorted(hosts_of(job)) == ["db1", "lone", "web1", "web2"]
    database = place(job, 1)
    assert (database.name, database.port, database.user) == ("db1", 2222, "postgres")
    assert (database.identity, database.jump) == (("/keys/db",), "gate")
    assert database.variables == {"level": "prod", "site": "x"}
    assert database.groups == ("db", "prod")
    one, two = units(job, 2)
    assert one.params["command"] == "echo 'host' 'x'"
    assert two.params["command"] == "echo 'web' 'x'"
    assert (one.place and one.place.address, two.place and two.place.user) == ("10.0.0.1", "all")


# --- what the command line wants


def narrowed(tasks: str, **options: tuple[str, ...]) -> LoadedJob:
    return loaded(INVENTORY + tasks, options=LoadOptions(**options))  # type: ignore[arg-type]  # only these fields are given


@pytest.mark.parametrize(
    ("options", "first", "second"),
    [
        ({"hosts": ("web0[2-3]",)}, ["web02", "web03"], ["web02"]),
        ({"hosts": ("@db", "web01")}, ["web01", "db1"], []),
        ({"exclude": ("@db,web04",)}, ["web01", "web02", "web03"], ["web02"]),
        ({"hosts": ("@web",), "exclude": ("web02",)}, ["web01", "web03", "web04"], []),
    ],
)
def test_w_and_x_leave_some_of_the_hosts_of_each_task(
    options: dict[str, tuple[str, ...]], first: list[str], second: list[str]
) -> None:
    job = narrowed("tasks: [{hosts: '@prod', run: x}, {hosts: web02, run: y}]", **options)

    assert hosts_of(job, 0) == first
    assert hosts_of(job, 1) == second


def test_w_may_say_the_login_user() -> None:
    job = narrowed("tasks: [{hosts: '@prod', run: x}]", hosts=("root@db1",))

    assert place(job).user == "root"


@pytest.mark.parametrize(
    ("tasks", "options"),
    [
        ("tasks: [{hosts: '@web', run: x}]", {"hosts": ("db1",)}),
        ("tasks: [{hosts: '@web', run: x}]", {"exclude": ("web*",)}),
        ("tasks: [{run: x}]", {"hosts": ("db1",)}),
    ],
)
def test_a_command_line_that_leaves_no_host_to_any_task_is_wrong(
    tasks: str, options: dict[str, tuple[str, ...]]
) -> None:
    with pytest.raises(UsageError, match="-w and -x"):
        narrowed(tasks, **options)


@pytest.mark.parametrize(
    "options", [{"hosts": ("@wbe",)}, {"exclude": ("wbe01",)}, {"exclude": ("@nosuch",)}]
)
def test_a_slip_in_w_or_x_is_an_error(options: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(NodeSetError):
        narrowed("tasks: [{hosts: '@web', run: x}]", **options)


def test_a_host_that_only_the_job_file_names_can_be_excluded_too() -> None:
    job = narrowed("tasks: [{hosts: 'new[1-3]', run: x}]", exclude=("new2",))

    assert hosts_of(job) == ["new1", "new3"]


def test_a_host_of_w_that_no_task_is_for_is_told() -> None:
    job = narrowed("tasks: [{hosts: '@web', run: x}]", hosts=("web01,wbe[2-3],lab1",))

    assert hosts_of(job) == ["web01"]
    assert job.warnings == ("-w lab1,wbe[2-3]: no task is for these",)


# --- tasks and steps


def test_a_task_says_what_the_scheduler_must_know_of_its_hosts() -> None:
    job = loaded(
        "fanout: 7\nhost_key: accept-new\ntasks:\n"
        "- {id: a, hosts: 'n[1-9]', run: x, pick: 2, per_host: 3, ignore_unreachable: true}\n"
        "- {id: b, hosts: n1, run: x, needs: {task: a, per: host}}\n- {id: c, run: x}\n"
    )
    one, two, three = job.job.tasks

    assert (job.job.fanout, job.host_key) == (7, "accept-new")
    assert (one.on_hosts, one.single, one.pick, one.per_host) == (True, False, 2, 3)
    assert one.ignore_unreachable
    assert two.needs == (Need(task_id="a", per="host"),)
    assert (three.on_hosts, three.single) == (False, True)


def test_hosts_may_be_a_default_of_all_tasks() -> None:
    job = loaded("defaults: {hosts: 'n[1-2]'}\ntasks: [{run: x}, {delete: /x, hosts: m}]")

    assert hosts_of(job, 0) == ["n1", "n2"]
    assert hosts_of(job, 1) == ["m"]


def steps_of(unit: Unit, number: int) -> list[Unit]:
    assert unit.program is not None
    return [unit.program.plan(Section.STEPS, at, None).unit for at in range(number)]


def test_a_step_runs_on_the_host_of_its_unit_or_elsewhere_for_it() -> None:
    job = loaded(
        INVENTORY + "tasks:\n- hosts: web01\n  cwd: work\n  vars: {lb: lab1}\n  steps:\n"
        "  - run: restart\n"
        "  - {run: 'drain {{ host }}', delegate_to: '{{ lb }}'}\n"
        "  - {copy: {src: a, dest: b}, delegate_to: local}\n"
        "  - {run: 'note {{ host }}', delegate_to: local, cwd: notes}\n"
    )
    (unit,) = units(job)
    here, drain, copy, note = steps_of(unit, 4)

    assert {one.host for one in (unit, here, drain, copy, note)} == {"web01"}
    places = [one.place and one.place.name for one in (unit, here, drain, copy, note)]
    assert places == ["web01", "web01", "lab1", None, None]
    assert drain.params["command"] == "drain 'web01'"
    assert (here.params["cwd"], note.params["cwd"]) == ("work", "/base/dir/notes")
    assert copy.params["dest"] == "/base/dir/b"
    assert [one.params.get("env") for one in (here, drain, note)] == [
        None,
        {"BATCHRUN_HOST": "web01"},
        {"BATCHRUN_HOST": "web01"},
    ]


def test_a_task_without_hosts_may_have_steps_on_one() -> None:
    job = loaded("tasks: [{steps: [{run: a}, {run: b, delegate_to: n1}]}]")
    (unit,) = units(job)
    here, there = steps_of(unit, 2)

    assert (unit.host, unit.place, here.place) == ("", None, None)
    assert there.place == Host(name="n1")
    assert not job.job.tasks[0].on_hosts


def test_a_step_that_is_delegated_to_several_hosts_fails() -> None:
    job = loaded(
        "inventory: {hosts: {a: {vars: {lb: 'x[1-2]'}}}}\n"
        "tasks: [{hosts: a, steps: [{run: b, delegate_to: '{{ host.lb }}'}]}]"
    )
    (unit,) = units(job)

    (step,) = steps_of(unit, 1)

    assert "`x[1-2]` means 2 hosts; name one" in str(step.verdict)


# --- check


def test_check_knows_the_hosts_that_are_known_before_anything_runs() -> None:
    job = loaded(
        INVENTORY + "tasks:\n- {id: a, hosts: '@web!web01', run: x, foreach: [p, q], register: r}\n"
        "- {id: b, hosts: '{{ results.r.units | map(attribute=\"host\") | list }}', needs: a,"
        " run: x, pick: 1, connect_timeout: 3s, ignore_unreachable: true}\n"
        "- {id: c, hosts: '@web', run: x, per_host: 2, needs: [{task: a, per: host}]}\n"
    )

    one, two, three = job.describe()

    assert (one.hosts, one.host_names, one.units) == ("@web!web01", ("web02", "web03", "web04"), 6)
    assert (two.host_names, two.units, two.pick, two.connect_timeout_s) == (None, None, 1, 3.0)
    assert two.ignore_unreachable
    assert (three.per_host, three.needs_per_host, three.units) == (2, ("a",), 4)


def test_an_inventory_without_tasks_on_hosts_is_still_checked() -> None:
    with pytest.raises(JobFileError, match="did you mean `port`"):
        load_text(
            "inventory: {hosts: {a: {prot: 1}}}\ntasks: [{run: x}]",
            file="j",
            base_dir="/",
            table=TABLES,
        )
