"""Words that other tools have for a key or a parameter, and the one that batchrun has for it."""

from collections.abc import Collection, Mapping

from batchrun.jobfile.problems import close_to, did_you_mean, slip_in

__all__ = [
    "hint_for",
    "hint_in_find",
    "hint_in_source",
    "key_meant_by",
    "setting_meant_by",
    "word_meant",
]


def _by_word(rows: Mapping[str, str]) -> Mapping[str, tuple[str, ...]]:
    """Turn rows of `ours: their words` around: which of ours a word may mean, best first."""
    found: dict[str, tuple[str, ...]] = {}
    for ours, words in rows.items():
        for word in words.split():
            found[word] = (*found.get(word, ()), ours)
    return found


#: What other tools, and shells, call operations, modifiers and keys of the top level.
_KEYS = _by_word(
    {
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
        "hosts": "host nodes node servers server target targets",
        "batch": "serial rolling wave waves",
        "delegate_to": "delegate run_on local_action",
        "ignore_unreachable": "skip_unreachable",
        "pick": "run_once",
        "connect_timeout": "ssh_timeout connection_timeout",
        "fanout": "forks parallel_hosts",
        "inventory": "inventories hosts_file",
        "foreach": "with_items with_list with_fileglob loop items for each for_each",
        "needs": "depends_on depends after requires dependencies require_tasks",
        "when": "if condition",
        "sudo": "become become_user become_method become_password sudo_user sudo_password as_root "
        "run_as user",
        "env": "environment environ",
        "cwd": "chdir workdir workingdir working_dir working_directory dir",
        "max_parallel": "parallel concurrency forks throttle max_concurrency",
        "retries": "retry attempts tries max_retries",
        "retry_delay": "delay backoff",
        "changed_when": "changed_if",
        "ignore_errors": "continue_on_error allow_failure",
        "steps": "block",
        "rescue": "on_failure on_error catch",
        "always": "cleanup ensure",
        "name": "title description desc",
        "timeout": "max_time async",
        "register": "save_as result",
        "procs": "parallel workers concurrency forks processes max_parallel",
        "tasks": "jobs steps",
        "vars": "variables",
        "deadline": "max_time",
        "finally": "always cleanup post on_exit",
    }
)

#: The same for parameters, whatever the operation.
_PARAMETERS = _by_word(
    {
        "text": "content contents body data value",
        "src": "source sources from path",
        "dest": "dst destination target to into manifest output out",
        "path": "paths file files dir directory name filename dest destination target",
        "file": "path paths name filename src source",
        "regex": "regexp pattern match",
        "find": "text old search before string",
        "with": "replacement replace new after by line",
        "recursive": "recurse recursively",
        "mode": "perm perms permissions chmod file_mode files",
        "dir_mode": "dirs directories directory_mode dirmode",
        "owner": "user uid chown",
        "group": "gid chgrp",
        "command": "cmd argv",
        "args": "arguments argv arg",
        "format": "compression type algorithm algo compress",
        "algorithm": "type algo hash format",
        "exclude": "ignore skip without",
        "include": "only pattern match",
        "remove": "delete_source remove_source delete",
        "validate": "check validation",
        "verify": "check validation",
        "overwrite": "force replace clobber",
        "if": "overwrite force update",
        "keep": "count last retention keep_original",
    }
)

#: What an operation's own meaning makes of a word, before the above.
_OF_OPERATION: Mapping[str, Mapping[str, str]] = {
    # The target of a link is what it points to.
    "link": {"target": "src", "to": "src", "path": "dest", "name": "dest", "link": "dest"},
    "archive": {"path": "src", "files": "src", "file": "dest", "archive": "dest"},
    "checksum": {"path": "src", "files": "src", "file": "dest"},
    "copy": {"path": "src", "file": "src"},
    "move": {"path": "src", "file": "src"},
    "extract": {"archive": "src", "path": "dest"},
    "template": {"template": "src", "path": "dest", "file": "dest", "name": "dest"},
    "write": {"path": "dest", "file": "dest", "name": "dest"},
}

_AGES = frozenset({"older_than", "newer_than", "age", "min_age", "max_age", "mtime", "days"})
_SIZES = frozenset({"larger_than", "smaller_than", "min_size", "max_size", "size"})
_BY_AGE = (
    "files are chosen by age and size with `foreach: {find: {path: DIR, older_than: AGE}}`, and "
    "then `{{ item }}` is each of them"
)
#: What a word asks for that needs no parameter.
_NOT_NEEDED = {
    "mkdir": dict.fromkeys(
        ("parents", "recursive", "recurse", "p"), "the directories above are made anyway"
    ),
    "compress": dict.fromkeys(
        ("delete", "remove", "delete_source", "remove_source"),
        "the original goes when that has worked, unless `keep: true`",
    ),
}


