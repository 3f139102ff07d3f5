"""What an inventory knows of hosts, and which hosts a node set means."""

import sys
from pathlib import Path

import pytest
from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet
from hypothesis import given
from hypothesis import strategies as st

from batchrun.errors import NodeSetError
from batchrun.nodes.inventory import GroupRow, HostRow, Inventory, Settings, build_inventory


def inventory(hosts: list[HostRow], groups: list[GroupRow] | None = None) -> Inventory:
    """Build one without mistakes."""
    noted: list[str] = []
    built = build_inventory(
        Settings(user="deploy", port=22, variables={"level": "default", "site": "a"}),
        hosts,
        groups or [],
        lambda place, message: noted.append(f"{place}: {message}"),
    )
    assert noted == []
    return built


def fleet() -> Inventory:
    return inventory(
        [
            HostRow(nodes="web[01-05]", groups=("web",)),
            HostRow(nodes="db[1-2]", settings=Settings(user="postgres"), groups=("db", "slow")),
            HostRow(nodes="lab1"),
        ],
        [GroupRow(name="prod", nodes="@web,db1")],
    )


def names(text: str, known: Inventory | None = None) -> list[str]:
    return [host.name for host in (known or fleet()).select(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("db1", "db1"),
        ("@web", "web01 web02 web03 web04 web05"),
        ("@web!web03", "web01 web02 web04 web05"),
        ("@web ! web0[2-5]", "web01"),
        ("@web&web0[4-9]", "web04 web05"),
        ("db[1-2]^db[2-3]", "db1 db3"),
        ("lab1, db1 web01", "lab1 db1 web01"),
        ("web05 @web", "web05 web01 web02 web03 web04"),
        ("@prod&@db", "db1"),
        ("@*!@web", "db1 db2 lab1"),
        ("db*", "db1 db2"),
        ("web?1", "web01"),
        ("w*[1-2]", "web01 web02"),
        ("elsewhere.example.org", "elsewhere.example.org"),
        ("x[1-2]!x[2-3]", "x1"),
        ("@*!lab*!@web", "db1 db2"),
    ],
)
def test_a_node_set_means_hosts_in_the_order_of_its_words(text: str, expected: str) -> None:
    assert names(text) == expected.split()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("@wbe", "did you mean `@web`"),
        ("@web!@wbe", "did you mean `@web`"),
        ("@web!wbe01", "did you mean `web01`"),
        ("@web&nosuch*", "matches none"),
        ("@web&db1", "means no host"),
        ("web01!web01", "means no host"),
        ("&web01", "begins with"),
        ("web01,,web02", "nothing before"),
        ("web01!", "ends with"),
        ("web[01-02", "not closed"),
        ("web01]", "was not opened"),
        ("web[[1]]", "opened twice"),
        ("web01/24", "cannot be in the name"),
        ("root@", "no name"),
        ("@:web", "no source"),
    ],
)
def test_a_slip_is_an_error_that_says_what_to_write(text: str, reason: str) -> None:
    with pytest.raises(NodeSetError, match=reason):
        names(text)


def test_without_any_inventory_names_are_hosts_and_wildcards_match_nothing() -> None:
    empty = inventory([])

    (host,) = empty.select("anything.example.org")

    assert (host.name, host.user, host.port) == ("anything.example.org", "deploy", 22)
    with pytest.raises(NodeSetError, match="to be excluded"):
        empty.select("web[1-3]!wbe1")


def test_a_user_before_the_name_wins_over_the_inventory() -> None:
    one, two, *_ = fleet().select("root@db1,db2,admin@@web")

    assert (one.name, one.user) == ("db1", "root")
    assert (two.name, two.user) == ("db2", "postgres")
    assert {host.user for host in fleet().select("admin@@web")} == {"admin"}


def test_settings_and_variables_of_a_host_win_over_groups_and_defaults() -> None:
    known = inventory(
        [
            HostRow(
                nodes="a1",
                groups=("low", "high"),
                settings=Settings(port=1, variables={"own": 1}),
            ),
            HostRow(nodes="a2", groups=("high", "low")),
            HostRow(nodes="a1", settings=Settings(jump="gate")),
        ],
        [
            GroupRow(name="low", settings=Settings(user="low", variables={"level": "low"})),
            GroupRow(name="high", settings=Settings(user="high", variables={"own": 0})),
        ],
    )

    one, two = known.select("a1 a2")

    assert (one.port, one.user, one.jump) == (1, "high", "gate")
    assert one.variables == {"level": "low", "site": "a", "own": 1}
    assert two.variables == {"level": "low", "site": "a", "own": 0}
    assert one.groups == two.groups == ("high", "low")


def test_a_group_in_a_group_gives_its_hosts_and_what_only_a_group_names_is_a_host() -> None:
    known = inventory(
        [HostRow(nodes="a", groups=("inner",))],
        [
            GroupRow(name="outer", nodes="@inner,b", settings=Settings(port=7)),
            GroupRow(name="inner", nodes="c"),
        ],
    )

    assert names("@outer", known) == ["c", "a", "b"]
    assert {host.port for host in known.select("@outer")} == {7}
    assert known.host("a").groups == ("inner", "outer")
    assert names("@*", known) == ["a", "c", "b"]


def test_an_address_with_ranges_is_one_for_each_host() -> None:
    known = inventory([HostRow(nodes="n[1-3]", settings=Settings(address="10.0.0.[7-9]"))])

    assert [host.address for host in known.select("n[1-3]")] == ["10.0.0.7", "10.0.0.8", "10.0.0.9"]


