"""What a tool has returned, as text for a model."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, time
from enum import Enum
from math import isfinite

import attrs

__all__ = ["LIMIT", "result_text"]

LIMIT = 16_000
"""Characters of the longest result: some 4,000 tokens."""
DEPTH = 32
"""How deep things may lie in each other."""


def result_text(value: object, *, limit: int = LIMIT) -> str:
    """A text as it is, anything else as JSON; longer than ``limit``, cut and marked so. Never raises.

    attrs classes and dataclasses are objects of the fields that their ``repr`` shows. Of what JSON has no word for,
    only the type is told: a ``repr`` may hold what a model must not know.
    """
    if isinstance(value, str):
        text = value
    else:
        try:
            text = json.dumps(_plain(value, ()), ensure_ascii=False)
        except Exception:  # somebody's own mapping; a number of more digits than Python writes (4,300)
            text = json.dumps(_unknown(value))
    text = text.encode(errors="replace").decode()  # half a surrogate pair goes into no request
    if len(text) <= limit:
        return text
    mark = f"… [cut: {len(text)} characters in all]"
    return text[: max(0, limit - len(mark))] + mark


def _plain(value: object, within: tuple[int, ...]) -> object:
    """The same of nothing but what JSON knows; ``within`` are the ids of all that it lies in."""
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if id(value) in within or len(within) >= DEPTH:
        return "…"
    within = (*within, id(value))
    if isinstance(value, Mapping):
        return {_key(key): _plain(item, within) for key, item in value.items()}
    if isinstance(value, list | tuple | AbstractSet):
        return [_plain(item, within) for item in value]
    if isinstance(value, type):
        return _unknown(value)
    if attrs.has(kind := type(value)):
        shown = [field.name for field in attrs.fields(kind) if field.repr]
    elif dataclasses.is_dataclass(value):
        shown = [field.name for field in dataclasses.fields(value) if field.repr]
    else:
        return _unknown(value)
    return {name: _plain(getattr(value, name, None), within) for name in shown}


def _key(key: object) -> str:
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return key
    return str(key) if isinstance(key, int | float | date | time | None) else _unknown(key)


def _unknown(value: object) -> str:
    return f"<{type(value).__name__}>"