def key_meant_by(word: str, known: Collection[str]) -> str | None:
    """Return the key that other tools have this word for; None: there is none.

    >>> key_meant_by("depends_on", ["needs", "run"]), key_meant_by("parallel", ["procs", "vars"])
    ('needs', 'procs')
    """
    return _first_known(_KEYS.get(word, ()), known)


#: What other tools call the settings of a host or a group.
_SETTINGS = _by_word(
    {
        "address": "host hostname ip addr ansible_host ansible_ssh_host host_name",
        "user": "username login ansible_user ansible_ssh_user ssh_user remote_user",
        "port": "ssh_port ansible_port ansible_ssh_port",
        "identity": "key keys key_file identity_file identityfile ssh_key private_key "
        "ansible_ssh_private_key_file",
        "jump": "proxy proxy_jump proxyjump bastion gateway jump_host via",
        "vars": "variables data facts",
        "groups": "group tags roles",
        "hosts": "members nodes children",
    }
)


def setting_meant_by(word: str, known: Collection[str]) -> str | None:
    """Return the setting of an inventory that other tools have this word for; None: none.

    >>> setting_meant_by("ansible_host", ["address", "user"])
    'address'
    """
    return _first_known(_SETTINGS.get(word.lower(), ()), known)


def _first_known(words: Collection[str], known: Collection[str]) -> str | None:
    return next((word for word in words if word in known), None)


def word_meant(word: str, known: Collection[str], operation: str = "") -> str | None:
    """Return the parameter that is probably meant, by sense or by letters; None: who knows.

    Args:
        word: As it is written.
        known: The parameters that are not given.
        operation: Of this operation.

    >>> word_meant("content", ["dest", "text"]), word_meant("txet", ["dest", "text"])
    ('text', 'text')
    """
    before, colon, _ = word.partition(":")
    if colon and before in known and slip_in(word):
        return before
    if word in _NOT_NEEDED.get(operation, ()):
        return None
    own = _OF_OPERATION.get(operation, {}).get(word)
    if own in known:
        return own
    return _first_known(_PARAMETERS.get(word, ()), known) or close_to(word, known)


def hint_for(word: str, known: Collection[str], operation: str) -> str:
    """Return `; did you mean ...?` and the like for a parameter that an operation does not have.

    >>> hint_for("txet", ["dest", "text"], "write")
    '; did you mean `text`?'
    """
    if slip_in(word):
        return did_you_mean(word, known)
    if word in _NOT_NEEDED.get(operation, ()):
        return f"; {_NOT_NEEDED[operation][word]}"
    meant = word_meant(word, known, operation)
    if meant is None and word in _AGES | _SIZES:
        return f"; {_BY_AGE}"
    return f"; did you mean `{meant}`?" if meant else ""


#: What other tools call the keys of `find`.
_FIND = _by_word(
    {
        "path": "dir directory paths root where in",
        "name": "pattern patterns glob match include names iname",
        "older_than": "age mtime min_age older days",
        "newer_than": "max_age newer since",
        "larger_than": "min_size size larger",
        "smaller_than": "max_size smaller",
        "type": "kind file_type",
        "owner": "user",
        "max_depth": "maxdepth depth",
        "exclude": "ignore prune skip",
        "one_file_system": "xdev mount",
    }
)
_ALL_BELOW = "it looks in all directories below; `max_depth: 1` is this one alone"


def hint_in_find(word: str, known: Collection[str]) -> str:
    """Return what may be meant by a key that `find` does not have."""
    if word in ("recurse", "recursive"):
        return f"; {_ALL_BELOW}"
    return _hint(word, _FIND.get(word, ()), known) or f"; it has {', '.join(known)}"


def _hint(word: str, meant: Collection[str], known: Collection[str]) -> str:
    """Ask for the first of these that is known, else for what is written alike."""
    ours = None if slip_in(word) else _first_known(meant, known)
    return f"; did you mean `{ours}`?" if ours else did_you_mean(word, known)


#: What other tools call the sources of `foreach`.
_SOURCES = _by_word(
    {
        "glob": "files fileglob path paths pattern wildcard",
        "lines": "file text",
        "csv": "tsv table",
        "json": "jsonl ndjson yaml",
        "command": "cmd run shell exec output",
        "range": "sequence seq count",
        "matrix": "product combinations",
    }
)
_COMMAS = "a `csv` is separated by commas, and its first row names the columns"


def hint_in_source(word: str, known: Collection[str]) -> str:
    """Return what may be meant by a key that `foreach` does not have."""
    if word in ("delimiter", "separator", "sep", "header", "headers", "fields"):
        return f"; {_COMMAS}"
    if word in ("list", "items", "values", "in"):
        return "; write the list itself behind `foreach:`"
    return _hint(word, _SOURCES.get(word, ()), known)
