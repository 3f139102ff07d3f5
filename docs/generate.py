"""Write docs/reference/ from the program itself: `make docs`; `--check` only compares.

What the pages say comes from the table of operations, the JSON Schema of job files, the options
of the command line and the table of exit codes. The JSON Schemas of the program's output are
written too, there and into the package. Nobody edits any of them by hand.
"""

import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

import typer

from batchrun.cli.app import app_of
from batchrun.cli.listing import described
from batchrun.jobfile import Tables, json_schema
from batchrun.jobfile.declared import Declared
from batchrun.jobfile.entries import NOT_IN_DEFAULTS
from batchrun.jobfile.filters import FILTERS
from batchrun.jobfile.schema import JobText, Modifiers
from batchrun.jobfile.steps import STEP_KEYS
from batchrun.model.exitcode import EXIT_CODES
from batchrun.model.operation import Operation
from batchrun.ops import OPERATIONS
from batchrun.remote import OPERATIONS as HOST_OPERATIONS
from batchrun.report.manual import Described, notes_of
from batchrun.report.recordschema import document_schema, event_schema

REFERENCE = Path(__file__).parent / "reference"
#: Installed with the program, for whoever validates its output without a network.
INSTALLED = Path(__file__).parents[1] / "src" / "batchrun" / "report" / "schemas"
_MADE = "<!-- Made by `make docs` from the program itself; changes here are lost. -->"
#: Filters that mark an insertion instead of computing something.
_MARKERS = {
    "raw": "Insert into a shell text as it is, without quoting it.",
    "glob": "Read glob characters in the value as such, not as parts of a name.",
}


def main(words: Sequence[str]) -> int:
    """Write the pages, or with `--check` name those that are not as they would be written."""
    stale = []
    for path, text in _files():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(path))
        if "--check" not in words:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in words:
        names = ", ".join(stale)
        sys.stderr.write(f"{names}: not as the program is; run `make docs`\n")
        return 1
    return 0


def _files() -> Iterator[tuple[Path, str]]:
    """Yield every file with what it has to hold."""
    for name, write in PAGES.items():
        yield REFERENCE / name, f"{_MADE}\n\n{write().rstrip()}\n"
    for name, describe in SCHEMAS.items():
        text = json.dumps(describe(), indent=2) + "\n"
        yield REFERENCE / name, text
        yield INSTALLED / name, text


