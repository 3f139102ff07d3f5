"""Words that other tools have for a key or a parameter, and the one that batchrun has for it."""

from collections.abc import Collection

from batchrun.jobfile.problems import did_you_mean

__all__ = ["key_meant_by", "meant_by", "what_was_meant"]

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


#: What other tools, and shells, call operations and modifiers.
_KEYS = {
    word: ours
    for ours, words in {
        "run": "command cmd exec sh bash echo argv",
        "script": "shell_script",
        "copy": "cp install",
        "move": "mv rename",
        "delete": "rm rmdir remove unlink",
        "mkdir": "directory makedirs folder",
        "link": "ln symlink hardlink",
        "sync": "rsync synchronize mirror",
        "perms": "chmod chown chgrp permissions acl file",
        "archive": "tar zip pack",
        "extract": "untar unzip unpack unarchive",
        "compress": "gzip zstd xz bzip2",
        "decompress": "gunzip unzstd unxz bunzip2 uncompress",
        "checksum": "sha256sum md5sum hash",
        "write": "content put",
        "replace": "sed lineinfile blockinfile substitute",
        "foreach": "with_items with_list with_fileglob loop items for each for_each",
        "needs": "depends_on depends after requires dependencies require_tasks",
        "when": "if condition",
        "sudo": "become become_user become_method become_password sudo_user sudo_password as_root",
        "env": "environment environ",
        "cwd": "chdir workdir working_directory dir",
        "max_parallel": "parallel concurrency forks throttle",
        "retry_delay": "delay",
        "changed_when": "changed_if",
        "ignore_errors": "continue_on_error allow_failure",
        "steps": "block",
        "name": "title description desc",
        "timeout": "max_time async",
    }.items()
    for word in words.split()
}


def key_meant_by(word: str, known: Collection[str]) -> str | None:
    """Return the key of a task that other tools have this word for; None: there is none.

    >>> key_meant_by("depends_on", ["needs", "run"])
    'needs'
    """
    ours = _KEYS.get(word)
    return ours if ours in known else None


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
