"""Encodes what is sent."""

from typing import Any

from paramiko.message import Message

__all__ = ["message"]


def message(kind: bytes, *fields: Any) -> Message:
    """Encode a message: text and keys as strings, whole numbers in four bytes, truth in one."""
    encoded = Message()
    encoded.add_byte(kind)
    for value in fields:
        if isinstance(value, bool):
            encoded.add_boolean(value)
        elif isinstance(value, int):
            encoded.add_int(value)
        else:
            encoded.add_string(value)
    return encoded
