"""What can be known of a template file before anything runs: its names, filters and secrets."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError, meta, nodes

from batchrun.errors import Problem
from batchrun.jobfile.chains import chains_in
from batchrun.jobfile.members import VIAS, is_final_only, wrong_member
from batchrun.jobfile.sandbox import TROUBLE, Sandbox, wrong_word
from batchrun.jobfile.templateenvironment import ONLY_AS_IT_IS
from batchrun.jobfile.templatefile import TemplateFile, sentence_of

__all__ = ["Findings", "check_template"]

_LOADING = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
_CAPTURING = (nodes.AssignBlock, nodes.FilterBlock)


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a template file and the files that it names literally have in them."""

    problems: list[Problem] = field(default_factory=list)
    #: The secrets that are inserted, and where first.
    secrets: dict[str, tuple[str, int]] = field(default_factory=dict)
    #: Entries of `results` and `mine` that are used.
    results: set[tuple[str, str]] = field(default_factory=set)
    #: Some file is named by an expression, and so not known.
    open_ended: bool = False


def check_template(
    file: TemplateFile, known: frozenset[str], unknown: Callable[[str], str]
) -> Findings:
    """Look through a template file.

    Args:
        file: The template.
        known: The names of its scope; `run.summary` among them stands for a `finally` task.
        unknown: Says what is wrong with a name that is not among them.
    """
    check = _Check(file.environment, known, unknown)
    check.file(file.name, ())
    return check.findings


class _Check:
    """Walks through a file and the files that it names."""

    def __init__(
        self, environment: Sandbox, known: frozenset[str], unknown: Callable[[str], str]
    ) -> None:
        self.findings = Findings()
        self._environment = environment
        self._known = known | {"secrets", *environment.globals}
        self._unknown = unknown
        self._seen: set[str] = set()
        self._path = ""

    def file(self, name: str, outer: tuple[str, ...]) -> None:
        """Check one file.

        Args:
            name: Its name for the loader.
            outer: Names that the files which include it may have set.
        """
        if name in self._seen:
            return
        self._seen.add(name)
        text, path, _ = self._environment.loader.get_source(self._environment, name)  # type: ignore[union-attr]  # it has one
        self._path = path or name
        try:
            tree = self._environment.parse(text, name, path)
            self._words(tree)
            unknown = meta.find_undeclared_variables(tree) - self._known - set(outer)
        except TROUBLE as error:
            self._note(getattr(error, "lineno", 1) or 1, sentence_of(error))
            return
        self._names(tree, unknown)
        self._secrets(tree)
        self._others(tree, (*outer, *_stored(tree)))

    def _note(self, line: int, message: str) -> None:
        self.findings.problems.append(Problem(file=self._path, line=line, path="", message=message))

    def _words(self, tree: nodes.Template) -> None:
        for node in tree.find_all((nodes.Filter, nodes.Test)):
            message = wrong_word(node, self._environment)
            if message:
                self._note(node.lineno, message)
                # The rest is looked at as if that were in order.
                node.name = "raw" if isinstance(node, nodes.Filter) else "defined"

    def _names(self, tree: nodes.Template, unknown: set[str]) -> None:
        for name in sorted(unknown):
            lines = [one.lineno for one in tree.find_all(nodes.Name) if one.name == name]
            self._note(min(lines, default=1), self._unknown(name))
        self._entries(tree, frozenset(_stored(tree)))

    def _entries(self, tree: nodes.Template, own: frozenset[str]) -> None:
        """Look at what names of the program's own are asked for; `own` are the template's."""
        for one in tree.find_all(nodes.Getattr):
            if isinstance(one.node, nodes.Name) and one.node.name in VIAS:
                self.findings.results.add((one.node.name, one.attr))
        noted: set[tuple[int, str]] = set()
        for chain, line in chains_in(tree):
            message = wrong_member(chain)
            if is_final_only(chain) and "run.summary" not in self._known:
                message = f"`run.{chain[1]}` is known only in `finally` tasks"
            if message and chain[0] not in own and (line, message) not in noted:
                noted.add((line, message))
                self._note(line, message)

    def _secrets(self, tree: nodes.Template) -> None:
        allowed: set[int] = set()
        for output in _outputs(tree):
            for one in output.nodes:
                if isinstance(one, nodes.Getattr) and _is_secrets(one.node):
                    allowed.add(id(one.node))
                    self.findings.secrets.setdefault(one.attr, (self._path, one.lineno))
        for name in tree.find_all(nodes.Name):
            if _is_secrets(name) and id(name) not in allowed:
                self._note(name.lineno, f"{ONLY_AS_IT_IS}; no filter, test or `set` may touch it")

    def _others(self, tree: nodes.Template, outer: tuple[str, ...]) -> None:
        path = self._path
        loading: Iterator[Any] = tree.find_all(_LOADING)
        for node in loading:
            for name in _named(node.template):
                if name is None:
                    self.findings.open_ended = True
                    continue
                try:
                    self.file(name, outer)
                except TemplateError as error:
                    if not getattr(node, "ignore_missing", False) and not _is_choice(node):
                        self._path = path
                        self._note(node.lineno, str(error.message))
                self._path = path


def _stored(tree: nodes.Template) -> Iterator[str]:
    """List the names that a template sets anywhere."""
    for name in tree.find_all(nodes.Name):
        if name.ctx in ("store", "param"):
            yield name.name
    for macro in tree.find_all(nodes.Macro):
        yield macro.name
    for module in tree.find_all(nodes.Import):
        yield module.target
    for part in tree.find_all(nodes.FromImport):
        yield from (one if isinstance(one, str) else one[1] for one in part.names)


def _outputs(node: nodes.Node) -> Iterator[nodes.Output]:
    """List where text is put out as it is, not captured for something else."""
    for child in node.iter_child_nodes():
        if isinstance(child, _CAPTURING):
            continue
        if isinstance(child, nodes.Output):
            yield child
        yield from _outputs(child)


def _is_secrets(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "secrets"


def _named(node: nodes.Expr) -> list[str | None]:
    """Return the files that an `include` names; None for one that is computed."""
    if isinstance(node, nodes.Const):
        return [one if isinstance(one, str) else None for one in _as_list(node.value)]
    if isinstance(node, nodes.List | nodes.Tuple):
        return [name for one in node.items for name in _named(one)]
    return [None]


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _is_choice(node: Any) -> bool:
    """Tell whether a file may be missing because others stand beside it."""
    return len(_named(node.template)) > 1
