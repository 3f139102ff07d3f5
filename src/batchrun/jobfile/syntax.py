"""What people really get wrong in YAML, and what to write instead."""

import json
import re

import yaml

from batchrun.errors import Problem

__all__ = ["DEEPEST", "SMART_QUOTE", "SMART_QUOTES", "TOO_DEEP", "explain", "explain_json"]

#: Levels of lists and mappings inside each other.
DEEPEST = 64
TOO_DEEP = f"nested more than {DEEPEST} levels deep"

#: A value that begins with one of these must be in quotes, and why.
_STARTERS = {
    "@": "`@` may not begin a value",
    "`": "a backtick may not begin a value",
    "%": "`%` may not begin a value",
    "*": "a value that begins with `*` is read as an alias",
    "&": "a value that begins with `&` is read as an anchor",
    "!": "a value that begins with `!` is read as a tag",
    "|": "`|` begins a block of text",
    ">": "`>` begins a block of text",
    "?": "`?` may not begin a value",
    ",": "`,` may not begin a value",
    "]": "`]` may not begin a value",
    "}": "`}` may not begin a value",
}
#: What word processors make of quotes.
SMART_QUOTES = frozenset("\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb")
SMART_QUOTE = "typographic quotes are no quotes in YAML; write \" or ' instead"
_QUOTE = 'put the whole value in quotes, as in "{}"'


def explain(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """Turn what the parser says into a sentence that helps."""
    mark = getattr(error, "problem_mark", None)
    context_mark = getattr(error, "context_mark", None)
    said = str(getattr(error, "problem", None) or "")
    if mark is None:
        return Problem(file=file, line=_control_line(text), path="", message=_unmarked(text, said))
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    message = (
        _tab(line, mark.column, said)
        or _unclosed(error, said)
        or _own(said)
        or _value(line, mark.column, said)
        or _layout(said)
        or f"this is not YAML: {said}"
    )
    at = context_mark if _is_unclosed(error, said) and context_mark is not None else mark
    return Problem(file=file, line=at.line + 1, path="", message=message)


_JSON_START = re.compile(r"\s*\{\s*\"")
_JSON_REASONS = {
    "Expecting ',' delimiter": "`,` or a closing bracket is missing here",
    "Expecting property name enclosed in double quotes": (
        "a key in double quotes must stand here; JSON has no comments and no `,` before `}`"
    ),
    "Expecting ':' delimiter": "`:` is missing here",
    "Expecting value": "a value must stand here; text goes in double quotes",
    "Extra data": "there is more text after the end of the JSON document",
}


def explain_json(text: str, file: str) -> Problem | None:
    """Say what is wrong with a text that was meant as JSON; None: it was not."""
    if not _JSON_START.match(text):
        return None
    try:
        json.loads(text)
    except RecursionError:
        return None  # the reader of YAML knows how deep is too deep
    except json.JSONDecodeError as error:
        reason = _JSON_REASONS.get(error.msg, error.msg)
        message = f"this is not JSON: {reason}"
        return Problem(file=file, line=error.lineno, path="", message=message)
    return None


def _unmarked(text: str, said: str) -> str:
    if _control_line(text) is not None:
        return "there is a control character in the file; write it as an escape inside quotes"
    return f"this is not YAML: {said or 'it cannot be read'}"


def _control_line(text: str) -> int | None:
    match = re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]", text)
    return None if match is None else text.count("\n", 0, match.start()) + 1


def _tab(line: str, column: int, said: str) -> str:
    indentation = line[: len(line) - len(line.lstrip())]
    is_refused = "start any token" in said
    if is_refused and line[column : column + 1] == "\t" and line[:column].strip():
        return "there is a tab here; use a space"
    if "tab character" in said or ("\t" in indentation and is_refused):
        return "there is a tab in the indentation; use spaces (a tab in a value goes in quotes)"
    return ""


def _is_unclosed(error: yaml.YAMLError, said: str) -> bool:
    context = str(getattr(error, "context", "") or "")
    return "quoted scalar" in context and ("end of stream" in said or "document" in said)


def _unclosed(error: yaml.YAMLError, said: str) -> str:
    if _is_unclosed(error, said):
        return "the quote that begins here is never closed; write the same quote at its end"
    if "escape" in said:
        return (
            "this backslash means nothing inside double quotes; use single quotes, "
            "or write two backslashes"
        )
    return ""


def _own(said: str) -> str:
    """Let the reader's own sentences pass; libyaml writes no semicolons or backticks."""
    if "nesting depth" in said:  # libyaml looks so far ahead that it may meet its own bound first
        return TOO_DEEP
    return said if "`" in said or said.startswith(("nested", "aliases", "a key must")) else ""


def _value(line: str, column: int, said: str) -> str:
    """Find the value around a place, and say what is wrong with how it begins."""
    if "mapping values" in said:
        return _second_colon(line, column)
    value = _value_at(line, column)
    if insertion := _insertion(line, column, value):
        return insertion
    if value[:1] in _STARTERS and value[:1]:
        return f"{_STARTERS[value[0]]}; {_QUOTE.format(value.rstrip(',] '))}"
    if value[:1] in ("'", '"'):
        return (
            "there is more text after the closing quote; put the whole value in one pair of quotes"
        )
    if re.search(r"[\w.)-]\[", value) or value.startswith("["):
        return (
            "`[` and `]` are read as the bounds of a list; put a name that has brackets in "
            'quotes, as in ["web[01-20]", db1]'
        )
    return ""


def _insertion(line: str, column: int, value: str) -> str:
    """Say that a value with `{{` in it needs quotes; empty: it is not that."""
    inside = re.match(r"[^\s\"'{\[,][^\"',]*?\{\{.*?\}\}[^\s,\]}]*", value)
    if inside:
        return f"`{{{{` inside a mapping or list in brackets; {_QUOTE.format(inside[0])}"
    if value.startswith("{{") or ("{{" in line[: column + 2] and value[:1] not in "\"'"):
        example = value.rstrip(",]} ") if value.startswith("{{") else "{{ x }}"
        example = example + " }}" if example.count("{{") > example.count("}}") else example
        return f"a value that begins with `{{{{` is read as a mapping; {_QUOTE.format(example)}"
    return ""


def _second_colon(line: str, column: int) -> str:
    if (line[: column + 1] + " ").count(": ") < 2:
        return "this line is indented too far, or the line above it lacks its `:`"
    if line.partition(": ")[2].lstrip()[:1] in SMART_QUOTES:
        return SMART_QUOTE
    return (
        "there is a second `: ` in this value; put the whole value in quotes "
        "(or the line is indented too far)"
    )


def _value_at(line: str, column: int) -> str:
    """Return the text of the innermost value that begins at or before a column."""
    starts = [
        match.end()
        for match in re.finditer(r":\s+|-\s+|\[\s*|,\s*|^\s*", line)
        if match.end() <= column
    ]
    return line[max(starts) :] if starts else line


def _layout(said: str) -> str:
    if "block sequence entries" in said:
        return "a list must begin on a line of its own, below its key"
    if "',' or" in said:
        closing = said[-2:-1]
        return f"a list or mapping in brackets is not closed; `,` or `{closing}` is missing here"
    if "expected key" in said or "'-' indicator" in said or "block end" in said:
        return "this line does not fit the lines above it; check its indentation and its `:`"
    return ""
