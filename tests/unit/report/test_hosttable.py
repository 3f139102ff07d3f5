"""The table of hosts."""

from batchrun.model.access import ReachedHost
from batchrun.model.host import Host
from batchrun.report.hosttable import host_record, hosts_table

KNOWN = ReachedHost(
    host=Host(name="web1", groups=("prod", "web")), address="192.0.2.1", port=22, user="deploy",
    is_known=True,
)  # fmt: skip


def test_columns_that_say_nothing_of_any_host_are_left_out() -> None:
    other = ReachedHost(host=Host(name="db"), address="db", port=2222, user="x", is_known=False)
    assert hosts_table([KNOWN, other]) == (
        "NAME  ADDRESS    PORT  USER    KEY      GROUPS\n"
        "web1  192.0.2.1  22    deploy  known    prod, web\n"
        "db    db         2222  x       unknown\n"
    )


def test_a_host_that_cannot_be_told_is_a_line_with_the_reason() -> None:
    bad = ReachedHost(host=Host(name="a\x1b[2J"), problem="it makes no sense")
    assert (
        hosts_table([bad]).splitlines()[1]
        == "a\\x1b[2J                       ?    it makes no sense"
    )


def test_a_host_as_json_says_what_is_not_known() -> None:
    record = host_record(ReachedHost(host=Host(name="a"), problem="no"))
    assert (record["port"], record["key_known"], record["problem"]) == (None, None, "no")
