"""Tools that a model may use, declared as typed Python functions. Who runs them stands elsewhere."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import TypeAlias, get_type_hints

import attrs

from .arguments import ArgumentsRefused, ArgumentType, object_schema, read_object, type_of
from .providers import ToolSpec
from .results import result_text

__all__ = ["ArgumentsRefused", "Tool", "Tools", "result_text", "tool_of"]

ToolFunction: TypeAlias = Callable[..., object]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CALL = "CallSession"
_CALL_ANNOTATION = re.compile(rf"['\"]?(?:\w+\.)*{_CALL}['\"]?")
_DESCRIBED = re.compile(
    r"(?P<indent>\s*)(?::param\s+(?:\S+\s+)?)?(?P<name>\w+)\s*(?:\([^)]*\))?\s*:(?:\s+(?P<text>.*))?"
)


@attrs.frozen
class Tool:
    """A function, as a model is told of it, and how it is called with what the model wrote."""

    function: ToolFunction
    spec: ToolSpec
    call_parameter: str | None = None
    """The parameter that is given the call; models don't hear of it."""
    _types: Mapping[str, ArgumentType] = attrs.field(factory=dict, repr=False)
    _required: frozenset[str] = attrs.field(default=frozenset(), repr=False)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def wants_call(self) -> bool:
        """Whether the function is given the call."""
        return self.call_parameter is not None

    def bind(self, arguments: Mapping[str, object], call: object = None) -> dict[str, object]:
        """Keyword arguments for the function, of the types that it declares.

        Raises :class:`ArgumentsRefused`, whose text tells the model all that is wrong.
        """
        bound = read_object(self._types, self._required, arguments, "", lenient=True)
        if self.call_parameter is not None:
            bound[self.call_parameter] = call
        return bound


class Tools(Mapping[str, Tool]):
    """Tools by name, in order. Raises ``ValueError`` where one cannot be declared, or two have the same name."""

    __slots__ = ("_tools", "specs")

    def __init__(self, functions: Iterable[ToolFunction | Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for function in functions:
            tool = function if isinstance(function, Tool) else tool_of(function)
            if tool.name in self._tools:
                raise ValueError(f"two tools are named {tool.name!r}: rename one, or use tool_of(function, name=…)")
            self._tools[tool.name] = tool
        self.specs = tuple(tool.spec for tool in self._tools.values())
        """As a model is told of them."""

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)


def tool_of(function: ToolFunction, *, name: str | None = None, description: str | None = None) -> Tool:
    """A function as a tool: its name, the first paragraph of its docstring, and its parameters by their annotations.

    A parameter is described by ``Annotated[int, "how many"]``, or in the docstring by a line ``count: how many``, as it
    is in a section *Args*. One that has a default may be left out. One that is annotated with ``CallSession`` or named
    ``call`` is given the call. Raises ``ValueError``, which says what to do, where a model could not be told of it.
    """
    name = getattr(function, "__name__", "") if name is None else name
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"a tool's name is 1 to 64 of a-z, A-Z, 0-9, _ and -, not {name!r}: "
            "give a function that has such a name, or use tool_of(function, name=…)"
        )
    said = inspect.getdoc(function) or ""
    parameters = inspect.signature(function).parameters
    described = _described(said, parameters)
    types: dict[str, ArgumentType] = {}
    required: set[str] = set()
    call_parameter: str | None = None
    for parameter in parameters.values():
        where = f"tool {name!r}: parameter {parameter.name!r}"
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD and parameter.kind is not parameter.KEYWORD_ONLY:
            raise ValueError(
                f"{where} ({parameter}) cannot be given by name: declare each parameter as an ordinary one"
            )
        if _is_call(parameter, annotation := _annotation(function, parameter, where)):
            if call_parameter is not None:
                raise ValueError(f"{where} is the second that is given the call: remove one")
            call_parameter = parameter.name
            continue
        if annotation is parameter.empty:
            raise ValueError(f"{where} has no type: annotate it, as in {parameter.name}: str")
        type = type_of(annotation, where)
        if text := described.get(parameter.name):
            type = type.described(text, override=False)
        if parameter.default is parameter.empty:
            required.add(parameter.name)
        else:
            type = type.with_default(parameter.default)
        types[parameter.name] = type
    spec = ToolSpec(
        name,
        " ".join(said.split("\n\n")[0].split()) if description is None else description,
        object_schema(types, required),
    )
    return Tool(function, spec, call_parameter, types, frozenset(required))


def _annotation(function: ToolFunction, parameter: inspect.Parameter, where: str) -> object:
    """What is annotated, where it is text as what it means; but not the call's class, which may be imported nowhere."""
    written = parameter.annotation
    if written is parameter.empty or _is_call(parameter, written):
        return written
    holder = SimpleNamespace(__annotations__={parameter.name: written})
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        return get_type_hints(holder, scope, include_extras=True)[parameter.name]
    except Exception as error:
        raise ValueError(
            f"{where}: its type {written!r} cannot be made out ({error}): "
            "name a type that the module of the function has, also at run time"
        ) from error


def _is_call(parameter: inspect.Parameter, annotation: object) -> bool:
    if parameter.name == "call":
        return True
    if isinstance(annotation, str):
        return _CALL_ANNOTATION.fullmatch(annotation.strip()) is not None
    return isinstance(annotation, type) and any(base.__name__ == _CALL for base in annotation.__mro__)


def _described(said: str, names: Iterable[str]) -> dict[str, str]:
    """What a docstring says of parameters: a line each, which goes on in those below that stand farther in."""
    names = frozenset(names)
    described: dict[str, list[str]] = {}
    current: list[str] | None = None
    indent = 0
    for line in said.splitlines()[1:]:
        found = _DESCRIBED.fullmatch(line)
        if found and found["name"] in names:
            current, indent = described.setdefault(found["name"], []), len(found["indent"])
            current.append(found["text"] or "")
        elif current is not None and line.strip() and len(line) - len(line.lstrip()) > indent:
            current.append(line)
        else:
            current = None
    return {name: " ".join(" ".join(lines).split()) for name, lines in described.items()}
