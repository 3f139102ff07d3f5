"""The operation `replace`: text or a regular expression in files."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Annotated, Any

from batchrun.errors import OperationError
from batchrun.model.operation import Context, Done, Operation, PathUse
from batchrun.model.values import Doc, Mark, PathPattern
from batchrun.ops.failures import Tally, failure, refusal
from batchrun.ops.paths import shown
from batchrun.ops.targets import Item, chosen, look_up
from batchrun.ops.textfiles import Content, check_text, encoded, put_content
from batchrun.ops.tree.copying import READ
from batchrun.ops.tree.data import blocks
from batchrun.ops.tree.selection import Selection, selection

__all__ = ["OPERATIONS", "Replace", "replace"]

#: A file is held in memory, twice and more while it is searched.
_MOST_BYTES = 64 * 1024 * 1024
_LIMIT = f"{_MOST_BYTES >> 20} MiB"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Parameters of `replace`."""

    path: Annotated[tuple[PathPattern, ...], Doc("Files or globs.")]
    find: Annotated[
        str | None, Mark.MAY_HOLD_SECRET, Doc("Text to be replaced wherever it is; or `regex`.")
    ] = None
    regex: Annotated[
        str | None,
        Doc(
            "Regular expression of Python to be replaced wherever it matches; `^` and `$` match at "
            "every line."
        ),
    ] = None
    with_: Annotated[
        str,
        Mark.MAY_HOLD_SECRET,
        Doc(
            "What comes in its place; with `regex`, `\\1` and `\\g<name>` stand for groups. What "
            "would change again when it is done again is refused."
        ),
    ]
    exclude: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns of names that a glob finds in vain.")
    ] = ()
    include: Annotated[
        tuple[str, ...], Doc("Gitignore-style patterns; a glob finds only names that match one.")
    ] = ()
    backup: Annotated[
        bool, Doc("Keep each file that is replaced as FILE~, in the place of an older FILE~.")
    ] = False
    validate: Annotated[
        tuple[str, ...],
        Doc(
            "A program with arguments, without a shell, that has to succeed before a new file "
            "gets its name; `{{ new }}` is the new file. Not run in a dry run."
        ),
    ] = ()
    secret: Annotated[bool, Mark.GIVEN, Doc("A secret is in the new text.")] = False


def _check(given: Mapping[str, Any]) -> list[str]:
    """Check what is known while the job file is read."""
    problems = check_text(given)
    if "find" in given and "regex" in given:
        problems.append("`find` and `regex` cannot be given together; keep one")
    if "find" not in given and "regex" not in given:
        problems.append("replace needs either `find` or `regex`: what is to be replaced")
    if given.get("find") == "":
        problems.append("`find` is empty; write the text that is to be replaced")
    expression, template = given.get("regex"), given.get("with_")
    if isinstance(expression, str) and (template is None or isinstance(template, str)):
        try:
            _substitution(None, expression, template or "")
        except OperationError as error:
            problems.append(str(error))
    return problems


def replace(params: Replace, context: Context) -> Done:
    """Replace text in files, each whole or not at all, with its metadata kept."""
    change = _substitution(params.find, params.regex, params.with_)
    patterns = selection(params.exclude, params.include)
    tally = Tally()
    # Held whole: what is written must not be found.
    for item in list(look_up(params.path, tally.found_nothing)):
        context.check()
        try:
            _one(_Task(item, params, change), patterns, context, tally)
        except OperationError as error:
            tally.refused(error)
    return tally.done()


@dataclass(frozen=True, slots=True)
class _Task:
    """One file to be looked through."""

    item: Item
    params: Replace
    change: Callable[[bytes], bytes]


