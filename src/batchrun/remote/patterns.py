"""Patterns of names as OpenSSH has them: `*` and `?` only, several with commas, `!` against."""

import re
from functools import lru_cache

__all__ = ["is_plain", "list_matches", "pattern_matches"]

_SPECIAL = frozenset("*?!")


def is_plain(pattern: str) -> bool:
    """Tell whether a pattern is a name that stands for itself alone.

    >>> is_plain("[web1]:22"), is_plain("web?"), is_plain("!web1")
    (True, False, False)
    """
    return _SPECIAL.isdisjoint(pattern)


def pattern_matches(text: str, pattern: str) -> bool:
    """Tell whether one pattern matches a text from end to end; `!` has no meaning here.

    >>> pattern_matches("web1.example", "web?.*"), pattern_matches("a", "[a]")
    (True, False)
    """
    return _compiled(pattern).fullmatch(text) is not None


def list_matches(text: str, patterns: str) -> bool:
    """Tell whether one pattern of a list matches and none of those with `!` does.

    >>> list_matches("web1", "web*,!web2"), list_matches("web2", "web*,!web2")
    (True, False)
    >>> list_matches("db1", "!web*")
    False
    """
    found = False
    for pattern in patterns.split(","):
        if pattern.startswith("!"):
            if pattern_matches(text, pattern[1:]):
                return False
        elif not found:
            found = pattern_matches(text, pattern)
    return found


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Return the pattern as a regular expression; the same few are asked for every host."""
    words = {"*": ".*", "?": "."}
    return re.compile("".join(words.get(sign) or re.escape(sign) for sign in pattern), re.DOTALL)
