"""The plan that `check` prints."""

from batchrun.report.plan import PlanRow, plan_text


def test_a_plan_names_each_task_with_its_needs_units_paths_limits_and_warnings() -> None:
    rows = [
        PlanRow(id="fetch", name="fetch", operation="run", limits="timeout 10 min, 2 retries"),
        PlanRow(
            id="copy",
            name="stage the exports",
            operation="copy",
            needs=("fetch",),
            source="glob /data/*.csv",
            units="12",
            paths=("/data/*.csv", "/srv/stage/"),
            warnings=("/srv is not mounted",),
        ),
        PlanRow(id="tell", name="", operation="run", source="lines -", units="", is_final=True),
    ]

    assert plan_text(rows, title="nightly: 2 processes") == (
        "nightly: 2 processes\n"
        "1. fetch  [run]\n"
        "   units   1\n"
        "   limits  timeout 10 min, 2 retries\n"
        "2. copy: stage the exports  [copy]\n"
        "   needs   fetch\n"
        "   units   12, from glob /data/*.csv\n"
        "   paths   /data/*.csv\n"
        "           /srv/stage/\n"
        "   warning: /srv is not mounted\n"
        "3. tell  [run] (finally)\n"
        "   units   from lines -\n"
        "3 tasks, 1 warning\n"
    )


def test_a_plan_shows_hostile_names_as_escapes() -> None:
    row = PlanRow(id="\x1b[2J", name="a\nb", operation="copy", paths=("\udcff",))

    text = plan_text([row])
    assert "\\x1b[2J: a\\nb" in text
    assert "\\xff" in text
    assert "\x1b" not in text


def test_an_empty_plan_says_so() -> None:
    assert plan_text([]) == "0 tasks\n"
