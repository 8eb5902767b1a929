"""Everything that can be reached from an object, for tests that ask something of all of it."""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Iterator, Mapping, Sized
from typing import Any


def walk(root: object) -> Iterator[object]:
    """``root``, and whatever hangs on it: attributes, items of containers, and what closures hold on to."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        this = stack.pop()
        if id(this) in seen or isinstance(this, type | types.ModuleType | str | bytes | int | float | None):
            continue
        seen.add(id(this))
        yield this
        stack += _parts(this)


def _parts(this: object) -> list[object]:
    if isinstance(this, Mapping):
        return [*this.keys(), *this.values()]
    if isinstance(this, types.FunctionType):
        cells: tuple[Any, ...] = this.__closure__ or ()
        return [cell.cell_contents for cell in cells]
    if isinstance(this, types.MethodType):
        return [this.__self__]
    if isinstance(this, list | tuple | set | frozenset | deque):
        return list(this)
    return list(_attributes(this).values())


def _attributes(this: object) -> dict[str, object]:
    names = {name for cls in type(this).__mro__ for name in getattr(cls, "__slots__", ())}
    found = {name: getattr(this, name) for name in names if hasattr(this, name)}
    return {**found, **getattr(this, "__dict__", {})}


def what_is_kept(this: object) -> dict[str, int]:
    """How much each container is holding that is an attribute of ``this``, leaving out the empty ones."""
    sizes = {name: len(value) for name, value in _attributes(this).items() if isinstance(value, Sized)}
    return {name: size for name, size in sizes.items() if size and not isinstance(_attributes(this)[name], str | bytes)}
