"""Template files: all of Jinja2, read and checked at load, rendered for each unit.

The sandbox, the filters and the strictness are those of the job file, and values become text in
the same way: `true` and `false`, nothing for null, and no list without a `join`. As with Ansible,
the line end after a `{% %}` tag is removed and that at the end of the file is kept; line ends
inside are those of the file. `include`, `extends` and `import` name files relative to the
directory of the template that the job file names, and never one above it.
"""

import os
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from jinja2 import Template, TemplateError, TemplateNotFound, TemplateSyntaxError

from batchrun.errors import Problem
from batchrun.jobfile.bounds import MOST_CHARACTERS
from batchrun.jobfile.sandbox import TROUBLE, Sandbox, reason_of
from batchrun.jobfile.scope import Names
from batchrun.jobfile.templateenvironment import ONLY_AS_IT_IS, FileEnvironment, SecretSpace
from batchrun.jobfile.trust import Trust, UntrustedError
from batchrun.model.secret import SecretRef, SecretText

__all__ = ["TemplateFile", "TemplateFileError", "sentence_of"]


class TemplateFileError(Exception):
    """A template file cannot be used; carries its mistakes, each with its file and line."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class _Where:
    """A place in a template file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class TemplateFile:
    """One template file, compiled with everything that it names literally.

    Args:
        path: Absolute.
        trust: Who may have written it.

    Raises:
        TemplateFileError: it, or a file that it includes, cannot be read or is no template.
    """

    def __init__(self, path: str, trust: Trust) -> None:
        directory, self._name = os.path.split(path)
        try:
            newline = "\r\n" if b"\r\n" in trust.read(path) else "\n"
        except UntrustedError as error:
            raise _unusable(path, str(error)) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise _unusable(path, f"cannot be read: {reason}") from None
        self.path = path
        self._environment = FileEnvironment(directory, trust, newline)
        self._compiled: Template | None = None
        self._signature = _signature(path)
        #: What was found in it, by the names that it may use.
        self.findings: dict[frozenset[str], Any] = {}

    def is_current(self) -> bool:
        """Tell whether the file is still the one that was read."""
        return self._signature == _signature(self.path)

    @property
    def environment(self) -> Sandbox:
        """Where its filters and its other files are known."""
        return self._environment

    @property
    def name(self) -> str:
        """Its name for the environment's loader."""
        return self._name

    def compile(self) -> Template:
        """Compile it, once: what is wrong with it is better told by `check_template`, before.

        Raises:
            TemplateFileError: it is no template.
        """
        if self._compiled is None:
            try:
                self._compiled = self._environment.get_template(self._name)
            except TemplateSyntaxError as error:
                raise _unusable(
                    error.filename or self.path, sentence_of(error), error.lineno
                ) from None
            except TROUBLE as error:
                raise _unusable(self.path, f"is no template: {reason_of(error)}") from None
        return self._compiled

    def render(self, names: Names, secrets: frozenset[str]) -> str | SecretText:
        """Fill it in; with a secret in it the text holds references.

        Args:
            names: The scope.
            secrets: The names of the secrets that it may insert.

        Raises:
            ValueError: it cannot be computed; the message names the line of the template.
        """
        environment = self._environment
        environment.inserted = environment.steps = 0
        scope = Names(outer=names)
        scope["secrets"] = SecretSpace(secrets)
        try:
            text = self._text(scope)
        except TROUBLE as error:
            where = _where(error.__traceback__) or _Where(file=self.path, line=1)
            message = f"{where}: {sentence_of(error)}"
            raise ValueError(message) from None
        return text if not environment.inserted else self._with_secrets(text)

    def _text(self, scope: Names) -> str:
        pieces: list[str] = []
        size = 0
        template = self.compile()
        for piece in template.root_render_func(template.new_context(scope)):
            size += len(piece)
            if size > MOST_CHARACTERS:
                message = f"the text is longer than {MOST_CHARACTERS} characters"
                raise ValueError(message)
            pieces.append(piece)
        return "".join(pieces)

    def _with_secrets(self, text: str) -> SecretText:
        """Put references where the marks are; all of them must have come through unharmed."""
        parts: list[str | SecretRef] = []
        for piece in text.split(f"\0{self._environment.mark}:"):
            if not parts:
                parts.append(piece)
                continue
            name, _, rest = piece.partition("\0")
            parts += [SecretRef(name), rest]
        found = len(parts) // 2
        left = "".join(part for part in parts if isinstance(part, str))
        if found != self._environment.inserted or self._environment.mark in left.lower():
            message = f"{self.path}: {ONLY_AS_IT_IS}; here what holds one was changed by a filter"
            raise ValueError(message)
        return SecretText(tuple(part for part in parts if part != ""))


def _signature(path: str) -> tuple[int, ...] | None:
    """Return what changes when a file does; None: it is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _unusable(path: str, message: str, line: int | None = None) -> TemplateFileError:
    return TemplateFileError([Problem(file=path, line=line, path="", message=message)])


def sentence_of(error: BaseException) -> str:
    """Say what Jinja2 says, in words that name what to do."""
    if isinstance(error, TemplateSyntaxError):
        said = str(error.message).replace("unexpected 'end of template'", "it ends too early")
        return f"this is not Jinja2: {said}"
    if isinstance(error, TemplateNotFound):
        return str(error.message)
    if isinstance(error, TemplateError):
        return reason_of(error)
    return f"cannot be computed: {reason_of(error)}"


def _where(traceback: TracebackType | None) -> _Where | None:
    """Find the innermost line of a template in a traceback."""
    found: _Where | None = None
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            line = template.get_corresponding_lineno(traceback.tb_lineno)
            found = _Where(file=template.filename or "", line=line)
        traceback = traceback.tb_next
    return found
