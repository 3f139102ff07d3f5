"""Names folded to node sets and written out again."""

import random
import re

import pytest
from ClusterShell.NodeSet import RESOLVER_NOGROUP, NodeSet
from hypothesis import given
from hypothesis import strategies as st

from batchrun.errors import NodeSetError
from batchrun.nodes.nodeset import MOST_HOSTS, expand, fold


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ([], ""),
        (["web"], "web"),
        (["web2", "web1", "web3", "web1"], "web[1-3]"),
        (["web01", "web03", "web02", "web20"], "web[01-03,20]"),
        (["web9", "web10", "web8"], "web[8-10]"),
        (["n1", "n09", "n10"], "n[1,09-10]"),
        (["b", "a"], "a,b"),
        (["r1n1", "r1n2", "r2n1", "r2n2"], "r[1-2]n[1-2]"),
        (["r1n1", "r1n2", "r2n1"], "r2n1,r1n[1-2]"),
        (["web1.ex.org", "web2.ex.org"], "web[1-2].ex.org"),
        (["10.0.0.1", "10.0.0.2", "10.0.0.10"], "10.0.0.[1-2,10]"),
        (["web10", "web9", "db1"], "db1,web[9-10]"),
        (["h123456789012345678901", "h123456789012345678902"],) * 2,
    ],
)
def test_names_are_folded_as_short_as_can_be(names: list[str], folded: str | list[str]) -> None:
    expected = ",".join(folded) if isinstance(folded, list) else folded

    assert sorted(fold(names).split(",")) == sorted(expected.split(","))


NAMES = st.lists(
    st.from_regex(r"[a-c]{1,2}[0-9]{0,3}(-[a-b][0-9]{1,2})?(\.x)?", fullmatch=True), max_size=60
)


@given(NAMES)
def test_a_folded_set_means_the_same_names_to_clustershell(names: list[str]) -> None:
    read = NodeSet(fold(names), resolver=RESOLVER_NOGROUP)

    assert set(map(str, read)) == set(names)


def test_ten_thousand_names_in_a_row_are_one_range() -> None:
    names = [f"node{number:05}" for number in range(10_000)]
    random.Random(7).shuffle(names)

    assert fold(names) == "node[00000-09999]"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("web", ["web"]),
        ("web[1-3]", ["web1", "web2", "web3"]),
        ("web[01-03,9]", ["web01", "web02", "web03", "web9"]),
        ("n[1-9/2]", ["n1", "n3", "n5", "n7", "n9"]),
        ("r[1-2]n[1-2]", ["r1n1", "r1n2", "r2n1", "r2n2"]),
        ("web[08-11].ex.org", [f"web{one}.ex.org" for one in ("08", "09", "10", "11")]),
    ],
)
def test_ranges_are_written_out_in_their_order(text: str, names: list[str]) -> None:
    assert sorted(expand(text)) == sorted(names)


@pytest.mark.parametrize(
    "text",
    ["web[]", "web[a]", "web[3-1]", "web[1-3/0]", "web[1--3]", "web[-1]", "a[1][2]", "web[01-120]"],
)
def test_a_range_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(NodeSetError, match=re.escape(text)):
        expand(text)


def test_the_advice_for_uneven_zeros_can_be_written() -> None:
    for text, advice in (("web[01-3]", "01-03"), ("web[01-120]", "001-120")):
        with pytest.raises(NodeSetError, match=f"write {advice}$"):
            expand(text)
        assert expand(f"web[{advice}]")


@pytest.mark.parametrize("text", ["n[1-999999999999]", "a[1-1000]b[1-1000]", "n[0-99999,1-9]"])
def test_more_hosts_than_anybody_has_are_a_slip_and_never_written_out(text: str) -> None:
    with pytest.raises(NodeSetError, match=f"more than {MOST_HOSTS} hosts"):
        expand(text)
