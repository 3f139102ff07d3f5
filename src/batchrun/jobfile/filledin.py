"""The text of a `template` operation: from a file that is known, or that each unit names."""

from collections.abc import Callable
from typing import Any

from batchrun.errors import Problem
from batchrun.jobfile.compiled import Render
from batchrun.jobfile.expressions import parse_expression
from batchrun.jobfile.fields import Compiler
from batchrun.jobfile.prepared import SECRET_FLAG
from batchrun.jobfile.problems import Path
from batchrun.jobfile.scope import Names
from batchrun.jobfile.templatecheck import Findings, check_template
from batchrun.jobfile.templatefile import TemplateFile, TemplateFileError
from batchrun.model.secret import SecretText
from batchrun.ops.paths import shown

__all__ = ["add_text"]


def add_text(
    constants: dict[str, Any],
    computed: list[tuple[str, Path, Render]],
    path: Path,
    compiler: Compiler,
) -> None:
    """Add the text of a template: from a file that is known, or from one that each unit names."""
    place = (*path, "src")
    source = constants.get("src")
    if source is not None:
        file = _checked_now(source, place, compiler)
        if file is not None:
            may_hide = _note_uses(_findings(file, compiler), place, compiler)
            text = _Text(compiler, lambda _names: file)
            computed += [
                ("text", place, text),
                *([(SECRET_FLAG, place, text.flag)] if may_hide else []),
            ]
        return
    for field, _, render in list(computed):
        if field == "src":
            # Which secrets it will name is not known yet.
            compiler.secrets.used.extend(compiler.secrets.declared)
            text = _Text(compiler, _each(render, compiler))
            computed += [("text", place, text), (SECRET_FLAG, place, text.flag)]


def _each(render: Render, compiler: Compiler) -> Callable[[Names], TemplateFile]:
    """Make the function that finds the template of each unit."""

    def file_of(names: Names) -> TemplateFile:
        path = render(names)
        try:
            file = _file(path, compiler)
        except TemplateFileError as error:
            raise ValueError(str(error)) from None
        found = _findings(file, compiler)
        wrong = [*found.problems, *_wrong_secrets(found, compiler)]
        if wrong:
            raise ValueError(str(TemplateFileError(wrong)))
        return file

    return file_of


class _Text:
    """Makes the text of a unit, and remembers whether a secret is in it."""

    def __init__(self, compiler: Compiler, file_of: Callable[[Names], TemplateFile]) -> None:
        self._file_of = file_of
        self._secrets = compiler.secrets.declared
        self._is_secret = False

    def __call__(self, names: Names) -> str | SecretText:
        """Fill the template in."""
        text = self._file_of(names).render(names, self._secrets)
        self._is_secret = isinstance(text, SecretText)
        return text

    def flag(self, _names: Names) -> bool:
        """Tell whether the text made last holds a secret; called after it, for the same unit."""
        return self._is_secret


def _file(path: str, compiler: Compiler) -> TemplateFile:
    """Read a template, or take the one read before as long as it is the same file.

    Raises:
        TemplateFileError: it cannot be used.
    """
    file = compiler.templates.get(path)
    if file is None or not file.is_current():
        file = compiler.templates[path] = TemplateFile(path, compiler.trust)
    return file


def _checked_now(path: str, place: Path, compiler: Compiler) -> TemplateFile | None:
    """Read a template at load and note what is wrong with it; None: it cannot be used."""
    try:
        file = _file(path, compiler)
    except TemplateFileError as error:
        for problem in error.problems:
            if problem.line is None:
                message = f"the template {shown(problem.file)} {problem.message}"
                compiler.problems.add(place, message)
            else:
                compiler.problems.note([problem])
        return None
    found = _findings(file, compiler)
    wrong = [*found.problems, *_wrong_secrets(found, compiler)]
    if not wrong:
        try:
            file.compile()
        except TemplateFileError as error:
            wrong = error.problems
    compiler.problems.note(wrong)
    return None if wrong else file


def _findings(file: TemplateFile, compiler: Compiler) -> Findings:
    """Look through a template, once for each set of names that it is used with."""
    known = compiler.known
    if known not in file.findings:
        file.findings[known] = check_template(file, known, compiler.unknown)
    found: Findings = file.findings[known]
    return found


def _wrong_secrets(found: Findings, compiler: Compiler) -> list[Problem]:
    names = compiler.secrets
    refused = [
        (names.refusal(parse_expression(f"secrets.{name}"), ""), place)
        for name, place in found.secrets.items()
    ]
    return [
        Problem(file=file, line=line, path="", message=message)
        for message, (file, line) in refused
        if message
    ]


def _note_uses(found: Findings, place: Path, compiler: Compiler) -> bool:
    """Pass on what a template uses; return whether it may insert a secret."""
    for name, attribute in sorted(found.results):
        compiler.references.append((place, parse_expression(f"{name}.{attribute}")))
    if found.open_ended:
        compiler.secrets.used.extend(compiler.secrets.declared)
    return bool(found.secrets) or (found.open_ended and bool(compiler.secrets.declared))