OPERANDS = st.sampled_from(["n[1-9]", "n[1-5/2]", "n4", "m[01-12]", "m[3-7]", "n[8-12]", "m01"])


@given(OPERANDS, st.lists(st.tuples(st.sampled_from(",!&^"), OPERANDS), max_size=5))
def test_operators_mean_what_they_mean_to_clustershell(
    first: str, more: list[tuple[str, str]]
) -> None:
    text = first + "".join(operator + operand for operator, operand in more)
    known = inventory([HostRow(nodes=one) for one in ("n[1-12]", "m[01-12]", "m[3-7]")])
    judged = set(map(str, NodeSet(text, resolver=RESOLVER_NOGROUP)))

    if judged:
        assert set(names(text, known)) == judged
    else:
        with pytest.raises(NodeSetError, match="means no host"):
            names(text, known)


def configure(directory: Path, monkeypatch: pytest.MonkeyPatch, main: str, **files: str) -> None:
    """Give the user a configuration of ClusterShell's groups."""
    (directory / "groups.d").mkdir()
    (directory / "groups.conf").write_text(main, encoding="utf-8")
    for name, text in files.items():
        (directory / "groups.d" / name.replace("_", ".")).write_text(text, encoding="utf-8")
    monkeypatch.setenv("CLUSTERSHELL_CFGDIR", str(directory))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the machine groups of its own."""
    configure(
        tmp_path, monkeypatch, "[Main]\ndefault: roles\nautodir: $CFGDIR/groups.d\n",
        roles_yaml="roles:\n  app: 'app[1-3]'\n  both: '@app,@racks:r1'\n  all: 'app[1-4]'\n"
        "racks:\n  r1: 'r1n[1-2]'\n  r2: 'r2n1'\n",
    )  # fmt: skip


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@app!app2", "app1 app3"),
        ("@racks:r1", "r1n1 r1n2"),
        ("@racks:r[1-2]", "r1n1 r1n2 r2n1"),
        ("@both", "app1 app2 app3 r1n1 r1n2"),
        ("@*", "app1 app2 app3 app4"),
        ("app*&@app", "app1 app2 app3"),
        ("@roles:*!app1", "app2 app3 app4"),
    ],
)
def test_the_groups_of_this_machine_are_known_too(text: str, expected: str) -> None:
    assert names(text, Inventory.empty()) == expected.split()


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("@ap", "did you mean `@app`"),
        ("@racks:r9", "did you mean `@racks:r1`|there are r1, r2"),
        ("@nosource:x", "there are roles, racks"),
    ],
)
def test_a_group_that_this_machine_does_not_know_is_an_error(text: str, reason: str) -> None:
    with pytest.raises(NodeSetError, match=reason):
        names(text, Inventory.empty())


@pytest.mark.usefixtures("machine")
def test_groups_of_the_inventory_hide_those_of_the_machine() -> None:
    known = inventory([HostRow(nodes="mine", groups=("app",))])

    assert names("@app", known) == ["mine"]
    assert names("@*", known) == ["mine"]
    assert names("@racks:r2", known) == ["r2n1"]


#: What packages of ClusterShell put into /etc/clustershell, and beside the Python of a wheel.
EXAMPLE = """
[Main]
default: local
[local]
map: sed -n 's/^$GROUP:\\(.*\\)/\\1/p' $CFGDIR/groups.d/local.cfg
all: sed -n 's/^all:\\(.*\\)/\\1/p' $CFGDIR/groups.d/local.cfg
list: sed -n 's/^\\([0-9A-Za-z_-]*\\):.*/\\1/p' $CFGDIR/groups.d/local.cfg
"""
EXAMPLE_GROUPS = "adm: example0\ncompute: example[32-159]\nall: example[4-6,32-159]\n"


@pytest.mark.parametrize("text", ["@*", "@compute", "@local:*", "example4*"])
def test_groups_that_are_still_those_of_the_package_are_none(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(tmp_path, monkeypatch, EXAMPLE, local_cfg=EXAMPLE_GROUPS)

    with pytest.raises(NodeSetError, match=r"none is|there are no groups|no source names any host"):
        names(text, Inventory.empty())


def test_a_group_beside_those_of_the_package_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(tmp_path, monkeypatch, EXAMPLE, local_cfg=EXAMPLE_GROUPS + "app: app[1-2]\n")

    assert names("@app", Inventory.empty()) == ["app1", "app2"]
    with pytest.raises(NodeSetError, match=r"there is no group `@adm`; there are app \("):
        names("@adm", Inventory.empty())


def test_who_has_no_groups_is_told_where_they_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    with pytest.raises(NodeSetError) as raised:
        names("@web", Inventory.empty())

    for place in ("/etc/clustershell", f"{tmp_path}/clustershell"):
        assert f"{place}/groups.conf" in str(raised.value)
    assert "no inventory names any host" in str(raised.value)


def test_what_is_beside_the_python_of_the_program_says_nothing_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = tmp_path / "etc" / "clustershell"
    beside.mkdir(parents=True)
    configure(beside, monkeypatch, EXAMPLE, local_cfg="beside: web[1-3]\n")
    monkeypatch.delenv("CLUSTERSHELL_CFGDIR")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))

    with pytest.raises(NodeSetError, match="there is no group `@beside`"):
        names("@beside", Inventory.empty())
