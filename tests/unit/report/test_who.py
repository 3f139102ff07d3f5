"""Which unit is meant, and which hosts."""

from batchrun.model.unit import Unit
from batchrun.report.who import hosts_text, who, without_who


def unit(host: str = "", label: str = "") -> Unit:
    return Unit(task_id="t", index=1, operation="run", host=host, label=label)


def test_a_unit_is_named_by_its_host_and_its_item() -> None:
    assert [who(unit(*names)) for names in (("", ""), ("web1", ""), ("", "a"), ("web1", "a"))] == [
        "", "web1", "a", "web1 a",
    ]  # fmt: skip


def test_a_message_does_not_begin_with_what_stands_beside_it() -> None:
    assert without_who("web1: a.csv: no space", unit("web1", "a.csv")) == "no space"
    assert without_who("a.csv: no space", unit("web1")) == "a.csv: no space"


def test_hosts_are_a_node_set_and_a_number() -> None:
    assert hosts_text(["web17", "web13"]) == "web[13,17] (2)"
    assert hosts_text(["a", "b"], more=3) == "a,b, ... (5)"
