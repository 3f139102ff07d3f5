"""Import paramiko without `invoke`: that would double the time, and loads what only tests need.

To be imported before any other module that imports paramiko, which does without it by itself:
it is for `Match exec` in its reader of SSH configurations, and we have one of our own.
"""

import sys

__all__: list[str] = []


def _without_invoke() -> None:
    """Hide it for the moment only: whoever calls us from Python may want it."""
    if "invoke" in sys.modules:
        return
    sys.modules["invoke"] = None  # type: ignore[assignment]  # how Python is told: not found
    try:
        import paramiko  # noqa: F401, PLC0415 - meanwhile
    finally:
        del sys.modules["invoke"]


_without_invoke()
