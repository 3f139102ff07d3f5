"""The variables of a job: what the file declares, and what the command line gives instead."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from batchrun.errors import JobFileError, UsageError
from batchrun.jobfile.compiled import Compiled, Constant, Given
from batchrun.jobfile.document import parse
from batchrun.jobfile.expressions import Expression
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.options import LoadOptions
from batchrun.jobfile.problems import Path, Problems, did_you_mean
from batchrun.jobfile.recording import WITHHELD, from_record
from batchrun.jobfile.scalars import Plain, is_null, resolve, resolve_word
from batchrun.jobfile.scope import BUILT_IN, Definition, Names
from batchrun.jobfile.template import is_template, split
from batchrun.jobfile.trust import Trust

__all__ = ["check_names", "compile_variables", "cycle_in", "job_variables", "names_in", "new_scope"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS = frozenset(
    ("true", "false", "none", "True", "False", "None", "not", "and", "or", "if", "else", "is", "in")
)


def job_variables(
    declared: Mapping[str, Any], compiler: Compiler, options: LoadOptions
) -> dict[str, Compiled]:
    """Compile the variables of a job, lowest precedence first: file, `--vars-file`, `-e`.

    Raises:
        JobFileError: a file with variables is no YAML mapping.
        UsageError: `-e` names a variable that the job file does not declare.
    """
    declared = check_names(declared, compiler.problems, frozenset())
    given = _from_files(declared, options.vars_files, compiler.trust)
    for name, value in options.variables.items():
        if name not in declared:
            hint = did_you_mean(name, declared) or f"; add `{name}:` to its `vars`"
            message = f"-e {name}: the job file does not declare this variable{hint}"
            raise UsageError(message)
        given[name] = Given(_scalar(value) if isinstance(value, str) else value)
    for name in (one for one in options.recorded if one in declared):
        value = options.recorded[name]
        if value == WITHHELD:
            message = (
                "held a secret in the first run and is not on record; that run cannot be gone on "
                "with, run the job anew"
            )
            compiler.problems.add(("vars", name), message)
        else:
            given[name] = Given(from_record(value))
    written = {name: raw for name, raw in declared.items() if name not in given}
    for name, raw in written.items():
        if is_null(raw):
            message = f"must be given: -e {name}=VALUE (it is null in the job file)"
            compiler.problems.add(("vars", name), message)
    return {**compile_variables(written, compiler.with_names(declared), ("vars",)), **given}


def compile_variables(
    written: Mapping[str, Any], compiler: Compiler, path: Path
) -> dict[str, Compiled]:
    """Compile variables that may refer to each other, and note circles."""
    compiled = {name: compiler.anything(raw, (*path, name)) for name, raw in written.items()}
    uses = {
        name: sorted(names_in(written[name]) & set(written))
        for name, value in compiled.items()
        if not isinstance(value, Constant)
    }
    for circle in cycle_in(uses):
        message = f"the variables refer to each other in a circle: {' -> '.join(circle)}"
        compiler.problems.add((*path, circle[0]), message)
    return compiled


def names_in(raw: Any) -> set[str]:
    """Return the names that the templates in a value use."""
    if isinstance(raw, dict):
        return {name for one in raw.values() for name in names_in(one)}
    if isinstance(raw, list):
        return {name for one in raw for name in names_in(one)}
    if not isinstance(raw, str) or not is_template(raw):
        return set()
    try:
        parts = split(raw)
    except ValueError:
        return set()  # noted when it was compiled
    return {name for part in parts if isinstance(part, Expression) for name in part.names}


def check_names(
    written: Mapping[str, Any], problems: Problems, taken: Iterable[str], path: Path = ("vars",)
) -> dict[str, Any]:
    """Note the variables whose names cannot be used; return the others."""
    good: dict[str, Any] = {}
    outer = frozenset(taken)
    for name, raw in written.items():
        if not _NAME.fullmatch(name) or name in _WORDS:
            message = f"`{name}` cannot be a variable; write letters, digits and `_`"
        elif name in BUILT_IN:
            message = f"`{name}` is a name of batchrun's own; choose another"
        elif name in outer:
            message = f"`{name}` is a variable of the job already; a task may not shadow it"
        else:
            good[name] = raw
            continue
        problems.add((*path, name), message)
    return good


def _from_files(
    declared: Mapping[str, Any], files: Iterable[str], trust: Trust
) -> dict[str, Compiled]:
    given: dict[str, Compiled] = {}
    for file in files:
        document = parse(trust.read_for_user(file), file)
        if not isinstance(document.data, dict):
            document.problems.add((), "a file with variables is a mapping, `name: value` lines")
        else:
            for name, raw in document.data.items():
                if name not in declared:
                    hint = did_you_mean(name, declared)
                    message = f"the job file does not declare the variable `{name}`{hint}"
                    document.problems.add((name,), message)
                given[name] = Given(resolve(raw))
        document.problems.raise_if_any()
    return given


def _scalar(text: str) -> Any:
    """Read a value of `-e` as a YAML scalar: quotes make text of it."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        try:
            data = parse(text, "-e").data
        except JobFileError:
            return text
        return resolve(data) if isinstance(data, str) else text
    word = resolve_word(text)
    return resolve(word) if type(word) is Plain and text else text


def new_scope(
    compiled: Mapping[str, Compiled], given: Mapping[str, Any], outer: Names | None = None
) -> Names:
    """Make a scope of variables and of what the program gives."""
    definitions: dict[str, Definition] = {
        name: value for name, value in compiled.items() if not isinstance(value, Constant)
    }
    names = Names(definitions, outer)
    names.update(
        (name, value.value) for name, value in compiled.items() if isinstance(value, Constant)
    )
    names.update(given)
    return names


def cycle_in(edges: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the circles of a graph, each once, as `[a, b, a]`; none: an empty list.

    >>> cycle_in({"a": ["b"], "b": ["a"], "c": []})
    [['a', 'b', 'a']]
    """
    circles: list[list[str]] = []
    done: set[str] = set()
    for root in edges:
        if root in done:
            continue
        if done.issuperset(edges[root]):  # of tasks in the order of their needs, all are
            done.add(root)
        else:
            _walk(root, edges, done, circles.append)
    return circles


def _walk(
    root: str,
    edges: Mapping[str, Iterable[str]],
    done: set[str],
    found: Callable[[list[str]], None],
) -> None:
    """Follow edges depth first, without recursion: chains may be ten thousand long."""
    way = [root]
    at = {root: 0}
    stack = [iter(edges.get(root, ()))]
    while stack:
        following = next(stack[-1], None)
        if following is None:
            stack.pop()
            gone = way.pop()
            del at[gone]
            done.add(gone)
        elif following in at:
            found([*way[at[following] :], following])
        elif following not in done and following in edges:
            at[following] = len(way)
            way.append(following)
            stack.append(iter(edges[following]))
