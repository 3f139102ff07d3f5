"""Names of files that are made of the names of tasks and items, whatever those hold."""

from collections.abc import Iterable

__all__ = ["clean_name", "directory_names"]

#: Of a name's 255 bytes the rest is for the number, the suffix, and filesystems that take less.
_MOST_BYTES = 120
_HARMLESS = frozenset("._-+=@,~")


def clean_name(text: str) -> str:
    r"""Make a name of letters, digits and a few marks, that no program takes for something else.

    Of one that is too long the end stays, which of a path is what tells it from others.

    >>> clean_name("/data/in/a b.csv"), clean_name("../../etc"), clean_name("-rf\n")
    ('data_in_a_b.csv', 'etc', 'rf')
    """
    kept = "".join(char if char.isalnum() or char in _HARMLESS else "_" for char in text)
    end = kept.encode("utf-8", "replace")[-_MOST_BYTES:].decode("utf-8", "ignore")
    # A dot in front hides a file, a dash makes it an option.
    return end.strip("._-~")


def directory_names(task_ids: Iterable[str]) -> dict[str, str]:
    """Give each task a directory, of a name of its own.

    >>> directory_names(["copy", "a/b", "a b", "..."])
    {'copy': 'copy', 'a/b': 'a_b', 'a b': 'a_b-2', '...': 'task'}
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for task_id in task_ids:
        wanted = name = clean_name(task_id) or "task"
        number = 1
        while name in taken:
            number += 1
            name = f"{wanted}-{number}"
        taken.add(name)
        names[task_id] = name
    return names
