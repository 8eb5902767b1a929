"""Python's types as JSON Schema for a model, and what the model then writes as values of these types."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from enum import Enum
from math import isfinite
from typing import (
    Annotated,
    Any,
    Literal,
    NewType,
    NotRequired,
    Required,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import attrs

__all__ = ["ArgumentType", "ArgumentsRefused", "object_schema", "read_object", "type_of"]

Schema: TypeAlias = dict[str, Any]
Read: TypeAlias = Callable[[object, str, bool], object]
"""The value, a name for where it is, and whether what models write for it will do, as ``"5"`` for 5."""


class ArgumentsRefused(ValueError):
    """Arguments that a tool cannot be called with. The text is for the model."""


@attrs.frozen
class ArgumentType:
    """A type of arguments."""

    schema: Schema
    read: Read = attrs.field(repr=False)
    """Raises :class:`ArgumentsRefused`."""

    def described(self, text: str, *, override: bool = True) -> ArgumentType:
        if not override and "description" in self.schema:
            return self
        return attrs.evolve(self, schema={**self.schema, "description": text})

    def with_default(self, value: object) -> ArgumentType:
        """The model is told of a default, if it is a simple one."""
        if isinstance(value, Enum):
            value = value.value
        is_simple = isinstance(value, bool | str | int) or (isinstance(value, float) and isfinite(value))
        if is_simple and value in self.schema.get("enum", [value]):
            return attrs.evolve(self, schema={**self.schema, "default": value})
        return self


def object_schema(fields: Mapping[str, ArgumentType], required: Collection[str]) -> Schema:
    """Of an object of these fields, and of no others."""
    return {
        "type": "object",
        "properties": {name: type.schema for name, type in fields.items()},
        "required": [name for name in fields if name in required],
        "additionalProperties": False,
    }


def read_object(
    fields: Mapping[str, ArgumentType], required: Collection[str], value: object, where: str, lenient: bool
) -> dict[str, object]:
    """Its fields, each as what it should be. Raises :class:`ArgumentsRefused` with all that is wrong."""
    if not isinstance(value, Mapping):
        raise _refused(value, where, "an object")
    read: dict[str, object] = {}
    wrong = [f"{_at(where, str(name))} is not known" for name in value if name not in fields]
    wrong += [f"{_at(where, name)} is missing" for name in fields if name in required and name not in value]
    for name, type in fields.items():
        if name in value:
            try:
                read[name] = type.read(value[name], _at(where, name), lenient)
            except ArgumentsRefused as error:
                wrong.append(str(error))
    if wrong:
        raise ArgumentsRefused("; ".join(wrong))
    return read


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _refused(value: object, where: str, wanted: str) -> ArgumentsRefused:
    try:
        given = repr(value)
    except ValueError:  # a number of more digits than Python writes (4,300)
        given = "that"
    return ArgumentsRefused(f"{where or 'it'} must be {wanted}, not {given if len(given) <= 80 else given[:79] + '…'}")


# ---- simple ones -----------------------------------------------------------------------------------------------------


def _text(value: object, where: str, lenient: bool) -> object:
    if isinstance(value, str):
        return value
    if lenient and isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e20:
        return str(value)  # a telephone number
    raise _refused(value, where, "a string")


def _integer(value: object, where: str, lenient: bool) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if lenient and isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    raise _refused(value, where, "an integer")


def _number(value: object, where: str, lenient: bool) -> object:
    if (isinstance(value, int | float) and not isinstance(value, bool)) or (lenient and isinstance(value, str)):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = float("nan")
        if isfinite(number):
            return number
    raise _refused(value, where, "a number")


def _boolean(value: object, where: str, lenient: bool) -> object:
    if isinstance(value, bool):
        return value
    if lenient and isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise _refused(value, where, "true or false")


def _nothing(value: object, where: str, lenient: bool) -> object:
    if value is None or (lenient and value in ("", "null")):
        return None
    raise _refused(value, where, "null")


def _anything(value: object, where: str, lenient: bool) -> object:
    return value


def _moment(type: type[date] | type[time], wanted: str) -> Read:
    def read(value: object, where: str, lenient: bool) -> object:
        if isinstance(value, str):
            try:
                return type.fromisoformat(value)
            except ValueError:
                pass
        raise _refused(value, where, wanted)

    return read


_SIMPLE: Mapping[object, ArgumentType] = {
    str: ArgumentType({"type": "string"}, _text),
    int: ArgumentType({"type": "integer"}, _integer),
    float: ArgumentType({"type": "number"}, _number),
    bool: ArgumentType({"type": "boolean"}, _boolean),
    None: ArgumentType({"type": "null"}, _nothing),
    types.NoneType: ArgumentType({"type": "null"}, _nothing),
    Any: ArgumentType({}, _anything),
    object: ArgumentType({}, _anything),
    datetime: ArgumentType(
        {"type": "string", "format": "date-time"}, _moment(datetime, "a date and time as 2025-01-31T14:30:00")
    ),
    date: ArgumentType({"type": "string", "format": "date"}, _moment(date, "a date as 2025-01-31")),
    time: ArgumentType({"type": "string", "format": "time"}, _moment(time, "a time as 14:30:00")),
}
_ARRAYS: Mapping[object, Callable[[Iterable[object]], object]] = {
    list: list,
    Sequence: list,
    Iterable: list,
    Collection: list,
    tuple: tuple,
    set: set,
    AbstractSet: set,
    frozenset: frozenset,
}


# ---- any -------------------------------------------------------------------------------------------------------------


def type_of(annotation: object, where: str, within: tuple[object, ...] = ()) -> ArgumentType:
    """For an annotation. Raises ``ValueError`` that begins with ``where`` for what JSON has no word for."""
    if isinstance(annotation, NewType):
        annotation = annotation.__supertype__
    if type(annotation).__name__ == "TypeAliasType":  # ``type X = …`` of Python 3.12
        annotation = getattr(annotation, "__value__", annotation)
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if not isinstance(origin, Hashable):
        raise _no_type(annotation, where)
    if origin in _SIMPLE:
        return _SIMPLE[origin]
    if origin is Annotated:
        described = type_of(arguments[0], where, within)
        text = next((said for said in arguments[1:] if isinstance(said, str)), None)
        return described if text is None else described.described(text)
    if origin is Literal:
        return _one_of({value: value for value in arguments}, where)
    if origin is Union or origin is types.UnionType:
        return _union([type_of(argument, where, within) for argument in arguments])
    if origin in _ARRAYS:
        if origin is tuple and arguments and arguments[1:] != (...,):
            raise ValueError(f"{where}: a tuple of many types is hard for a model: use a dataclass")
        return _array(type_of(arguments[0] if arguments else Any, where, within), _ARRAYS[origin])
    if origin is dict or origin is Mapping:
        if arguments and arguments[0] is not str:
            raise ValueError(f"{where}: the keys of a JSON object are text: use dict[str, …]")
        return _mapping(type_of(arguments[1] if arguments else Any, where, within))
    if isinstance(annotation, type):
        if issubclass(annotation, Enum):
            return _enum(annotation, where)
        if annotation in within:
            raise ValueError(f"{where}: {annotation.__name__} lies within itself: a model cannot be told of that")
        if (fields := _fields(annotation, where, (*within, annotation))) is not None:
            return _record(annotation, fields)
    raise _no_type(annotation, where)


def _no_type(annotation: object, where: str) -> ValueError:
    name = getattr(annotation, "__name__", None) or str(annotation)
    return ValueError(
        f"{where}: a model cannot write a {name}: use str, int, float, bool, None, Literal, an Enum, a list, "
        "dict[str, …], date, time, datetime, a TypedDict, a dataclass or an attrs class, or a union of these"
    )


def _one_of(values: Mapping[Any, object], where: str) -> ArgumentType:
    """``values`` by how the model writes them."""
    if not values or not all(written is None or isinstance(written, str | int | float) for written in values):
        raise ValueError(f"{where}: its choices must be text, numbers, true, false or None")

    def read(value: object, where: str, lenient: bool) -> object:
        for written, meant in values.items():
            if value == written and isinstance(value, bool) == isinstance(written, bool):
                return meant
        if lenient and isinstance(value, str | int | float):
            alike = [meant for written, meant in values.items() if str(written).lower() == str(value).strip().lower()]
            if len(alike) == 1:
                return alike[0]
        raise _refused(value, where, "one of " + ", ".join(map(repr, values)))

    schema: Schema = {"enum": list(values)}
    if all(isinstance(written, str) for written in values):
        schema = {"type": "string", **schema}
    return ArgumentType(schema, read)


def _decoded(value: object) -> object:
    """An array or an object that a model has written as text within its JSON."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            pass
    return value


