"""The sandbox of template files: lazy names, files beside the template, secrets, and bounds."""

import posixpath
from collections.abc import Callable, Iterator, Mapping
from secrets import token_hex
from typing import Any

from jinja2 import BaseLoader, Template, TemplateNotFound, nodes
from jinja2.runtime import Context, Undefined
from jinja2.utils import Cycler, Joiner, Namespace, missing

from batchrun.jobfile.sandbox import Sandbox
from batchrun.jobfile.scalars import text_of
from batchrun.jobfile.scope import Names
from batchrun.jobfile.trust import Trust, UntrustedError

__all__ = ["ONLY_AS_IT_IS", "FileEnvironment", "SecretSpace"]

#: Rounds of loops in one rendering, or so much else: about a second of work.
_MOST_STEPS = 1_000_000
#: A call in the sandbox takes as long as so many rounds of a loop.
_CALL_STEPS = 10
_BOUNDED = "bounded loop"  # no template can write a name with a space
#: What is said of any other use of a secret.
ONLY_AS_IT_IS = "a secret can only be inserted as it is, as in {{ secrets.NAME }}"


class SecretSpace:
    """What `secrets` is in a template file: entries that can be inserted and nothing else."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def __getattr__(self, name: str) -> "_Hidden":
        if name.startswith("_") or name not in self._names:
            raise AttributeError(name)
        return _Hidden(name)


class _Hidden:
    """A secret in a template: it has no text and no value to look at."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def marked(self, mark: str) -> str:
        """Return what stands for it until the text is whole."""
        return f"\0{mark}:{self._name}\0"

    def _refuse(self, *_arguments: object) -> Any:
        raise ValueError(ONLY_AS_IT_IS)

    __str__ = __repr__ = __format__ = __bool__ = __len__ = __iter__ = __getitem__ = _refuse
    __add__ = __radd__ = __mod__ = __rmod__ = __mul__ = __rmul__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __hash__ = _refuse


class _Context(Context):
    """A context that stays lazy: variables are computed when a template asks for them."""

    def get_all(self) -> dict[str, Any]:
        """Return what included templates see."""
        together = Names(outer=_as_names(self.parent))
        together.update(self.vars)
        return together


def _as_names(given: Mapping[str, Any]) -> Names:
    return given if isinstance(given, Names) else Names.of(**given)


class _Template(Template):
    """A template whose context is made without copying the scope."""

    def new_context(
        self,
        vars: dict[str, Any] | None = None,  # noqa: A002 - Jinja2's own name
        shared: bool = False,  # noqa: FBT001, FBT002, ARG002 - Jinja2's own signature
        locals: Mapping[str, Any] | None = None,  # noqa: A002 - Jinja2's own name
    ) -> Context:
        """Make the context of one rendering."""
        names = Names(outer=_as_names({} if vars is None else vars))
        names.update(self.globals)
        names.update((key, one) for key, one in (locals or {}).items() if one is not missing)
        return _Context(self.environment, names, self.name, self.blocks)


class _Loader(BaseLoader):
    """Reads the templates of one directory and the directories below it."""

    def __init__(self, directory: str, trust: Trust) -> None:
        self._directory = directory
        self._trust = trust

    def get_source(
        self,
        environment: Any,  # noqa: ARG002 - Jinja2's own signature
        template: str,
    ) -> tuple[str, str, Callable[[], bool]]:
        """Return the text of a template, and where it is."""
        name = posixpath.normpath(template)
        if name.startswith(("/", "../")) or name == "..":
            message = f"`{template}` is not below the directory of the template, {self._directory}"
            raise TemplateNotFound(template, message)
        path = posixpath.join(self._directory, name)
        try:
            data = self._trust.read(path)
        except UntrustedError as error:
            raise TemplateNotFound(template, f"the file {path} {error}") from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            message = f"the file {path} cannot be read: {reason}"
            raise TemplateNotFound(template, message) from None
        return data.decode("utf-8", "surrogateescape"), path, lambda: True


class FileEnvironment(Sandbox):
    """The sandbox for one template file and what it includes."""

    template_class = _Template

    def __init__(self, directory: str, trust: Trust, newline: str) -> None:
        super().__init__(
            loader=_Loader(directory, trust),
            finalize=self._inserted,
            trim_blocks=True,
            keep_trailing_newline=True,
            newline_sequence=newline,
            auto_reload=False,
        )
        self.globals.update(
            range=self._range, dict=dict, namespace=Namespace, cycler=Cycler, joiner=Joiner
        )
        self.filters[_BOUNDED] = self._bounded
        #: Marks an inserted secret until the text is whole; no value can hold it by chance.
        self.mark = token_hex(16)
        self.inserted = 0
        self.steps = 0

    def _inserted(self, value: Any) -> str:
        """Turn what is inserted into text, as in the job file."""
        if type(value) is str:
            return value
        if type(value) is _Hidden:
            self.inserted += 1
            return value.marked(self.mark)
        if isinstance(value, Undefined):
            str(value)  # raises, and says which name it is
        try:
            return text_of(value)
        except ValueError as error:
            message = f"what is inserted {error}"
            raise ValueError(message) from None

    def _range(self, *bounds: int) -> range:
        numbers = range(*bounds)
        if len(numbers) > _MOST_STEPS:
            message = f"a range of more than {_MOST_STEPS} numbers"
            raise ValueError(message)
        return numbers

    def _bounded(self, items: Any) -> Iterator[Any]:
        """Pass on what a loop runs over, as long as the rendering may go on."""
        for item in items:
            self._step()
            yield item

    def _step(self, cost: int = 1) -> None:
        self.steps += cost
        if self.steps > _MOST_STEPS:
            message = f"it takes more than {_MOST_STEPS} steps; loops may be nested by mistake"
            raise ValueError(message)

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro or a method, and count it."""
        self._step(_CALL_STEPS)
        return super().call(context, obj, *args, **kwargs)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """Parse, and make every loop a bounded one."""
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(
                loop.iter, _BOUNDED, [], [], None, None, lineno=loop.lineno
            ).set_environment(self)
        return tree
