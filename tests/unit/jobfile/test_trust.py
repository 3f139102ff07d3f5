"""What root obeys: files that no one but root can change."""

import os
from pathlib import Path

import pytest

from batchrun.errors import JobFileError
from batchrun.jobfile.trust import Trust, UntrustedError

#: The rule of root, for whoever runs the tests.
STRICT = Trust(strict=True, user=os.geteuid(), group=os.getegid())


def job_file(directory: Path, *, mode: int = 0o644, directory_mode: int = 0o755) -> Path:
    directory.chmod(directory_mode)
    path = directory / "job.yml"
    path.write_text("tasks: []\n")
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("mode", "directory_mode"),
    [(0o644, 0o755), (0o600, 0o700), (0o664, 0o775), (0o444, 0o1777), (0o755, 0o1775)],
)
def test_a_file_that_only_its_owner_can_change_is_obeyed(
    tmp_path: Path, mode: int, directory_mode: int
) -> None:
    path = job_file(tmp_path, mode=mode, directory_mode=directory_mode)

    assert STRICT.read(str(path)) == b"tasks: []\n"
    STRICT.look(str(path))


@pytest.mark.parametrize(
    ("mode", "directory_mode", "reason"),
    [
        (0o646, 0o755, "can be written by everybody (mode 0646), so root will not obey it; chown"),
        (0o644, 0o777, "{directory} can be written by everybody (mode 0777), so root will not"),
    ],
)
def test_a_file_that_others_can_change_or_replace_is_refused(
    tmp_path: Path, mode: int, directory_mode: int, reason: str
) -> None:
    path = str(job_file(tmp_path, mode=mode, directory_mode=directory_mode))

    for attempt in (STRICT.read, STRICT.look):
        with pytest.raises(UntrustedError) as caught:
            attempt(path)
        assert reason.format(directory=tmp_path) in str(caught.value)
        assert str(caught.value).endswith("or give --insecure-permissions")


def test_a_file_that_another_group_can_write_is_refused(tmp_path: Path) -> None:
    path = job_file(tmp_path, mode=0o664)
    other = Trust(strict=True, user=os.geteuid(), group=os.getegid() + 1)

    with pytest.raises(UntrustedError, match=r"can be written by its group \(mode 0664\)"):
        other.read(str(path))


def test_a_file_of_somebody_else_is_refused_by_name(tmp_path: Path) -> None:
    path = job_file(tmp_path)
    other = Trust(strict=True, user=os.geteuid() + 1, group=os.getegid())

    with pytest.raises(UntrustedError, match=r"belongs to \w+, so root will not obey it"):
        other.read(str(path))


def test_a_link_is_judged_by_the_file_behind_it(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    path = job_file(real, mode=0o666)
    link = tmp_path / "link.yml"
    link.symlink_to(path)

    with pytest.raises(UntrustedError, match="everybody"):
        STRICT.read(str(link))


def test_what_is_no_file_has_been_handed_over_and_is_read() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"tasks: []\n")
    os.close(writer)

    assert STRICT.read(f"/dev/fd/{reader}") == b"tasks: []\n"
    os.close(reader)


def test_everything_is_read_where_it_does_not_matter(tmp_path: Path) -> None:
    path = str(job_file(tmp_path, mode=0o666, directory_mode=0o777))

    assert Trust(strict=False).read(path) == b"tasks: []\n"
    Trust(strict=False).look(path)
    assert Trust.of_this_process(insecure=True).strict is False
    assert Trust.of_this_process(insecure=False).strict is (os.geteuid() == 0)


def test_what_is_not_there_is_left_to_who_reads_it(tmp_path: Path) -> None:
    STRICT.look(str(tmp_path / "missing"))

    with pytest.raises(JobFileError, match="missing: cannot be read: No such file"):
        STRICT.read_for_user(str(tmp_path / "missing"))
