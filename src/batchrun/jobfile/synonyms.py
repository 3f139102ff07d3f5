"""Words that other tools have for a parameter, and the one that batchrun has for it."""

from collections.abc import Collection

from batchrun.jobfile.problems import did_you_mean

__all__ = ["meant_by", "what_was_meant"]

#: Groups of words for the same thing; in each, the words of batchrun in the order of preference.
_GROUPS: tuple[tuple[frozenset[str], tuple[str, ...]], ...] = (
    (frozenset({"content", "contents", "body", "data", "value"}), ("text",)),
    (
        frozenset({"path", "paths", "file", "files", "dir", "directory", "name", "filename"}),
        ("path", "file", "dest", "src"),
    ),
    (frozenset({"src", "source", "sources", "from", "path"}), ("src", "path", "file")),
    (frozenset({"dest", "dst", "destination", "target", "to", "into"}), ("dest", "path")),
    (frozenset({"regexp", "pattern", "match"}), ("regex", "include")),
    (frozenset({"text", "old", "search", "before", "string"}), ("find",)),
    (frozenset({"replacement", "replace", "new", "after", "by", "line"}), ("with",)),
    (frozenset({"recurse", "recursively"}), ("recursive",)),
    (frozenset({"perm", "perms", "permissions", "chmod"}), ("mode",)),
    (frozenset({"user", "uid", "chown"}), ("owner",)),
    (frozenset({"gid", "chgrp"}), ("group",)),
    (frozenset({"cmd", "command", "argv"}), ("command",)),
    (frozenset({"arguments", "argv", "arg"}), ("args",)),
    (frozenset({"compression", "type", "algorithm", "algo"}), ("format", "algorithm")),
    (frozenset({"ignore", "skip", "without"}), ("exclude",)),
    (frozenset({"only"}), ("include",)),
    (frozenset({"delete_source", "remove_source", "delete"}), ("remove",)),
    (frozenset({"check", "validation"}), ("validate", "verify")),
    (frozenset({"force", "replace", "clobber"}), ("overwrite",)),
    (frozenset({"count", "last", "retention"}), ("keep",)),
)


def meant_by(word: str, known: Collection[str]) -> str | None:
    """Return the parameter that other tools have this word for; None: there is none.

    >>> meant_by("content", ["dest", "text"])
    'text'
    """
    for words, ours in _GROUPS:
        if word in words:
            for one in ours:
                if one in known and one != word:
                    return one
    return None


def what_was_meant(word: str, known: Collection[str]) -> str:
    """Return `; did you mean ...?` for a parameter that is not there, by sense or by letters.

    >>> what_was_meant("txet", ["dest", "text"])
    '; did you mean `text`?'
    """
    sense = meant_by(word, known)
    return f"; did you mean `{sense}`?" if sense else did_you_mean(word, known)
