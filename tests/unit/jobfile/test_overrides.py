"""What the command line says about tasks on hosts."""

from typing import Any

import pytest

from batchrun.jobfile.options import LoadOptions
from batchrun.jobfile.overrides import with_overrides
from batchrun.jobfile.scalars import Plain
from batchrun.remote import OPERATIONS

PASSWORD = {"password": "secrets.sudo_password"}


def overridden(task: dict[str, Any], defaults: Any = None, **options: Any) -> dict[str, Any]:
    data = {"tasks": [task], **({} if defaults is None else {"defaults": defaults})}
    found = with_overrides(data, LoadOptions(**options), OPERATIONS)
    assert data["tasks"] == [task]
    (one,) = found["tasks"]
    return dict(one)


def test_waves_are_those_of_the_command_line_on_hosts_only() -> None:
    task = {"run": "x", "hosts": "a", "batch": Plain("5")}
    assert overridden(task, batch=("1", "50%"))["batch"] == ["1", "50%"]
    assert "batch" not in overridden({"run": "x", "foreach": ["a"]}, batch=("1",))


@pytest.mark.parametrize("written", ["deploy", Plain("false")])
def test_sudo_fills_in_what_a_task_does_not_say(written: str) -> None:
    assert overridden({"run": "x", "hosts": "a"}, sudo=True)["sudo"] == "true"
    assert overridden({"run": "x", "hosts": "a", "sudo": written}, sudo=True)["sudo"] == written
    assert "sudo" not in overridden({"run": "x"}, sudo=True)


@pytest.mark.parametrize(
    ("written", "sudo"),
    [
        (Plain("true"), PASSWORD),
        ("deploy", {"user": "deploy", **PASSWORD}),
        (Plain("false"), "false"),
        ({"password": "secrets.own"}, {"password": "secrets.own"}),
    ],
)
def test_a_password_goes_to_every_sudo_that_has_none(written: Any, sudo: Any) -> None:
    steps = [{"run": "y", "sudo": written}, {"run": "z"}]
    task = {"steps": steps, "hosts": "a", "sudo": written}
    found = overridden(task, asks_sudo_password=True)
    assert found["sudo"] == sudo
    assert found["steps"] == [{"run": "y", "sudo": sudo}, {"run": "z"}]


def test_sudo_of_the_defaults_gets_the_password_on_hosts_only() -> None:
    defaults = {"sudo": Plain("true")}
    on_hosts = overridden({"run": "x", "hosts": "a"}, defaults, asks_sudo_password=True)
    assert on_hosts["sudo"] == PASSWORD
    assert "sudo" not in overridden({"run": "x"}, defaults, asks_sudo_password=True)


def test_the_password_is_a_secret_that_is_typed_in() -> None:
    options = LoadOptions(asks_sudo_password=True)
    found = with_overrides({"tasks": [], "secrets": {"own": {"env": "X"}}}, options, OPERATIONS)
    assert found["secrets"] == {"own": {"env": "X"}, "sudo_password": {"prompt": "sudo password"}}
