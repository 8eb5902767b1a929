"""Tools from typed functions: what a model is told of them, and what becomes of what it writes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from enum import Enum, IntEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, NotRequired, Required, TypedDict

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtra_core.agent.arguments import type_of
from voxtra_core.agent.providers import ToolCall
from voxtra_core.agent.tools import ArgumentsRefused, Tools, tool_of

if TYPE_CHECKING:
    from voxtra_core.session import CallSession


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Shape(Enum):
    ROUND = (1, 2)
    FLAT = (3, 4)


class Size(TypedDict):
    width: int
    height: NotRequired[int]


class Loose(TypedDict, total=False):
    name: Required[Annotated[str, "how it is called"]]
    size: Size


@attrs.frozen
class Guest:
    name: str
    _age: int = attrs.field(default=18, validator=attrs.validators.ge(0))
    tags: list[str] = attrs.field(factory=list)
    seen: int = attrs.field(init=False, default=0)


@dataclasses.dataclass(frozen=True)
class Booking:
    guest: Guest
    day: date
    at: time | None = None
    notes: tuple[str, ...] = ()
    extra: dict[str, float] = dataclasses.field(default_factory=dict)
    number: int = dataclasses.field(init=False, default=0)


@attrs.frozen
class Empty:
    pass


@attrs.frozen
class Node:
    children: list[Node]


@attrs.frozen
class Untold:
    what: Nowhere  # type: ignore[name-defined]  # noqa: F821


@attrs.define
class Untyped:
    what = attrs.field()  # type: ignore[var-annotated]


UserId = NewType("UserId", int)


async def book(
    call: object,
    booking: Booking,
    colour: Colour = Colour.RED,
    *,
    count: Annotated[int, "how many"] = 1,
    priority: Literal["low", "high"] | None = None,
) -> str:
    """Book a table
    for somebody.

    Nobody needs to know this.

    Args:
        booking: What is to be booked,
            and for whom.
        colour (Colour): of the table
        count: not this

    Returns:
        Something.
    """
    return "booked"


def test_what_a_model_is_told() -> None:
    tool = tool_of(book)
    assert (tool.name, tool.spec.description) == ("book", "Book a table for somebody.")
    assert (tool.wants_call, tool.call_parameter) == (True, "call")
    guest = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": "integer", "default": 18},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["name"],
        "additionalProperties": False,
    }
    assert tool.spec.parameters == {
        "type": "object",
        "properties": {
            "booking": {
                "type": "object",
                "properties": {
                    "guest": guest,
                    "day": {"type": "string", "format": "date"},
                    "at": {"anyOf": [{"type": "string", "format": "time"}, {"type": "null"}]},
                    "notes": {"type": "array", "items": {"type": "string"}},
                    "extra": {"type": "object", "additionalProperties": {"type": "number"}},
                },
                "required": ["guest", "day"],
                "additionalProperties": False,
                "description": "What is to be booked, and for whom.",
            },
            "colour": {"type": "string", "enum": ["red", "blue"], "default": "red", "description": "of the table"},
            "count": {"type": "integer", "description": "how many", "default": 1},
            "priority": {"anyOf": [{"type": "string", "enum": ["low", "high"]}, {"type": "null"}]},
        },
        "required": ["booking"],
        "additionalProperties": False,
    }
    json.dumps(tool.spec.parameters)


def test_what_the_function_is_given() -> None:
    written = '{"booking": {"guest": {"name": "Ann", "age": 7}, "day": "2025-01-31", "at": "18:30"}, "colour": "blue"}'
    call = object()
    assert tool_of(book).bind(ToolCall.of_text("1", "book", written).arguments, call) == {
        "call": call,
        "booking": Booking(Guest("Ann", 7), date(2025, 1, 31), time(18, 30)),
        "colour": Colour.BLUE,
    }


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (UserId, {"type": "integer"}),
        (list, {"type": "array", "items": {}}),
        (Sequence[int], {"type": "array", "items": {"type": "integer"}}),
        (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}),
        (dict, {"type": "object", "additionalProperties": True}),
        (Mapping[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),
        (Literal["a", 1, None], {"enum": ["a", 1, None]}),
        (Level, {"enum": [1, 2]}),
        (Shape, {"type": "string", "enum": ["ROUND", "FLAT"]}),
        (int | str | None, {"anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}]}),
        (datetime, {"type": "string", "format": "date-time"}),
        (
            Annotated[list[Annotated[str, "one"]], 7, "all"],
            {"type": "array", "items": {"type": "string", "description": "one"}, "description": "all"},
        ),
        (Annotated[int, ["not", "text"]], {"type": "integer"}),
        (Empty, {"type": "object", "properties": {}, "required": [], "additionalProperties": False}),
        (
            Loose,
            {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "description": "how it is called"},
                    "size": {
                        "type": "object",
                        "properties": {"width": {"type": "integer"}, "height": {"type": "integer"}},
                        "required": ["width"],
                        "additionalProperties": False,
                    },
                },
                "required": ["name"],
                "additionalProperties": False,
            },
        ),
    ],
)
def test_types(annotation: object, schema: object) -> None:
    assert type_of(annotation, "x").schema == schema


@pytest.mark.parametrize(
    ("annotation", "written", "value"),
    [
        (str, "5", "5"),
        (str, 4930123, "4930123"),
        (int, 5, 5),
        (int, 5.0, 5),
        (int, "5", 5),
        (float, 5, 5.0),
        (float, "5.5", 5.5),
        (bool, "True", True),
        (None, "null", None),
        (int | str, "5", "5"),
        (str | int, 5, 5),
        (int | None, "5", 5),
        (str | None, None, None),
        (Literal["low", "high"], "LOW ", "low"),
        (Literal[1, 2], "2", 2),
        (Level, 2, Level.HIGH),
        (Shape, "FLAT", Shape.FLAT),
        (tuple[int, ...], [1, 2], (1, 2)),
        (frozenset[int], [1, 1], frozenset({1})),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (datetime, "2025-01-31T14:30:00", datetime(2025, 1, 31, 14, 30)),  # noqa: DTZ001
        (Loose, {"name": "x", "size": {"width": 1}}, {"name": "x", "size": {"width": 1}}),
        (list[Guest], [{"name": "x"}], [Guest("x")]),
        (list[Guest], '[{"name": "x"}]', [Guest("x")]),
        (Guest, '{"name": "x"}', Guest("x")),
        (dict[str, int], '{"x": 1}', {"x": 1}),
        (list[int] | str, "[1]", "[1]"),
        (Any, {"a": [1]}, {"a": [1]}),
    ],
)
def test_what_models_write(annotation: object, written: object, value: object) -> None:
    read = type_of(annotation, "x").read(written, "x", True)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("annotation", "written", "message"),
    [
        (str, None, "x must be a string, not None"),
        (str, True, "x must be a string, not True"),
        (int, 5.5, "x must be an integer, not 5.5"),
        (int, True, "x must be an integer, not True"),
        (int, "five", "x must be an integer, not 'five'"),
        (float, "nan", "x must be a number, not 'nan'"),
        pytest.param(float, 10**400, "x must be a number", id="too large"),
        pytest.param(float, 10**5000, "x must be a number, not that", id="too large for a number"),
        pytest.param(str, 10**5000, "x must be a string, not that", id="too large for a string"),
        (bool, 1, "x must be true or false, not 1"),
        (None, 0, "x must be null, not 0"),
        (int | None, "x", "x must be an integer, not 'x', or x must be null, not 'x'"),
        (Literal["a", "b"], "c", "x must be one of 'a', 'b', not 'c'"),
        (Literal[1], True, "x must be one of 1, not True"),
        (list[int], 5, "x must be an array, not 5"),
        (list[int], "[1", r"x must be an array, not '\[1'"),
        (list[int], [1, "b"], r"x\[1\] must be an integer, not 'b'"),
        (set[Any], [[]], "x: unhashable"),
        (dict[str, int], {"a": None}, "x.a must be an integer, not None"),
        (dict[str, int], [], r"x must be an object, not \[\]"),
        (date, "31.1.2025", "x must be a date as 2025-01-31, not '31.1.2025'"),
        (time, 14, "x must be a time as 14:30:00, not 14"),
        (Guest, 5, "x must be an object, not 5"),
        (Guest, {"name": "a", "age": -1}, "x: 'age' must be >= 0|x: '_age' must be >= 0"),
        (Guest, {"nme": "a", "age": "b"}, "x.nme is not known; x.name is missing; x.age must be an integer, not 'b'"),
        (str, ["x" * 200], "…$"),
    ],
)
def test_what_is_wrong_is_told(annotation: object, written: object, message: str) -> None:
    with pytest.raises(ArgumentsRefused, match=message):
        type_of(annotation, "x").read(written, "x", True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("name"), inner, max_size=3),
    max_leaves=8,
)
ANNOTATIONS = [
    *(str, int, float, bool, None, Any, date, time, datetime, Colour, Level, Shape, Loose, Guest, Booking, UserId),
    *(list[Guest], tuple[int, ...], set[Any], dict[str, Colour], int | str, list[int] | None, Literal["a", 1, True]),
]


@given(st.sampled_from(ANNOTATIONS), json_values)
def test_whatever_is_written_is_read_or_refused(annotation: object, written: object) -> None:
    with suppress(ArgumentsRefused):
        type_of(annotation, "x").read(written, "x", True)


@given(
    st.fixed_dictionaries(
        {"a": st.integers(), "b": st.lists(st.floats(allow_nan=False, allow_infinity=False))},
        optional={"c": st.none() | st.text(), "d": st.booleans()},
    )
)
def test_what_is_right_arrives_as_it_is(arguments: dict[str, object]) -> None:
    def function(a: int, b: list[float], c: str | None = None, d: bool = False) -> None: ...

    assert tool_of(function).bind(json.loads(json.dumps(arguments))) == arguments


def test_what_is_no_type_is_told() -> None:
    with pytest.raises(ValueError, match=r"x: a model cannot write a \[<class 'int'>\]: use str"):
        type_of([int], "x")


def test_all_that_is_wrong_with_the_arguments_is_told_at_once() -> None:
    with pytest.raises(ArgumentsRefused) as caught:
        tool_of(book).bind({"call": 5, "count": "many"})
    assert str(caught.value) == "call is not known; booking is missing; count must be an integer, not 'many'"


def by_class(session: CallSession, a: int) -> None: ...


def by_path(a: int, session: voxtra_trio.CallSession) -> None:  # type: ignore[name-defined]  # noqa: F821
    ...


def by_name(a: int, call) -> None:  # type: ignore[no-untyped-def]
    ...


@pytest.mark.parametrize("function", [by_class, by_path, by_name])
def test_the_call_is_for_the_function_only(function: Callable[..., object]) -> None:
    tool = tool_of(function)
    assert list(tool.spec.parameters["properties"]) == ["a"]
    assert tool.wants_call
    assert tool.bind({"a": 1}, "the call") == {"a": 1, tool.call_parameter: "the call"}


def test_the_call_by_its_class_at_run_time() -> None:
    Session = type("Mine", (type("CallSession", (), {}),), {})  # noqa: N806,RUF100

    def function(session: object) -> None: ...

    function.__annotations__["session"] = Session
    assert tool_of(function).call_parameter == "session"


def plain(first: str, second: int = 2) -> None:
    """One line.

    :param first: the first
    :param int second: the second
        of two
    first, again
    """


def test_another_style_of_docstrings() -> None:
    properties = tool_of(plain).spec.parameters["properties"]
    assert properties["first"]["description"] == "the first"
    assert properties["second"]["description"] == "the second of two"


def test_a_method_is_a_tool_and_so_is_a_function_without_parameters() -> None:
    class Shop:
        def hours(self) -> str:
            return "9 to 5"

    tool = tool_of(Shop().hours)
    assert tool.spec.description == ""
    assert tool.spec.parameters == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert not tool.wants_call
    assert tool.function(**tool.bind({})) == "9 to 5"


def no_type(a, b: int) -> None:  # type: ignore[no-untyped-def]
    ...


def many(*a: int) -> None: ...
def named(**a: int) -> None: ...
def positional(a: int, /) -> None: ...
def two(call: int, session: CallSession) -> None: ...
def unknown(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def raw(a: bytes) -> None: ...
def keyed(a: dict[int, str]) -> None: ...
def pair(a: tuple[int, str]) -> None: ...
def endless(a: Node) -> None: ...
def untold(a: Untold) -> None: ...
def untyped(a: Untyped) -> None: ...
def chosen(a: Literal[b"x"]) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_type, "tool 'no_type': parameter 'a' has no type: annotate it, as in a: str"),
        (many, r"parameter 'a' \(\*a: .*\) cannot be given by name"),
        (named, r"parameter 'a' \(\*\*a: .*\) cannot be given by name"),
        (positional, "cannot be given by name"),
        (two, "'session' is the second that is given the call"),
        (unknown, "'Nowhere' cannot be made out"),
        (raw, "a model cannot write a bytes: use str"),
        (keyed, r"use dict\[str, …\]"),
        (pair, "use a dataclass"),
        (endless, "Node.children: Node lies within itself"),
        (untold, "the types of Untold cannot be made out"),
        (untyped, "Untyped.what has no type"),
        (chosen, "its choices must be"),
        (lambda: None, "a tool's name is 1 to 64 of .* not '<lambda>'.* use tool_of"),
        (partial(plain, "x"), "a tool's name is"),
    ],
)
def test_what_cannot_be_declared_says_what_to_do(function: Callable[..., object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tool_of(function)


@pytest.mark.parametrize("name", ["", "a" * 65, "größe", "a.b", "a b", "a\n"])
def test_names_that_are_refused_elsewhere(name: str) -> None:
    with pytest.raises(ValueError, match="a tool's name"):
        tool_of(plain, name=name)


def test_tools_by_name() -> None:
    tools = Tools([plain, tool_of(plain, name="other", description="Another."), book])
    assert list(tools) == ["plain", "other", "book"]
    assert [spec.name for spec in tools.specs] == list(tools)
    assert tools["other"].spec.description == "Another."
    assert "third" not in tools
    assert tools.get("third") is None
    assert len(Tools()) == 0
    with pytest.raises(ValueError, match="two tools are named 'plain': rename one"):
        Tools([plain, plain])


def test_any_iterable_of_functions_will_do() -> None:
    functions: Iterable[Callable[..., object]] = (function for function in (plain, book))
    assert len(Tools(functions)) == 2