def _substitution(find: str | None, expression: str | None, new: str) -> Callable[[bytes], bytes]:
    """Make the function that turns the old content into the new one.

    Raises:
        OperationError: nothing to look for is given, or the expression is not one.
    """
    if (find is None) == (expression is None):
        raise refusal("replace needs either `find` or `regex`: what is to be replaced")
    if expression is None:
        text, by = encoded(find or ""), encoded(new)
        if not text:
            raise refusal("`find` is empty; write the text that is to be replaced")
        return lambda data: data.replace(text, by)
    try:
        compiled = re.compile(expression, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        message = f"`regex` {expression!r} is not a regular expression: {error}"
        raise refusal(message) from None
    _check_template(compiled, new)
    return lambda data: encoded(compiled.sub(new, data.decode("utf-8", "surrogateescape")))


def _check_template(compiled: re.Pattern[str], new: str) -> None:
    """Refuse a replacement that names groups which do not exist."""
    empty = re.compile("".join(f"({group})" for group in _groups(compiled)) or "(?:)")
    try:
        empty.sub(new, "")
    except (re.error, IndexError) as error:
        message = f"`with` does not fit `regex`: {error}; write a backslash as \\\\"
        raise refusal(message) from None


def _groups(compiled: re.Pattern[str]) -> list[str]:
    """Write groups with the same numbers and names that match nothing."""
    names = {number: name for name, number in compiled.groupindex.items()}
    return [
        f"?P<{names[number]}>" if number in names else ""
        for number in range(1, compiled.groups + 1)
    ]


def _one(task: _Task, patterns: Selection | None, context: Context, tally: Tally) -> None:
    """Look through one file, and put a new one in its place if it changes."""
    item, params = task.item, task.params
    if not chosen(item, patterns):
        return
    try:
        st = os.lstat(item.path)
        if not S_ISREG(st.st_mode):
            _refuse_kind(item, st, tally)
            return
        data, st = _read(item.path, context)
    except OSError as error:
        raise failure(error, "replace text in", item.path) from error
    new = task.change(data)
    if new == data:
        return
    if len(new) > _MOST_BYTES:
        raise refusal(f"{shown(item.path)} would become too big: more than {_LIMIT}")
    if task.change(new) != new:
        raise refusal(
            f"{shown(item.path)} would change again when this is done again; look for something "
            "that is not in the new text, such as a whole line (`regex: ^...$`)"
        )
    if st.st_nlink > 1:
        tally.warn(f"{shown(item.path)} has other names (hard links), which keep the old text")
    content = Content(
        path=item.path,
        data=new,
        old=st,
        backup=params.backup,
        validate=params.validate,
        secret=params.secret,
    )
    put_content(content, context, tally)


def _refuse_kind(item: Item, st: os.stat_result, tally: Tally) -> None:
    """Refuse what is not a regular file; what a glob found by the way is passed over."""
    if S_ISLNK(st.st_mode):
        target = shown(os.path.realpath(item.path))
        message = f"{shown(item.path)} is a symlink, which is not followed; name {target} itself"
        if item.exact:
            raise refusal(message)
        tally.warn(message)
    elif item.exact:
        hint = f"; use a glob such as {shown(item.path)}/**" if S_ISDIR(st.st_mode) else ""
        raise refusal(f"cannot replace text in {shown(item.path)}: it is not a file{hint}")


def _read(path: str, context: Context) -> tuple[bytes, os.stat_result]:
    """Read a whole file."""
    fd = os.open(path, READ)
    try:
        st = os.fstat(fd)
        if st.st_size > _MOST_BYTES:
            raise refusal(f"{shown(path)} is too big to replace text in it: more than {_LIMIT}")
        return b"".join(map(bytes, blocks(fd, lambda _: context.check(), most=_MOST_BYTES))), st
    finally:
        os.close(fd)


OPERATIONS = {
    "replace": Operation(
        name="replace",
        summary="Replace text or a regular expression in files.",
        params=Replace,
        function=replace,
        main="path",
        check=_check,
        uses=(PathUse(field="path", effect="changes", whole=False),),
        example="""\
replace:
  path: /etc/ssh/sshd_config
  regex: '^#?PermitRootLogin .*$'
  with: PermitRootLogin no
  validate: [sshd, -t, -f, "{{ new }}"]
  backup: true
""",
    )
}