def _enum(annotation: type[Enum], where: str) -> ArgumentType:
    """By its values, or, where they are nothing for JSON, by its names."""
    members = list(annotation)
    if all(isinstance(member.value, str | int | float) for member in members):
        return _one_of({member.value: member for member in members}, where)
    return _one_of({member.name: member for member in members}, where)


def _union(choices: Sequence[ArgumentType]) -> ArgumentType:
    def read(value: object, where: str, lenient: bool) -> object:
        wrong = []
        for leniently in (False, True) if lenient else (False,):  # the right type first: "5" is one of int | str
            for choice in choices:
                try:
                    return choice.read(value, where, leniently)
                except ArgumentsRefused as error:
                    wrong.append(str(error))
        raise ArgumentsRefused(", or ".join(wrong[-len(choices) :]))

    return ArgumentType({"anyOf": [choice.schema for choice in choices]}, read)


def _array(item: ArgumentType, make: Callable[[Iterable[object]], object]) -> ArgumentType:
    def read(value: object, where: str, lenient: bool) -> object:
        value = _decoded(value) if lenient else value
        if not isinstance(value, list | tuple):
            raise _refused(value, where, "an array")
        items = [item.read(one, f"{where}[{n}]", lenient) for n, one in enumerate(value)]
        try:
            return make(items)
        except TypeError as error:  # a set of lists
            raise ArgumentsRefused(f"{where}: {error}") from error

    schema: Schema = {"type": "array", "items": item.schema}
    if make is set or make is frozenset:
        schema["uniqueItems"] = True
    return ArgumentType(schema, read)


