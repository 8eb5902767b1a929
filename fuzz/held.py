"""How much of what has come in is still kept: the bound that a fuzzer can check on anything."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from functools import cache
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

__all__ = ["bytes_held"]

_NOTHING = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, int, float, bool, type(None))


def bytes_held(*roots: object) -> int:
    """The bytes and characters in all that can be reached by attributes and containers, each object once."""
    seen: set[int] = set()
    stack: list[object] = list(roots)
    total = 0
    while stack:
        item = stack.pop()
        if isinstance(item, _NOTHING) or id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, bytes | bytearray | str):
            total += len(item)
        elif isinstance(item, Mapping):
            stack += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset | deque):
            stack += item
        else:
            stack += _attributes(item)
    return total


def _attributes(item: object) -> Iterable[object]:
    kind: type = type(item)
    yield from (getattr(item, name) for name in _slots(kind) if hasattr(item, name))
    yield from getattr(item, "__dict__", {}).values()


@cache
def _slots(kind: type) -> tuple[str, ...]:
    """Of a class and of those that it is derived from."""
    found: list[str] = []
    for cls in kind.__mro__:
        slots = cls.__dict__.get("__slots__", ())
        found += (slots,) if isinstance(slots, str) else slots
    return tuple(name for name in found if not name.startswith("__"))
