"""How much of what has come in is still kept: the bound that a fuzzer can check on anything."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
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
    names = [name for cls in type(item).__mro__ for name in _slots(cls)]
    yield from (getattr(item, name) for name in names if hasattr(item, name))
    yield from getattr(item, "__dict__", {}).values()


def _slots(cls: type) -> tuple[str, ...]:
    slots = cls.__dict__.get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if not name.startswith("__"))