def _mapping(item: ArgumentType) -> ArgumentType:
    def read(value: object, where: str, lenient: bool) -> object:
        value = _decoded(value) if lenient else value
        if not isinstance(value, Mapping):
            raise _refused(value, where, "an object")
        return {str(name): item.read(one, _at(where, str(name)), lenient) for name, one in value.items()}

    return ArgumentType({"type": "object", "additionalProperties": item.schema or True}, read)


# ---- classes ---------------------------------------------------------------------------------------------------------


@attrs.frozen
class _Field:
    type: ArgumentType
    is_required: bool


def _fields(annotation: type, where: str, within: tuple[object, ...]) -> dict[str, _Field] | None:
    """By the names that its constructor knows; ``None`` if it is no class of fields."""
    required: dict[str, bool]
    names: dict[str, str]
    default: dict[str, object] = {}
    if is_typeddict(annotation):
        keys: frozenset[str] = vars(annotation)["__required_keys__"]
        required = {name: name in keys for name in annotation.__annotations__}
        names = {name: name for name in required}
    elif attrs.has(annotation):
        taken = [field for field in attrs.fields(annotation) if field.init]
        names = {field.alias or field.name: field.name for field in taken}
        required = {field.alias or field.name: field.default is attrs.NOTHING for field in taken}
        default = {field.alias or field.name: field.default for field in taken}
    elif dataclasses.is_dataclass(annotation):
        given = [field for field in dataclasses.fields(annotation) if field.init]
        missing = dataclasses.MISSING
        names = {field.name: field.name for field in given}
        required = {field.name: field.default is missing and field.default_factory is missing for field in given}
        default = {field.name: field.default for field in given}
    else:
        return None
    try:
        hints = get_type_hints(annotation, include_extras=True)
    except Exception as error:
        raise ValueError(f"{where}: the types of {annotation.__name__} cannot be made out: {error}") from error
    fields: dict[str, _Field] = {}
    for name, attribute in names.items():
        here = f"{where}: {annotation.__name__}.{attribute}"
        hint = hints.get(attribute)
        if attribute not in hints:
            raise ValueError(f"{here} has no type: annotate it")
        if get_origin(hint) in {Required, NotRequired}:  # text annotations keep Python from seeing that itself
            required[name] = get_origin(hint) is Required
            (hint,) = get_args(hint)
        type = type_of(hint, here, within)
        fields[name] = _Field(type if required[name] else type.with_default(default.get(name)), required[name])
    return fields


def _record(annotation: type, fields: Mapping[str, _Field]) -> ArgumentType:
    types = {name: field.type for name, field in fields.items()}
    required = frozenset(name for name, field in fields.items() if field.is_required)

    def read(value: object, where: str, lenient: bool) -> object:
        values = read_object(types, required, _decoded(value) if lenient else value, where, lenient)
        try:
            return annotation(**values)
        except (ValueError, TypeError) as error:  # its own validators
            raise ArgumentsRefused(f"{where}: {error}") from error

    return ArgumentType(object_schema(types, required), read)
