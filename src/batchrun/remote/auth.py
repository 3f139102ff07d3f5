"""Logs in to a server with what there is: keys, the agent, certificates, a password. Never asks."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import paramiko

from batchrun.errors import UnreachableError
from batchrun.remote.agent import AgentError
from batchrun.remote.channels import Login, Wire
from batchrun.remote.config import SshSettings
from batchrun.remote.keyring import Candidate, Choice, Keyring
from batchrun.remote.patience import Patience

__all__ = ["Password", "log_in"]

_TOO_MANY: Final = "too many authentication failures"
#: Keys that are named in a message; a number stands for the others.
_NAMED: Final = 3


class Password:
    """A password that is asked for when the first server wants it, and only once.

    Args:
        ask: Returns it; called in the thread of a connection, while others wait.
    """

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._value: str | None = None

    def get(self) -> str:
        """Return it; raises what `ask` raises."""
        with self._lock:
            if self._value is None:
                self._value = self._ask()
            return self._value


def log_in(
    wire: Wire,
    settings: SshSettings,
    keyring: Keyring,
    password: Password | None,
    patience: Patience,
) -> None:
    """Log in to a server whose host key was found right.

    Raises:
        UnreachableError: the server does not let us in, or not in time.
        UnitStoppedError: the unit was stopped meanwhile.
    """
    service = wire.ask_service()
    attempt = _Attempt(
        wire=wire, user=settings.user, choice=keyring.choose(settings), patience=patience
    )
    attempt.wait(service)
    if attempt.show_keys() or attempt.show_nothing():
        return
    if password is None or not attempt.show_password(password):
        raise attempt.refused(password)


@dataclass(slots=True, kw_only=True)
class _Attempt:
    """One login."""

    wire: Wire
    user: str
    choice: Choice
    patience: Patience
    #: Keys that the server has refused.
    refusals: list[Candidate] = field(default_factory=list)
    #: Why keys could not be shown, as sentence fragments.
    remarks: list[str] = field(default_factory=list)

    @property
    def login(self) -> Login:
        handler: Login = self.wire.auth_handler
        return handler

    @property
    def methods(self) -> tuple[str, ...]:
        """What the server takes, as far as is known."""
        return self.login.methods

    def show_keys(self) -> bool:
        """Show all keys, one after the other; True: logged in."""
        for candidate in self.choice.candidates:
            if self._show(candidate):
                return True
            if self.methods and "publickey" not in self.methods:
                return False
        return False

    def _show(self, candidate: Candidate) -> bool:
        try:
            event = self.login.ask_key(self.user, candidate.key)
        except (AgentError, paramiko.SSHException) as error:
            self.remarks.append(f"{candidate.name}: {error}")
            return False
        if self.wait(event):
            return True
        if not self.login.partial:
            self.refusals.append(candidate)
        return False

    def show_nothing(self) -> bool:
        """Find out what the server takes, if no key was shown; True: it takes anybody."""
        return not self.methods and self.wait(self.login.ask_nothing(self.user))

    def show_password(self, password: Password) -> bool:
        """Show the password in the way that the server takes it; True: logged in."""
        if "password" in self.methods:
            return self.wait(self.login.ask_password(self.user, password.get()))
        if "keyboard-interactive" not in self.methods:
            return False
        secret = password.get()
        return self.wait(
            self.login.ask_questions(self.user, lambda *asked: _answers(asked, secret))
        )

    def wait(self, event: threading.Event) -> bool:
        """Wait for an answer; True: logged in."""
        # The event of a connection that ends is not always set.
        if not self.patience.wait(event, self.wire.is_active) and self.wire.is_active():
            raise UnreachableError("login: not done in time; is the host overloaded?")
        if self.wire.is_authenticated():
            return True
        if not self.wire.is_active():
            raise self._ended()
        return False

    def _ended(self) -> UnreachableError:
        if _TOO_MANY not in self.wire.goodbye.lower():
            return UnreachableError(f"login: {self.wire.reason()}")
        shown = len(self.refusals) + 1
        from_agent = any(candidate.from_agent for candidate in self.choice.candidates)
        where = " from the agent" if from_agent else ""
        message = (
            f"login: refused for user {self.user}: the server allows no more than {shown} attempts,"
            f" and so many keys{where} were wrong; set `IdentitiesOnly yes` and the right"
            " `IdentityFile` for this host"
        )
        return UnreachableError(message, retryable=False)

    def refused(self, password: Password | None) -> UnreachableError:
        """Say why the server did not let us in, and what to do."""
        takes = ", ".join(self.methods)
        reasons = [self._about_keys()] if "publickey" in self.methods else []
        if "password" in self.methods or "keyboard-interactive" in self.methods:
            reasons.append("there is no password" if password is None else "the password is wrong")
        reasons += [*self.remarks, *self.choice.remarks]
        message = f"login: refused for user {self.user}; the server takes {takes}"
        return UnreachableError(f"{'; '.join((message, *reasons))}", retryable=False)

    def _about_keys(self) -> str:
        if not self.refusals:
            return "there is no key to show"
        names = [candidate.name for candidate in self.refusals[:_NAMED]]
        if len(self.refusals) > _NAMED:
            names.append(f"{len(self.refusals) - _NAMED} more")
        return f"its authorized_keys has none of: {', '.join(names)}"


def _answers(asked: tuple[str, str, list[tuple[str, bool]]], secret: str) -> list[str]:
    """Answer the questions of keyboard-interactive: with the password what is asked unseen."""
    return ["" if shown else secret for _, shown in asked[2]]