def _table(header: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    """Write a table; a `|` in a cell would end it."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines
    )


# ---- operations -----------------------------------------------------------------------------

_OPERATIONS = """\
# Operations

A task does one operation. `batchrun ops NAME` prints the same in the terminal, and there the
operations of [installed packages](../how-to.md#write-your-own-operation) are listed too. The main
parameter is in bold. Nearly everything may hold [templates](../language.md#templates).
"""


def operations_page() -> str:
    """Write every operation with its parameters and its example."""
    rows = ((f"[`{name}`](#{name})", one.summary) for name, one in OPERATIONS.items())
    table = _table(("operation", "what it does"), rows)
    pages = [_OPERATIONS, table, *map(_operation, OPERATIONS.values())]
    if HOST_OPERATIONS:
        on_hosts = [_operation(one, " (on hosts)") for one in HOST_OPERATIONS.values()]
        pages += [_ON_HOSTS, *on_hosts]
    return "\n".join(pages)


_ON_HOSTS = """\
# Operations on hosts

A task with `hosts`, and a step with `delegate_to`, takes its operation from these. Paths are those
of the host, unless they are said to be of this machine: relative ones mean the login directory.
"""


def _operation(operation: Operation, place: str = "") -> str:
    main_key = operation.main.removesuffix("_")
    rows = (_parameter(one, main_key) for one in described(operation))
    notes = "".join(f"- {note}\n" for note in notes_of(operation))
    return (
        f"## {operation.name}{place}\n\n{operation.summary}\n\n"
        + _table(("parameter", "takes", "default", "meaning"), rows)
        + f"\n{notes}\n```yaml\n{operation.example.strip()}\n```\n"
    )


def _parameter(one: Described, main_key: str) -> tuple[str, ...]:
    key = f"**`{one.key}`**" if one.key == main_key else f"`{one.key}`"
    return key, one.takes, one.default.removeprefix("default "), one.doc


# ---- job file -------------------------------------------------------------------------------


def job_file_page() -> str:
    """Write every key of a job file."""
    schema = json_schema(Tables(here=OPERATIONS, on_hosts=HOST_OPERATIONS))
    task = schema["$defs"]["task"]["properties"]
    modifiers = {
        key: one for key, one in task.items() if key not in {*OPERATIONS, *HOST_OPERATIONS}
    }
    foreach = modifiers["foreach"]
    return _JOB_FILE.format(
        top=_keys(schema["properties"], JobText),
        tasks=_keys(modifiers, Modifiers),
        in_steps=", ".join(f"`{key}`" for key in modifiers if key in STEP_KEYS),
        not_in_defaults=", ".join(f"`{key}`" for key in modifiers if key in NOT_IN_DEFAULTS),
        sources=_sources(foreach),
        find=_find(foreach),
        filters=_table(("filter", "what it gives", "example"), map(_filter, FILTERS.items())),
    )


_JOB_FILE = """\
# Keys of the job file

`batchrun schema` prints the same as a JSON Schema, for editors. The rules behind the keys are in
[The language](../language.md).

## Top level

{top}
Keys that begin with `x-` are ignored.

## Tasks

A task is a mapping with one [operation](operations.md), or `steps`, and any of these.

{tasks}
A step is an operation with any of {in_steps}.

`defaults` takes all of these but {not_in_defaults}.

## Sources of items

`foreach` takes a list, one `"{{{{ EXPR }}}}"` that is a list, or one of these. `chunk: N` gives
each unit a list of N items; with `require: true` it is an error when there is no item; names that
start with a dot are found when the pattern says so or with `hidden: true`.

{sources}
### find

{find}
## Filters

Beside those of Jinja2:

{filters}
"""
#: What would be said at length where the key is, and is said elsewhere.
_ELSEWHERE = {
    "defaults": "a mapping of keys of [tasks](#tasks)",
    "foreach": "a list, or a [source of items](#sources-of-items)",
    "secrets": "a mapping of names to `{env: NAME}`, `{file: PATH}`, `{command: LIST}` or "
    "`{prompt: TEXT}`",
}


def _keys(properties: Mapping[str, Any], model: type[Declared]) -> str:
    rows = (
        (
            f"`{key}`",
            _ELSEWHERE.get(key) or _takes(one),
            _written(model.keys[key].default),
            one["description"],
        )
        for key, one in properties.items()
    )
    return _table(("key", "takes", "default", "meaning"), rows)


def _written(default: object) -> str:
    """Write a default as in a job file; nothing for those that say nothing."""
    match default:
        case bool():
            return str(default).lower()
        case int() | float():
            return f"{default:g}"
        case str():
            return default
        case _:
            return ""


def _takes(schema: Mapping[str, Any]) -> str:
    """Say what a key takes. Templates are left out: they may stand nearly everywhere."""
    if not schema.keys() - {"description"}:
        return "an expression"
    if "anyOf" in schema:
        return _one_of(schema["anyOf"])
    if "$ref" in schema:
        return f"a {schema['$ref'].rpartition('/')[2]}"
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    if "examples" in schema:
        return "such as " + ", ".join(f"`{one}`" for one in schema["examples"])
    return _of_type(schema)


def _one_of(forms: Sequence[Mapping[str, Any]]) -> str:
    """Say which forms there are: single values first, a list of the same as `a list of them`."""
    single = list(dict.fromkeys(_takes(form) for form in forms if form.get("type") != "array"))
    words = [word for word in single if word]
    for form in forms:
        if form.get("type") == "array":
            inner = _takes(form["items"]) if "items" in form else ""
            same = inner == ", or ".join(words)
            words.append("a list of them" if inner and same else _of_type(form))
    return ", or ".join(words)


def _of_type(schema: Mapping[str, Any]) -> str:
    """Say what a schema without alternatives takes; nothing for a template."""
    kinds = schema.get("type", "")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    pattern = schema.get("pattern", "")
    if kind == "array":
        inner = _takes(schema["items"]) if schema.get("items") else ""
        plural = f" of {inner.removeprefix('a ')}s" if "$ref" in schema.get("items", {}) else ""
        return f"a list{plural or (inner and f' ({inner})')}"
    if kind == "object":
        keys = ", ".join(f"`{key}`" for key in schema.get("properties", ()))
        return f"a mapping with {keys}" if keys else "a mapping"
    if pattern == r"\{\{":
        return ""
    if "%" in pattern:
        return "a number or a share, such as `10%`"
    return _WORDS.get(kind, "text")


_WORDS = {"boolean": "true or false", "integer": "a whole number", "number": "a number",
          "null": ""}  # fmt: skip


def _sources(foreach: Mapping[str, Any]) -> str:
    def rows() -> Iterator[Sequence[str]]:
        for form in foreach["anyOf"]:
            for key in form.get("required", ()):
                properties = form["properties"]
                beside = ", ".join(f"`{one}`" for one in properties if one != key)
                yield f"`{key}`", _ITEMS[key], beside

    return _table(("source", "its items", "may stand beside it"), rows())


#: What each source gives; a source that is missing here is an error when the page is made.
_ITEMS = {
    "glob": "the paths that match, sorted; several patterns make a list",
    "lines": "the lines of a file; `-` is standard input; `null_separated`: not lines but what "
    "`find -print0` writes",
    "csv": "the rows of a table, each a mapping from the names in its first row",
    "json": "the elements of an array, or one value per line",
    "find": "the paths below a directory that fit, see below",
    "range": "`[FIRST, LAST]` or `[FIRST, LAST, STEP]`, both ends included",
    "command": "the lines that a program (a list of words) writes",
    "matrix": "every combination of some lists, each a mapping",
}


def _find(foreach: Mapping[str, Any]) -> str:
    found: dict[str, Any] = next(
        form["properties"]["find"]["properties"]
        for form in foreach["anyOf"]
        if "find" in form.get("required", ())
    )
    return _table(("key", "takes"), ((f"`{key}`", _takes(one)) for key, one in found.items()))


def _filter(named: tuple[str, Callable[..., Any]]) -> Sequence[str]:
    """Write a filter with the first example of its docstring."""
    name, function = named
    if name in _MARKERS:
        return f"`{name}`", _MARKERS[name], ""
    sentence, _, rest = inspect.cleandoc(function.__doc__ or "").partition("\n")
    sentence = sentence.removeprefix("Return ")
    lines = [line.strip() for line in rest.splitlines()]
    asked = next((at for at, line in enumerate(lines) if line.startswith(">>> ")), None)
    if asked is None:
        return f"`{name}`", sentence, ""
    shown = lines[asked].removeprefix(">>> ").replace(f"_{name}(", f"{name}(")
    return f"`{name}`", sentence, f"`{shown}` → `{lines[asked + 1]}`"


# ---- command line ---------------------------------------------------------------------------


def command_line_page() -> str:
    """Write every command with its options."""
    commands = list(_commands(app_of()))
    rows = (
        (f"[`{name}`](#{name.replace(' ', '-')})", _help(command)[0]) for name, command in commands
    )
    table = _table(("command", "what it does"), rows)
    pages = (_command(name, command) for name, command in commands)
    return "\n".join([_COMMAND_LINE, table, _OPTIONS_FROM, *pages, _SIGNALS])


def _commands(parent: typer.Typer) -> Iterator[tuple[str, Any]]:
    """List the commands with their names, also those of a command that has its own."""
    for command in parent.registered_commands:
        yield command.name or "", command
    for group in parent.registered_groups:
        if group.typer_instance is not None:
            yield group.name or "", group.typer_instance.registered_callback
            for name, command in _commands(group.typer_instance):
                yield f"{group.name} {name}", command


_COMMAND_LINE = """\
# Command line

`batchrun JOBFILE [options]` is short for `batchrun run JOBFILE [options]`.
"""
_OPTIONS_FROM = """\
Each option may also be set by the environment variable that is named beside it, or by the name of
that variable, without `BATCHRUN_` and in small letters, in `~/.config/batchrun/config.yml`
(`$XDG_CONFIG_HOME` is respected) and `/etc/batchrun/config.yml`, such as `procs: 4`. The command
line wins over the environment, that over your file, that over the machine's.

Results go to standard output, progress and messages to standard error. There is colour on a
terminal only, unless `NO_COLOR` or `CLICOLOR_FORCE` is set. `batchrun --install-completion`
teaches the shell to complete.
"""
_SIGNALS = """\
## Signals

| signal | what happens |
| --- | --- |
| SIGINT (Ctrl-C) | nothing new is started, running units finish; again: they are stopped now |
| SIGTERM | nothing new is started, running units have `--grace`, then they are stopped |
| SIGHUP | as SIGTERM; ignored when it was ignored at the start (`nohup`) |
| SIGUSR1 | prints who is running, and for how long |

A stopped command is ended with everything that it started. `finally` tasks still run; a second
signal leaves them out.
"""


def _help(command: Any) -> tuple[str, str]:
    """Return the first sentence of a command's help, and the rest."""
    text = inspect.cleandoc(command.help)
    first, _, rest = text.partition("\n\n")
    return first, rest


def _command(name: str, command: Any) -> str:
    signature = inspect.signature(command.callback)
    hints = get_type_hints(command.callback, include_extras=True)
    infos = [
        (hints[key], one.default)
        for key, one in signature.parameters.items()
        if hints[key] is not typer.Context
    ]
    arguments = [hint.__metadata__[0] for hint, _ in infos if _is_argument(hint)]
    options = [(hint, default) for hint, default in infos if not _is_argument(hint)]
    shown = "[options]" if options else ""
    words = ["batchrun", name, shown, *(one.metavar for one in arguments)]
    first, rest = _help(command)
    usage = " ".join(word for word in words if word)
    parts = [f"## {name}\n\n{first}\n\n    {usage}\n", f"{rest}\n" if rest else ""]
    parts += ["".join(f"- `{one.metavar}`: {one.help}\n" for one in arguments)]
    if options:
        parts += [_table(("option", "meaning", "default", "environment"), map(_option, options))]
    return "\n".join(part for part in parts if part)


def _is_argument(hint: Any) -> bool:
    return type(hint.__metadata__[0]).__name__ == "ArgumentInfo"


def _option(one: tuple[Any, object]) -> Sequence[str]:
    hint, default = one
    info = hint.__metadata__[0]
    kind = hint.__origin__
    takes = info.metavar or ""
    if isinstance(kind, type) and issubclass(kind, Enum):
        takes = " or ".join(str(choice.value) for choice in kind)
    # The first name of an option stands where typer has the default of one without Annotated.
    names = ", ".join(f"`{name}`" for name in (info.default, *info.param_decls))
    shown = info.show_default if isinstance(info.show_default, str) else _shown(default)
    return f"{names} {takes}".rstrip(), info.help, shown, f"`{info.envvar}`"


def _shown(default: object) -> str:
    if default is None or isinstance(default, bool) or default == 0:
        return ""
    return f"`{default.value if isinstance(default, Enum) else default}`"


# ---- exit codes -----------------------------------------------------------------------------


def exit_codes_page() -> str:
    """Write the table of exit codes."""
    rows = ((str(int(code)), meaning) for code, meaning in EXIT_CODES)
    return (
        "# Exit codes\n\n"
        + _table(("code", "meaning"), rows)
        + "\nWhen several apply: signal, deadline, 1, 5, 2, 4, in that order. "
        "An unknown code is a failure.\n"
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "operations.md": operations_page,
    "job-file.md": job_file_page,
    "command-line.md": command_line_page,
    "exit-codes.md": exit_codes_page,
}
#: Of standard output with `--output json` and `--output ndjson`.
SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "json.schema.json": document_schema,
    "ndjson.schema.json": event_schema,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
