"""What a parameter may be, read from the type hint of its field."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from batchrun.model.operation import Operation
from batchrun.model.values import Doc, Glob, Kind, Mark

__all__ = ["Parameter", "Scalar", "Shape", "parameters_of", "required_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """One way to read a single value: a kind, a plain type, or a choice of words."""

    #: `str`, `int`, `float`, `bool` or `object` (anything).
    type: type[Any]
    kind: Kind | None = None
    choices: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether values are turned into text."""
        return self.type is str and not self.choices


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """All ways in which a parameter may be given."""

    #: How a single value is read, the narrowest first; empty: no single value.
    scalars: tuple[Scalar, ...] = ()
    #: How each item of a list is read; None: no list.
    items: "Shape | None" = None
    #: How each value of a mapping is read; None: no mapping.
    entries: "Shape | None" = None
    #: `null` means that it is not given.
    nullable: bool = False

    @property
    def text(self) -> Scalar | None:
        """The scalar that takes text, if there is one."""
        for scalar in self.scalars:
            if scalar.is_text:
                return scalar
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One field of a parameter class."""

    #: As in the class.
    field: str
    #: As in the job file: without the underscore that keeps `if` from being a keyword.
    key: str
    shape: Shape
    required: bool
    #: What it has when it is not given; None also when it has to be given.
    default: Any = None
    doc: str = ""
    #: A secret may be inserted into it, or into its entries.
    may_hold_secret: bool = False
    #: Beside its shape it takes a mapping with a user and a password (`sudo`).
    takes_password: bool = False
    #: It is one path, or a list of paths of which one may be given alone; None: neither.
    paths: Literal["one", "many"] | None = None


_NARROWEST_FIRST = (bool, int, float, str, object)


#: One entry for each class of the table of operations: reading type hints is slow.
_READ: dict[type[Any], Mapping[str, Parameter]] = {}


def _parameters(params: type[Any]) -> Mapping[str, Parameter]:
    hints = get_type_hints(params, include_extras=True)
    found: dict[str, Parameter] = {}
    for field in fields(params):
        marks = _marks(hints[field.name])
        if Mark.GIVEN in marks:
            continue
        key, shape = field.name.removesuffix("_"), _shape(hints[field.name])
        if Mark.SUDO in marks:  # no template makes the mapping: a password is always a secret
            shape = replace(shape, entries=None)
        found[key] = Parameter(
            field=field.name,
            key=key,
            shape=shape,
            required=field.default is MISSING and field.default_factory is MISSING,
            default=None if field.default is MISSING else field.default,
            doc=_doc(hints[field.name]),
            may_hold_secret=Mark.MAY_HOLD_SECRET in marks,
            takes_password=Mark.SUDO in marks,
            paths=_paths(shape),
        )
    return found


def _paths(shape: Shape) -> Literal["one", "many"] | None:
    if shape.entries is not None:
        return None
    inner = shape if shape.scalars or shape.items is None else shape.items
    kinds = [scalar.kind for scalar in inner.scalars]
    if kinds not in ([Kind.PATH], [Kind.PATTERN]) or inner.items or inner.entries:
        return None
    return "one" if inner is shape else "many"


def parameters_of(operation: Operation) -> Mapping[str, Parameter]:
    """Return an operation's parameters by the key they have in a job file, in order."""
    if operation.params not in _READ:
        _READ[operation.params] = _parameters(operation.params)
    return _READ[operation.params]


#: The same for those that must be given.
_REQUIRED: dict[type[Any], tuple[str, ...]] = {}


def required_of(operation: Operation) -> tuple[str, ...]:
    """Return the keys of the parameters that an operation must be given, in order."""
    if operation.params not in _REQUIRED:
        found = parameters_of(operation).items()
        _REQUIRED[operation.params] = tuple(key for key, one in found if one.required)
    return _REQUIRED[operation.params]


def _marks(hint: Any) -> frozenset[Mark]:
    notes = getattr(hint, "__metadata__", ())
    return frozenset(note for note in notes if isinstance(note, Mark))


def _doc(hint: Any) -> str:
    for note in getattr(hint, "__metadata__", ()):
        if isinstance(note, Doc):
            return note.text
    return ""


def _shape(hint: Any, kind: Kind | None = None) -> Shape:
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *notes = get_args(hint)
        own = next((note for note in notes if isinstance(note, Kind)), kind)
        return _shape(inner, own)
    if origin in (Union, types.UnionType):
        return _union([_shape(one, kind) for one in get_args(hint)])
    if origin is not None:
        return _container(origin, get_args(hint), kind)
    return _plain(hint, kind)


def _plain(hint: Any, kind: Kind | None) -> Shape:
    if hint is type(None):
        return Shape(nullable=True)
    if hint is Glob:
        return Shape()  # the other half of `str | Glob`, which its kind describes
    if hint in _NARROWEST_FIRST:
        return Shape(scalars=(Scalar(type=hint, kind=kind),))
    return Shape(scalars=(Scalar(type=object),))


def _container(origin: Any, arguments: tuple[Any, ...], kind: Kind | None) -> Shape:
    if origin is Literal:
        choices = tuple(str(one) for one in arguments)
        return Shape(scalars=(Scalar(type=str, choices=choices),))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Shape(entries=_shape(arguments[-1], kind))
    inner = [one for one in arguments if one is not Ellipsis]
    return Shape(items=_union([_shape(one, kind) for one in inner]))


def _union(shapes: list[Shape]) -> Shape:
    scalars = dict.fromkeys(scalar for shape in shapes for scalar in shape.scalars)
    return Shape(
        scalars=tuple(
            sorted(
                scalars,
                key=lambda scalar: _NARROWEST_FIRST.index(scalar.type) - bool(scalar.choices),
            )
        ),
        items=next((shape.items for shape in shapes if shape.items is not None), None),
        entries=next((shape.entries for shape in shapes if shape.entries is not None), None),
        nullable=any(shape.nullable for shape in shapes),
    )
