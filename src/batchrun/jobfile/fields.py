"""Parameters as written, compiled to values, or to functions that make them for each unit."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from batchrun.jobfile.compiled import (
    Compiled,
    Constant,
    Render,
    compiled_of,
    converted,
    mapping,
    sequence,
    without_nul,
)
from batchrun.jobfile.expressions import Chain, Expression
from batchrun.jobfile.members import VIAS, is_final_only, wrong_member
from batchrun.jobfile.paths import PathRules, opened_pattern, path_renderer, pattern_renderer
from batchrun.jobfile.places import is_local_parameter
from batchrun.jobfile.problems import Path, Problems, did_you_mean
from batchrun.jobfile.readers import expected, read_scalar
from batchrun.jobfile.records import Registration
from batchrun.jobfile.scalars import Plain, is_null, resolve
from batchrun.jobfile.scope import Names
from batchrun.jobfile.secrets import IN_COMMAND, NOT_HERE, SecretNames, holds_secret, secret_text
from batchrun.jobfile.shapes import Parameter, Scalar, Shape
from batchrun.jobfile.shell import QUOTING_SHELLS, place, shell_renderer
from batchrun.jobfile.template import (
    Part,
    insert_value,
    is_template,
    sole_expression,
    split,
    text_renderer,
)
from batchrun.jobfile.trust import Trust
from batchrun.model.operation import Operation
from batchrun.model.values import Kind

if TYPE_CHECKING:  # loads Jinja2
    from batchrun.jobfile.templatefile import TemplateFile

__all__ = ["Compiler", "Reference"]

#: Where an expression is written that uses one of these names.
Reference: TypeAlias = tuple[Path, Expression]
#: What people call the time of the run.
_TIMES = frozenset({"date", "datetime", "time", "timestamp", "today"})
_REFERRING = frozenset({"results", "mine", "output"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """Compiles the values of one place of the file; mistakes go to `problems`."""

    problems: Problems
    #: Against which relative paths resolve; empty: paths are those of a host.
    base_dir: str
    #: Of what is compiled for a host: the directory of the job file.
    job_dir: str = ""
    #: Names that templates here may use.
    known: frozenset[str]
    #: Names that exist but not here: why not.
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    #: No insertion of a path may come out empty.
    fragile: bool = False
    #: The shell that reads shell strings; None: it is not known at load.
    shell: str | None = "/bin/sh"
    secrets: SecretNames = field(default_factory=SecretNames)
    #: Who may have written the files that are read for it.
    trust: Trust = field(default_factory=lambda: Trust(strict=False))
    #: Template files that were read, by path; shared by all.
    templates: "dict[str, TemplateFile]" = field(default_factory=dict)
    #: Why no secret can be inserted here; empty: one can.
    no_secret: str = NOT_HERE
    #: The names under which tasks and steps keep their results.
    registered: Mapping[str, Registration] = field(default_factory=dict)
    #: Uses of results and of `output`, for checks when all tasks are known; shared by all.
    references: list[Reference] = field(default_factory=list)

    def with_names(self, names: Iterable[str]) -> "Compiler":
        """Return a compiler that knows more names."""
        return replace(self, known=self.known | frozenset(names))

    def at(self, *, host: bool) -> "Compiler":
        """Return a compiler whose paths are those of a host, or of this machine."""
        if host == (not self.base_dir):
            return self
        if host:
            return replace(self, base_dir="", job_dir=self.base_dir)
        return replace(self, base_dir=self.job_dir, job_dir="")

    def of_parameter(self, parameter: Parameter, operation: Operation) -> "Compiler":
        """Return the compiler of one parameter: with its own rules for secrets and names."""
        if self.job_dir and is_local_parameter(operation.name, parameter.key):
            return self.at(host=False).of_parameter(parameter, operation)
        if parameter.key == "validate":
            return self.with_names({"new"})
        if not self.secrets.declared:
            return self
        if parameter.may_hold_secret:
            return replace(self, no_secret="")
        return replace(self, no_secret=IN_COMMAND) if operation.is_command else self

    # --- templates

    def template(self, text: str, path: Path) -> list[Part] | None:
        """Take a text apart and check the names in it; None: a mistake was noted."""
        try:
            parts = split(str(text))
        except ValueError as error:
            self.problems.add(path, str(error))
            return None
        checked = [self._check(part, path) for part in parts if isinstance(part, Expression)]
        return parts if all(checked) else None

    def _check(self, expression: Expression, path: Path) -> bool:
        """Note the names of an expression that are not known here."""
        names = expression.names
        if "secrets" in names:
            refusal = self.secrets.refusal(expression, self.no_secret)
            if refusal:
                self.problems.add(path, refusal)
                return False
            return True
        unknown = sorted(names - self.known)
        if not unknown and not _REFERRING.isdisjoint(names):
            self.references.append((path, expression))
        for name in unknown:
            self.problems.add(path, self.unknown(name))
        wrong = [self._wrong_entry(chain) for chain in sorted(expression.chains)]
        for message in filter(None, wrong):
            self.problems.add(path, message)
        return not unknown and not any(wrong)

    def _wrong_entry(self, chain: Chain) -> str:
        """Say what is wrong with an entry that is asked for; of results that is looked at later."""
        if is_final_only(chain) and "run.summary" not in self.known:
            return f"`run.{chain[1]}` is known only in `finally` tasks"
        return "" if chain[0] in VIAS else wrong_member(chain)

    def unknown(self, name: str) -> str:
        """Say what is wrong with a name that is not known here."""
        if name in self.elsewhere:
            return self.elsewhere[name]
        if name == "new":
            return "`new`, the file before it gets its name, is known only in `validate`"
        if name in self.secrets.declared:
            return f"`{name}` is a secret; write `secrets.{name}`"
        if name in self.registered:
            has_own = "item" in self.known and not self.registered[name].single
            return f"`{name}` is registered; write `{'mine' if has_own else 'results'}.{name}`"
        hint = did_you_mean(name, (one for one in self.known if "." not in one))
        if not hint:
            hint = f"; {'write `now(...)`, or ' if name in _TIMES else ''}declare it in `vars`"
        return f"`{name}` is not known here{hint}"

    # --- values of any type

    def anything(self, raw: Any, path: Path) -> Compiled:
        """Compile a value that may be anything, with templates anywhere in its texts."""
        if isinstance(raw, str):
            return self._any_text(raw, path)
        if isinstance(raw, dict):
            compiled = {key: self.anything(value, (*path, key)) for key, value in raw.items()}
            return mapping(compiled)
        if isinstance(raw, list):
            return sequence([self.anything(one, (*path, at)) for at, one in enumerate(raw)], list)
        return Constant(raw)

    def _any_text(self, raw: str, path: Path) -> Compiled:
        if type(raw) is Plain or not is_template(raw):
            return Constant(resolve(raw))
        parts = self.template(raw, path)
        if parts is None or self._has_misplaced(parts, path):
            return Constant(None)
        sole = sole_expression(parts)
        return text_renderer(parts) if sole is None else sole.evaluate

    def _has_misplaced(self, parts: Sequence[Part], path: Path) -> bool:
        """Note a secret where a value may be anything: it can only be text."""
        found = holds_secret(parts)
        if found:
            self.problems.add(path, NOT_HERE)
        return found

    # --- values of a known shape

    def value(self, shape: Shape, raw: Any, path: Path) -> Compiled | None:
        """Compile a value; None: a mistake was noted."""
        if isinstance(raw, dict):
            return self._entries(shape, raw, path)
        if isinstance(raw, list):
            return self._items(shape, raw, path)
        if is_null(raw):
            if not shape.nullable:
                self.problems.add(path, f"has no value; write {_wanted(shape)}")
            return Constant(None) if shape.nullable else None
        return self._scalar(shape, raw, path)

    def _entries(self, shape: Shape, raw: dict[str, Any], path: Path) -> Compiled | None:
        if shape.entries is None:
            if any(scalar.type is object for scalar in shape.scalars):
                return self.anything(raw, path)
            self.problems.add(path, f"is a mapping; write {_wanted(shape)}")
            return None
        compiled = {
            key: self.value(shape.entries, value, (*path, key)) for key, value in raw.items()
        }
        done = {key: value for key, value in compiled.items() if value is not None}
        return mapping(done) if len(done) == len(compiled) else None

    def _items(self, shape: Shape, raw: list[Any], path: Path) -> Compiled | None:
        if shape.items is None:
            if any(scalar.type is object for scalar in shape.scalars):
                return self.anything(raw, path)
            self.problems.add(path, f"is a list; write {_wanted(shape)}")
            return None
        compiled = [self.value(shape.items, one, (*path, at)) for at, one in enumerate(raw)]
        done = [one for one in compiled if one is not None]
        return sequence(done, tuple) if len(done) == len(compiled) else None

    def _scalar(self, shape: Shape, raw: Any, path: Path) -> Compiled | None:
        parts: list[Part] | None = [raw] if isinstance(raw, str) else None
        if isinstance(raw, str) and is_template(raw):
            parts = self.template(raw, path)
            if parts is None:
                return None
        if not shape.scalars:
            return self._whole(shape, raw, parts or [], path)
        try:
            return self._one(shape, raw, parts)
        except ValueError as error:
            self.problems.add(path, str(error))
            return None
        except _ShellTrouble as trouble:
            for sentence in trouble.sentences:
                self.problems.add(path, sentence)
            return None

    def _whole(self, shape: Shape, raw: Any, parts: Sequence[Part], path: Path) -> Compiled | None:
        """Compile a single value where a list or a mapping is expected."""
        if self._has_misplaced(parts, path):
            return None
        sole = sole_expression(parts)
        if sole is not None:
            kind = shape.items.text.kind if shape.items and shape.items.text else None
            if kind is Kind.PATTERN and sole.glob:
                return self._globs(sole)
            if kind in (Kind.PATH, Kind.PATTERN):
                return self._paths(shape, sole)
            return converted(sole.evaluate, lambda value: self._convert(shape, value))
        if shape.items is None:
            self.problems.add(path, f"is not a mapping; write {_wanted(shape)}")
            return None
        one = self.value(shape.items, raw, path)
        return None if one is None else sequence([one], tuple)

    def _paths(self, shape: Shape, expression: Expression) -> Render:
        """Compile `src: "{{ item }}"`, the usual case, to as few steps as there can be."""
        evaluate = expression.evaluate

        def render(names: Names) -> tuple[Any, ...]:
            value = evaluate(names)
            if type(value) is str and value[:1] == "/" and "\0" not in value:
                return (value,)
            try:
                return cast("tuple[Any, ...]", self._convert(shape, value))
            except ValueError as error:
                message = f"`{{{{ {expression.source} }}}}`: {error}"
                raise ValueError(message) from None

        return render

    def _globs(self, expression: Expression) -> Render:
        """Compile `src: "{{ x | glob }}"`: one pattern, or a list of them."""

        def render(names: Names) -> tuple[Any, ...]:
            value = expression.evaluate(names)
            texts = value if isinstance(value, list | tuple) else [value]
            return tuple(opened_pattern(insert_value(expression, one), rules) for one in texts)

        rules = PathRules(base_dir=self.base_dir, fragile=self.fragile)
        return render

    def _one(self, shape: Shape, raw: Any, parts: Sequence[Part] | None) -> Compiled:
        """Compile one value that a scalar of the shape takes."""
        scalar = shape.text
        if parts is None or all(isinstance(part, str) for part in parts):
            if scalar is None or len(shape.scalars) > 1 or scalar.kind not in _RENDERED:
                literal = raw if parts is None or type(raw) is Plain else "".join(map(str, parts))
                return Constant(self._convert(shape, literal))
            return self._rendered(scalar, parts or [])
        if holds_secret(parts):
            if scalar is None or scalar.kind is not None:
                raise ValueError(NOT_HERE)
            return secret_text(parts)
        sole = sole_expression(parts)
        if scalar is None or len(shape.scalars) > 1:
            source = text_renderer(parts) if sole is None else sole.evaluate
            return converted(source, lambda value: self._convert(shape, value))
        return self._rendered(scalar, parts)

    def _rendered(self, scalar: Scalar, parts: Sequence[Part]) -> Compiled:
        """Compile text of a kind that has rules for what is inserted."""
        rules = PathRules(base_dir=self.base_dir, fragile=self.fragile)
        if scalar.kind is Kind.PATH:
            return compiled_of(path_renderer(parts, rules))
        if scalar.kind is Kind.PATTERN:
            return compiled_of(pattern_renderer(parts, rules))
        if scalar.kind is Kind.SHELL:
            return self._shell(parts)
        if scalar.kind is None:
            return without_nul(text_renderer(parts))
        return converted(
            text_renderer(parts), lambda value: read_scalar(scalar, value, self.base_dir)
        )

    def _shell(self, parts: Sequence[Part]) -> Compiled:
        if all(isinstance(part, str) for part in parts):
            return Constant("".join(str(part) for part in parts))
        pieces, sentences = place(parts)
        name = (self.shell or "").rpartition("/")[2]
        quoted = any(isinstance(part, Expression) and not part.raw for part in parts)
        if quoted and name not in QUOTING_SHELLS:
            sentences.append(
                "values can be quoted only for a shell that is known here and reads quotes as "
                "sh does; pass them in `env:`"
            )
        if sentences:
            raise _ShellTrouble(sentences)
        return without_nul(shell_renderer(pieces))

    def _convert(self, shape: Shape, value: Any) -> Any:
        """Read a value that is no template (any more); lists and mappings all the way down.

        Raises:
            ValueError: it does not fit; the message says what does.
        """
        if is_null(value) and shape.nullable:
            return None
        if isinstance(value, Mapping) and shape.entries is not None:
            entries = shape.entries
            return {str(key): self._convert(entries, one) for key, one in value.items()}
        if isinstance(value, list | tuple) and shape.items is not None:
            return tuple(self._convert(shape.items, one) for one in value)
        if not shape.scalars and shape.items is not None and not isinstance(value, Mapping):
            return (self._convert(shape.items, value),)
        return self._first_that_fits(shape, value)

    def _first_that_fits(self, shape: Shape, value: Any) -> Any:
        reasons: list[str] = []
        for scalar in shape.scalars:
            try:
                return read_scalar(scalar, value, self.base_dir)
            except ValueError as error:
                reasons.append(str(error))
        message = reasons[-1] if reasons else f"write {_wanted(shape)}"
        raise ValueError(message)


#: Kinds whose text has rules even when nothing is inserted.
_RENDERED = (Kind.PATH, Kind.PATTERN, Kind.SHELL)


class _ShellTrouble(Exception):  # noqa: N818 - not an error of the program, a list of mistakes
    """Carries several sentences about one shell string."""

    def __init__(self, sentences: list[str]) -> None:
        super().__init__()
        self.sentences = sentences


def _wanted(shape: Shape) -> str:
    """Say what a shape takes.

    Mentions a list and a mapping only where they are possible.
    """
    words = [expected(scalar) for scalar in shape.scalars]
    if shape.items is not None:
        words += [*([] if words else [_wanted(shape.items)]), "a list"]
    if shape.entries is not None:
        words.append("a mapping")
    return " or ".join(words) or "a value"
