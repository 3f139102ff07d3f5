"""What people are told when a name has no address."""

import socket
from typing import Any

import pytest

from batchrun.errors import UnreachableError
from batchrun.remote.patience import Patience
from batchrun.remote.resolve import Resolver, no_address


def never(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
    raise AssertionError


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.5"])
def test_an_address_is_not_looked_up(address: str) -> None:
    patience = Patience.of(1, lambda: None)
    (found,) = Resolver(never).addresses(address, 22, patience)
    assert found.where[:2] == (address, 22)


def test_a_name_that_nobody_has_can_be_tried_again() -> None:
    error = no_address(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    assert "Name or service not known" in str(error)
    assert error.retryable


def test_a_name_server_that_is_down_is_named() -> None:
    error = no_address(socket.gaierror(socket.EAI_AGAIN, "Temporary failure"))
    assert "name server" in str(error)
    assert error.retryable


def test_what_can_be_no_name_is_not_tried_again() -> None:
    error = no_address(UnicodeError("label too long"))
    assert isinstance(error, UnreachableError)
    assert not error.retryable
