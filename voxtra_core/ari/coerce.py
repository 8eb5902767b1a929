"""Whatever JSON value came, as the type it should have had. Nothing in here raises anything but :class:`Malformed`.

The decoders test for the right type in line, and come here only when it is another: an older or newer Asterisk, or a
blob of somebody's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

__all__ = [
    "Malformed",
    "Object",
    "decimal",
    "identity",
    "mapping",
    "number",
    "objects",
    "optional",
    "records",
    "required",
    "strings",
    "text",
    "truth",
]

Object: TypeAlias = Mapping[str, object]
T = TypeVar("T")

_EMPTY: Object = {}


class Malformed(Exception):
    """Something that cannot be done without is missing. Stays inside this package."""


def text(value: object) -> str:
    """A number as its digits, a boolean as JSON writes it, anything else as ``""``."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        try:
            return str(value)
        except ValueError:  # more digits than Python converts (4,300)
            return ""
    return ""


def number(value: object) -> int:
    """Text as the whole number it spells, a fraction cut off, anything else as 0."""
    if isinstance(value, int | float | str):
        try:
            return int(value)
        except (ValueError, OverflowError):  # not a number, NaN; infinity
            return 0
    return 0


def decimal(value: object) -> float:
    """Text as the number it spells, anything else as 0.0."""
    if isinstance(value, int | float | str):
        try:
            return float(value)
        except (ValueError, OverflowError):  # not a number; an integer too large
            return 0.0
    return 0.0


def truth(value: object) -> bool:
    """A number as "not zero", text as Asterisk's ``ast_true`` takes it, anything else as false."""
    if isinstance(value, str):
        return value.lower() in {"yes", "true", "y", "t", "1", "on"}
    return isinstance(value, int | float) and bool(value)


def mapping(value: object) -> Object:
    """An object as it is, anything else as an empty one."""
    return value if isinstance(value, Mapping) else _EMPTY


def strings(value: object) -> tuple[str, ...]:
    """The items of a list, each as :func:`text`; anything else as no items."""
    if type(value) is not list and not isinstance(value, tuple):
        return ()
    return tuple([item if type(item) is str else text(item) for item in value])


def objects(value: object) -> tuple[Object, ...]:
    """The objects among the items of a list; anything else as no items."""
    if not isinstance(value, list | tuple):
        return ()
    return tuple([item for item in value if isinstance(item, Mapping)])


def records(decode: Callable[[Object], T], value: object) -> tuple[T, ...]:
    """The objects among the items of a list, decoded."""
    return tuple([decode(item) for item in objects(value)])


def optional(decode: Callable[[Object], T], value: object) -> T | None:
    """A decoded object; ``None`` for anything else."""
    return decode(value) if isinstance(value, Mapping) else None


def required(field: str, value: object) -> Object:
    """The object an event is about. Raises :class:`Malformed` if it is something else."""
    if not isinstance(value, Mapping):
        raise Malformed(f"{field!r} is not an object")
    return value


def identity(model: str, value: object) -> str:
    """The id of a model. Raises :class:`Malformed` if there is none: nothing could be asked of the thing."""
    known = text(value)
    if not known:
        raise Malformed(f"a {model} without id")
    return known
