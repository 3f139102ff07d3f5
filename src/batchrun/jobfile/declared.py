"""Mappings of the job file whose keys a class declares: how each is read, and what it means.

    class Ice(Declared):
        flavour: Flavour | None = key("Which one; default: vanilla.")

Each type of the language has a reader of its own, so this is all that a library for schemas would
do here; importing one took as long as reading and running a small job.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, ClassVar, NamedTuple, get_args

__all__ = ["Declared", "Key", "Takes", "key", "required_key"]


@dataclass(frozen=True, slots=True, eq=False)
class Takes:
    """What a type takes; it stands behind the type in `Annotated`."""

    #: Returns the value; a ValueError says in words for people what is wrong.
    read: Callable[[Any], Any]
    #: For editors (JSON Schema).
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a mapping."""

    #: The name in the class.
    attribute: str
    takes: Takes
    #: What the attribute is where the key is not written.
    default: Any
    #: For people.
    description: str
    #: None may be written, and means that nothing is.
    nullable: bool
    required: bool


class _Written(NamedTuple):
    """What stands in the class, until the class is made."""

    description: str
    default: Any
    name: str = ""
    required: bool = False


def key(description: str, *, default: Any = None, name: str = "") -> Any:
    """Declare a key.

    Args:
        description: For people.
        default: What the attribute is where the key is not written; nobody may change it.
        name: As it is written in the file; empty: as the attribute.
    """
    return _Written(description, default, name)


def required_key(description: str, *, default: Any) -> Any:
    """Declare a key that must be written; the attribute is the default where it is not."""
    return _Written(description, default, required=True)


class Declared:
    """A mapping that was read; a key that was not written has its default."""

    #: By the names in the file, in the order of the class.
    keys: ClassVar[dict[str, Key]]

    def __init_subclass__(cls) -> None:
        """Take the keys out of the class and leave their defaults there."""
        cls.keys = {}
        for attribute, annotation in cls.__annotations__.items():
            written: _Written = getattr(cls, attribute)
            takes, nullable = _takes(annotation)
            cls.keys[written.name or attribute] = Key(
                attribute=attribute,
                takes=takes,
                default=written.default,
                description=written.description,
                nullable=nullable,
                required=written.required,
            )
            setattr(cls, attribute, written.default)

    def take(self, declared: Key, raw: Any) -> None:
        """Read the value of one key.

        Raises:
            ValueError: it cannot be read; the message says what to write.
        """
        value = None if raw is None and declared.nullable else declared.takes.read(raw)
        setattr(self, declared.attribute, value)


def _takes(annotation: Any) -> tuple[Takes, bool]:
    """Find what a type takes, and whether that is nothing, too."""
    nullable = not hasattr(annotation, "__metadata__")
    if nullable:  # `X | None`
        (annotation,) = [one for one in get_args(annotation) if one is not NoneType]
    (takes,) = annotation.__metadata__
    return takes, nullable
