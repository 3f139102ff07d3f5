"""The job files that commands on hosts are."""

import io
import os
from pathlib import Path

import pytest

from batchrun.cli.executing import exec_text
from batchrun.cli.hostoptions import HostKey
from batchrun.cli.onceflags import ExecFlags, TransferFlags
from batchrun.cli.transferring import download_text, upload_text
from batchrun.errors import UsageError


def test_words_are_joined_with_spaces_as_ssh_does_it() -> None:
    text = exec_text(ExecFlags(hosts=["web[1-2]"], words=["echo", "a  b", "|", "wc", "-c"]))
    assert text == (
        "# Written by `batchrun exec --save`.\n"
        "name: exec\n"
        "tasks:\n"
        "  - name: 'echo a  b | wc -c'\n"
        "    id: exec\n"
        "    hosts: 'web[1-2]'\n"
        "    run: 'echo a  b | wc -c'\n"
    )


def test_braces_are_the_users_own_unless_templates_are_wanted() -> None:
    words = ["docker", "ps", "--format", "{{.ID}}"]
    plain = exec_text(ExecFlags(hosts=["a"], words=words))
    assert "run: 'docker ps --format {{ ''{{'' | raw }}.ID}}'" in plain
    template = exec_text(ExecFlags(hosts=["a"], words=["echo", "{{ host }}"], template=True))
    assert "run: 'echo {{ host }}'" in template


def test_with_argv_words_stay_apart() -> None:
    text = exec_text(ExecFlags(hosts=["a"], words=["echo", "a b"], argv=True))
    assert "run: [echo, 'a b']" in text


def test_a_script_of_this_machine_gets_the_words_as_arguments() -> None:
    text = exec_text(ExecFlags(hosts=["a"], script=Path("fix.sh"), words=["-v", "x"]))
    assert f"file: {os.getcwd()}/fix.sh" in text
    assert "args: ['-v', x]" in text


def test_every_option_of_hosts_is_in_the_job_file() -> None:
    flags = ExecFlags(
        hosts=["a"],
        words=["id"],
        inventory=Path("/srv/hosts.yml"),
        fanout=8,
        host_key=HostKey.ACCEPT_NEW,
        connect_timeout=5.0,
        batch="1,50%",
        ask_sudo_pass=True,
        timeout=60.0,
        retries=2,
    )
    lines = [line.strip() for line in exec_text(flags).splitlines()]
    for line in (
        "inventory: /srv/hosts.yml",
        "fanout: 8",
        "host_key: accept-new",
        "connect_timeout: '5s'",
        "batch: [1, '50%']",
        "sudo: {password: secrets.sudo_password}",
        "secrets: {sudo_password: {prompt: 'sudo password'}}",
        "timeout: '60s'",
        "retries: 2",
    ):
        assert line in lines, line


def test_standard_input_of_the_command_is_in_the_job_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"{{x}}\n")))
    assert "stdin: |\n      {{ '{{' }}x}}\n" in exec_text(
        ExecFlags(hosts=["a"], words=["cat"], stdin=True)
    )


@pytest.mark.parametrize("data", [b"\xff", b"x" * (1024 * 1024 + 1)])
def test_standard_input_that_no_job_file_can_hold_is_refused(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    with pytest.raises(UsageError, match="batchrun upload"):
        exec_text(ExecFlags(hosts=["a"], words=["cat"], stdin=True))


def test_there_must_be_a_command() -> None:
    with pytest.raises(UsageError, match="no command"):
        exec_text(ExecFlags(hosts=["a"]))


def test_sources_of_an_upload_are_those_of_here() -> None:
    text = upload_text(TransferFlags(hosts=["a"], paths=["a.conf", "dir/", "/etc/x/"]))
    here = os.getcwd()
    assert f"upload: {{src: [{here}/a.conf, {here}/dir/], dest: /etc/x/}}" in text


def test_a_pattern_is_expanded_by_the_shell_or_refused(tmp_path: Path) -> None:
    flags = TransferFlags(hosts=["a"], paths=[f"{tmp_path}/*.conf", "/etc/"])
    with pytest.raises(UsageError, match="write it without quotes"):
        upload_text(flags)
    (tmp_path / "*.conf").touch()
    assert f"src: '{tmp_path}/[*].conf'" in upload_text(flags)


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("out", "/srv/out/{{ host }}/"),
        ("/out/", "/out/{{ host }}/"),
        ("/", "/{{ host }}/"),
        ("/out/{{ host }}.log", "/out/{{ host }}.log"),
        ("/{{x}}/{{ host }}/", "/{{ ''{{'' }}x}}/{{ host }}/"),
    ],
)
def test_a_download_tells_hosts_apart(
    typed: str, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getcwd", lambda: "/srv")
    text = download_text(TransferFlags(hosts=["a"], paths=["/var/log/x", typed]))
    assert f"dest: '{written}'" in text


def test_a_transfer_has_a_source_and_a_destination() -> None:
    with pytest.raises(UsageError, match="at least one source"):
        upload_text(TransferFlags(hosts=["a"], paths=["x"]))
