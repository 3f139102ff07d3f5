"""Which paths a task uses and how, as they are written in the file.

Texts are compared, not values: `{{ stage }}/a` and `{{ stage }}/a` are the same place, and
nothing is known of `{{ stage }}/a` and `/srv/stage/a`. What differs between the units of one
task (`item`) is known only as far as its beginning.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from batchrun.jobfile.entries import Entry
from batchrun.jobfile.intersection import ANY_DEPTH
from batchrun.jobfile.places import is_local_parameter
from batchrun.jobfile.plan import TaskPlan, Work
from batchrun.jobfile.scalars import is_null
from batchrun.jobfile.template import is_template, split
from batchrun.model.operation import Operation, PathUse
from batchrun.ops.patterns import has_magic

__all__ = ["Use", "uses_of"]

#: Names that have another value in each unit.
_PER_UNIT = frozenset({"item", "index", "output", "mine", "failed", "host"})
#: Begins the name of what the paths of hosts lie on, and that of a login directory.
_HOST_MARK = "\x03"
_LOGIN = "/\x03~"
#: Making the same thing twice is the same as making it once.
_MADE_ONCE = frozenset({"mkdir", "touch"})
#: What stands for an insertion: the number of its text, between two characters of no path.
_INSERTION = re.compile("\x01(\\d+)(!?)\x02")
_OWN = re.compile("\x01\\d+!\x02")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")
#: A pattern with more alternatives than this is not compared.
_MOST_ALTERNATIVES = 32


class Use(NamedTuple):
    """One path of one task."""

    #: Position of the task.
    task: int
    effect: Literal["reads", "changes", "removes"]
    #: Everything below the path as well.
    whole: bool
    #: Made when it is not there, left alone when it is.
    made: bool
    #: Without glob characters: the path. Otherwise the directory that is fixed.
    path: str
    #: As in the file.
    written: str
    #: What follows the fixed directory, with glob characters; None: nothing does.
    pattern: tuple[str, ...] | None = None
    #: Something in the fixed directory, nobody knows what.
    unknown: bool = False

    @property
    def writes(self) -> bool:
        """Whether anything is different afterwards."""
        return self.effect != "reads"


@dataclass(frozen=True, slots=True)
class _Place:
    """A path of which the texts have been read."""

    path: str
    pattern: tuple[str, ...] | None = None
    unknown: bool = False
    #: There is nothing below it.
    file: bool = False

    @property
    def last(self) -> str | None:
        """Its last component; None: it is not known."""
        if self.unknown:
            return None
        if self.pattern is not None:
            return None if self.pattern[-1] == ANY_DEPTH else self.pattern[-1]
        last = self.path.rpartition("/")[2]
        # Something inserted may be a whole path: its own last component is not known.
        return None if not last or _INSERTION.fullmatch(last) else last

    def entry(self, name: str | None) -> "_Place":
        """Return the place of a name in this directory; None: of some name."""
        if self.unknown:
            return self
        if self.pattern is not None:
            return _Place(self.path, (*self.pattern, ANY_DEPTH if name is None else name))
        if name is None:
            return _Place(self.path, unknown=True)
        if has_magic(name):
            return _Place(self.path, (name,))
        return _Place(f"{self.path.rstrip('/')}/{name}")


def uses_of(plan: TaskPlan, number: int, texts: dict[str, int], base_dir: str) -> list[Use]:
    """Return the paths that a task uses.

    Args:
        plan: The task.
        number: Its position.
        texts: Numbers of the insertions seen so far, shared by all tasks.
        base_dir: Against which relative paths resolve.
    """
    usual = _usual_uses(plan.entry, number)
    return list(_Reader(plan, number, texts, base_dir).uses()) if usual is None else usual


def _usual_uses(entry: Entry, number: int) -> list[Use] | None:
    """Return the uses of a task with one operation on paths that stand for themselves.

    What it returns is what reading would: this only spares a hundred thousand tasks the way.

    Returns:
        None: there is something else in it.
    """
    modifiers, operation, raw = entry.modifiers, entry.operation, entry.raw
    if modifiers.foreach is not None or modifiers.creates is not None:
        return None
    if modifiers.removes is not None or modifiers.output or operation is None or entry.on_hosts:
        return None
    given = raw if isinstance(raw, dict) else {operation.main.removesuffix("_"): raw}
    made = operation.name in _MADE_ONCE
    found: list[Use] = []
    for use in operation.uses:
        value = _used(use, given)
        if value is None:
            continue
        if type(value) is not str or not _USUAL.fullmatch(value):
            return None
        found.append(Use(number, use.effect, use.whole, made, value, value))
    return found


def _used(use: PathUse, given: Mapping[str, Any]) -> Any:
    """Return the value of a parameter that is used so; None: it is not."""
    if use.only_if and not _is_true(given, use.only_if):
        return None
    if use.unless and _is_true(given, use.unless):
        return None
    return given.get(use.field.removesuffix("_"))


class _Reader:
    """Reads the paths of one task."""

    def __init__(self, plan: TaskPlan, number: int, texts: dict[str, int], base_dir: str) -> None:
        self._plan = plan
        self._number = number
        self._texts = texts
        self._base_dir = base_dir
        self._own = _PER_UNIT | plan.frame.variables.keys()
        self._items: list[_Place] | None = None
        #: Where the paths lie that are read now: those of hosts are others than those here.
        self._root = ""

    def uses(self) -> Iterator[Use]:
        """Yield them, in the order in which they are written."""
        yield from self._source()
        yield from self._work(self._plan)
        if self._plan.frame.steps is not None:
            for step in self._plan.frame.steps.all:
                yield from self._work(step)

    def _work(self, work: Work) -> Iterator[Use]:
        entry, operation = work.entry, work.entry.operation
        root = self._root_of(work)
        if operation is not None and operation.uses:
            yield from self._parameters(entry.raw, operation, root)
        self._root = root
        modifiers = entry.modifiers
        if modifiers.output:
            yield from self._each(modifiers.output["path"], _FILE_MADE)
        for guard in (modifiers.creates, modifiers.removes):
            if guard is not None:
                yield from self._each(guard, _LOOKED_AT)
        self._root = ""

    def _root_of(self, work: Work) -> str:
        """Name what the paths of a piece of work lie on: only the same hosts are compared."""
        if not work.on_host:
            return ""
        delegate = work.entry.modifiers.delegate_to
        hosts = self._plan.frame.hosts
        written = str(delegate) if delegate is not None else hosts.described if hosts else ""
        return f"/{_HOST_MARK}{written.replace('/', ' ')}"

    def _parameters(self, raw: Any, operation: Operation, root: str) -> Iterator[Use]:
        given = raw if isinstance(raw, dict) else {operation.main.removesuffix("_"): raw}
        for use in operation.uses:
            value = _used(use, given)
            if value is None:
                continue
            sources = given.get(use.into.removesuffix("_")) if use.into else None
            made = operation.name in _MADE_ONCE
            self._root = "" if is_local_parameter(operation.name, use.field) else root
            yield from self._each(value, use, made=made, sources=sources)

    def _each(
        self, value: Any, use: PathUse, *, made: bool = False, sources: Any = None
    ) -> Iterator[Use]:
        for text in _texts(value):
            for place in self._places(text):
                for target in self._targets(place, text, sources):
                    yield self._use(use, target, text, made=made)

    def _use(self, use: PathUse, place: _Place, text: str, *, made: bool = False) -> Use:
        return Use(
            task=self._number,
            effect=use.effect,
            whole=use.whole and not place.file,
            made=made,
            path=place.path,
            pattern=place.pattern,
            unknown=place.unknown,
            written=text,
        )

    def _targets(self, place: _Place, text: str, sources: Any) -> Iterable[_Place]:
        """Write out `dest: dir/`: the names of the sources inside it."""
        if sources is None or not text.endswith("/"):
            return [place]
        names = [one.last for source in _texts(sources) for one in self._places(source)]
        return [place.entry(name) for name in dict.fromkeys(names)] or [place.entry(None)]

    # --- foreach

    def _source(self) -> Iterator[Use]:
        """Yield what is read for the items."""
        raw = self._plan.entry.modifiers.foreach
        if not isinstance(raw, dict):
            return
        for key in ("lines", "csv", "json"):
            if raw.get(key) not in (None, "-"):
                yield from self._each(raw[key], _LOOKED_AT)
        if "glob" in raw or isinstance(raw.get("find"), dict):
            written = str(raw["glob"] if "glob" in raw else raw["find"].get("path"))
            for place in self._item_places():
                yield self._use(_LOOKED_AT, place, written)

    def _item_places(self) -> list[_Place]:
        """Return what `{{ item }}` alone stands for; empty: it is not known."""
        if self._items is None:
            self._items = list(self._read_items())
        return self._items

    def _read_items(self) -> Iterator[_Place]:
        raw = self._plan.entry.modifiers.foreach
        if isinstance(raw, list):
            texts = [one for one in raw if isinstance(one, str)]
            for text in texts:
                yield from self._places(text, magic=False) if not is_template(text) else ()
        elif isinstance(raw, dict) and "glob" in raw:
            for text in _texts(raw["glob"]):
                yield from self._places(text)
        elif isinstance(raw, dict) and isinstance(raw.get("find"), dict):
            names = _texts(raw["find"].get("name", "*"))
            for text in _texts(raw["find"].get("path", "")):
                for place in self._places(text):
                    is_file = raw["find"].get("type", "file") == "file"
                    yield from self._found(place, names, is_file=is_file)

    def _found(self, place: _Place, names: list[str], *, is_file: bool) -> Iterator[_Place]:
        for name in names:
            for one in _alternatives(name) or ["*"]:
                tail = (ANY_DEPTH, "*" if is_template(one) else one)
                yield _Place(place.path, (*(place.pattern or ()), *tail), place.unknown, is_file)

    # --- texts

    def _places(self, text: str, *, magic: bool = True) -> Iterator[_Place]:
        """Read one path."""
        if text.startswith("/") and not _is_special(text):
            yield _Place(self._root + text.rstrip("/") or "/")
            return
        marked = self._marked(text)
        if marked is None:
            return
        if marked == "\x01!\x02":
            yield from self._item_places() if not self._root else ()
            return
        for one in _alternatives(marked) if magic else [marked]:
            yield from self._place(one, magic=magic)

    def _marked(self, text: str) -> str | None:
        """Replace insertions by marks; None: there is nothing that can be compared."""
        if not is_template(text):
            return text
        try:
            parts = split(text)
        except ValueError:
            return None  # said elsewhere
        marked = ""
        for part in parts:
            if isinstance(part, str):
                marked += part
            elif part.source == "item" and len(parts) == 1 and not part.glob:
                return "\x01!\x02"
            else:
                number = self._texts.setdefault(part.source, len(self._texts))
                own = "!" if part.names & self._own or part.glob else ""
                marked += f"\x01{number}{own}\x02"
        return marked

    def _place(self, text: str, *, magic: bool) -> Iterator[_Place]:
        """Make a text without braces absolute and cut it where it is no longer known."""
        if text.startswith("~"):
            text = text.removeprefix("~").lstrip("/") if self._root else os.path.expanduser(text)
        if not text.startswith("/"):
            # The same insertion at the start leads to the same place, wherever that is.
            home = _LOGIN if self._root else self._base_dir.rstrip("/")
            start = "" if text[:1] == "\x01" else home
            text = f"{start}/{text}"
        parts = [part for part in f"{self._root}{text}".split("/") if part not in ("", ".")]
        fixed: list[str] = []
        for at, part in enumerate(parts):
            if _OWN.search(part):
                if fixed:
                    yield _Place("/" + "/".join(fixed), unknown=True)
                return
            if part == "..":
                if not fixed or _INSERTION.search(fixed[-1]):
                    return  # nobody knows what lies above an insertion
                fixed.pop()
            elif magic and (part == ANY_DEPTH or has_magic(part)):
                yield from self._pattern(fixed, parts[at:])
                return
            else:
                fixed.append(part)
        yield _Place("/" + "/".join(fixed))

    def _pattern(self, fixed: list[str], rest: list[str]) -> Iterator[_Place]:
        if ".." in rest:
            return
        known: list[str] = []
        for part in rest:
            if _OWN.search(part):
                known.append(ANY_DEPTH)
                break
            known.append(part)
        yield _Place("/" + "/".join(fixed), tuple(known))


_FILE_MADE = PathUse(field="", effect="changes", whole=False)
_LOOKED_AT = PathUse(field="", effect="reads", whole=False)
#: An absolute path that stands for itself, and says nothing about what is in it.
_USUAL = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[^/*?\[{\0]+)+")
_SPECIAL_TEXT = re.compile(r"[*?\[{]|//|/\.\.?(?:/|$)")


def _is_special(text: str) -> bool:
    return _SPECIAL_TEXT.search(text) is not None


def _texts(value: Any) -> list[str]:
    """Return the texts of a value that is one path or a list of them."""
    values = value if isinstance(value, list | tuple) else [value]
    return [str(one) for one in values if isinstance(one, str) and one and not is_null(one)]


def _is_true(given: Mapping[str, Any], key: str) -> bool:
    value = given.get(key.removesuffix("_"))
    return value is not None and not is_null(value) and str(value).lower() != "false"


def _alternatives(text: str) -> list[str]:
    """Write out braces; empty: there are too many."""
    pending, done = [text], []
    while pending:
        one = pending.pop()
        match = _BRACES.search(one)
        if match is None:
            done.append(one)
            continue
        choices = match.group(1).split(",")
        pending += [one[: match.start()] + choice + one[match.end() :] for choice in choices]
        if len(pending) + len(done) > _MOST_ALTERNATIVES:
            return []
    return done
