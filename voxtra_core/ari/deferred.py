"""Models that are decoded when somebody looks at them.

Nearly every event has a whole channel in it, as a rule only its id is read, and the rest takes as long as everything
else about the event. Nobody can tell such a model from another: what is compared, printed, hashed, copied or pickled is
looked at. Nor can it be found malformed too late: its id is decoded at once, and what else it has is coerced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .coerce import Object

__all__ = ["Deferred"]


class Deferred:
    """A base for such a model, which is a class of attrs with slots: a slot that is not set is one to be decoded."""

    __slots__ = ("_rest",)

    _rest: tuple[Callable[[Any, Object], None], Object] | None
    """What sets all slots, and of what; ``None`` once it has."""

    if not TYPE_CHECKING:  # to a type checker it would make every misspelt name an attribute

        def __getattr__(self, name: str) -> object:
            """Called for a slot that is not set, and for what there is not."""
            if name != "_rest" and (rest := getattr(self, "_rest", None)) is not None:
                decode, raw = rest
                decode(self, raw)
                object.__setattr__(self, "_rest", None)
            return object.__getattribute__(self, name)
