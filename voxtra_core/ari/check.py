"""What the builders in :mod:`voxtra_core.ari.operations` demand of their arguments.

Each check takes the argument's name, for its error message, and lets ``None`` ("not sent") pass. ``TypeError`` and
``ValueError`` say which argument it is, what it was, and what is allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

__all__ = [
    "app_name",
    "app_names",
    "boolean",
    "cause_code",
    "choice",
    "choices",
    "config_fields",
    "exclusive",
    "integer",
    "items",
    "json_object",
    "text",
    "variables",
]

_MOST_ITEMS = 127
"""``ARRAY_LEN`` of Asterisk's generated parsers, less one: 128 are refused with 400."""

_LONGEST_APP_NAME = 73
"""In bytes of UTF-8: together with ``stasis-`` it has to fit the name of a dialplan context."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")
"""What a name has in it that was read from bytes which are no UTF-8 (``surrogateescape``)."""

_UNFIT = {",": "comma", '"': "quote", "\\": "backslash"}


def text(name: str, value: str | None) -> str | None:
    """A string. NUL is refused, as Asterisk would cut the value off there, and half of a surrogate pair, which UTF-8
    does not have. Of a JSON body with either Asterisk refuses the whole (400).
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if "\0" in value:
        raise ValueError(f"{name} must not contain a NUL")
    if not value.isascii() and _SURROGATE.search(value):
        raise ValueError(f"{name} must not contain half of a surrogate pair")
    return value


def app_name(name: str, value: str | None) -> str | None:
    """The name of a Stasis application: 1 to 73 bytes.

    Without a comma, which separates names, without a quote or backslash, which the dialplan's ``Stasis()`` would take
    away, so that no channel ever enters, and without space at its ends, which registering it would take away.
    """
    value = text(name, value)
    if value is None:
        return None
    if not value:
        raise ValueError(f"{name} must not be empty")
    if found := set(value) & set(',"\\'):
        raise ValueError(f"{name} must not contain a {_UNFIT[min(found)]}: {value[:100]!r}")
    if value[0].isspace() or value[-1].isspace():
        raise ValueError(f"{name} must not begin or end with a space: {value[:100]!r}")
    if len(value.encode()) > _LONGEST_APP_NAME:
        raise ValueError(f"{name} must not be longer than {_LONGEST_APP_NAME} bytes: {value[:100]!r}")
    return value


def integer(name: str, value: int | None, *, minimum: int | None = None) -> int | None:
    """A whole number, not below ``minimum``."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if minimum is not None and value < minimum:
        raise ValueError(f"{name} must be {minimum} or more, not {value}")
    return value


def cause_code(name: str, value: int | str | None) -> str | None:
    """A whole number that ARI declares as a string: in a JSON body it must be one."""
    return text(name, value) if isinstance(value, str) else None if value is None else str(integer(name, value))


def boolean(name: str, value: bool | None) -> bool | None:
    """``True`` or ``False``."""
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
    return value


def choice(name: str, value: str | None, allowed: object) -> str | None:
    """One of the values of ``allowed``, a ``Literal`` type."""
    if value is not None and value not in get_args(allowed):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, get_args(allowed)))}, not {value!r}")
    return value


def items(name: str, value: Sequence[str] | None) -> tuple[str, ...] | None:
    """A list of 1 to 127 strings, none of them empty. A single ``str`` is one item."""
    if value is None:
        return None
    found = (value,) if isinstance(value, str) else tuple(value)
    if not found:
        raise ValueError(f"{name} must have at least one item")
    if len(found) > _MOST_ITEMS:
        raise ValueError(f"{name} must not have more than {_MOST_ITEMS} items, not {len(found)}")
    for item in found:
        if not text(f"an item of {name}", item):
            raise ValueError(f"an item of {name} must not be empty")
    return found


def app_names(name: str, value: Sequence[str]) -> tuple[str, ...] | None:
    """A list of names of Stasis applications."""
    found = items(name, value)
    for item in found or ():
        app_name(f"an item of {name}", item)
    return found


def choices(name: str, value: Sequence[str] | None, allowed: object) -> tuple[str, ...] | None:
    """A list of values of ``allowed``, a ``Literal`` type."""
    found = items(name, value)
    for item in found or ():
        choice(f"an item of {name}", item, allowed)
    return found


def json_object(name: str, value: Mapping[str, object] | None) -> dict[str, Any] | None:
    """A copy of something that JSON can express as an object."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping, not {type(value).__name__}")
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} cannot be expressed in JSON: {error}") from None
    _check_texts(name, copy)
    return copy


def _check_texts(name: str, value: dict[str, Any]) -> None:
    """Every text in it, keys included, as :func:`text` does."""
    rest: list[object] = [value]
    while rest:
        match rest.pop():
            case str() as found:
                text(name, found)
            case dict() as found:
                rest += [*found.keys(), *found.values()]
            case list() as found:
                rest += found


def variables(name: str, value: Mapping[str, str | Mapping[str, object]] | None) -> dict[str, Any] | None:
    """Names and values of channel variables: Asterisk refuses (400) a number, a boolean or a null as value."""
    found = json_object(name, value)
    for key, content in (found or {}).items():
        if not isinstance(content, str | dict):
            raise TypeError(f"{name}[{key!r}] must be a str, not {type(content).__name__}")
    return found


def config_fields(name: str, value: Mapping[str, str] | None) -> list[dict[str, str]] | None:
    """The fields of a configuration object, as the list of attributes and values that Asterisk takes."""
    found = variables(name, value)
    return None if found is None else [{"attribute": key, "value": content} for key, content in found.items()]


def exclusive(first: str, one: object, second: str, other: object) -> None:
    """Two arguments of which Asterisk takes one only."""
    if one is not None and other is not None:
        raise ValueError(f"{first} and {second} exclude each other")
