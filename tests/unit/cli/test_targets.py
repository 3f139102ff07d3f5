"""Which hosts a command line means."""

import io
from pathlib import Path

import pytest

from batchrun.cli.onceflags import ExecFlags
from batchrun.cli.targets import node_set, wanted_nodes
from batchrun.errors import UsageError


def test_everything_that_names_hosts_is_one_node_set() -> None:
    flags = ExecFlags(hosts=["web[1-3]", "db1"], group=["lb"], all_hosts=True)
    assert node_set(flags) == "web[1-3],db1,@lb,@*"


def test_each_thing_that_is_excluded_is_an_operand_of_its_own() -> None:
    flags = ExecFlags(hosts=["@web"], exclude=["web[1,3],web7", "@old web9"])
    assert node_set(flags) == "@web!web[1,3]!web7!@old!web9"


def test_an_operator_in_what_is_excluded_would_mean_something_else() -> None:
    with pytest.raises(UsageError, match="-x @web!web1"):
        node_set(ExecFlags(hosts=["@all"], exclude=["@web!web1"]))


def test_several_node_sets_mean_together_what_each_means_by_itself() -> None:
    assert node_set(ExecFlags(hosts=["a,b", "@web!b", "c"])) == "@web!b,a,b,c"
    with pytest.raises(UsageError, match="cannot be put together"):
        node_set(ExecFlags(hosts=["@web!a", "b&c"]))


def test_an_empty_set_is_named_with_its_option() -> None:
    with pytest.raises(UsageError, match=r"^-x: the node set is empty"):
        node_set(ExecFlags(hosts=["a"], exclude=["b", " "]))
    with pytest.raises(UsageError, match=r"^-g: the name of the group is empty"):
        node_set(ExecFlags(group=[""]))


def test_hosts_are_read_from_a_file_with_comments(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("# front ends\nweb1 web2\n\nweb[3-4], # two more\n")
    assert node_set(ExecFlags(hostfile=[tmp_path / "list"])) == "web1 web2,web[3-4]"


def test_hosts_are_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("web1\nweb2\n"))
    assert node_set(ExecFlags(hosts=["-"])) == "web1,web2"


@pytest.mark.parametrize("text", ["", "# nobody\n", " \n\n"])
def test_a_list_without_hosts_is_refused_and_does_not_mean_all(tmp_path: Path, text: str) -> None:
    (tmp_path / "list").write_text(text)
    with pytest.raises(UsageError, match="holds no hosts"):
        wanted_nodes(ExecFlags(hostfile=[tmp_path / "list"]))


def test_an_empty_node_set_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        wanted_nodes(ExecFlags(hosts=[" "]))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        wanted_nodes(ExecFlags(hostfile=[tmp_path / "none"]))


def test_standard_input_is_read_once() -> None:
    with pytest.raises(UsageError, match="both read standard input"):
        wanted_nodes(ExecFlags(hosts=["-"], hostfile=[Path("-")]))


def test_that_no_hosts_are_named_is_told_with_what_names_some() -> None:
    with pytest.raises(UsageError, match="-w NODES"):
        node_set(ExecFlags())
