"""Users who exist for a test, what sudo lets them do, and the whole program run as one of them.

Needs root, as CI has it: it writes to /etc, and takes away again what it wrote.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from program import Ended, Program, Started, as_ordinary_user
from support import wait_until

__all__ = ["Person", "person", "pids_with_argument"]

_SUDOERS = Path("/etc/sudoers.d")
#: Whom it has lectured, and who has shown his password.
_SUDO_REMEMBERS = (Path("/var/lib/sudo/lectured"), Path("/run/sudo/ts"))


@dataclass(frozen=True, kw_only=True)
class Person:
    """A user, and a program that he runs in his own directory."""

    name: str
    uid: int
    password: str
    program: Program

    @property
    def dir(self) -> Path:
        return self.program.dir

    def start(self, text: str, *words: str, **more: Any) -> Started:
        """Start a job whose secret `pw` is this user's password, in a file that only he may read.

        Args:
            text: The job, without its secrets.
            words: Options.
            more: For `Program.start`; `password` is put into the file instead of the right one.
        """
        self._keep(more.pop("password", self.password))
        path = self.dir / "job.yml"
        path.write_text(f"secrets: {{pw: {{file: pw}}}}\n{text}")
        return self.program.start("job.yml", *words, **self._as_user(more))

    def run(self, text: str, *words: str, **more: Any) -> Ended:
        """Run a job to its end; see `start`."""
        return self.start(text, *words, **more).end()

    def units(self, text: str, *words: str, **more: Any) -> list[dict[str, Any]]:
        """Run a job and return its units, as JSON has them."""
        return self.run(text, "--output", "json", *words, **more).units

    def unit(self, text: str, *words: str, **more: Any) -> dict[str, Any]:
        """Run a job with one unit and return that."""
        (only,) = self.units(text, *words, **more)
        return only

    @contextmanager
    def may(self, defaults: str) -> Iterator[None]:
        """Have something else hold for this user, as `Defaults` of sudoers."""
        before = (_SUDOERS / self.name).read_text()
        _put(self.name, f"{before}Defaults:{self.name} {defaults}\n")
        try:
            yield
        finally:
            _put(self.name, before)

    def own(self, path: Path) -> Path:
        """Make something this user's own."""
        os.chown(path, self.uid, self.uid)
        return path

    def _keep(self, password: str) -> None:
        path = self.dir / "pw"
        path.write_text(password)
        path.chmod(0o600)
        self.own(path)

    def _as_user(self, more: dict[str, Any]) -> dict[str, Any]:
        env = {
            "BATCHRUN_STATE_DIR": str(self.dir / "state"),
            "XDG_CONFIG_HOME": None,
            "HOME": str(self.dir),
            **more.pop("env", {}),
        }
        return {"before": as_ordinary_user(self.uid), "env": env, **more}


@contextmanager
def person(rules: str = "ALL=(ALL:ALL) ALL", defaults: str = "") -> Iterator[Person]:
    """Make a user with a password.

    Args:
        rules: What sudo lets him do, as in sudoers, without his name.
        defaults: What holds for him, such as `requiretty`.
    """
    token = secrets.token_hex(4)
    name, password = f"brt{token}", f"pw:{secrets.token_hex(8)} é'\"\\$"
    home = Path("/var/tmp") / f"batchrun-test-{token}" / "home"
    home.mkdir(parents=True)
    try:
        home.parent.chmod(0o755)
        with _account(name, password, home) as uid, _sudoers(name, rules, defaults):
            os.chown(home, uid, uid)
            with Program(home) as program:
                yield Person(name=name, uid=uid, password=password, program=program)
    finally:
        shutil.rmtree(home.parent)


@contextmanager
def _account(name: str, password: str, home: Path) -> Iterator[int]:
    """Make an account; two at once lock each other out."""
    make = ["useradd", "--no-create-home", "--home-dir", str(home), "--user-group"]
    make += ["--shell", "/bin/sh", name]
    wait_until(lambda: _succeeds(make), 30, f"the user {name} is there")
    try:
        entry = f"{name}:{password}\n".encode()
        wait_until(lambda: _succeeds(["chpasswd"], entry), 30, "he has a password")
        found = pwd.getpwnam(name)
        assert found.pw_gid == found.pw_uid
        yield found.pw_uid
    finally:
        wait_until(lambda: _succeeds(["userdel", name]), 30, f"the user {name} is gone")
        for folder in _SUDO_REMEMBERS:
            (folder / name).unlink(missing_ok=True)


@contextmanager
def _sudoers(name: str, rules: str, defaults: str) -> Iterator[None]:
    """Let sudo know a user."""
    lines = f"{name} {rules}\n" if rules else ""
    lines += f"Defaults:{name} {defaults}\n" if defaults else ""
    _put(name, lines)
    try:
        yield
    finally:
        (_SUDOERS / name).unlink()


def _put(name: str, text: str) -> None:
    """Write what sudo reads of a user; half of a file would lock everybody out."""
    new = _SUDOERS / f"{name}.new"  # sudo reads no name with a dot in it
    try:
        new.write_text(text)
        new.chmod(0o440)
        subprocess.run(["visudo", "-cqf", new], check=True)
        new.rename(_SUDOERS / name)
    finally:
        new.unlink(missing_ok=True)


def _succeeds(argv: list[str], stdin: bytes = b"") -> bool:
    return subprocess.run(argv, input=stdin, capture_output=True, check=False).returncode == 0


def pids_with_argument(text: str) -> list[int]:
    """Return the ids of processes, whosever they are, with this among their arguments."""
    found = []
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and os.fsencode(text) in Path(f"/proc/{name}/cmdline").read_bytes():
                found.append(int(name))
    return [pid for pid in found if pid != os.getpid()]
