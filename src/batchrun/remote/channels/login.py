"""Logging in, one way at a time."""

import threading
from collections.abc import Callable
from typing import Any

import paramiko
from paramiko.auth_handler import AuthOnlyHandler
from paramiko.common import cMSG_USERAUTH_REQUEST
from paramiko.message import Message

from batchrun.remote.channels.messages import message

__all__ = ["Login"]


class Login(AuthOnlyHandler):  # type: ignore[misc]  # paramiko has no types
    """Asks a server to let somebody in, one way at a time, and keeps what it answers.

    paramiko's own loses an answer that comes fast, and does not tell which methods are left.
    """

    #: What the server would take, as of its last refusal.
    methods: tuple[str, ...] = ()
    #: The last attempt was right, but is not enough.
    partial = False

    def ask_key(self, user: str, key: paramiko.PKey) -> threading.Event:
        """Show a key; signs in the caller's thread. The event is set when there is an answer."""
        kind, blob = self._get_key_type_and_bits(key)
        algorithm = self._finalize_pubkey_algorithm(kind)
        signed = self._get_session_blob(key, "ssh-connection", user, algorithm)
        signature = key.sign_ssh_data(signed, algorithm)
        return self._ask(user, "publickey", True, algorithm, blob, signature)

    def ask_nothing(self, user: str) -> threading.Event:
        """Ask without anything to show: its refusal says what the server takes."""
        return self._ask(user, "none")

    def ask_password(self, user: str, password: str) -> threading.Event:
        """Show a password."""
        return self._ask(user, "password", False, password)

    def ask_questions(
        self, user: str, answer: Callable[[str, str, list[tuple[str, bool]]], list[str]]
    ) -> threading.Event:
        """Let the server ask; `answer` is called in the reading thread and may not block."""
        self.interactive_handler = answer
        return self._ask(user, "keyboard-interactive", "", "")

    def _ask(self, user: str, method: str, *rest: Any) -> threading.Event:
        self.auth_method, self.username = method, user
        self.partial = False
        event = self.auth_event = threading.Event()
        self.transport._send_message(
            message(cMSG_USERAUTH_REQUEST, user, "ssh-connection", method, *rest)
        )
        return event

    def _parse_userauth_failure(self, m: Message) -> None:
        peek = Message(m.get_remainder())
        self.methods = tuple(peek.get_list())
        self.partial = peek.get_boolean()
        super()._parse_userauth_failure(m)
